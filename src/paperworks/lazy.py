"""Public names of a package that are imported on first use, so that a command's `--help` stays light."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def import_on_use(package: str, home: Mapping[str, str]) -> list[str]:
    """Let `package` find each name of `home` in the file that it says, when it is asked for; the names, for `__all__`.

    A name may be that of its file: importing the file does not put the module in the name's place.
    """

    class Package(ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name not in home:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            return getattr(import_module(f"{package}.{home[name]}"), name)

        def __setattr__(self, name: str, value: Any) -> None:
            if not (name in home and isinstance(value, ModuleType)):
                super().__setattr__(name, value)

    sys.modules[package].__class__ = Package
    return list(home)

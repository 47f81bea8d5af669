"""The two ways a user's request can be refused, each with one line that says what, where and what to do."""

from __future__ import annotations

from importlib.util import find_spec


class InputError(ValueError):
    """Bad input: the command line prints the message as one line and exits with status 2."""


class MissingExtra(InputError):
    """A package of an optional extra is not installed."""


def require(extra: str, *modules: str) -> None:
    """Raise `MissingExtra` if one of `modules`, installed by the extra `extra`, cannot be imported."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingExtra(f"{', '.join(missing)} not installed: run  pip install 'paperworks[{extra}]'")

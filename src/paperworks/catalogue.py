"""The one list of methods: what each is called, its paper, what it is for, and what it needs to run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from paperworks.errors import InputError

if TYPE_CHECKING:
    from paperworks.claims import Claim

PAGE_DATE = "2024-08-22"


@dataclass(frozen=True)
class Method:
    """A method of the page; `needs` are the modules that its extra installs and that it cannot do without."""

    name: str
    paper: str
    title: str
    purpose: str
    needs: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The method's name on the command line, which is also its extra's."""
        return self.name.replace("_", "-")

    @cached_property
    def built(self) -> bool:
        """Whether the library has this method, or only its paper on the page."""
        return find_spec(f"paperworks.{self.name}") is not None

    @property
    def missing(self) -> list[str]:
        """Modules of the method's extra that are not installed."""
        return [module for module in self.needs if find_spec(module) is None]

    def commands(self) -> Any:
        """The method's typer application."""
        return import_module(f"paperworks.{self.name}.commands").app

    def claims(self) -> list[Claim]:
        """The method's experiments in the order of their declaration; none where it is not built."""
        from paperworks.claims import claims_of

        return claims_of(import_module(f"paperworks.{self.name}.claims")) if self.built else []


METHODS = (
    Method("twlv", "2408.11318", "TWLV-I", "Evaluate video encoders for appearance and motion"),
    Method(
        "minitron",
        "2408.11796",
        "Minitron",
        "Prune and distil a language model",
        ("torch", "transformers", "accelerate", "datasets"),
    ),
    Method("focusllm", "2408.11745", "FocusLLM", "Read long documents by parallel decoding"),
    Method("trackgo", "2408.11475", "TrackGo", "Steer video generation with masks and arrows"),
    Method(
        "grab",
        "2408.11817",
        "GRAB",
        "Measure how well multimodal models read charts",
        ("torch", "transformers", "datasets", "httpx2", "PIL", "tenacity"),
    ),
    Method(
        "counting",
        "2408.11721",
        "Iterative object count",
        "Generate the asked-for number of objects",
        ("torch", "transformers", "diffusers", "accelerate", "PIL"),
    ),
    Method("crossformer", "2408.11812", "CrossFormer", "One robot policy for many bodies"),
    Method(
        "frap",
        "2408.11706",
        "FRAP",
        "Weight prompt tokens so that images show every object",
        ("torch", "transformers", "diffusers", "accelerate", "PIL"),
    ),
    Method(
        "head_masking",
        "2408.11237",
        "Attention head masking",
        "Detect documents of no known kind",
        ("torch", "transformers", "accelerate", "datasets", "PIL", "lxml"),
    ),
    Method(
        "backward_compatible",
        "2408.08793",
        "Backward-compatible embeddings (OCA)",
        "Replace an embedding model without re-indexing",
        ("torch", "transformers", "accelerate", "datasets", "pyarrow", "PIL"),
    ),
    Method(
        "flores", "2408.11457", "FLORES+ for Emakhuwa", "Extend a translation benchmark to a new language"
    ),
)


def find_method(name: str) -> Method:
    """The method called `name`, with `-` or `_`. Raises `InputError` that lists the names."""
    for method in METHODS:
        if method.name == name.replace("-", "_"):
            return method
    names = ", ".join(method.command for method in METHODS)
    raise InputError(f"no method is called {name!r}: choose from {names}")

"""Which device an experiment or a training run uses."""

from __future__ import annotations

import os

from paperworks.errors import InputError


def resolve_device(name: str = "auto") -> str:
    """`auto` becomes `cuda` where a GPU answers, else `cpu`; any other name is checked by torch.

    Raises `InputError` for a device that this machine does not have. Without torch the only device is `cpu`.
    """
    try:
        import torch
    except ModuleNotFoundError:
        if name in ("auto", "cpu"):
            return "cpu"
        raise InputError(f"device {name!r} needs torch, which is not installed: use --device cpu") from None
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return str(torch.empty(0, device=name).device)
    except (RuntimeError, AssertionError) as error:
        first_line = str(error).splitlines()[0]
        raise InputError(f"device {name!r} is not usable here ({first_line}): try --device auto") from error


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

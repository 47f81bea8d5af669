"""Names in a summary that its source never uses: models, data sets and benchmarks, in Latin letters."""

from __future__ import annotations

import re

_NAME = re.compile(r"(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9]*(?:[-.+/][A-Za-z0-9]+)*(?![A-Za-z0-9])")
_UNITS = {
    "GB",
    "MB",
    "TB",
    "KB",
    "GHz",
    "MHz",
    "kHz",
    "Hz",
    "ms",
    "fps",
    "FPS",
    "dB",
    "GPU",
    "CPU",
    "TPU",
    "GPUs",
    "CPUs",
    "TPUs",
    "AI",
    "LLM",
    "LLMs",
    "API",
    "PDF",
    "HTML",
    "JSON",
    "USD",
    "UTC",
    "ID",
    "IDs",
    "OK",
    "vs",
    "x",
    "K",
    "M",
    "B",
    "T",
    "GFLOPs",
    "TFLOPs",
    "FLOPs",
    "mAP",
    "AP",
    "AUC",
    "F1",
    "BLEU",
}


def unknown_names(summary: str, source: str) -> list[str]:
    """Names of `summary` that `source` never uses, in order, each once.

    A name has a digit, a hyphen between capitals or a capital after its first letter. Case, hyphens and spaces do not
    count, and a plural `s` neither.
    """
    known = _squeezed(source)
    found: dict[str, None] = {}
    for match in _NAME.finditer(summary):
        name = match[0]
        if (
            _is_name(name)
            and _squeezed(name).removesuffix("s") not in known
            and not _parts_known(name, known)
        ):
            found[name] = None
    return list(found)


def _is_name(name: str) -> bool:
    if name in _UNITS or len(name) < 2:
        return False
    letters = [character for character in name if character.isalpha()]
    has_digit = any(character.isdigit() for character in name)
    inner_capital = any(character.isupper() for character in name[1:])
    return (has_digit and any(c.isupper() for c in letters)) or inner_capital


def _parts_known(name: str, known: str) -> bool:
    """A compound such as `GPT-4o-based` whose parts are names or words that the source has."""
    parts = [part for part in re.split(r"[-/+]", name) if part]
    return len(parts) > 1 and all(
        _squeezed(part).removesuffix("s") in known or part.islower() for part in parts
    )


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()

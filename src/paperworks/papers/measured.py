"""Measured numbers as a reader wants them, and the table of claims for Markdown.

A measurement is the mapping of an evidence record: `value`, `unit`, `spread` (a standard deviation or `None`) and `n`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from paperworks.papers.words import SYMBOLS, reason_in, words_in

NOTHING = "–"
_ATTACHED = ("%", "×", "x", "%p", "°")


def format_number(value: float | None, spread: float | None = None) -> str:
    """Four significant digits, or as many decimals as two digits of `spread` call for: `0.7134`, `12,346`."""
    if value is None or not math.isfinite(value):
        return "not a number"
    if float(value).is_integer() and abs(value) < 1e6 and not spread:
        return f"{value:,.0f}"
    guide, digits = (spread, 2) if spread and spread >= 1e-5 * abs(value) else (value, 4)
    if guide == value and not 1e-3 <= abs(value) < 1e15:
        return f"{value:.3g}"
    decimals = digits - 1 - math.floor(math.log10(abs(guide)))
    return f"{value:,.{max(decimals, 0)}f}"


def format_measured(measured: Mapping[str, Any] | None) -> str:
    """A measurement with its unit, spread and number of repetitions, `71.30 ± 0.41 % (n = 3)`; `–` for none."""
    if measured is None:
        return NOTHING
    value, spread, unit = measured.get("value"), measured.get("spread"), measured.get("unit") or ""
    text = format_number(value, spread)
    if value is None or not math.isfinite(value):
        return text
    if spread is None and "." in text and "e" not in text:
        text = text.rstrip("0").rstrip(".")
    elif spread is not None and math.isfinite(spread):
        text += f"\u00a0±\u00a0{format_number(spread, spread)}"
    attached = not unit or (unit.startswith(_ATTACHED) and spread is None)
    gap = "" if attached else " " if len(unit) > 3 else "\u00a0"
    text += gap + ("×" if unit == "x" else unit)
    return text + (f" (n\u00a0=\u00a0{measured['n']})" if measured.get("n", 1) > 1 else "")


def claim_text(record: Mapping[str, Any], field: str, language: str) -> str:
    """`highlight`, `reported`, `expects` or `control` of a record's claim in `language`, else as it was declared."""
    claim = record["claim"]
    translated = (claim.get("translations") or {}).get(language) or {}
    return str(translated.get(field) or claim.get(field) or "")


def markdown_table(records: Sequence[Mapping[str, Any]], language: str) -> str:
    """The claims of one paper as a Markdown table: claim, paper, measured, control, verdict."""
    words = words_in(language)
    rows = [[words[name] for name in ("claim", "reported", "measured", "control", "verdict")], ["---"] * 5]
    for record in records:
        verdict = f"{SYMBOLS[record['verdict']]} {words[record['verdict']]}"
        if record.get("measured") is None and record.get("reason"):
            verdict += f": {reason_in(record['reason'], language)}"
        rows.append(
            [
                claim_text(record, "highlight", language),
                claim_text(record, "reported", language) or NOTHING,
                format_measured(record.get("measured")),
                format_measured(record.get("control")),
                verdict,
            ]
        )
    lines = ["| " + " | ".join(_cell(str(cell)) for cell in row) + " |" for row in rows]
    return "\n".join([f"{words['measured here']}:", "", *lines])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")

"""Draws the page with its measured claims: `page.html`, `page.md` and `summary.json`, from the records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from paperworks.catalogue import METHODS, PAGE_DATE
from paperworks.claims import Claim
from paperworks.files import write_json, write_text
from paperworks.papers import Page, render_html, render_markdown
from paperworks.reproduce.store import FORMAT, Settings, Store, evidence_key, full_id, make_record, versions

SUMMARY_FORMAT = "paperworks.summary/1"
NOT_BUILT = "not built yet"
NOT_RUN = "not measured yet"
STALE = "measured with other code or settings, so not shown: run it again"


def not_built_record(method_name: str, paper: str, settings: Settings) -> dict[str, Any]:
    """The row of a paper whose method the library does not have yet."""
    return {
        "format": FORMAT,
        "claim": {
            "id": NOT_BUILT.replace(" ", "-"),
            "method": method_name,
            "paper": paper,
            "highlight": "The experiments of this paper",
            "reported": "",
            "expects": "",
            "control": "",
            "translations": {"ko": {"highlight": "이 논문의 실험"}},
        },
        "verdict": "skipped",
        "reason": NOT_BUILT,
        **dict.fromkeys(("measured", "baseline", "control", "table")),
        "figures": [],
        "note": "",
        "seed": settings.seed,
        "scale": settings.scale,
        "device": settings.device,
        "seconds": 0.0,
        "versions": versions(),
        "command": "",
        "key": "",
    }


def collect(
    store: Store, settings: Settings, ran: Mapping[str, dict[str, Any]] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Every record of the page by arXiv id: what ran now, else what is stored and still valid, else `skipped`."""
    ran = ran or {}
    records: dict[str, list[dict[str, Any]]] = {}
    for method in METHODS:
        if method.built:
            records[method.paper] = [
                ran.get(full_id(claim)) or _stored(claim, store, settings) for claim in method.claims()
            ]
        else:
            records[method.paper] = [not_built_record(method.name, method.paper, settings)]
    return records


def _stored(claim: Claim, store: Store, settings: Settings) -> dict[str, Any]:
    key = evidence_key(claim, settings)
    record = store.valid(claim, key)
    if record is not None:
        return record
    return make_record(claim, settings, key=key, reason=STALE if store.load(claim) else NOT_RUN)


def write_report(
    store: Store,
    page: Page,
    records: Mapping[str, Sequence[dict[str, Any]]],
    settings: Settings,
    language: str,
) -> dict[str, Any]:
    """Write the three files and return the summary."""
    page = page.in_language(language)
    commands = {method.paper: f"paperworks {method.command} --help" for method in METHODS if method.built}
    html = render_html(page, evidence=records, figure_folder=store.figures, commands=commands)
    write_text(store.folder / "page.html", html)
    write_text(store.folder / "page.md", render_markdown(page, evidence=records))
    summary = summarise(records, settings)
    write_json(store.folder / "summary.json", summary)
    return summary


def summarise(records: Mapping[str, Sequence[dict[str, Any]]], settings: Settings) -> dict[str, Any]:
    """The list of all claims with their verdicts, and how many there are of each."""
    rows = [record for paper in records.values() for record in paper]
    return {
        "format": SUMMARY_FORMAT,
        "date": PAGE_DATE,
        **vars(settings),
        "versions": versions(),
        "verdicts": dict(Counter(record["verdict"] for record in rows)),
        "claims": [
            {
                **{
                    name: record["claim"][name] for name in ("method", "id", "paper", "highlight", "reported")
                },
                "verdict": record["verdict"],
                "reason": record["reason"],
                "measured": record["measured"],
                "control": record["control"],
                "seconds": record["seconds"],
                "evidence": f"evidence/{record['claim']['method']}.{record['claim']['id']}.json"
                if record["measured"]
                else None,
            }
            for record in rows
        ],
    }

import json

import pytest

pytest.importorskip("torch")

from paperworks.catalogue import METHODS
from paperworks.claims import Evidence, Measured
from paperworks.papers import load_page
from paperworks.reproduce.report import NOT_BUILT, collect, write_report
from paperworks.reproduce.store import Settings, Store, make_record


def records_with(verdict_value: float, store: Store, settings: Settings):
    """The page's records with one made-up measurement, so that the drawing is tested apart from the training."""
    from paperworks.catalogue import find_method

    claim = find_method("backward_compatible").claims()[0]
    evidence = Evidence(
        Measured.of([verdict_value, verdict_value + 0.25], "points"), Measured(-1.0, "points")
    )
    record = make_record(claim, settings, key="k", evidence=evidence, seconds=1.0)
    return claim, collect(store, settings, {f"{claim.method}.{claim.id}": record})


def test_the_report_shows_every_paper_and_every_verdict(tmp_path):
    settings, store = Settings(), Store(tmp_path)
    claim, records = records_with(3.125, store, settings)
    summary = write_report(store, load_page("2024-08-22"), records, settings, "en")
    html, markdown = (tmp_path / "page.html").read_text(), (tmp_path / "page.md").read_text()
    assert len(records) == 11
    for text in (html, markdown):
        assert text.count(NOT_BUILT) >= sum(not method.built for method in METHODS) > 0
        assert claim.reported in text or claim.reported.replace("&", "&amp;") in text
        assert "3.25" in text
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert sum(summary["verdicts"].values()) == len(summary["claims"])
    built = [row for row in summary["claims"] if row["method"] == "backward_compatible"]
    assert {row["reason"] for row in built[1:]} == {"not measured yet"}


def test_the_report_is_drawn_from_the_records_alone(tmp_path):
    settings, store = Settings(), Store(tmp_path)
    _, records = records_with(3.0, store, settings)
    write_report(store, load_page("2024-08-22"), records, settings, "ko")
    first = (tmp_path / "page.html").read_bytes()
    stored = json.loads(json.dumps(records))
    write_report(store, load_page("2024-08-22"), stored, settings, "ko")
    assert (tmp_path / "page.html").read_bytes() == first


def test_the_last_claim_of_the_first_method_starts_first():
    from paperworks.catalogue import find_method
    from paperworks.reproduce.command import choose_claims

    own = [claim.id for claim in find_method("grab").claims()]
    others = [claim.id for claim in find_method("minitron").claims()]
    assert [claim.id for claim in choose_claims(["grab", "minitron"], [])] == [own[-1], *own[:-1], *others]
    assert [claim.id for claim in choose_claims(["grab"], [own[2]])] == [own[2]]

from __future__ import annotations

import runpy
from pathlib import Path

import pytest


def test_the_example_searches_the_untouched_index_as_well_as_before() -> None:
    pytest.importorskip("faiss")
    example = Path(__file__).parents[2] / "examples" / "backward_compatible_digits.py"
    recall = runpy.run_path(str(example))["main"]()
    before = recall["old queries, old index"]
    rotated = recall["new queries, old index, rotated (NumPy)"]
    assert recall["new queries, old index, rotated (FAISS)"] == pytest.approx(rotated, abs=1e-3)
    assert recall["new queries, old index, as they are"] < 0.3
    assert rotated > before - 0.03
    assert recall["new queries, everything re-embedded"] > before + 0.04

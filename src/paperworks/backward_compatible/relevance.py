"""Relevance judgements: which items answer which query, and how well a ranking puts them first.

The file format is TREC's qrels without the unused column, tab- or space-separated, `query item grade`; the original
of four columns (`query 0 item grade`) and a header line are read too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from paperworks.errors import InputError

Judgements = Mapping[str, Mapping[str, float]]


def read_qrels(path: str | PathLike[str]) -> dict[str, dict[str, float]]:
    """The grades `{query: {item: grade}}` of a qrels file; grades ≤ 0 mean judged and not relevant.

    Raises `InputError` with the line number for a line that is not `query item grade`.
    """
    grades: dict[str, dict[str, float]] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the relevance judgements {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        fields = line.split("\t") if "\t" in line else line.split()
        if not line.strip():
            continue
        if len(fields) == 4:
            del fields[1]
        try:
            query, item, grade = fields
            grades.setdefault(query, {})[item] = float(grade)
        except ValueError:
            if number > 1:
                raise InputError(f"{path}:{number}: expected `query item grade`, got {line[:60]!r}") from None
    if not grades:
        raise InputError(f"{path}: no relevance judgements in it; one line is `query item grade`")
    return grades


def grade_matrix(
    judgements: Judgements, query_ids: Sequence[str], item_ids: Sequence[str]
) -> sparse.csr_matrix:
    """`[queries, items]` sparse: the positive grades of the pairs that are in the sample.

    Raises `InputError` if no judgement is about a query and an item of the sample.
    """
    column = {item: j for j, item in enumerate(item_ids)}
    entries = [
        (i, column[item], grade)
        for i, query in enumerate(query_ids)
        for item, grade in judgements.get(query, {}).items()
        if grade > 0 and item in column
    ]
    if not entries:
        raise InputError(
            f"none of the {sum(map(len, judgements.values())):,} relevance judgements is about a query and an item of "
            f"the sample: their ids look like {next(iter(judgements))!r}, the sample's like {query_ids[0]!r} "
            f"and {item_ids[0]!r}"
        )
    rows, columns, grades = (np.array(part) for part in zip(*entries, strict=True))
    return sparse.csr_matrix(
        (grades, (rows, columns)), shape=(len(query_ids), len(item_ids)), dtype=np.float64
    )


def ndcg(ranking: NDArray[np.intp], grades: NDArray[np.float64]) -> NDArray[np.float64]:
    """nDCG of each ranking `[q, k]` (columns of `grades [q, m]`), gain = grade, discount log2(rank + 1).

    NaN for a query with nothing relevant among the m items.
    """
    k = ranking.shape[1]
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = -np.sort(-grades, axis=1)[:, :k] @ discount
    with np.errstate(invalid="ignore"):
        return (np.take_along_axis(grades, ranking, axis=1) @ discount) / np.where(ideal > 0, ideal, np.nan)


def recall(ranking: NDArray[np.intp], grades: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of a query's relevant items (grade > 0) that its ranking `[q, k]` holds; NaN if it has none."""
    relevant = (grades > 0).sum(axis=1)
    found = (np.take_along_axis(grades, ranking, axis=1) > 0).sum(axis=1)
    return found / np.where(relevant > 0, relevant, np.nan)


def overlap(ranking: NDArray[np.intp], reference: NDArray[np.intp]) -> NDArray[np.float64]:
    """The share of each reference list `[q, k]` that is also in the ranking `[q, k]`, in any order."""
    wanted = np.zeros((len(reference), 1 + max(int(ranking.max()), int(reference.max()))), bool)
    np.put_along_axis(wanted, reference, True, axis=1)
    return np.take_along_axis(wanted, ranking, axis=1).sum(axis=1) / reference.shape[1]

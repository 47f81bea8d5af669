from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import ndcg_score
from worlds import clustered, noisy, rotation, slow_overlap, slow_top, unit

from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.check import check, decide, enough_pairs
from paperworks.backward_compatible.check_report import CurvePoint, write_figures, write_html
from paperworks.backward_compatible.intervals import estimate, jackknife
from paperworks.backward_compatible.pairs import cross_fit, find_shift, held_out_cosines, screen
from paperworks.backward_compatible.relevance import ndcg, overlap, read_qrels, recall
from paperworks.errors import InputError
from paperworks.intervals import Interval

D = 24
OVERLAP = "re-embedding overlap@10"


@pytest.fixture(scope="module")
def world():
    """Centres and the true rotation, the same in every test."""
    random = np.random.default_rng(99)
    return random.normal(size=(40, D)), rotation(D, random)


def pairs_of(world, n: int, noise: float, seed: int):
    """`old [n, D]` is the rotated new one plus noise."""
    centres, true_rotation = world
    random = np.random.default_rng(seed)
    new = clustered(n, centres, random)
    return noisy(new @ true_rotation, noise, random), new


def test_an_exact_rotation_is_predicted_to_lose_nothing_and_recommended(world) -> None:
    old, new = pairs_of(world, 600, 0.0, 0)
    report = check(old, new)
    assert report.recommendation == "rotate"
    assert report.go
    assert report.options["rotate"][OVERLAP].value == 1.0
    assert report.options["rotate"]["today overlap@10"].value == 1.0
    assert report.known_item["known-item R@1"].value == 1.0
    assert report.enough_pairs == 64


def test_the_reported_overlap_is_that_of_a_slow_search_on_each_held_out_fold(world) -> None:
    old, new = pairs_of(world, 120, 0.2, 1)
    report = check(old, new, k=5, folds=3, seed=4)
    keep, rotate, today = [], [], []
    for split in cross_fit(old, new, folds=3, seed=4):
        held = split.held_out
        assert not set(held) & set(split.fit)
        m = new[split.fit].T @ old[split.fit]
        u, _, vt = np.linalg.svd(m)
        wanted = slow_top(new[held], new[held], 5, leave_self=True)
        before = slow_top(old[held], old[held], 5, leave_self=True)
        found = slow_top(new[held] @ (u @ vt), old[held], 5, leave_self=True)
        keep.append(slow_overlap(before, wanted))
        rotate.append(slow_overlap(found, wanted))
        today.append(slow_overlap(found, before))
    assert report.options["keep-old"]["re-embedding overlap@5"].value == pytest.approx(np.mean(keep))
    assert report.options["rotate"]["re-embedding overlap@5"].value == pytest.approx(np.mean(rotate))
    assert report.options["rotate"]["today overlap@5"].value == pytest.approx(np.mean(today))
    assert report.differences["rotate - keep-old"].value == pytest.approx(np.mean(rotate) - np.mean(keep))
    assert report.fold_spread == pytest.approx(np.std(rotate, ddof=1))
    assert report.gallery_size == 40
    assert report.gallery_curve[-1].rotate.value == pytest.approx(np.mean(rotate))
    assert report.learning_curve[-1].rotate.value == pytest.approx(np.mean(rotate))


def test_the_interval_holds_the_recall_on_fresh_galleries_in_most_samples(world) -> None:
    fresh = [pairs_of(world, 160, 0.15, 10_000 + i) for i in range(40)]
    inside = []
    for seed in range(10):
        old, new = pairs_of(world, 800, 0.15, seed)
        predicted = check(old, new, seed=seed).options["rotate"][OVERLAP]
        m = new.T @ old
        u, _, vt = np.linalg.svd(m)
        found = []
        for old_items, new_items in fresh:
            similarity = (new_items @ (u @ vt)) @ old_items.T, new_items @ new_items.T
            lists = []
            for scores in similarity:
                np.fill_diagonal(scores, -2)
                lists.append(np.argsort(-scores, axis=1)[:, :10])
            found.append(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*lists, strict=True)]))
        inside.append(predicted.low <= np.mean(found) <= predicted.high)
        assert predicted.high - predicted.low < 0.06
    assert sum(inside) >= 8


def test_unrelated_embeddings_are_refused(world) -> None:
    old, _ = pairs_of(world, 500, 0.1, 0)
    _, new = pairs_of(world, 500, 0.1, 1)
    with pytest.raises(InputError, match=r"held-out cosine -?0\.0\d, and .* are the rows the same items\?"):
        check(old, new)


def test_a_common_direction_does_not_pass_for_a_match(world) -> None:
    """Anisotropic embeddings: strangers have a cosine of 0.9, so no threshold on the cosine would notice."""
    old, _ = pairs_of(world, 500, 0.1, 0)
    _, new = pairs_of(world, 500, 0.1, 1)
    old, new = unit(old + 3 / np.sqrt(D)), unit(new + 3 / np.sqrt(D))
    assert held_out_cosines(old, new).mean() > 0.85
    with pytest.raises(InputError, match="are the rows the same items"):
        check(old, new)


def test_shuffled_rows_are_refused_and_rows_shifted_by_one_are_told_so(world) -> None:
    old, new = pairs_of(world, 600, 0.1, 0)
    with pytest.raises(InputError, match="Match them by id"):
        check(old[np.random.default_rng(0).permutation(600)], new)
    with pytest.raises(InputError, match=r"New row i matches old row i-1 .*shift one side"):
        check(old[1:], new[:-1])
    with pytest.raises(InputError, match=r"New row i matches old row i\+1 .*shift one side"):
        check(old[:-1], new[1:])


def test_thirty_percent_of_mismatched_pairs_are_counted_and_named(world) -> None:
    old, new = pairs_of(world, 1000, 0.1, 0)
    random = np.random.default_rng(1)
    wrong = np.sort(random.choice(1000, 300, replace=False))
    shuffled = old.copy()
    shuffled[wrong] = old[np.roll(wrong, 1)]
    report = check(shuffled, new)
    assert report.recommendation == "do-not"
    assert not report.go
    assert report.screening.mismatched_interval[0] < 0.3 < report.screening.mismatched_interval[1]
    named = set(report.screening.suspicious.tolist())
    assert len(named & set(wrong.tolist())) > 0.9 * 300
    assert len(named - set(wrong.tolist())) < 0.02 * 700
    assert any("look mismatched" in text and str(min(named)) in text for text in report.warnings)


def test_matched_pairs_are_not_suspected(world) -> None:
    old, new = pairs_of(world, 800, 0.15, 0)
    screening = check(old, new).screening
    assert screening.mismatched_interval[0] == 0.0
    assert screening.mismatched < 0.01
    assert screening.p_value == 1 / 1000


def test_a_row_dropped_in_the_middle_is_recognised(world) -> None:
    old, new = pairs_of(world, 900, 0.1, 0)
    old, new = np.delete(old, 600, axis=0), new[:-1]
    screening = screen(old, new, cross_fit(old, new, folds=5, seed=0))
    assert min(screening.suspicious) >= 600 - 20
    assert find_shift(old, new, screening) == -1


def test_a_space_that_no_rotation_aligns_gets_a_do_not() -> None:
    """Each cluster is turned by a rotation of its own: neighbours stay, so the old model serves and rotating harms."""
    random = np.random.default_rng(0)
    centres, label = 2 * random.normal(size=(12, D)), random.integers(0, 12, 900)
    local = 0.4 * random.normal(size=(900, D))
    turns = [rotation(D, random) for _ in range(12)]
    old = centres[label] + local
    new = (centres @ rotation(D, random))[label] + np.stack(
        [turns[c] @ x for c, x in zip(label, local, strict=True)]
    )
    report = check(unit(old), unit(new))
    assert report.recommendation == "do-not"
    assert not report.go
    assert report.differences["rotate - keep-old"].high < -0.1
    assert "worse than the old model" in report.reason


def judged_world(noise_old: float, noise_new: float, n: int = 700, seed: int = 0):
    """Two noisy views of a truth, whose 20 nearest neighbours are the relevant items."""
    random = np.random.default_rng(seed)
    truth = clustered(n, random.normal(size=(40, D)), random)
    old, new = noisy(truth, noise_old, random), noisy(truth @ rotation(D, random), noise_new, random)
    similarity = truth @ truth.T
    np.fill_diagonal(similarity, -2)
    nearest = np.argsort(-similarity, axis=1)[:, :20]
    return old, new, {str(i): {str(j): 1.0 for j in row} for i, row in enumerate(nearest)}


def test_a_blend_is_recommended_when_the_errors_of_the_models_are_independent() -> None:
    old, new, relevance = judged_world(0.25, 0.15)
    report = check(old, new, relevance=relevance)
    assert report.metric == "nDCG@10"
    assert report.recommendation == "blend"
    assert 0 < report.blend_weight < 1
    assert report.differences["blend - rotate"].low > 0


def test_a_new_model_that_is_not_better_is_not_worth_a_change() -> None:
    old, new, relevance = judged_world(0.05, 0.25)
    report = check(old, new, relevance=relevance)
    assert report.recommendation in ("keep-old", "do-not")
    assert report.differences["re-embed - keep-old"].high < 0


def test_judged_queries_of_their_own_are_searched_in_the_sample(world) -> None:
    old, new, relevance = judged_world(0.2, 0.1)
    asked, items = slice(0, 100), slice(100, None)
    by_query = {f"q{i}": {str(int(j) - 100): g for j, g in relevance[str(i)].items()} for i in range(100)}
    report = check(
        old[items],
        new[items],
        queries=(old[asked], new[asked]),
        relevance=by_query,
        query_ids=[f"q{i}" for i in range(100)],
    )
    assert report.metric == "nDCG@10"
    assert report.queries <= 100
    assert report.differences["re-embed - keep-old"].low > 0


def test_copies_of_an_item_are_left_out_and_counted(world) -> None:
    old, new = pairs_of(world, 300, 0.1, 0)
    report = check(np.vstack([old, old[:30]]), np.vstack([new, new[:30]]))
    assert report.pairs == 300
    assert any("30 duplicate pairs" in text for text in report.warnings)


def test_too_few_pairs_for_the_width_are_warned_of_with_the_rank() -> None:
    random = np.random.default_rng(0)
    new = clustered(200, random.normal(size=(30, 256)), random, spread=1.0)
    report = check(new @ rotation(256, random), new)
    assert any("160 pairs for 256 dimensions" in text and "rank is 160" in text for text in report.warnings)


def test_lengths_other_than_one_are_reported_and_do_not_matter(world) -> None:
    old, new = pairs_of(world, 300, 0.1, 0)
    stretched = check(old * np.linspace(0.5, 2, 300)[:, None], new)
    assert any("old rows are not unit-norm (0.5 to 2)" in text for text in stretched.warnings)
    assert stretched.options["rotate"][OVERLAP].value == pytest.approx(
        check(old, new).options["rotate"][OVERLAP].value
    )


def test_the_same_seed_gives_the_same_report_and_it_is_json(world) -> None:
    old, new = pairs_of(world, 300, 0.1, 0)
    first, second = (json.dumps(check(old, new, seed=3).to_dict()) for _ in range(2))
    assert first == second
    assert json.loads(first)["options"]["rotate"][OVERLAP]["n"] == 300


@pytest.mark.parametrize("d_old", [16, 24, 32])
def test_models_of_different_width_are_compared(d_old: int) -> None:
    random = np.random.default_rng(0)
    truth = clustered(400, random.normal(size=(30, 32)), random)
    report = check(unit(truth[:, :d_old]), unit(truth[:, :24] @ rotation(24, random)))
    assert 0 < report.options["rotate"][OVERLAP].value <= 1


def test_of_many_pairs_a_sample_is_taken_and_said(world) -> None:
    old, new = pairs_of(world, 500, 0.1, 0)
    report = check(old, new, at_most=200)
    assert report.pairs == 200
    assert "200 of 500 pairs were used, drawn at random" in report.warnings


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda old, new: (old[:-2], new), "old has 298 rows but new has 300"),
        (lambda old, new: (np.where(np.arange(300)[:, None] == 7, np.nan, old), new), "old: row 7 holds NaN"),
        (lambda old, new: (old, np.where(np.arange(300)[:, None] == 9, 0, new)), "new: row 9 is all zero"),
        (lambda old, new: ((127 * old).astype(np.int8), new), "old: int8 vectors are quantised"),
        (lambda old, new: (old[:20], new[:20]), "20 pairs are too few for 5 folds and top 10: need 60"),
        (lambda old, new: (old[:, 0], new[:, 0]), r"need vectors \[n, d\]"),
    ],
)
def test_bad_pairs_are_refused_with_the_row(world, spoil, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(*spoil(*pairs_of(world, 300, 0.1, 0)))


def test_the_rule_reads_only_the_intervals() -> None:
    same = estimate(np.zeros((2, 10)))
    options = {name: {"m": same} for name in ("keep-old", "rotate", "blend", "re-embed")}
    names = (
        "rotate - keep-old",
        "blend - keep-old",
        "re-embed - keep-old",
        "blend - rotate",
        "re-embed - rotate",
    )
    random = np.random.default_rng(0)
    matched = screen(*(rows := (unit(random.normal(size=(60, 4))),) * 2), cross_fit(*rows, folds=2, seed=0))

    def says(*means: float, width: float = 0.01, screening=matched) -> str:
        estimates = [Interval(mean, mean - width, mean + width, 100) for mean in means]
        differences = dict(zip(names, estimates, strict=True))
        return decide(options, differences, screening, metric="m", margin=0.01, judged=True)[0]

    assert says(0.1, 0.1, 0.3, 0.0, 0.2) == "rotate"
    assert says(0.1, 0.15, 0.3, 0.05, 0.2) == "blend"
    assert says(0.1, 0.105, 0.3, 0.005, 0.2, width=0.001) == "rotate"
    assert says(-0.1, -0.1, 0.3, 0.0, 0.4) == "do-not"
    assert says(-0.1, 0.05, 0.3, 0.15, 0.4) == "blend"
    assert says(0.0, 0.0, 0.3, 0.0, 0.3) == "re-embed"
    assert says(0.0, 0.0, 0.0, 0.0, 0.0) == "keep-old"
    assert says(0.0, 0.0, 0.0, 0.0, 0.0, width=0.001) == "rotate"
    assert (
        says(0.1, 0.1, 0.3, 0.0, 0.2, screening=replace(matched, mismatched_interval=(0.06, 0.1))) == "do-not"
    )


def test_enough_pairs_is_where_the_curve_stops_rising() -> None:
    def curve(*values: float) -> list[CurvePoint]:
        points = (Interval(value, value, value, 9) for value in values)
        return [CurvePoint(64 * 2**i, point, point) for i, point in enumerate(points)]

    assert enough_pairs(curve(0.5, 0.695, 0.7, 0.7), 0.01) == 128
    assert enough_pairs(curve(0.7, 0.5, 0.7, 0.7), 0.01) == 256
    assert enough_pairs(curve(0.1, 0.2, 0.3, 0.4), 0.01) is None


def test_the_bootstrap_interval_of_independent_queries_is_the_normal_one() -> None:
    values = np.random.default_rng(0).random(2000)
    found = estimate(values[None])
    half = 1.96 * values.std() / np.sqrt(2000)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.1 * half
    )
    wider = estimate(values[None], variance=4 * values.var() / 2000)
    assert wider.high - wider.low == pytest.approx(2 * (found.high - found.low), rel=0.1)


def test_the_jackknife_of_a_mean_is_its_variance() -> None:
    values = np.random.default_rng(0).normal(size=(3, 10))
    without = (values.sum(axis=1, keepdims=True) - values) / 9
    assert jackknife(without) == pytest.approx(np.mean(values.var(axis=1, ddof=1) / 10) / 3)


def test_ranking_metrics_agree_with_slow_ones() -> None:
    random = np.random.default_rng(0)
    grades = random.integers(0, 4, size=(20, 30)).astype(float)
    scores = random.random((20, 30))
    ranking = np.argsort(-scores, axis=1)[:, :7]
    assert ndcg(ranking, grades).mean() == pytest.approx(ndcg_score(grades, scores, k=7))
    slow = [sum(g[j] > 0 for j in row) / sum(g > 0) for row, g in zip(ranking, grades, strict=True)]
    np.testing.assert_allclose(recall(ranking, grades), slow)
    other = np.argsort(-random.random((20, 30)), axis=1)[:, :7]
    assert overlap(ranking, other).mean() == pytest.approx(slow_overlap(ranking.tolist(), other.tolist()))
    assert np.isnan(ndcg(ranking, np.zeros((20, 30)))).all()


def test_judgements_are_read_with_three_or_four_columns(tmp_path) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_text("query\titem\tgrade\nq 1\td1\t2\nq 1\td2\t0\n")
    assert read_qrels(path) == {"q 1": {"d1": 2.0, "d2": 0.0}}
    path.write_text("q1 0 d1 1\nq1 0 d2\n")
    with pytest.raises(InputError, match=r"qrels.tsv:2: expected `query item grade`|qrels.tsv:2"):
        read_qrels(path)


def test_judgements_of_other_ids_are_refused(world) -> None:
    old, new = pairs_of(world, 300, 0.1, 0)
    with pytest.raises(InputError, match="none of the 1 relevance judgements is about a query and an item"):
        check(old, new, relevance={"a": {"b": 1.0}})


def test_the_report_is_drawn_and_written_as_one_page(world, tmp_path) -> None:
    report = check(*pairs_of(world, 300, 0.1, 0))
    written = write_figures(report, tmp_path / "figures")
    assert [path.name for path in written] == [
        "options.png",
        "learning_curve.png",
        "gallery_size.png",
        "pair_cosines.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
    write_html(report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert report.options["rotate"][OVERLAP].percent() in page
    assert "http" not in page
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_aligner_of_a_fold_has_not_seen_what_it_is_judged_on(world) -> None:
    old, new = pairs_of(world, 200, 0.3, 0)
    inside = OrthogonalAligner(normalize=True).fit(new, old).transform(new)
    assert held_out_cosines(old, new).mean() < np.einsum("nd,nd->n", inside, old).mean()

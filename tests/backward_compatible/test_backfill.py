from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from worlds import clustered, rotation, unit

from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.backfill import (
    backfill_order,
    predict_cosine,
    read_traffic,
    rehearse,
    simulate,
)
from paperworks.backward_compatible.pairs import held_out_cosines
from paperworks.errors import InputError

D = 16
pytestmark = pytest.mark.filterwarnings("ignore:only .* pairs:UserWarning")


def uneven_world(n: int, seed: int = 0):
    """Half of the clusters (along one direction) are badly represented by the old model; traffic has a long tail."""
    random = np.random.default_rng(seed)
    new = clustered(n, random.normal(size=(30, D)), random)
    poor = new[:, :1] > 0
    old = unit(new @ rotation(D, random) + np.where(poor, 0.35, 0.02) * random.normal(size=new.shape))
    return old, new, random.pareto(1.5, n), poor[:, 0]


def test_the_order_is_the_best_subset_at_every_budget_by_brute_force() -> None:
    random = np.random.default_rng(0)
    for _ in range(5):
        traffic, cosine = random.integers(0, 9, 8), random.uniform(-1, 1, 8)
        for budget in range(9):
            chosen = backfill_order(traffic, cosine, budget=budget)
            gain = sum(traffic[i] * (1 - cosine[i]) for i in chosen)
            best = max(sum(traffic[i] * (1 - cosine[i]) for i in s) for s in combinations(range(8), budget))
            assert len(set(chosen.tolist())) == budget
            assert gain == pytest.approx(best)


def test_equal_gains_go_by_number_and_no_budget_means_all() -> None:
    assert backfill_order([1, 2, 1, 0], [0.5, 0.5, 0.5, -1.0]).tolist() == [1, 0, 2, 3]


def test_the_cosine_of_items_without_a_pair_is_predicted_from_their_old_vector() -> None:
    old, new, _, poor = uneven_world(3000)
    prediction = predict_cosine(old[:1500], new[:1500], old[1500:], chunk=400)
    true_cosines = np.einsum(
        "nd,nd->n", unit(OrthogonalAligner(normalize=True).fit(new, old).transform(new)), old
    )
    assert prediction.method in ("neighbours", "ridge")
    assert prediction.r2[prediction.method] == max(prediction.r2.values()) > 0.3
    assert np.corrcoef(prediction.cosines, true_cosines[1500:])[0, 1] > 0.5
    assert prediction.cosines[~poor[1500:]].mean() - prediction.cosines[poor[1500:]].mean() > 0.1


def test_where_the_old_vector_says_nothing_the_prediction_is_the_mean() -> None:
    random = np.random.default_rng(0)
    new = unit(random.normal(size=(400, D)))
    old = unit(new @ rotation(D, random) + 0.2 * random.normal(size=new.shape))
    prediction = predict_cosine(old[:300], new[:300], old[300:])
    known = held_out_cosines(old[:300], new[:300])
    assert abs(prediction.cosines.mean() - known.mean()) < 0.01
    assert prediction.cosines.std() < 0.3 * known.std()


def test_the_recall_curve_is_that_of_a_slow_search() -> None:
    old, new, traffic, _ = uneven_world(40)
    aligner = OrthogonalAligner(normalize=True).fit(new, old)
    order = np.random.default_rng(1).permutation(40)
    found = simulate(aligner, new, old, order, traffic, k=4, steps=5)
    rotated = aligner.transform(new)
    for budget, measured in zip(found.budgets, found.recall["given"], strict=True):
        done = set(order[:budget].tolist())
        hit = total = 0.0
        for i in range(40):
            others = [j for j in range(40) if j != i]
            reference = sorted(others, key=lambda j: -(rotated[i] @ rotated[j]))[:4]
            top = sorted(others, key=lambda j: -(rotated[i] @ (rotated[j] if j in done else old[j])))[:4]
            total += sum(traffic[j] for j in reference)
            hit += sum(traffic[j] for j in reference if j in top)
        assert measured == pytest.approx(hit / total)
    assert found.budgets == (0, 8, 16, 24, 32, 40)
    assert all(values[-1] == 1.0 for values in found.recall.values())
    assert found.area["random"] == 0.0


def test_the_order_beats_a_random_one_on_pairs_that_it_has_not_seen() -> None:
    old, new, traffic, _ = uneven_world(2000)
    found = rehearse(old, new, traffic)
    assert found.area["given"] > 0.02
    assert found.area["given"] > 0.4 * found.area["oracle"]
    half = len(found.budgets) // 2
    assert found.recall["given"][half] > found.recall["random"][half] + 0.02


def test_an_order_from_the_wrong_end_is_worse_than_random() -> None:
    old, new, traffic, _ = uneven_world(800)
    aligner = OrthogonalAligner(normalize=True).fit(new, old)
    order = backfill_order(traffic, held_out_cosines(old, new))
    assert simulate(aligner, new, old, order[::-1], traffic).area["given"] < 0


def test_traffic_is_read_by_id_and_unknown_items_have_none() -> None:
    assert read_traffic(["id,count", "a,3", "c,2.5", "a,1", "z,9"], ["a", "b", "c"]).tolist() == [
        4.0,
        0.0,
        2.5,
    ]
    assert read_traffic(["x,y\t2"], ["x,y"]).tolist() == [2.0]
    with pytest.raises(InputError, match="traffic:2: expected `id,count`"):
        read_traffic(["a,1", "b"], ["a", "b"])
    with pytest.raises(InputError, match="none of its ids"):
        read_traffic(["q,1"], ["a"])


@pytest.mark.parametrize(
    ("traffic", "cosine", "budget", "message"),
    [
        ([1, -2], [0, 0], 1, "traffic of item 1 is -2.0"),
        ([1, np.nan], [0, 0], 1, "traffic of item 1 is nan"),
        ([1, 2], [0, 1.5], 1, "cosine of item 1 is 1.5"),
        ([1, 2], [0, 0, 0], 1, "need one number per item"),
        ([1, 2], [0, 0], -1, "budget"),
    ],
)
def test_bad_orders_are_refused(traffic, cosine, budget: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        backfill_order(traffic, cosine, budget=budget)


def test_a_simulation_of_nothing_wanted_or_an_incomplete_order_is_refused() -> None:
    old, new, traffic, _ = uneven_world(60)
    aligner = OrthogonalAligner(normalize=True).fit(new, old)
    with pytest.raises(InputError, match="each of the 60 items once"):
        simulate(aligner, new, old, np.arange(59), traffic)
    with pytest.raises(InputError, match="nothing wanted"):
        simulate(aligner, new, old, np.arange(60), np.zeros(60))

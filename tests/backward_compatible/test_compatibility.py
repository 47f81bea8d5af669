import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from paperworks.backward_compatible.compatibility import (
    average_compatibility,
    average_metric,
    compatibility,
    recall_at_k,
    retrieval_metrics,
    top_k,
    update_gain,
)
from paperworks.errors import InputError


def score(query, item, metric):
    width = min(len(query), len(item))
    a, b = query[:width].astype(float), item[:width].astype(float)
    if metric == "cosine":
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return a @ b if metric == "inner" else -np.sum((a - b) ** 2)


def slow_ranking(query, gallery, metric, left_out=None):
    scores = {i: score(query, item, metric) for i, item in enumerate(gallery) if i != left_out}
    return sorted(scores, key=lambda i: (-scores[i], i)), scores


@pytest.mark.parametrize("metric", ["cosine", "inner", "l2"])
@pytest.mark.parametrize(("query_width", "gallery_width"), [(7, 7), (9, 4), (4, 9)])
@pytest.mark.parametrize("own", [True, False])
def test_top_k_is_that_of_a_slow_loop_whatever_the_chunk(metric, query_width, gallery_width, own):
    random = np.random.default_rng(0)
    n = 31 if own else 23
    query, gallery = random.standard_normal((n, query_width)), random.standard_normal((31, gallery_width))
    for chunk in (1, 5, 31, 1000):
        found, scores = top_k(query, gallery, 6, metric=metric, exclude="self" if own else None, chunk=chunk)
        for i in range(n):
            order, expected = slow_ranking(query[i], gallery, metric, i if own else None)
            assert found[i].tolist() == order[:6]
            assert np.allclose(scores[i], [expected[j] for j in order[:6]], atol=1e-12)


def test_equal_scores_are_ordered_by_index_within_and_across_chunks():
    gallery = np.array([[0, 1], [1, 0], [0, 1], [1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    for chunk in (1, 2, 3, 100):
        found, scores = top_k(gallery, gallery, 5, chunk=chunk)
        assert found[1].tolist() == [1, 3, 5, 6, 0]
        assert scores[1].tolist() == [1, 1, 1, 1, 0]
        found, _ = top_k(gallery, gallery, 5, exclude="self", chunk=chunk)
        assert found[1].tolist() == [3, 5, 6, 0, 2]


def test_truncating_padding_and_the_similarity_do_not_change_the_ranking_of_a_unit_norm_gallery():
    random = np.random.default_rng(1)
    query, gallery = random.standard_normal((40, 12)), random.standard_normal((200, 8))
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    padded = np.pad(gallery, ((0, 0), (0, 4)))
    truncated = query[:, :8] / np.linalg.norm(query[:, :8], axis=1, keepdims=True)
    reference = top_k(query, gallery, 20)[0]
    for metric in ("cosine", "inner", "l2"):
        for queries in (query, query[:, :8], truncated):
            assert np.array_equal(top_k(queries, gallery, 20, metric=metric)[0], reference)
        assert np.array_equal(top_k(query, padded, 20, metric=metric)[0], reference)


def test_top_k_keeps_float64_and_computes_half_precision_in_single():
    rows = np.random.default_rng(0).standard_normal((20, 5))
    assert top_k(rows, rows, 3)[1].dtype == np.float64
    found, scores = top_k(rows.astype(np.float16), rows.astype(np.float16), 3)
    assert scores.dtype == np.float32
    assert np.array_equal(found[:, 0], np.arange(20))


def test_top_k_reads_a_memory_map_in_pieces(tmp_path):
    rows = np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert np.array_equal(top_k(mapped, mapped, 4, chunk=7)[0], top_k(rows, rows, 4)[0])


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_metrics_are_scikit_learns_and_those_of_a_slow_loop(own, tied):
    random = np.random.default_rng(4)
    query, labels = random.standard_normal((40, 6)), random.integers(0, 5, 40)
    gallery, gallery_labels = random.standard_normal((55, 4)), random.integers(0, 5, 55)
    if own:
        gallery, gallery_labels = query[:, :4] + 0.1 * random.standard_normal((40, 4)), labels
    if tied:
        query, gallery = np.sign(query), np.sign(gallery)
    precisions, top1, top5 = [], [], []
    for i in range(40):
        order, scores = slow_ranking(query[i], gallery, "inner", i if own else None)
        hits = [gallery_labels[j] == labels[i] for j in order]
        precisions.append(average_precision_score(hits, [scores[j] for j in order]))
        top1.append(hits[0])
        top5.append(any(hits[:5]))
    found = retrieval_metrics(
        query, gallery, labels, None if own else gallery_labels, metric="inner", chunk=7
    )
    assert found["map"] == pytest.approx(np.mean(precisions), abs=1e-12)
    assert found["cmc1"] == np.mean(top1)
    assert found["cmc5"] == np.mean(top5)


def test_an_item_is_not_found_by_itself():
    vectors, labels = np.eye(4), np.array([0, 1, 0, 1])
    assert retrieval_metrics(vectors, vectors, labels, labels)["cmc1"] == 1
    # Without itself all others score 0 and come by index, so only item 2 finds its class, at item 0.
    assert retrieval_metrics(vectors, vectors, labels)["cmc1"] == 0.25


def test_a_query_without_another_item_of_its_class_is_left_out():
    vectors = np.array([[1, 0], [1, 0.1], [0, 1]])
    assert retrieval_metrics(vectors, vectors, [0, 0, 1]) == {"cmc1": 1, "cmc5": 1, "map": 1}
    with pytest.raises(InputError, match="no query"):
        retrieval_metrics(vectors, vectors, [0, 1, 2])


def test_two_arrays_give_the_matrix_of_old_and_new():
    random = np.random.default_rng(2)
    labels = random.integers(0, 4, 60)
    centres = random.standard_normal((4, 6))
    new = centres[labels] + 0.8 * random.standard_normal((60, 6))
    old = new[:, :3] + 1.5 * random.standard_normal((60, 3))
    report = compatibility(query=new, gallery=old, labels=labels, metrics=("cmc1", "map"))
    assert report.models == ("old", "new")
    for metric in ("cmc1", "map"):
        expected = {
            (0, 0): retrieval_metrics(old, old, labels)[metric],
            (1, 0): retrieval_metrics(new, old, labels)[metric],
            (1, 1): retrieval_metrics(new, new, labels)[metric],
        }
        assert {place: report[metric][place] for place in expected} == expected
        assert np.isnan(report[metric][0, 1])
    assert report.compatible("map")
    assert report["map"][1, 0] > report["map"][0, 0]
    assert not compatibility(query=old[::-1], gallery=new, labels=labels).compatible("map")
    assert report.update_gain(0.99) == update_gain(report["map"][1, 0], report["map"][0, 0], 0.99)
    written = report.to_dict()["metrics"]["map"]
    assert written["matrix"][0] == [report["map"][0, 0], None]


def test_several_models_and_a_gallery_of_other_items():
    random = np.random.default_rng(3)
    labels, gallery_labels = random.integers(0, 3, 30), random.integers(0, 3, 40)
    queries = {f"v{d}": random.standard_normal((30, d)) for d in (4, 6, 8)}
    gallery = {f"v{d}": random.standard_normal((40, d)) for d in (4, 6, 8)}
    report = compatibility(query=queries, gallery=gallery, labels=labels, gallery_labels=gallery_labels)
    assert report.models == ("v4", "v6", "v8")
    expected = retrieval_metrics(queries["v8"], gallery["v4"], labels, gallery_labels)
    assert {name: matrix[2, 0] for name, matrix in report.matrices.items()} == expected
    same_items = compatibility(query=list(queries.values()), labels=labels)
    assert same_items.models == ("model 1", "model 2", "model 3")
    assert same_items["map"][1, 0] == retrieval_metrics(queries["v6"], queries["v4"], labels)["map"]


def test_average_compatibility_is_strict_and_the_average_keeps_zeros():
    matrix = [
        [0.5, 9.0, 9.0],
        [0.5, 0.6, 9.0],
        [0.7, 0.0, 0.8],
    ]
    assert average_compatibility(matrix) == pytest.approx(1 / 3)
    assert average_metric(matrix) == pytest.approx((0.5 + 0.5 + 0.6 + 0.7 + 0.0 + 0.8) / 6)
    with pytest.raises(InputError, match="finite"):
        average_compatibility([[0.1, 0], [np.nan, 0.2]])


def test_update_gain_is_one_when_new_queries_do_as_well_as_re_embedding():
    assert update_gain(0.9, 0.5, 0.9) == 1
    assert update_gain(0.4, 0.5, 0.9) == pytest.approx(-0.25)
    assert np.isnan(update_gain(0.4, 0.5, 0.5))


def test_recall_counts_the_wanted_items_in_any_order():
    assert recall_at_k([[1, 2, 3], [4, 5, 6]], [[3, 1, 9], [7, 8, 9]]) == pytest.approx(1 / 3)
    assert recall_at_k([[1, 2, 3, 4]], [[4, 1]]) == 1
    with pytest.raises(InputError, match="shapes"):
        recall_at_k([[1, 2]], [[1], [2]])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: top_k(x, x, 11), "k = 11"),
        (lambda x: top_k(x, x, 10, exclude="self"), "1 to 9"),
        (lambda x: top_k(x, x[:5], 2, exclude="self"), "10 queries but 5"),
        (lambda x: top_k(x, x.astype(int), 2), "float vectors"),
        (lambda x: top_k(x, x[0], 2), "shape"),
        (lambda x: top_k(x, np.where(np.arange(10)[:, None] == 3, np.nan, x), 2), "gallery: row 3"),
        (lambda x: top_k(np.where(np.arange(10)[:, None] == 4, 0.0, x), x, 2, chunk=3), "query: row 4"),
        (lambda x: top_k(x, x, 2, metric="hamming"), "hamming"),
        (lambda x: retrieval_metrics(x, x, [0, 1]), "labels"),
        (lambda x: retrieval_metrics(x, x, [0, 1] * 5, metrics=("cmc0",)), "cmc0"),
        (lambda x: compatibility(query=x, labels=[0, 1] * 5), "two or more"),
        (
            lambda x: compatibility(query={"a": x, "b": x}, gallery={"a": x, "b": x}, labels=[0, 1] * 5),
            "both",
        ),
        (
            lambda x: compatibility(query=x, gallery=x, labels=[0, 1] * 5, gallery_labels=[0, 1] * 5),
            "two or more",
        ),
    ],
)
def test_bad_input_says_what_is_wrong(call, words):
    with pytest.raises(InputError, match=words):
        call(np.random.default_rng(0).standard_normal((10, 3)))

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.chain import compose
from paperworks.backward_compatible.procrustes import complete, procrustes
from paperworks.errors import InputError

WIDTHS = [(24, 24), (40, 24), (24, 40)]


def random_rotation(d: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def embed(version: int, width: int, n: int = 1000, noise: float = 0.3, seed: int = 1) -> np.ndarray:
    """Unit vectors of items that `seed` draws, under a model: a noisy rotation of one hidden vector per item."""
    random = np.random.default_rng(seed)
    hidden = random.normal(size=(n, 8)) * np.linspace(2, 0.5, 8) + 0.5
    noises = np.random.default_rng([seed, version]).normal(size=(n, width))
    return unit(hidden @ random_rotation(width, version)[:8] + noise * noises)


def pairs(d_new: int, d_old: int, n: int = 1000, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    return embed(2, d_new, n, noise), embed(1, d_old, n, noise)


@pytest.mark.parametrize(("d_new", "d_old"), WIDTHS)
def test_the_rotation_is_orthogonal(d_new, d_old):
    rotation = OrthogonalAligner().fit(*pairs(d_new, d_old)).rotation_
    assert rotation.shape == (d_new, max(d_new, d_old))
    assert np.abs(rotation @ rotation.T - np.eye(d_new)).max() < 1e-12
    if d_new >= d_old:
        assert np.abs(rotation.T @ rotation - np.eye(d_new)).max() < 1e-12
    narrow = rotation.astype(np.float32)
    assert np.abs(narrow.astype(np.float64) @ narrow.T - np.eye(d_new)).max() < 1e-6


@pytest.mark.parametrize(("d_new", "d_old"), WIDTHS)
@pytest.mark.parametrize("normalize", [True, False])
def test_an_exact_rotation_is_recovered(d_new, d_old, normalize):
    narrow, wide = sorted((d_new, d_old))
    isometry = random_rotation(wide)[:narrow]
    items = unit(np.random.default_rng(5).normal(size=(500, narrow)) * np.linspace(1, 3, narrow))
    new, old = (items, items @ isometry) if d_new <= d_old else (items @ isometry, items)
    expected = isometry if d_new <= d_old else isometry.T
    aligner = OrthogonalAligner(normalize=normalize).fit(new, old)
    assert np.abs(aligner.rotation_[:, :d_old] - expected).max() < 1e-12
    assert aligner.score(new, old) == pytest.approx(1, abs=1e-12)
    assert aligner.report_.held_out_cosine == pytest.approx(1, abs=1e-12)


def test_fewer_pairs_than_dimensions_warn_with_the_rank():
    new, old = pairs(64, 64, n=50, noise=0.5)
    with pytest.warns(UserWarning, match=r"rank 50 of 64"):
        aligner = OrthogonalAligner().fit(new, old)
    assert aligner.rank_ == 50
    assert not aligner.report_.usable


@pytest.mark.parametrize(("d_new", "d_old"), WIDTHS)
def test_no_small_rotation_of_it_fits_better(d_new, d_old):
    new, old = pairs(d_new, d_old)
    wide = max(d_new, d_old)
    a, b = (np.pad(side, ((0, 0), (0, wide - side.shape[1]))) for side in (new, old))
    rotation = OrthogonalAligner().fit(new, old).rotation_
    square = complete(rotation.T).T
    best = np.linalg.norm(a @ square - b)
    random = np.random.default_rng(0)
    for angle in (1e-3, -1e-3, 0.1, -0.1):
        for _ in range(100):
            i, j = random.choice(wide, 2, replace=False)
            givens = np.eye(wide)
            givens[[i, j], [i, j]] = np.cos(angle)
            givens[i, j], givens[j, i] = np.sin(angle), -np.sin(angle)
            assert np.linalg.norm(a @ square @ givens - b) >= best - 1e-10


def test_it_equals_scipy_for_square_inputs():
    new, old = pairs(32, 32)
    expected, _ = orthogonal_procrustes(new, old)
    assert np.abs(OrthogonalAligner().fit(new, old).rotation_ - expected).max() < 1e-10


@pytest.mark.parametrize(("d_new", "d_old"), WIDTHS)
def test_chunks_order_and_calls_do_not_matter(d_new, d_old, monkeypatch):
    new, old = pairs(d_new, d_old)
    whole = OrthogonalAligner().fit(new, old)
    shuffled = np.random.default_rng(0).permutation(len(new))
    twice = OrthogonalAligner().partial_fit(new[:300], old[:300]).partial_fit(new[300:], old[300:])
    others = [OrthogonalAligner().fit(new[shuffled], old[shuffled]), twice]
    monkeypatch.setattr("paperworks.backward_compatible.pair_sums.CHUNK_BYTES", 0)
    others.append(OrthogonalAligner().fit(new, old))
    assert others[-1].sample_sha256_ == whole.sample_sha256_
    for other in others:
        assert np.abs(other.rotation_ - whole.rotation_).max() < 1e-12
        assert other.n_pairs_ == whole.n_pairs_ == 1000
        assert other.report_.held_out_pairs == whole.report_.held_out_pairs
        assert other.report_.held_out_cosine == pytest.approx(whole.report_.held_out_cosine, abs=1e-12)


def test_the_extra_dimensions_are_stable_when_the_old_space_is_a_part_of_the_new():
    """A truncated (Matryoshka) old model makes all candidates for the complement equally good."""
    new = unit(np.random.default_rng(0).normal(size=(500, 12)))
    rotations = [
        OrthogonalAligner(normalize=False).fit(new[order], new[order][:, :5]).rotation_
        for order in (np.arange(500), np.random.default_rng(1).permutation(500))
    ]
    assert np.abs(rotations[0] - rotations[1]).max() < 1e-12


@pytest.mark.parametrize(("d_new", "d_old"), WIDTHS)
def test_transform_keeps_inner_products_and_neighbours(d_new, d_old):
    new, old = pairs(d_new, d_old)
    lengths = np.random.default_rng(0).uniform(0.5, 2, size=(1000, 1))
    stored = (new * lengths).astype(np.float32)
    rotated = OrthogonalAligner().fit(new, old).transform(stored)
    assert rotated.dtype == np.float32
    assert rotated.flags.c_contiguous
    before, after = stored.astype(np.float64) @ stored.T, rotated.astype(np.float64) @ rotated.T
    assert np.abs(before - after).max() < 1e-5
    for row in range(1000):
        before[row, row] = after[row, row] = -np.inf
    assert (np.argsort(-before, axis=1)[:, :10] == np.argsort(-after, axis=1)[:, :10]).all()


def test_held_out_cosine_is_that_of_a_rotation_fitted_without_those_pairs():
    new, old = pairs(24, 24, n=400)
    aligner = OrthogonalAligner().fit(new, old)
    held_out = aligner._sums.held_out_new
    rows = np.array([int(np.argmin(np.linalg.norm(new - row, axis=1))) for row in held_out])
    rest = np.setdiff1d(np.arange(400), rows)
    rotation, _ = orthogonal_procrustes(new[rest], old[rest])
    expected = np.mean(np.sum(unit(new[rows] @ rotation) * unit(old[rows]), axis=1))
    assert len(rows) == aligner.report_.held_out_pairs > 40
    assert aligner.report_.held_out_cosine == pytest.approx(expected, abs=1e-10)
    assert aligner.report_.held_out_cosine < aligner.report_.in_sample_cosine


@pytest.mark.parametrize("common_direction", [0.0, 3.0])
def test_rows_in_another_order_are_not_called_usable(common_direction):
    new, old = pairs(24, 24)
    new, old = unit(new + common_direction * new[0]), unit(old + common_direction * old[0])
    assert OrthogonalAligner().fit(new, old).report_.usable
    shuffled = np.random.default_rng(0).permutation(len(new))
    with pytest.warns(UserWarning, match="are the rows the same items"):
        report = OrthogonalAligner().fit(new, old[shuffled]).report_
    assert not report.usable
    assert report.held_out_cosine == pytest.approx(report.random_cosine, abs=0.05)


def test_duplicates_are_counted_and_fall_on_one_side():
    new, old = pairs(24, 24, n=300)
    aligner = OrthogonalAligner().fit(np.vstack([new, new[:50]]), np.vstack([old, old[:50]]))
    assert aligner.report_.duplicates == 50
    hashes = aligner._sums.held_out_hash
    assert set(hashes) == set(OrthogonalAligner().fit(new, old)._sums.held_out_hash)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a, b: (a, b[:-2]), r"new has 1,000 rows, old 998.*--ids"),
        (lambda a, b: (np.where(np.arange(1000)[:, None] == 7, np.nan, a), b), r"new.*row 7 holds NaN"),
        (lambda a, b: (a, np.where(np.arange(1000)[:, None] == 9, np.inf, b)), r"old.*row 9 holds NaN"),
        (
            lambda a, b: ((a * 127).astype(np.int8), b),
            "int8 vectors are quantised.*dequantised first.*Hamming",
        ),
        (lambda a, b: (a, b > 0), "bool vectors are quantised"),
        (lambda a, b: (a * 0, b), "nothing to fit on"),
    ],
)
def test_bad_pairs_are_refused(spoil, message):
    with pytest.raises(InputError, match=message):
        OrthogonalAligner().fit(*spoil(*pairs(24, 24)))


def test_zero_rows_are_left_out_with_the_first_named():
    new, old = pairs(24, 24)
    new[[5, 8]] = 0
    with pytest.warns(UserWarning, match=r"2 pairs left out.*row 5"):
        aligner = OrthogonalAligner().fit(new, old)
    keep = np.delete(np.arange(1000), [5, 8])
    assert np.abs(aligner.rotation_ - OrthogonalAligner().fit(new[keep], old[keep]).rotation_).max() < 1e-12


def test_vectors_that_are_not_unit_norm_warn_with_their_range():
    new, old = pairs(24, 24)
    with pytest.warns(UserWarning, match=r"new 1 to 1, old 3 to 3"):
        OrthogonalAligner().fit(new, old * 3)


def test_another_width_names_both_widths_and_the_models():
    aligner = OrthogonalAligner(new_model="small-v2", old_model="small-v1").fit(*pairs(24, 20))
    with pytest.raises(InputError, match=r"width 30.*width 24 \(small-v2\).*20 \(small-v1\)"):
        aligner.transform(np.ones((2, 30)))
    with pytest.raises(InputError, match="width 20"):
        aligner.extend(np.ones((2, 24)))


def test_vectors_rotated_before_are_noticed():
    new, old = pairs(24, 24)
    aligner = OrthogonalAligner().fit(new[:800], old[:800])
    assert not aligner.looks_rotated(new[800:])
    assert aligner.looks_rotated(aligner.transform(new[800:]))
    centred = unit(new - new.mean(axis=0)), unit(old - old.mean(axis=0))
    isotropic = OrthogonalAligner().fit(*centred)
    assert not isotropic.looks_rotated(isotropic.transform(centred[0]))


@pytest.mark.parametrize("relaxation", [0.0, 0.5])
@pytest.mark.parametrize(("d_new", "d_old"), WIDTHS)
def test_inverse_transform_goes_back(d_new, d_old, relaxation):
    new, old = pairs(d_new, d_old)
    aligner = OrthogonalAligner(relaxation=relaxation).fit(new, old)
    assert np.abs(aligner.inverse_transform(aligner.transform(new)) - new).max() < 1e-10


@pytest.mark.parametrize("metric", ["cosine", "inner product", "l2"])
def test_truncated_queries_and_padded_items_rank_alike(metric):
    """Section 2: (i) truncated and renormalised, (ii) raw truncated, (iii) full against zero-padded items."""
    new, old = pairs(40, 24)
    aligner = OrthogonalAligner().fit(new, old)
    queries, padded = aligner.transform(new[:50]), aligner.extend(old)

    def ranking(q: np.ndarray, items: np.ndarray) -> np.ndarray:
        if metric == "l2":
            return np.argsort(np.linalg.norm(q[:, None] - items[None], axis=2), axis=1)
        if metric == "cosine":
            q, items = unit(q), unit(items)
        return np.argsort(-(q @ items.T), axis=1)

    truncated = queries[:, :24]
    expected = ranking(unit(truncated), old)
    assert (ranking(truncated, old) == expected).all()
    assert (ranking(queries, padded) == expected).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_is_kept_and_float16_is_multiplied_in_float32(dtype):
    new, old = pairs(24, 24)
    aligner = OrthogonalAligner().fit(new, old)
    stored = new.astype(dtype)
    rotated = aligner.transform(stored)
    assert rotated.dtype == dtype
    exact = stored.astype(np.float64) @ aligner.rotation_
    assert np.abs(rotated - exact).max() <= {2: 3e-4, 4: 1e-6, 8: 1e-14}[dtype().itemsize]
    assert aligner.extend(old.astype(dtype)).dtype == dtype


def test_tensors_give_tensors():
    torch = pytest.importorskip("torch")
    new, old = pairs(24, 20)
    aligner = OrthogonalAligner().fit(torch.from_numpy(new), torch.from_numpy(old))
    assert np.array_equal(aligner.rotation_, OrthogonalAligner().fit(new, old).rotation_)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)):
        rotated = aligner.transform(torch.from_numpy(new).to(dtype))
        assert rotated.dtype == dtype
        assert np.abs(rotated.double().numpy() - aligner.transform(new)).max() < tolerance
    assert aligner.extend(torch.from_numpy(old)).shape == (1000, 24)
    with pytest.raises(InputError, match="row 3 holds NaN"):
        aligner.transform(torch.where(torch.arange(1000)[:, None] == 3, torch.nan, torch.from_numpy(new)))


def test_lists_and_memory_maps_fit_alike(tmp_path):
    new, old = pairs(24, 24)
    np.save(tmp_path / "new.npy", new)
    mapped = np.load(tmp_path / "new.npy", mmap_mode="r")
    expected = OrthogonalAligner().fit(new, old).rotation_
    assert np.array_equal(OrthogonalAligner().fit(mapped, old.tolist()).rotation_, expected)


def test_relaxation_goes_from_the_rotation_to_least_squares():
    new, old = pairs(30, 24)
    rotation = OrthogonalAligner().fit(new, old).rotation_
    barely = OrthogonalAligner(relaxation=1e-9).fit(new, old)
    assert np.abs(barely.rotation_ - rotation).max() < 1e-6
    full = OrthogonalAligner(relaxation=1.0).fit(new, old)
    least_squares = np.linalg.lstsq(new, old, rcond=None)[0]
    scale = np.linalg.norm(full.rotation_[:, :24]) / np.linalg.norm(least_squares)
    assert np.abs(full.rotation_[:, :24] - scale * least_squares).max() < 1e-8
    assert np.linalg.norm(full.rotation_[:, :24]) == pytest.approx(np.sqrt(24))


def test_relaxation_minimises_its_objective_and_reports_the_distortion():
    new, old = pairs(24, 24)
    t = 0.3
    aligner = OrthogonalAligner(relaxation=t).fit(new, old)
    rotation = OrthogonalAligner().fit(new, old).rotation_
    mu = (1 / t - 1) * np.sum(new**2) / 24
    stacked = np.linalg.lstsq(
        np.vstack([new, np.sqrt(mu) * np.eye(24)]), np.vstack([old, np.sqrt(mu) * rotation]), rcond=None
    )[0]
    expected = stacked * np.sqrt(24) / np.linalg.norm(stacked)
    assert np.abs(aligner.rotation_ - expected).max() < 1e-10
    low, high = aligner.report_.singular_values
    assert (low, high) == pytest.approx((np.linalg.norm(expected, -2), np.linalg.norm(expected, 2)))
    assert aligner.report_.distortion > 1e-3
    exact = OrthogonalAligner().fit(new, old).report_
    assert exact.singular_values == (1.0, 1.0)
    assert exact.distortion == 0


def test_refinement_lowers_the_cosine_loss_where_the_closed_form_does_not_minimise_it():
    """With d_new > d_old the closed form fits the padded vectors, not the cosine of the first d_old coordinates."""
    random = np.random.default_rng(0)
    new = unit(random.normal(size=(2000, 32)) * np.linspace(3, 0.3, 32))
    old = unit((new @ random_rotation(32))[:, :8])
    plain, refined = (OrthogonalAligner(refine=refine).fit(new, old) for refine in (False, True))
    assert refined.score(new, old) > plain.score(new, old) + 0.01
    assert refined.report_.held_out_cosine > plain.report_.held_out_cosine + 0.01
    assert np.abs(refined.rotation_ @ refined.rotation_.T - np.eye(32)).max() < 1e-12


def test_refinement_with_labels_pulls_towards_the_prototypes():
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 600)
    centres = 2 * random.normal(size=(4, 12))
    new, old = (unit(centres[labels] + random.normal(size=(600, 12))) for _ in range(2))
    prototypes = np.stack([old[labels == c].mean(axis=0) for c in range(4)])

    def influence(aligner: OrthogonalAligner) -> float:
        logits = aligner.transform(new) @ prototypes.T
        return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(600), labels]))

    plain = OrthogonalAligner().fit(new, old)
    assert influence(OrthogonalAligner(refine=True).fit(new, old, labels=labels)) < influence(plain)
    with pytest.raises(InputError, match="labels"):
        OrthogonalAligner().fit(new, old, labels=labels)


@pytest.mark.parametrize("relaxation", [0.0, 0.4])
@pytest.mark.parametrize(("d_new", "d_old"), WIDTHS)
def test_saved_and_loaded_it_gives_the_same_bytes(d_new, d_old, relaxation, tmp_path):
    new, old = pairs(d_new, d_old)
    aligner = OrthogonalAligner(relaxation=relaxation, new_model="b", old_model="a").fit(new, old)
    aligner.save(tmp_path / "one")
    loaded = OrthogonalAligner.load(tmp_path / "one")
    stored = new.astype(np.float32)
    assert loaded.transform(stored).tobytes() == aligner.transform(stored).tobytes()
    assert (
        loaded.inverse_transform(loaded.transform(new)).tobytes()
        == aligner.inverse_transform(aligner.transform(new)).tobytes()
    )
    assert loaded.report_ == aligner.report_
    assert loaded.get_params() == aligner.get_params()
    loaded.save(tmp_path / "two")
    aligner.save(tmp_path / "one")
    for name in ("aligner.json", "aligner.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    facts = json.loads((tmp_path / "one" / "aligner.json").read_text())
    assert (facts["d_new"], facts["d_old"], facts["D"]) == (d_new, d_old, max(d_new, d_old))
    assert facts["sample_sha256"] == aligner.sample_sha256_
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "aligner.json",
        "aligner.safetensors",
    ]


def test_other_folders_are_not_loaded(tmp_path):
    with pytest.raises(InputError, match="holds no aligner"):
        OrthogonalAligner.load(tmp_path)
    OrthogonalAligner().fit(*pairs(8, 8)).save(tmp_path)
    file = tmp_path / "aligner.safetensors"
    content = bytearray(file.read_bytes())
    content[-300] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        OrthogonalAligner.load(tmp_path)
    file.write_bytes(b"something else")
    with pytest.raises(InputError, match="not a saved aligner"):
        OrthogonalAligner.load(tmp_path)


def test_clone_and_pickle_before_and_after_the_lazy_solution():
    new, old = pairs(24, 24)
    aligner = OrthogonalAligner(relaxation=0.2).partial_fit(new[:500], old[:500])
    copy = pickle.loads(pickle.dumps(aligner))
    with pytest.raises(NotFittedError):
        clone(aligner).transform(new)
    assert clone(aligner).get_params() == aligner.get_params()
    for one in (aligner, copy):
        one.partial_fit(new[500:], old[500:])
    assert copy.transform(new).tobytes() == aligner.transform(new).tobytes()
    whole = pickle.loads(pickle.dumps(OrthogonalAligner(relaxation=0.2).fit(new, old)))
    assert np.abs(whole.rotation_ - aligner.rotation_).max() < 1e-12


def test_to_linear_and_faiss_are_the_same_map():
    torch = pytest.importorskip("torch")
    faiss = pytest.importorskip("faiss")
    new, old = pairs(40, 24)
    aligner = OrthogonalAligner().fit(new, old)
    stored = new.astype(np.float32)
    expected = aligner.transform(stored)
    with torch.no_grad():
        assert np.abs(aligner.to_linear()(torch.from_numpy(stored)).numpy() - expected).max() < 1e-6
    assert np.abs(aligner.to_faiss().apply(stored) - expected).max() < 1e-6

    index = faiss.IndexFlatIP(24)
    index.add(old.astype(np.float32))
    searched = faiss.IndexPreTransform(aligner.to_faiss(width=24), index).search(stored[:100], 5)[1]
    plain = np.argsort(-(expected[:100, :24] @ old.astype(np.float32).T), axis=1)[:, :5]
    assert (searched == plain).all()


def test_a_sentence_transformer_with_the_rotation_saves_and_loads(tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    import torch
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "dog", "ran"]
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    BertModel(config).save_pretrained(tmp_path / "bert")
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(
        vocab_file=str(tmp_path / "vocab.txt"), vocab=str(tmp_path / "vocab.txt")
    ).save_pretrained(tmp_path / "bert")
    transformer = Transformer(str(tmp_path / "bert"))
    model = sentence_transformers.SentenceTransformer(modules=[transformer, Pooling(16)], device="cpu")
    texts = ["the cat sat", "the dog ran", "the dog"]
    plain = model.encode(texts)

    aligner = OrthogonalAligner().fit(*pairs(16, 12))
    rotated = sentence_transformers.SentenceTransformer(
        modules=[*model, aligner.to_sentence_transformers()], device="cpu"
    )
    rotated.save(str(tmp_path / "rotated"))
    loaded = sentence_transformers.SentenceTransformer(str(tmp_path / "rotated"), device="cpu")
    assert np.abs(loaded.encode(texts) - aligner.transform(plain)).max() < 1e-5
    assert np.array_equal(loaded.encode(texts), rotated.encode(texts))


@pytest.mark.parametrize("widths", [(8, 12, 16), (16, 12, 8), (12, 8, 16), (8, 16, 12), (10, 10, 10)])
def test_a_chain_is_one_rotation_after_the_other(widths):
    d1, d2, d3 = widths
    first = OrthogonalAligner(new_model="v2", old_model="v1").fit(embed(2, d2, seed=7), embed(1, d1, seed=7))
    second = OrthogonalAligner(new_model="v3", old_model="v2").fit(embed(3, d3, seed=8), embed(2, d2, seed=8))
    chain = compose(first, second)
    assert chain.rotation_.shape == second.then(first).rotation_.shape
    v3 = np.random.default_rng(0).normal(size=(20, d3))
    as_v2 = second.transform(v3)
    expected = np.hstack([first.transform(as_v2[:, :d2]), as_v2[:, d2:]])
    assert np.abs(chain.transform(v3) - expected).max() < 1e-12
    assert np.abs(chain.rotation_ @ chain.rotation_.T - np.eye(d3)).max() < 1e-12
    assert (chain.old_model, chain.new_model) == ("v1", "v3")
    assert (chain.n_features_in_, chain.n_features_old_) == (d3, d1)
    assert chain.extend(np.ones((2, d1))).shape == (2, chain.rotation_.shape[1])


def test_a_chain_that_does_not_meet_is_refused(tmp_path):
    first = OrthogonalAligner(new_model="v2", old_model="v1").fit(*pairs(12, 8))
    v3, v2, stranger = embed(3, 16, seed=8), embed(2, 12, seed=8), embed(9, 12, seed=8)
    with pytest.raises(InputError, match="takes width 12, the second gives 16"):
        compose(first, OrthogonalAligner().fit(v3, v3))
    with pytest.raises(InputError, match=r"'v2'.*'other'"):
        compose(first, OrthogonalAligner(old_model="other").fit(v3, v2))
    with pytest.raises(InputError, match="different directions"):
        compose(first, OrthogonalAligner().fit(v3, stranger))
    chain = compose(first, OrthogonalAligner(old_model="v2").fit(v3, v2))
    chain.save(tmp_path)
    assert OrthogonalAligner.load(tmp_path).rotation_.tobytes() == chain.rotation_.tobytes()
    with pytest.raises(InputError, match="composed of others or loaded"):
        chain.partial_fit(*pairs(16, 8))


def test_the_rank_of_the_cross_covariance_is_counted():
    random = np.random.default_rng(0)
    matrix = random.normal(size=(20, 7)) @ random.normal(size=(7, 20))
    assert procrustes(matrix)[1] == 7


def test_a_good_fit_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OrthogonalAligner().fit(*pairs(24, 24))


def test_a_query_with_nan_is_named():
    aligner = OrthogonalAligner().fit(*pairs(24, 24))
    rows = np.ones((5, 24), np.float16)
    rows[3, 2] = np.nan
    with pytest.raises(InputError, match="row 3 holds NaN"):
        aligner.transform(rows)


def test_the_package_offers_its_names_without_importing_torch():
    code = """
import sys
import paperworks.backward_compatible.check, paperworks.backward_compatible.compatibility
from paperworks.backward_compatible import OrthogonalAligner, check, compatibility
assert callable(check) and callable(compatibility), (check, compatibility)
print("torch" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"

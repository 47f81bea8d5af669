from __future__ import annotations

import json

import numpy as np
import pytest
from worlds import clustered, noisy, rotation, unit

from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.calibration import Affine, ScoreCalibration, calibrate, mixed_gallery
from paperworks.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:only .* pairs:UserWarning")


def old_items_sink(n: int, seed: int = 0):
    """The old model misses a third of the new one's dimensions and is noisy, so that its scores are too low."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(60, 36)) + 0.5
    truth = clustered(n, centres, random)
    return noisy(truth[:, :24], 0.15, random), truth @ rotation(36, random)


def test_the_scale_is_the_least_squares_slope_over_each_querys_best_old_items() -> None:
    old, new = old_items_sink(300)
    aligner = OrthogonalAligner(normalize=True).fit(new[:200], old[:200])
    calibration = calibrate(aligner, new[200:], old[200:], candidates=20)
    rotated = aligner.transform(new[200:])
    x, y = [], []
    for i, query in enumerate(rotated):
        before = [
            (query[:24] @ old[200 + j] / np.linalg.norm(query), query @ rotated[j])
            for j in range(100)
            if j != i
        ]
        best = sorted(before, reverse=True)[:20]
        x += [pair[0] for pair in best]
        y += [pair[1] for pair in best]
    assert calibration.generations["old"].scale == pytest.approx(np.polyfit(x, y, 1)[0])
    assert calibration.generations["new"] == Affine(1.0, 0.0)


def test_the_bias_gives_old_items_the_share_that_they_have_re_embedded() -> None:
    old, new = old_items_sink(400)
    aligner = OrthogonalAligner(normalize=True).fit(new, old)
    affine = calibrate(aligner, new, old, k=7, seed=5).generations["old"]
    is_old = np.random.default_rng(5).permutation(400) < 200
    rotated = aligner.transform(new)

    def old_at_the_top(bias: float) -> tuple[int, int]:
        mixed_count = reference_count = 0
        for i, query in enumerate(rotated):
            reference = {j: query @ rotated[j] for j in range(400) if j != i}
            mixed = {
                j: affine.scale * (query[:24] @ old[j]) + bias if is_old[j] else s
                for j, s in reference.items()
            }
            mixed_count += sum(is_old[j] for j in sorted(mixed, key=lambda j: -mixed[j])[:7])
            reference_count += sum(is_old[j] for j in sorted(reference, key=lambda j: -reference[j])[:7])
        return mixed_count, reference_count

    mixed, reference = old_at_the_top(affine.bias)
    assert abs(mixed - reference) <= 2
    assert old_at_the_top(affine.bias - 0.01)[0] < reference - 2


def test_scores_that_are_already_right_stay_as_they_are() -> None:
    random = np.random.default_rng(0)
    old = clustered(400, random.normal(size=(30, 16)), random)
    aligner = OrthogonalAligner(normalize=True).fit(old[:200] @ (turn := rotation(16, random)), old[:200])
    affine = calibrate(aligner, old[200:] @ turn, old[200:]).generations["old"]
    assert affine.scale == pytest.approx(1.0, abs=1e-9)
    assert affine.bias == pytest.approx(0.0, abs=2e-3)


def test_old_items_sink_without_calibration_and_are_near_their_share_with_it() -> None:
    old, new = old_items_sink(4000)
    aligner = OrthogonalAligner(normalize=True).fit(new[:1500], old[:1500])
    calibration = calibrate(aligner, new[1500:2500], old[1500:2500])
    found = mixed_gallery(aligner, calibration, new[2500:], old[2500:])
    assert found.reference_old_share == pytest.approx(0.5, abs=0.03)
    assert found.raw_old_share < found.reference_old_share - 0.1
    assert abs(found.calibrated_old_share - found.reference_old_share) < 0.03
    assert found.calibrated_recall - found.raw_recall > found.half_width > 0


def test_the_mixed_gallery_is_that_of_a_slow_search() -> None:
    old, new = old_items_sink(80)
    aligner = OrthogonalAligner(normalize=True).fit(new, old)
    calibration = ScoreCalibration({"old": Affine(1.2, 0.1), "new": Affine()})
    found = mixed_gallery(aligner, calibration, new, old, k=5, seed=3)
    is_old = np.random.default_rng(3).permutation(80) < 40
    rotated = aligner.transform(new)
    shares, recalls = [], []
    for i, query in enumerate(rotated):
        reference = {j: query @ rotated[j] for j in range(80) if j != i}
        mixed = {j: 1.2 * (query[:24] @ old[j]) + 0.1 if is_old[j] else reference[j] for j in reference}
        wanted = sorted(reference, key=lambda j: -reference[j])[:5]
        top = sorted(mixed, key=lambda j: -mixed[j])[:5]
        recalls.append(len(set(top) & set(wanted)) / 5)
        shares.append(np.mean(is_old[top]))
    assert found.calibrated_recall == pytest.approx(np.mean(recalls))
    assert found.calibrated_old_share == pytest.approx(np.mean(shares))


def test_folded_items_score_the_calibrated_score_by_inner_product() -> None:
    calibration = ScoreCalibration({"old": Affine(1.3, -0.2), "new": Affine()})
    random = np.random.default_rng(0)
    query, items = unit(random.normal(size=(4, 8))), unit(random.normal(size=(9, 8)))
    asking = np.hstack([query, np.ones((4, 1))])
    for generation in ("old", "new"):
        expected = calibration.apply(query @ items.T, generation)
        np.testing.assert_allclose(asking @ calibration.fold(items, generation).T, expected, atol=1e-12)
    np.testing.assert_allclose(calibration.apply(query @ items.T, "old"), 1.3 * (query @ items.T) - 0.2)


def test_a_calibration_is_a_small_json_file_and_comes_back_the_same(tmp_path) -> None:
    calibration = ScoreCalibration({"v1": Affine(1.25, -0.125), "v2": Affine()})
    calibration.save(tmp_path / "calibration.json")
    stored = json.loads((tmp_path / "calibration.json").read_text())
    assert stored == {
        "format": 1,
        "generations": {"v1": {"scale": 1.25, "bias": -0.125}, "v2": {"scale": 1.0, "bias": 0.0}},
    }
    assert ScoreCalibration.load(tmp_path / "calibration.json") == calibration
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 1}', '{"format": 2, "generations": {}}', '{"format": 1, "generations": 3}']
)
def test_something_else_than_a_calibration_is_refused(tmp_path, text: str) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(InputError, match=r"other\.json"):
        ScoreCalibration.load(tmp_path / "other.json")


def test_bad_calibrations_are_refused() -> None:
    old, new = old_items_sink(100)
    aligner = OrthogonalAligner(normalize=True).fit(new, old)
    with pytest.raises(InputError, match="new has 100 rows but old has 99"):
        calibrate(aligner, new, old[:-1])
    with pytest.raises(InputError, match="100 pairs are too few to calibrate the top 40; need at least 160"):
        calibrate(aligner, new, old, k=40)
    with pytest.raises(InputError, match="no calibration for generation 'v7'; there are old, new"):
        calibrate(aligner, new, old).apply(np.ones(3), "v7")
    with pytest.raises(InputError, match="k lies between 1 and"):
        mixed_gallery(aligner, calibrate(aligner, new, old), new, old, k=100)

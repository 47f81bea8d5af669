"""The weights and the objective against NumPy loops, SciPy and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from paperworks.errors import InputError
from paperworks.frap.baselines import attend_and_excite_loss, syngen_loss
from paperworks.frap.objective import KERNEL, objective, overlap, renormalise, smooth
from paperworks.frap.settings import Settings, first_steps
from paperworks.frap.weights import bounded, start, weigh
from paperworks.frap.words import Object, Prompt, Word

RED, BLUE = Word("red", (2,)), Word("blue", (6,))
CUBE, SPHERE = Object("cube", (3, 4), (RED,)), Object("sphere", (7,), (BLUE,))
WORDS = (Word("a", (1,)), RED, CUBE, Word("and", (5,)), BLUE, SPHERE)
PROMPT = Prompt("a red cube and blue sphere", (CUBE, SPHERE), WORDS, 8, 11)
BARE = Prompt("a cube", (Object("cube", (2,)),), (Word("a", (1,)), Word("cube", (2,))), 3, 11)


def some_maps(n=1, size=(5, 7), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, *size, 11, generator=generator, dtype=torch.float64).softmax(-1)


def slow_word(maps, positions, end):
    """A word's map after renormalisation, one pixel at a time."""
    height, width, _ = maps.shape
    image = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            powers = [math.exp(100 * maps[row, column, n]) for n in range(1, end)]
            image[row, column] = np.mean([powers[n - 1] for n in positions]) / sum(powers)
    return image


def slow_smooth(image):
    for axis in (0, 1):
        image = correlate1d(image, KERNEL, axis=axis, mode="mirror")
    return image


def slow_objective(maps, prompt, weight):
    absent, overlaps = [], []
    for one in prompt.objects:
        own = slow_smooth(slow_word(maps, one.positions, prompt.end))
        absent.append(1 - own.max())
        for modifier in one.modifiers:
            other = slow_smooth(slow_word(maps, modifier.positions, prompt.end))
            p, q = own / own.sum(), other / other.sum()
            overlaps.append(sum(min(a, b) for a, b in zip(p.ravel(), q.ravel(), strict=True)))
    return np.mean(absent) - weight * (np.mean(overlaps) if overlaps else 0), absent, overlaps


@pytest.mark.parametrize("binding", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("prompt", [PROMPT, BARE], ids=["two objects", "no modifiers"])
def test_the_objective_is_what_a_loop_over_pixels_gives(prompt, binding):
    maps = some_maps(2)
    loss = objective(maps, [prompt, prompt], binding=binding)
    for index in range(2):
        total, absent, overlaps = slow_objective(maps[index].numpy(), prompt, binding)
        assert float(loss.total[index]) == pytest.approx(total, abs=1e-12)
        assert loss.presence[index] == pytest.approx([1 - one for one in absent], abs=1e-12)
        assert [value for values in loss.overlap[index] for value in values] == pytest.approx(
            overlaps, abs=1e-12
        )


def test_the_most_neglected_object_alone_counts_under_max():
    maps = some_maps()
    _, absent, _ = slow_objective(maps[0].numpy(), PROMPT, 0)
    assert float(objective(maps, [PROMPT], binding=0, reduce="max").total) == pytest.approx(
        max(absent), abs=1e-12
    )
    assert float(attend_and_excite_loss(maps, [PROMPT])) == pytest.approx(max(absent), abs=1e-12)


def test_a_prompt_without_objects_has_loss_zero_and_no_gradient():
    maps = some_maps().requires_grad_()
    empty = Prompt("", (), (), 1, 11)
    loss = objective(maps, [empty], normalise=False)
    assert float(loss.total) == 0
    assert not torch.autograd.grad(loss.total.sum(), maps)[0].any()


def test_the_smoothing_is_that_of_attend_and_excite():
    assert list(KERNEL) == pytest.approx([0.2119, 0.5761, 0.2119], abs=5e-5)
    image = torch.rand(6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert np.allclose(smooth(image).numpy(), slow_smooth(image.numpy()), atol=1e-14)


def test_overlap_is_one_less_the_total_variation():
    p, q = some_maps()[0, ..., :2].unbind(-1)
    assert float(overlap(p, 3 * p)) == pytest.approx(1)
    left, right = torch.zeros(4, 4), torch.zeros(4, 4)
    left[:, :2], right[:, 2:] = 1, 1
    assert float(overlap(left, right)) == 0
    variation = 0.5 * (p / p.sum() - q / q.sum()).abs().sum()
    assert float(overlap(p, q)) == pytest.approx(1 - float(variation), abs=1e-12)


def test_words_alone_take_part_in_the_renormalisation():
    maps = some_maps()[0]
    found = renormalise(maps, 8)
    assert torch.allclose(found.sum(-1), torch.ones(5, 7, dtype=torch.float64))
    assert not found[..., 0].any()
    assert not found[..., 8:].any()


def test_syngen_draws_pairs_near_and_pushes_others_away():
    maps = some_maps()

    def mean_map(positions):
        image = maps[0, ..., list(positions)].mean(-1).numpy()
        return image / image.sum()

    def divergence(a, b):
        p, q = mean_map(a.positions).ravel(), mean_map(b.positions).ravel()
        return 0.5 * sum(x * math.log(x / y) + y * math.log(y / x) for x, y in zip(p, q, strict=True))

    expected = 0.0
    for one in PROMPT.objects:
        (modifier,) = one.modifiers
        others = [word for word in WORDS if word not in (one, modifier)]
        expected += divergence(one, modifier)
        for word in (one, modifier):
            expected -= 0.5 * np.mean([divergence(word, other) for other in others])
    assert float(syngen_loss(maps, [PROMPT])) == pytest.approx(expected, abs=1e-10)


def test_weights_of_one_give_the_prompt_bit_for_bit_and_a_gradient():
    generator = torch.Generator().manual_seed(2)
    prompt, empty = torch.randn(2, 3, 5, 4, generator=generator)
    weights = torch.ones(3, 5, requires_grad=True)
    found = weigh(prompt, empty, weights)
    assert torch.equal(found, prompt)
    (gradient,) = torch.autograd.grad((found**2).sum(), weights)
    assert torch.allclose(gradient, (2 * prompt * (prompt - empty)).sum(-1), atol=1e-5)
    assert torch.allclose(weigh(prompt, empty, torch.zeros(3, 5)), empty, atol=1e-6)
    assert torch.allclose(weigh(prompt, empty, torch.full((3, 5), 2.0)), 2 * prompt - empty, atol=1e-6)


@pytest.mark.parametrize("bounds", [(0.6, 1.4), (0.0, 3.0), (0.9, 1.01)])
def test_weights_start_at_exactly_one_and_stay_within_their_bounds(bounds):
    low, high = bounds
    for dtype in (torch.float32, torch.float64):
        at_start = torch.full((1,), start(bounds), dtype=dtype)
        assert torch.equal(bounded(at_start, bounds), torch.ones(1, dtype=dtype))
        far = bounded(torch.linspace(-200, 200, 1001, dtype=dtype), bounds)
        assert low <= far.min() < low + 1e-3
        assert high - 1e-3 < far.max() <= high
    alpha = torch.tensor([0.7], dtype=torch.float64)
    assert float(bounded(alpha, bounds)) == pytest.approx(
        low + (high - low) / (1 + math.exp(-0.7)), abs=1e-12
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bounds": (1.0, 1.4)}, "must hold 1 between them"),
        ({"bounds": (0.6, 1.0)}, "must hold 1 between them"),
        ({"step_size": -1.0}, "step_size -1 must be 0 or more"),
        ({"step_size": float("nan")}, "step_size nan"),
        ({"steps": -1}, "steps -1"),
        ({"reduce": "min"}, "reduce 'min' must be one of mean, max"),
    ],
)
def test_settings_that_are_not_possible_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Settings(**options)


def test_half_of_the_steps_adapt_unless_told():
    assert first_steps(None, 50) == 25
    assert first_steps(0, 50) == 0
    with pytest.raises(InputError, match="steps 9 is more than the 8 steps"):
        first_steps(9, 8)

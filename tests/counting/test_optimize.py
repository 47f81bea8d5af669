"""The loop: what moves, what is kept, what stops it, and that runs of a batch do not see each other."""

import copy
import hashlib
import json

import numpy as np
import pytest
import torch
from doubles import Steps, Told, darkness
from pipelines import sdxl, stable_diffusion

from paperworks.counting import objective as objective_module
from paperworks.counting.objective import Objective, Settings, runs_from
from paperworks.counting.optimize import _Loop, optimize
from paperworks.counting.token import init_vectors, placed
from paperworks.errors import InputError
from paperworks.sampling import encode

PROMPT = "a photo of {token} red circles on white"
FAST = {"sampler_steps": 1, "max_steps": 4, "init_word": "some", "static_scale": 10.0}


@pytest.fixture(scope="module")
def pipe():
    return stable_diffusion()


@pytest.fixture(scope="module")
def double(pipe):
    own = copy.deepcopy(pipe)
    for part in (own.unet, own.vae, own.text_encoder):
        part.double()
    return own


def fingerprint(pipe):
    digest = hashlib.sha256()
    for name, part in sorted(pipe.components.items()):
        if isinstance(part, torch.nn.Module):
            for key, value in part.state_dict().items():
                digest.update(f"{name}.{key}".encode() + value.numpy().tobytes())
            flags = [weight.requires_grad for weight in part.parameters()]
            digest.update(json.dumps(flags).encode())
            hooks = [len(one._forward_hooks) + len(one._forward_pre_hooks) for one in part.modules()]
            digest.update(json.dumps(hooks).encode())
    digest.update(json.dumps(sorted(pipe.tokenizer.get_vocab().items())).encode())
    return digest.hexdigest()


def test_the_pipeline_is_as_it_was(pipe):
    for weight in list(pipe.vae.parameters())[::2]:
        weight.requires_grad_(False)
    before = fingerprint(pipe)
    optimize(pipe, PROMPT, 6, "red circles", darkness, Steps(), **FAST)
    assert fingerprint(pipe) == before
    with pytest.raises(InputError, match="counter"):
        optimize(pipe, PROMPT, 6, "red circles", lambda x, names: -darkness(x, names), Steps(), **FAST)
    assert fingerprint(pipe) == before


def test_an_untrained_token_draws_what_its_init_word_draws(pipe):
    token = optimize(pipe, PROMPT, 6, "red circles", darkness, Steps(), **FAST | {"max_steps": 0})
    assert token.info["images_looked_at"] == 0
    options = {"num_inference_steps": 2, "guidance_scale": 3.0, "output_type": "pt"}
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    wanted = pipe("a photo of some red circles on white", latents=noise, **options).images
    with token.placed(pipe) as view:
        found = view(token.written_into(PROMPT), latents=noise, **options).images
    assert torch.equal(found, wanted)


def test_the_first_picture_is_that_of_the_init_word(pipe):
    token = optimize(
        pipe, PROMPT, 6, "red circles", darkness, Steps(), plain="a photo of some red circles on white",
        **FAST | {"max_steps": 1},
    )  # fmt: skip
    assert np.array_equal(token.pictures["before"], token.pictures["after"])
    wanted = pipe(
        "a photo of some red circles on white", num_inference_steps=1, guidance_scale=0.0, output_type="np",
        generator=torch.Generator().manual_seed(35),
    ).images  # fmt: skip
    assert np.array_equal(token.pictures["after"], (wanted * 255).round().astype(np.uint8))


@pytest.mark.parametrize(("loss", "checkpointing"), [("l1", False), ("l2", True)])
def test_the_gradient_of_the_loss_matches_central_differences(double, loss, checkpointing):
    settings = Settings(
        scale="static",
        static_scale=3.0,
        sampler_steps=2,
        guidance=2.0,
        loss=loss,
        checkpointing=checkpointing,
    )
    runs = runs_from(PROMPT, 2, "red circles", (1, 2))
    objective = Objective(double, runs, settings, counter=darkness)
    start = torch.stack([init_vectors(double, ["some"])["clip_l"]]).double()
    rows, scale = objective.rows([0]), torch.full((2, 1), 3.0, dtype=torch.float64)

    def value(vector):
        pictures = objective.draw({"clip_l": vector}, rows)
        mass = darkness(pictures, None).sum((1, 2))  # the loss in float64
        off = mass / scale[:, 0] - 2
        assert objective.judge(pictures, rows, scale).loss.tolist() == pytest.approx(
            (off.abs() if loss == "l1" else off**2).tolist(), rel=1e-5
        )
        return (off.abs() if loss == "l1" else off**2).mean()

    vector = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(vector), vector)
    torch.manual_seed(1)
    for _ in range(2):
        direction = torch.randn_like(start)
        with torch.no_grad():
            wanted = (value(start + 1e-6 * direction) - value(start - 1e-6 * direction)) / 2e-6
        assert float((gradient * direction).sum()) == pytest.approx(float(wanted), rel=1e-5)


def test_only_the_one_vector_moves(pipe):
    """The official optimiser holds all words and shrinks each by lr · decay at every step: 0.995 after 50."""
    before = pipe.text_encoder.get_input_embeddings().weight.detach().clone()
    token = optimize(
        pipe, PROMPT, 6, "red circles", darkness, Told(3), **FAST | {"max_steps": 5, "weight_decay": 1e-2}
    )
    assert torch.equal(pipe.text_encoder.get_input_embeddings().weight, before)
    moved = token.vectors["clip_l"] - init_vectors(pipe, ["some"])["clip_l"]
    assert token.info["best_step"] == 0  # the same count at every step: ties go to the first
    assert moved.abs().max() == 0


def test_a_density_times_seven_gives_the_same_token(pipe):
    tokens = [
        optimize(
            pipe,
            PROMPT,
            1,
            "red circles",
            lambda x, names, k=k: k * darkness(x, names),
            Steps(0.1),
            max_grad_norm=None,
            **FAST | {"select": "driver"},
        )
        for k in (1.0, 8.0)
    ]
    first, second = ([step["moved"] for step in token.info["trajectory"]] for token in tokens)
    assert first[-1] > 0
    assert first == pytest.approx(second, rel=1e-4)


def test_at_the_target_nothing_moves(pipe):
    token = optimize(pipe, PROMPT, 3, "red circles", darkness, Told(3), **FAST)
    assert [step["gradient"] for step in token.info["trajectory"]] == pytest.approx([0] * 4, abs=1e-5)
    assert token.info["best_loss"] == pytest.approx(0, abs=1e-5)


def test_nothing_found_is_recorded_and_stops_the_run(pipe):
    with pytest.warns(UserWarning, match="found no red circles at step 1 .* scale 10 was used|scale"):
        token = optimize(
            pipe, PROMPT, 3, "red circles", darkness, Told(2, 0, 0, 1), **FAST | {"max_steps": 4}
        )
    steps = token.info["trajectory"]
    assert [step["counts"] for step in steps] == [[[2]], [[0]], [[0]], [[1]]]
    assert steps[1]["scale"] == steps[0]["scale"]
    assert all(np.isfinite(step["gradient"]) and step["gradient"] > 0 for step in steps)
    assert len(token.info["events"]) == 2
    with pytest.warns(UserWarning, match="scale 10 was used"):
        token = optimize(
            pipe, PROMPT, 3, "red circles", darkness, Told(0), **FAST | {"max_steps": 20, "seed": 9}
        )
    assert len(token.info["trajectory"]) == 10
    assert token.info["stopped"] == "the driver found nothing 10 steps in a row in the picture of seed 9"


@pytest.mark.parametrize(
    ("counts", "select", "patience", "best", "drawn", "why"),
    [
        ([5, 4, 4, 3, 4, 5], "loss", 15, 3, 6, "max_steps"),
        ([3, 3, 4, 3], "loss", 15, 0, 4, "max_steps"),  # ties go to the first
        ([4, 5, 5, 5, 3, 3], "loss", 1, 0, 3, "patience"),
        ([4, 5, 5, 5, 3, 3], "loss", 2, 0, 4, "patience"),
        ([4, 5, 3, 5, 5, 5], "loss", 2, 2, 6, "patience"),
        ([9, 3, 4, 1], "driver", 15, 1, 4, "max_steps"),
    ],
)
def test_what_is_kept_and_when_it_stops(pipe, counts, select, patience, best, drawn, why):
    token = optimize(
        pipe, PROMPT, 3, "red circles", darkness, Told(*counts),
        **FAST | {"max_steps": len(counts), "select": select, "patience": patience},
    )  # fmt: skip
    assert (token.info["best_step"], len(token.info["trajectory"]), token.info["stopped"]) == (
        best,
        drawn,
        why,
    )
    assert token.info["images_looked_at"] == drawn
    assert token.info["best_counts"] == [[counts[best]]]


def test_gradients_are_clipped_after_they_are_there_and_each_run_for_itself(pipe):
    """The released code clips before `backward`, where there is nothing to clip."""
    settings = Settings(scale="static", max_grad_norm=1.0)
    objective = Objective(pipe, runs_from([PROMPT, PROMPT], 3, "red circles", 1), settings, counter=darkness)
    loop = _Loop(objective, {"clip_l": init_vectors(pipe, ["some"])["clip_l"].repeat(2, 1, 1)}, None, pipe)
    leaf = loop.leaves["clip_l"]
    leaf.grad = torch.randn(leaf.shape)
    leaf.grad /= leaf.grad.flatten(1).norm(dim=1)[:, None, None]
    leaf.grad[0] *= 3
    leaf.grad[1] *= 0.5
    assert loop._clip() == pytest.approx([3, 0.5], rel=1e-5)
    assert leaf.grad.flatten(1).norm(dim=1).tolist() == pytest.approx([1, 0.5], rel=1e-5)


def test_hits_stop_a_run(pipe):
    token = optimize(pipe, PROMPT, 3, "red circles", darkness, Told(5, 3, 4, 3, 3), **FAST | {"hits": 2})
    assert len(token.info["trajectory"]) == 4
    assert token.info["stopped"] == "hits"


def test_the_kept_vector_is_the_one_that_made_the_picture(pipe):
    token = optimize(
        pipe, PROMPT, 3, "red circles", darkness, Told(7, 5, 3, 6), **FAST | {"learning_rate": 0.05}
    )
    assert token.info["best_step"] == 2
    assert token.info["trajectory"][2]["moved"] > token.info["trajectory"][1]["moved"] > 0
    with token.placed(pipe) as view:
        picture = view(
            token.written_into(PROMPT), num_inference_steps=1, guidance_scale=0.0, output_type="np",
            generator=torch.Generator().manual_seed(35),
        ).images  # fmt: skip
    assert np.array_equal((picture * 255).round().astype(np.uint8), token.pictures["after"])
    moved = (token.vectors["clip_l"] - init_vectors(pipe, ["some"])["clip_l"]).norm()
    assert float(moved) == pytest.approx(token.info["trajectory"][2]["moved"], rel=1e-5)


def test_a_batch_of_runs_equals_single_runs(double):
    prompts = [PROMPT, "{token} blue stars", "a photo of {token} big squares on grey"]
    counts, names, seeds = [1, 2, 5], ["red circles", "blue stars", "squares"], [4, 5, 6]
    options = FAST | {"driver": Steps(0.1), "scale": "dynamic", "learning_rate": 0.02}
    batch = optimize(double, prompts, counts, names, darkness, seed=seeds, **options)
    for row, token in enumerate(batch):
        alone = optimize(double, prompts[row], counts[row], names[row], darkness, seed=seeds[row], **options)
        assert alone.info["best_step"] == token.info["best_step"]
        assert torch.allclose(alone.vectors["clip_l"], token.vectors["clip_l"], atol=1e-5)
        masses = [[step["mass"] for step in one.info["trajectory"]] for one in (alone, token)]
        assert np.allclose(*masses, rtol=1e-5)


def test_a_run_of_several_seeds_and_prompts_takes_the_mean_of_their_losses(pipe):
    prompts = (PROMPT, "{token} red circles on grey")
    token = optimize(
        pipe, prompts, 3, "red circles", darkness, Told([1, 2, 3, 4]), seed=(1, 2), **FAST | {"max_steps": 1}
    )
    step = token.info["trajectory"][0]
    assert step["loss"] == pytest.approx((2 + 1 + 0 + 1) / 4, abs=1e-5)
    assert token.info["images_looked_at"] == 4
    assert token.pictures["after"].shape[0] == 4


def test_two_kinds_in_one_prompt_have_a_vector_each(pipe):
    seen = []

    def counter(pictures, names):
        seen.append(names[0])
        return darkness(pictures, names)

    token = optimize(
        pipe, "a photo of {token} red circles and {token} blue stars", (3, 5), ("red circles", "blue stars"), counter,
        Told(2, 4), **FAST | {"max_steps": 2, "learning_rate": 0.05, "init_word": ("three", "five")},
    )  # fmt: skip
    assert token.names == ("<count-3-red-circles>", "<count-5-blue-stars>")
    assert token.info["trajectory"][0]["loss"] == pytest.approx(1 + 1, abs=1e-5)
    assert set(seen) == {"red circles", "blue stars"}
    assert token.vectors["clip_l"].shape == (2, 128)
    start = init_vectors(pipe, ["three", "five"])["clip_l"]
    loop_moved = token.info["trajectory"][1]["moved"]
    assert loop_moved == pytest.approx(
        0.05 * np.sqrt(2 * 128), rel=0.05
    )  # Adam's first step, all coordinates
    assert torch.equal(token.vectors["clip_l"], start) == (token.info["best_step"] == 0)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(pipe, tmp_path):
    options = FAST | {"max_steps": 6, "state": None, "learning_rate": 0.03}
    whole = optimize(pipe, PROMPT, 1, "red circles", darkness, Steps(0.1), **options)
    state = tmp_path / "state.pt"
    optimize(
        pipe, PROMPT, 1, "red circles", darkness, Steps(0.1), **options | {"max_steps": 3, "state": state}
    )
    again = optimize(pipe, PROMPT, 1, "red circles", darkness, Steps(0.1), **options | {"state": state})
    assert again.info["trajectory"] == whole.info["trajectory"]
    assert torch.equal(again.vectors["clip_l"], whole.vectors["clip_l"])
    assert np.array_equal(again.pictures["after"], whole.pictures["after"])
    with pytest.raises(InputError, match="other settings"):
        optimize(pipe, PROMPT, 2, "red circles", darkness, Steps(0.1), **options | {"state": state})
    state.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not the state"):
        optimize(pipe, PROMPT, 1, "red circles", darkness, Steps(0.1), **options | {"state": state})


class Interrupts(Told):
    def __init__(self, at, error, *rows):
        super().__init__(*rows)
        self.at, self.error = at, error

    def __call__(self, pictures, names):
        if self.calls == self.at:
            raise self.error
        return super().__call__(pictures, names)


def test_ctrl_c_keeps_the_best_so_far(pipe):
    driver = Interrupts(2, KeyboardInterrupt(), 4, 3, 5)
    token = optimize(pipe, PROMPT, 3, "red circles", darkness, driver, **FAST)
    assert (token.info["best_step"], token.info["stopped"]) == (1, "interrupted")
    assert len(token.info["trajectory"]) == 2


def test_no_memory_keeps_the_best_so_far_or_says_what_to_do(pipe):
    driver = Interrupts(1, torch.OutOfMemoryError(), 4)
    token = optimize(pipe, PROMPT, 3, "red circles", darkness, driver, **FAST)
    assert "checkpointing" in token.info["stopped"]
    with pytest.raises(InputError, match="checkpointing"):
        optimize(pipe, PROMPT, 3, "red circles", darkness, Interrupts(0, torch.OutOfMemoryError(), 4), **FAST)


def test_pictures_that_are_not_finite_are_refused_with_advice(pipe, monkeypatch):
    own = copy.copy(pipe)
    own.vae = copy.deepcopy(pipe.vae)
    own.vae.decoder.conv_out.bias.data.fill_(float("nan"))
    with pytest.raises(InputError, match="float32"):
        optimize(own, PROMPT, 3, "red circles", darkness, Told(3), **FAST)


def test_sdxl_learns_the_first_encoder_and_keeps_the_seconds_init_word():
    pipe = sdxl()
    options = FAST | {"driver": Steps(0.1), "max_steps": 3}
    encode(pipe, ["red circles"])  # transformers puts hooks of its own at its first call
    before = fingerprint(pipe)
    token = optimize(pipe, PROMPT, 1, "red circles", darkness, **options | {"driver": Told(3, 2, 4)})
    start = init_vectors(pipe, ["some"])
    assert fingerprint(pipe) == before
    assert token.info["best_step"] == 1
    assert {key: tuple(value.shape) for key, value in token.vectors.items()} == {
        "clip_l": (1, 16),
        "clip_g": (1, 24),
    }
    assert torch.equal(token.vectors["clip_g"], start["clip_g"])
    assert not torch.equal(token.vectors["clip_l"], start["clip_l"])
    both = optimize(
        pipe,
        PROMPT,
        1,
        "red circles",
        darkness,
        encoders=("clip_l", "clip_g"),
        **options | {"driver": Told(3, 2, 4)},
    )
    assert not torch.equal(both.vectors["clip_g"], start["clip_g"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "integer from 1"),
        ({"count": 2.5}, "integer from 1"),
        ({"count": True}, "integer from 1"),
        ({"prompt": "a photo of red circles"}, "{token}"),
        ({"prompt": "a photo of " + "red " * 30 + "{token} circles"}, "cut off"),
        ({"token": "some"}, "already"),
        ({"token": "two words"}, "without spaces"),
        ({"init_word": "triangle"}, "2 tokens"),
        ({"count": (3, 4)}, "2 counts for 1 names"),
        ({"count": [3, 4], "seed": [1, 2, 3]}, "different lengths"),
        ({"driver": None}, "driver"),
        ({"scale": "automatic"}, "dynamic or static"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"encoders": ("clip_g",)}, "no encoder clip_g"),
        ({"driver": lambda pictures, names: [1, 2, 3]}, "one count"),
        ({"driver": lambda pictures, names: [-1]}, "one count"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(pipe, change, message):
    given = {
        "prompt": PROMPT,
        "count": 3,
        "name": "red circles",
        "counter": darkness,
        "driver": Told(3),
    } | change
    with pytest.raises(InputError) as error:
        optimize(pipe, **given, **{key: value for key, value in FAST.items() if key not in given})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_name_that_is_taken_gets_another_proposed(pipe):
    own = copy.copy(pipe)
    own.tokenizer = copy.deepcopy(pipe.tokenizer)
    own.tokenizer.add_tokens(["<count-3>"])
    with pytest.raises(InputError, match="take '<count-3-2>'"):
        optimize(own, PROMPT, 3, "red circles", darkness, Told(3), **FAST)


def test_the_hook_works_at_the_real_sizes_without_weights():
    """SDXL on the meta device: the sizes that the paper's generator has."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=128, block_out_channels=(320, 640, 1280), layers_per_block=2, cross_attention_dim=2048,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=(5, 10, 20),
            use_linear_projection=True, transformer_layers_per_block=(1, 2, 10), addition_embed_type="text_time",
            addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
        )  # fmt: skip
        common = {"max_position_embeddings": 77, "vocab_size": 49408, "eos_token_id": 2}
        first = CLIPTextModel(CLIPTextConfig(
            hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, **common
        ))  # fmt: skip
        second = CLIPTextModelWithProjection(CLIPTextConfig(
            hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20, projection_dim=1280,
            **common,
        ))  # fmt: skip
    sizes = [sum(weight.numel() for weight in part.parameters()) for part in (unet, first, second)]
    assert sizes == [2_567_463_684, 123_060_480, 694_659_840]
    from paperworks.counting.token import _replaced

    for encoder, width in ((first, 768), (second, 1280)):
        vectors = torch.zeros(3, 1, width, device="meta", requires_grad=True)
        ids = torch.zeros(3, 77, dtype=torch.long, device="meta")
        with _replaced(encoder.get_input_embeddings(), [49408], vectors):
            states = encoder(ids, output_hidden_states=True).hidden_states[-2]
        assert states.shape == (3, 77, width)
        assert states.requires_grad
        assert vectors[0, 0].numel() == width


def test_a_token_in_one_prompt_does_not_touch_the_others(pipe):
    vectors = torch.randn(2, 1, 128)
    with placed(pipe, ["<x>"], {"clip_l": vectors}) as view:
        ids = view.tokenizer(["<x> red circles", "red <x> circles"], return_tensors="pt").input_ids
        found = view.text_encoder.get_input_embeddings()(ids)
    own = pipe.text_encoder.get_input_embeddings()
    assert torch.equal(found[0, 1], vectors[0, 0])
    assert torch.equal(found[1, 2], vectors[1, 0])
    plain = ids.clone()
    plain[0, 1] = plain[1, 2] = 0
    rest = own(plain)
    rest[0, 1], rest[1, 2] = vectors[0, 0], vectors[1, 0]
    assert torch.equal(found, rest)
    assert objective_module.to_uint8(torch.tensor([[[[0.0, 1.0]]] * 3]).reshape(1, 3, 1, 2)).shape == (
        1,
        1,
        2,
        3,
    )

"""The steered pipeline: nothing changes when it is off, gradients are right, and the UNet runs once a half and step."""

import gc
import weakref

import pytest
import small_pipelines as small
import torch
from diffusers import EulerDiscreteScheduler, HeunDiscreteScheduler, StableDiffusionPipeline
from small_pipelines import CALL, MAPS, OBJECTS, PROMPT, SETTINGS

from paperworks.attention import Record, RecordingProcessor, layers_of_size, recorded
from paperworks.errors import InputError
from paperworks.frap import AttendAndExcite, Replay, Settings, Static, SynGen, steering
from paperworks.frap.adapt import Adaptive
from paperworks.frap.objective import objective
from paperworks.frap.weights import weigh
from paperworks.frap.words import read_prompt


@pytest.fixture
def base():
    return small.stable_diffusion()


def draw(pipeline, **options):
    return pipeline(PROMPT, **CALL | {"latents": small.noise()} | options)


@pytest.mark.parametrize("make", [small.stable_diffusion, small.stable_diffusion_xl], ids=["SD", "SDXL"])
def test_off_is_the_base_pipeline_before_during_and_after_and_after_an_exception(make):
    base = make()
    own = draw(base).images
    pipe = small.frap(base)
    states = (vars(pipe.unet).get("forward"), vars(pipe.scheduler).get("step"), pipe.unet.attn_processors)
    for off in (None, Settings(steps=0)):
        assert torch.equal(draw(pipe, objects=OBJECTS, frap=off).images, own)
    steered = draw(pipe, objects=OBJECTS, frap=SETTINGS).images
    assert not torch.equal(steered, own)
    assert torch.equal(
        draw(pipe, objects=OBJECTS, frap=SETTINGS).images, steered
    )  # the same seed, the same picture
    assert torch.equal(draw(base).images, own)

    def stop(pipe, index, timestep, state):
        if index == 1:
            raise RuntimeError("stop")
        return state

    with pytest.raises(RuntimeError, match="stop"):
        draw(pipe, objects=OBJECTS, frap=SETTINGS, callback_on_step_end=stop)
    assert (
        vars(pipe.unet).get("forward"),
        vars(pipe.scheduler).get("step"),
        pipe.unet.attn_processors,
    ) == states
    assert all(one.requires_grad for one in pipe.unet.parameters())
    assert torch.equal(draw(base).images, own)


def test_a_forward_that_an_offload_put_on_the_instance_is_called_and_put_back(base):
    calls, inner = [], base.unet.forward

    def offloaded(*args, **kwargs):
        calls.append(len(args[0]))
        return inner(*args, **kwargs)

    base.unet.forward = offloaded
    draw(small.frap(base), objects=OBJECTS, frap=SETTINGS)
    assert base.unet.forward is offloaded
    assert calls == [1] * 10


@pytest.mark.parametrize("make", [small.stable_diffusion, small.stable_diffusion_xl], ids=["SD", "SDXL"])
def test_a_step_size_of_zero_is_the_base_but_for_rounding(make):
    base = make()
    own = draw(base, num_inference_steps=10).images
    found = draw(
        small.frap(base), num_inference_steps=10, objects=OBJECTS, frap=Settings(step_size=0, map_size=MAPS)
    )
    assert (found.images - own).abs().max() < 1e-3
    assert torch.equal(found.frap.weights, torch.ones_like(found.frap.weights))


def test_each_half_runs_once_a_step_and_weights_stay_within_bounds(base):
    pipe = small.frap(base)
    settings = Settings(steps=4, step_size=1e4, bounds=(0.8, 1.1), map_size=MAPS)
    result = draw(pipe, objects=OBJECTS, frap=settings).frap
    assert result.calls == {"prompt": 5, "negative": 5}
    assert result.weights.shape == (5, 1, 24)
    assert torch.equal(result.weights[0], torch.ones(1, 24))
    assert 0.8 <= result.weights.min() < 0.81
    assert 1.09 < result.weights.max() <= 1.1
    end = result.prompts[0].end
    moved = (result.weights != 1).any(0)[0]
    assert moved[1:end].any()
    assert not moved[0]
    assert not moved[end:].any()
    every = draw(
        pipe, objects=OBJECTS, frap=Settings(steps=4, tokens="all", map_size=MAPS, step_size=50)
    ).frap
    assert (every.weights[-1][0, end:] != 1).any()
    assert every.weights[-1][0, 0] == 1


def test_weights_of_a_step_act_from_the_next_step_on(base):
    pipe = small.frap(base)
    latents = []

    def keep(pipe, index, timestep, state):
        latents.append(state["latents"].clone())
        return {}

    draw(pipe, objects=OBJECTS, frap=SETTINGS, callback_on_step_end=keep)
    weighted, latents = latents, []
    draw(pipe, objects=OBJECTS, frap=Settings(steps=3, step_size=0, map_size=MAPS), callback_on_step_end=keep)
    assert torch.equal(weighted[0], latents[0])
    assert not torch.equal(weighted[1], latents[1])


def test_replayed_weights_give_the_same_picture_at_no_cost(base):
    pipe = small.frap(base)
    found = draw(pipe, objects=OBJECTS, frap=SETTINGS)
    again = draw(pipe, objects=OBJECTS, frap=Replay(found.frap.weights))
    assert (again.images - found.images).abs().max() < 1e-4
    reset = draw(pipe, objects=OBJECTS, frap=Settings(steps=3, step_size=5.0, after="reset", map_size=MAPS))
    assert not torch.allclose(reset.images, found.images, atol=1e-4)


def read(base):
    prompt = read_prompt(base.tokenizer, PROMPT, OBJECTS)
    with torch.no_grad():
        embedding, empty = (base.encode_prompt(text, "cpu", 1, False)[0].double() for text in (PROMPT, ""))
    return prompt, embedding, empty


def test_the_gradient_is_that_of_central_differences(base):
    prompt, embedding, empty = read(base)
    unet = base.unet.double().requires_grad_(False)
    layers = layers_of_size(unet, (16, 16), MAPS)
    latent = small.noise().double()

    def loss(weights):
        with recorded(layers) as record, torch.enable_grad():
            unet(latent, 400, weigh(embedding, empty, weights))
            torch.set_grad_enabled(True)
            return objective(record.maps(), [prompt]).total.sum()

    weights = torch.ones(1, 24, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(weights), weights)
    assert gradient[0, 0] == 0  # the first position is the same in every prompt
    for n in range(24):
        step = torch.zeros(1, 24, dtype=torch.float64)
        step[0, n] = 1e-5
        with torch.no_grad():
            numeric = (loss(weights + step) - loss(weights - step)) / 2e-5
        assert float(gradient[0, n]) == pytest.approx(float(numeric), rel=1e-4, abs=1e-8)
    assert gradient.abs().max() > 1e-4


def test_the_gradient_of_one_layer_is_the_closed_form(base):
    """∂A_pm/∂φ_n = A_pm (δ_mn − A_pn) s_pn with s_pn = q_p·(k_c − k_e)/√d, of section 3.2."""
    _, embedding, empty = read(base)
    layer = base.unet.double().requires_grad_(False).up_blocks[0].attentions[0].transformer_blocks[0].attn2
    queries = torch.randn(1, 6, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    weights = 1 + 0.1 * torch.randn(1, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    width = 32 // layer.heads

    def heads(states):
        return states.unflatten(-1, (layer.heads, width)).transpose(1, 2)

    with torch.no_grad():
        query = heads(layer.to_q(queries))
        slope = query @ heads(layer.to_k(embedding - empty)).transpose(-1, -2) / width**0.5
        logits = query @ heads(layer.to_k(empty)).transpose(-1, -2) / width**0.5 + weights * slope
        probabilities = logits.softmax(-1)
    record = Record()
    layer.set_processor(RecordingProcessor(record, (2, 3)))
    given = weights.clone().requires_grad_()
    layer(queries, weigh(embedding, empty, given))
    maps = record.maps().flatten(1, 2)[0]
    assert (maps - probabilities.mean(1)[0]).abs().max() < 1e-12
    for pixel, token in ((0, 2), (4, 7)):
        (gradient,) = torch.autograd.grad(maps[pixel, token], given, retain_graph=True)
        own = probabilities[0, :, pixel]
        same = torch.zeros(24, dtype=torch.float64)
        same[token] = 1
        closed = (own[:, token, None] * (same - own) * slope[0, :, pixel]).mean(0)
        assert (gradient[0] - closed).abs().max() < 1e-10


def test_no_graph_outlives_its_step_and_the_latent_has_none(base, monkeypatch):
    pipe, alive = small.frap(base), []
    real = Adaptive.update

    def watched(self, alpha, maps, step, sample=None):
        gc.collect()
        assert [one for one in alive if one() is not None] == []
        assert not step.sample.requires_grad
        assert maps.requires_grad
        alive.append(weakref.ref(maps))
        real(self, alpha, maps, step)

    monkeypatch.setattr(Adaptive, "update", watched)
    found = draw(pipe, objects=OBJECTS, frap=SETTINGS)
    assert len(alive) == 3
    assert not found.images.requires_grad
    assert not found.frap.loss.requires_grad
    gc.collect()
    assert alive[-1]() is None


def test_a_batch_is_so_many_single_runs(base):
    base.to(dtype=torch.float64)  # where rounding is no matter
    pipe = small.frap(base)
    prompts = [PROMPT, "a green star", "a blue star and a red triangle", PROMPT]
    latents = small.noise(4).double()
    objects = [OBJECTS, {"star": ["green"]}, {"star": ["blue"], "triangle": ["red"]}, OBJECTS]
    batch = pipe(prompts, latents=latents, objects=objects, frap=SETTINGS, **CALL)
    for n, prompt in enumerate(prompts):
        alone = pipe(prompt, latents=latents[n : n + 1], objects=objects[n], frap=SETTINGS, **CALL)
        assert torch.allclose(alone.images[0], batch.images[n], rtol=1e-4, atol=1e-4)
        assert (alone.frap.weights[:, 0] - batch.frap.weights[:, n]).abs().max() < 1e-4
    assert batch.frap.objects == objects
    copies = pipe(
        PROMPT, num_images_per_prompt=2, latents=latents[[0, 3]], objects=OBJECTS, frap=SETTINGS, **CALL
    )
    assert torch.allclose(copies.images, batch.images[[0, 3]], rtol=1e-4, atol=1e-4)


def test_sizes_that_are_not_square_are_steered(base):
    pipe = small.frap(base)
    settings = Settings(steps=2, map_size=(16, 8))
    found = pipe(
        PROMPT, objects=OBJECTS, frap=settings, height=128, width=64, **CALL | {"num_inference_steps": 3}
    )
    assert found.images.shape[-2:] == (32, 16)
    assert (found.frap.weights[-1] != 1).any()


@pytest.mark.parametrize("scheduler", [HeunDiscreteScheduler, EulerDiscreteScheduler])
def test_steps_are_counted_by_their_timestep(scheduler):
    base = small.stable_diffusion()
    base.scheduler = scheduler()
    own = draw(base).images
    pipe = small.frap(base)
    found = draw(pipe, objects=OBJECTS, frap=SETTINGS)
    calls = 9 if scheduler is HeunDiscreteScheduler else 5
    assert found.frap.calls == {"prompt": calls, "negative": calls}
    assert found.frap.loss.shape == (3, 1)
    still = draw(pipe, objects=OBJECTS, frap=Settings(step_size=0, map_size=MAPS)).images
    assert (still - own).abs().max() < 1e-3 * own.abs().max()


def test_without_guidance_only_the_prompt_runs(base):
    own = draw(base, guidance_scale=1.0).images
    pipe = small.frap(base)
    found = draw(pipe, objects=OBJECTS, frap=Settings(step_size=0, map_size=MAPS), guidance_scale=1.0)
    assert found.frap.calls == {"prompt": 5, "negative": 0}
    assert (found.images - own).abs().max() < 1e-3


@pytest.mark.parametrize("variant", ["published", "lean"])
def test_attend_and_excite_runs_the_unet_as_often_as_it_says(base, monkeypatch, variant):
    calls = count_calls(monkeypatch)
    pipe = small.frap(base)
    options = AttendAndExcite(steps=3, step_size=0.1, variant=variant, refine=0, map_size=MAPS)
    pictures = draw(pipe, objects=OBJECTS, frap=options).images
    extra = 5 if variant == "published" else 3
    assert vars(calls[-1]) == {"prompt": 5 + extra, "negative": 5}
    refined = AttendAndExcite(steps=3, step_size=0.1, variant=variant, refine=2, map_size=MAPS)
    draw(pipe, objects=OBJECTS, frap=refined)
    assert 5 + extra < calls[-1].prompt <= 5 + extra + 6
    other = AttendAndExcite(steps=3, step_size=0.1, variant="lean", refine=0, map_size=MAPS)
    assert torch.equal(pictures, draw(pipe, objects=OBJECTS, frap=other).images)


def count_calls(monkeypatch):
    made, real = [], steering.Calls

    def counted():
        made.append(real())
        return made[-1]

    monkeypatch.setattr(steering, "Calls", counted)
    return made


@pytest.mark.parametrize(
    "options", [AttendAndExcite(steps=1, step_size=0.5, refine=0, map_size=MAPS), SynGen(1, 0.5, MAPS)]
)
@pytest.mark.parametrize("scheduler", [None, EulerDiscreteScheduler])
def test_a_moved_latent_is_a_step_down_its_loss_and_what_the_scheduler_goes_on_from(options, scheduler):
    """One steered step is the base pipeline's from the latent that is moved by hand."""
    from paperworks.frap.baselines import attend_and_excite_loss, syngen_loss

    base = small.stable_diffusion()
    if scheduler:
        base.scheduler = scheduler()
    prompt, embedding, _ = read(base)
    base.scheduler.set_timesteps(1)
    start = small.noise() * base.scheduler.init_noise_sigma
    latent = start.clone().requires_grad_()
    timestep = base.scheduler.timesteps[0]
    unet, layers = base.unet, layers_of_size(base.unet, (16, 16), MAPS)
    with recorded(layers, stop_gradient=False) as record:
        unet(base.scheduler.scale_model_input(latent, timestep), timestep, embedding.float())
        maps = record.maps()
    loss = attend_and_excite_loss if isinstance(options, AttendAndExcite) else syngen_loss
    (gradient,) = torch.autograd.grad(loss(maps, [prompt]).sum(), latent)
    by_hand = (start - options.step_size * gradient) / base.scheduler.init_noise_sigma
    if scheduler:
        base.scheduler = scheduler()
    expected = draw(base, latents=by_hand, num_inference_steps=1).images
    found = draw(small.frap(base), objects=OBJECTS, frap=options, num_inference_steps=1).images
    unmoved = draw(base, num_inference_steps=1).images
    assert (found - expected).abs().max() < 1e-3 * (found - unmoved).abs().max() + 1e-4
    assert (found - unmoved).abs().max() > 1e-3


def test_a_constant_weight_is_the_base_under_a_weighted_embedding(base):
    _, embedding, empty = read(base)
    weights = torch.ones(1, 24)
    weights[0, [2, 3, 6, 7]] = 1.3
    with torch.no_grad():
        negative = base.encode_prompt("", "cpu", 1, False)[0]
    options = CALL | {
        "latents": small.noise(),
        "prompt_embeds": weigh(embedding.float(), empty.float(), weights),
    }
    expected = base(negative_prompt_embeds=negative, **options).images
    found = draw(small.frap(base), objects=OBJECTS, frap=Static(1.3)).images
    assert (found - expected).abs().max() < 1e-4


def test_embeddings_in_place_of_a_prompt(base):
    pipe = small.frap(base)
    _, embedding, empty = read(base)
    options = CALL | {
        "latents": small.noise(),
        "prompt_embeds": embedding.float(),
        "negative_prompt_embeds": empty.float(),
    }
    found = pipe(objects={3: [2], 7: [6]}, null_prompt_embeds=empty.float(), frap=SETTINGS, **options)
    assert found.frap.weights.shape == (4, 1, 24)
    with pytest.raises(InputError, match="give objects as positions and null_prompt_embeds"):
        pipe(frap=SETTINGS, **options)
    with pytest.raises(InputError, match=r"\(1, 24, 32\) and null_prompt_embeds \(1, 23, 32\)"):
        pipe(objects={3: []}, null_prompt_embeds=empty[:, 1:], frap=SETTINGS, **options)


def test_a_pipeline_keeps_its_types_and_so_does_its_source(base):
    base.unet.half()
    pipe = small.frap(base)
    assert pipe.unet is base.unet
    assert {base.unet.dtype, pipe.vae.dtype} == {torch.float16, torch.float32}
    assert isinstance(pipe, StableDiffusionPipeline)


def test_a_tuple_has_the_result_last(base):
    images, flags, result = draw(small.frap(base), objects=OBJECTS, frap=SETTINGS, return_dict=False)
    assert flags is None
    assert result.objects == [OBJECTS]
    assert len(images) == 1


def test_a_prompt_without_objects_is_drawn_plainly_with_a_warning(base):
    pipe = small.frap(base)
    with pytest.warns(UserWarning, match="no object found"):
        found = pipe("and with", frap=SETTINGS, latents=small.noise(), **CALL)
    assert torch.equal(found.images, base("and with", latents=small.noise(), **CALL).images)


def test_what_cannot_be_steered_is_refused_with_what_to_do(base):
    pipe = small.frap(base)

    def refused(message, **options):
        with pytest.raises(InputError, match=message):
            draw(pipe, **{"frap": SETTINGS, "objects": OBJECTS} | options)

    refused("steps 6 is more than the 5 steps", frap=Settings(steps=6, map_size=MAPS))
    refused("no cross-attention map is 4 x 4 .* 8 x 8, 16 x 16", frap=Settings())
    refused('"sphere" is not in the prompt', objects={"sphere": []})
    refused("2 objects for 1 prompts", objects=[OBJECTS, OBJECTS])
    refused("width 72 is no multiple of 16 pixels: take 64 or 80", width=72, latents=None, frap=Settings())
    with torch.inference_mode():
        refused("use torch.no_grad")
    parameter = pipe.unet.conv_in.weight
    pipe.unet.conv_in.weight = torch.nn.Parameter(parameter.to("meta"))
    refused("sequential offload")
    pipe.unet.conv_in.weight = torch.nn.Parameter(parameter * float("nan"))
    refused("the loss of step 1 is not a number in torch.float32: try float32")
    pipe.unet.conv_in.weight = parameter
    pipe.unet.compile()
    refused("the UNet is compiled")


def test_out_of_memory_says_what_to_do(base):
    def full(pipe, index, timestep, state):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(InputError, match=r"out of memory with 1 pictures at a time: .* try one at a time"):
        draw(small.frap(base), objects=OBJECTS, frap=SETTINGS, callback_on_step_end=full)


def test_attention_slicing_is_replaced_with_a_note_and_put_back(base):
    own = draw(small.frap(base), objects=OBJECTS, frap=SETTINGS).images
    base.enable_attention_slicing(1)
    processors = base.unet.attn_processors
    with pytest.warns(UserWarning, match="SlicedAttnProcessor is replaced on the 2 layers"):
        sliced = draw(small.frap(base), objects=OBJECTS, frap=SETTINGS).images
    assert torch.allclose(sliced, own, rtol=1e-3, atol=1e-2)
    assert base.unet.attn_processors == processors


def test_the_latent_moves_only_where_it_is_asked_to(base):
    pipe = small.frap(base)
    options = {"steps": 3, "step_size": 5.0, "map_size": MAPS, "latent_steps": 2}
    still = draw(pipe, objects=OBJECTS, frap=Settings(**options, latent_step_size=0.0))
    moved = draw(pipe, objects=OBJECTS, frap=Settings(**options, latent_step_size=5.0))
    assert moved.frap.calls == {"prompt": 7, "negative": 5}
    own = draw(pipe, objects=OBJECTS, frap=SETTINGS).images
    assert torch.allclose(still.images, own, rtol=1e-3, atol=1e-2)
    assert (moved.images - own).abs().max() > 1e-2
    with pytest.raises(InputError, match="latent_steps 4 must lie between 0 and steps, which is 3"):
        Settings(**options | {"latent_steps": 4})


def test_the_text_encoder_of_the_real_model_has_as_many_parameters():
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        text = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
            )
        )
    assert sum(one.numel() for one in text.parameters()) == 123_060_480


def test_other_pipelines_are_named():
    from paperworks.frap import FrapStableDiffusionXLPipeline, frap_pipeline

    with pytest.raises(InputError, match="object cannot be weighted"):
        frap_pipeline(object())
    with pytest.raises(
        InputError, match="made from a StableDiffusionXLPipeline, not from a StableDiffusionPipeline"
    ):
        FrapStableDiffusionXLPipeline.from_pipe(small.stable_diffusion())

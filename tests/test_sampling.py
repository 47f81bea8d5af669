"""The sampler with gradients draws what the pipeline draws, and its gradients are right."""

import copy

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
)
from pipelines import sdxl, stable_diffusion

from paperworks.errors import InputError
from paperworks.sampling import differentiable_sample, encode, frozen

PROMPTS = ["a photo of six red circles on white", "three blue stars"]
SCHEDULERS = (
    DDIMScheduler,
    EulerDiscreteScheduler,
    EulerAncestralDiscreteScheduler,
    LCMScheduler,
    DPMSolverMultistepScheduler,
)


@pytest.fixture(scope="module")
def pipes():
    return {"sd": stable_diffusion(), "sdxl": sdxl()}


def noise_for(pipe, n, seed=0):
    side = pipe.unet.config.sample_size
    return torch.randn(n, 4, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("guidance", [0.0, 3.0])
def test_without_gradients_the_picture_is_the_pipelines_own(pipes, kind, scheduler, steps, guidance):
    pipe = copy.copy(pipes[kind])
    options = {} if kind == "sdxl" else {"prediction_type": "v_prediction"}
    pipe.scheduler = scheduler(timestep_spacing="trailing", **options)
    noise = noise_for(pipe, 2)
    wanted = pipe(
        PROMPTS, latents=noise, num_inference_steps=steps, guidance_scale=guidance, output_type="pt",
        generator=torch.Generator().manual_seed(1),
    ).images  # fmt: skip
    with torch.no_grad():
        conditioning = encode(pipe, PROMPTS, guidance=guidance)
        found = differentiable_sample(
            pipe,
            conditioning,
            noise,
            steps=steps,
            guidance=guidance,
            generator=torch.Generator().manual_seed(1),
        )
    assert torch.equal(found, wanted)
    assert found.std() > 0


def test_the_shipped_zero_snr_schedule_too(pipes):
    pipe = pipes["sd"]
    noise = noise_for(pipe, 2)
    wanted = pipe(PROMPTS, latents=noise, num_inference_steps=3, guidance_scale=3.0, output_type="pt").images
    with torch.no_grad():
        found = differentiable_sample(pipe, encode(pipe, PROMPTS, guidance=3.0), noise, steps=3, guidance=3.0)
    assert torch.equal(found, wanted)


def test_a_unet_that_takes_the_guidance_scale_as_an_input(pipes):
    pipe = copy.copy(pipes["sd"])
    torch.manual_seed(3)
    pipe.unet = type(pipe.unet)(**{**dict(pipe.unet.config), "time_cond_proj_dim": 16}).eval()
    pipe.scheduler = LCMScheduler(prediction_type="v_prediction")
    noise = noise_for(pipe, 2)
    options = {"steps": 2, "guidance": 4.0, "generator": torch.Generator().manual_seed(0)}
    wanted = pipe(
        PROMPTS, latents=noise, num_inference_steps=2, guidance_scale=4.0, output_type="pt",
        generator=torch.Generator().manual_seed(0),
    ).images  # fmt: skip
    with torch.no_grad():
        found = differentiable_sample(pipe, encode(pipe, PROMPTS, guidance=4.0), noise, **options)
    assert torch.equal(found, wanted)


@pytest.mark.parametrize(("kind", "guidance"), [("sd", 3.0), ("sdxl", 0.0)])
def test_gradients_through_all_steps_match_central_differences(pipes, kind, guidance):
    pipe = copy.deepcopy(pipes[kind])
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.double()
    if kind == "sdxl":
        pipe.text_encoder_2.double()
        pipe.scheduler = DDIMScheduler(timestep_spacing="trailing")  # the Euler schedulers compute in float32
    with frozen(pipe.unet, pipe.vae, pipe.text_encoder):
        conditioning = encode(pipe, PROMPTS, guidance=guidance)
        embeds = conditioning.embeds.detach().requires_grad_()
        noise = noise_for(pipe, 2).double()
        weights = torch.randn(2, 3, *[2 * 8 if kind == "sdxl" else 64] * 2, dtype=torch.float64)

        def value(own):
            given = type(conditioning)(
                own,
                *[
                    None if x is None else x.detach()
                    for x in (conditioning.negative, conditioning.pooled, conditioning.negative_pooled)
                ],
            )
            return (differentiable_sample(pipe, given, noise, steps=2, guidance=guidance) * weights).sum()

        (gradient,) = torch.autograd.grad(value(embeds), embeds)
        torch.manual_seed(5)
        direction = torch.randn_like(embeds)
        with torch.no_grad():
            step = 1e-6
            wanted = (value(embeds + step * direction) - value(embeds - step * direction)) / (2 * step)
    assert torch.allclose((gradient * direction).sum(), wanted, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_checkpointing_changes_no_gradient_and_leaves_no_trace(pipes, kind):
    pipe, gradients = pipes[kind], []
    for checkpointing in (False, True):
        conditioning = encode(pipe, PROMPTS)
        embeds = conditioning.embeds.detach().requires_grad_()
        given = type(conditioning)(embeds, None, conditioning.pooled, None)
        pictures = differentiable_sample(
            pipe, given, noise_for(pipe, 2), steps=2, checkpointing=checkpointing,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        gradients.append(torch.autograd.grad(pictures.square().sum(), embeds)[0])
    assert torch.equal(*gradients)
    assert not pipe.unet.is_gradient_checkpointing
    assert not pipe.vae.is_gradient_checkpointing


def test_a_batch_with_a_generator_each_draws_what_each_alone_draws(pipes):
    pipe = copy.copy(pipes["sdxl"])
    noise = noise_for(pipe, 2)
    with torch.no_grad():
        both = differentiable_sample(
            pipe, encode(pipe, PROMPTS), noise, steps=3,
            generator=[torch.Generator().manual_seed(seed) for seed in (1, 2)],
        )  # fmt: skip
        for row, seed in enumerate((1, 2)):
            one = differentiable_sample(
                pipe, encode(pipe, PROMPTS[row : row + 1]), noise[row : row + 1], steps=3,
                generator=torch.Generator().manual_seed(seed),
            )  # fmt: skip
            assert torch.allclose(one[0], both[row], atol=1e-4)


def test_what_cannot_be_sampled_is_refused(pipes):
    pipe = pipes["sd"]
    with torch.no_grad():
        plain = encode(pipe, PROMPTS)
        with pytest.raises(InputError, match="2 prompts"):
            differentiable_sample(pipe, plain, noise_for(pipe, 3), steps=1)
        with pytest.raises(InputError, match="negative branch"):
            differentiable_sample(pipe, plain, noise_for(pipe, 2), steps=1, guidance=3.0)
        half = copy.deepcopy(pipe)
        half.vae.to(torch.float16)
        half.vae.register_to_config(force_upcast=True)
        with pytest.raises(InputError, match="float32"):
            differentiable_sample(half, plain, noise_for(pipe, 2), steps=1)

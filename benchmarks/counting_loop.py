"""One step of learning a counting token against the alternatives of section 9, in time and in memory.

(a) the same loop as the released code writes it: all word vectors in AdamW, gradients of the other rows set to zero
afterwards, anomaly mode on and off; (b) a batch of runs against as many single runs; (c) a step against one plain
picture; (d) how many right pictures make a token cheaper than generate-and-reject. All on the shipped scene model.

    python benchmarks/counting_loop.py
"""

import argparse
import statistics
import time

import torch

from paperworks.counting import optimize
from paperworks.counting.objective import Objective, Settings, draw, runs_from
from paperworks.counting.planner import break_even
from paperworks.counting.token import init_vectors
from paperworks.sampling import differentiable_sample, encode, frozen
from paperworks.tiny.scene_model import load_centres, load_density, load_scene_model, start_noise

PROMPT, NAME, N = "a photo of {token} green circles on white", "green circles", 6


def seconds(function, repeats):
    """The median time of a call, after one that does not count."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def official_step(pipe, density, settings, optimizer, ids, noise, target):
    """A step with the whole embedding matrix as the parameter; the counter's mass by a static scale."""
    embedding = pipe.text_encoder.get_input_embeddings().weight
    optimizer.zero_grad()
    conditioning = encode(pipe, ["a photo of some green circles on white"], guidance=settings.guidance)
    picture = differentiable_sample(
        pipe, conditioning, noise, steps=settings.sampler_steps, guidance=settings.guidance
    )
    (density(picture, [NAME]).sum() - target).abs().backward()
    others = torch.ones(len(embedding), dtype=torch.bool)
    others[ids] = False
    embedding.grad[others] = 0
    optimizer.step()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    given = parser.parse_args()
    pipe, density, centres = load_scene_model(), load_density(), load_centres()
    settings = Settings(scale="static", static_scale=1.0, sampler_steps=6, guidance=2.0)

    def driver(pictures, names):
        values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        return centres.count(values, names).tolist()

    def step_of(n):
        runs = runs_from([PROMPT] * n, N, NAME, list(range(n)))
        objective = Objective(pipe, runs, settings, counter=density)
        start = init_vectors(pipe, ["six"])["clip_l"]
        leaf = start.repeat(n, 1, 1).requires_grad_()
        optimizer, rows = torch.optim.AdamW([leaf], lr=0.01, weight_decay=0.0), objective.rows(range(n))

        def step():
            optimizer.zero_grad()
            pictures = objective.draw({"clip_l": leaf}, rows)
            objective.judge(pictures, rows, torch.ones(n, 1)).loss.sum().backward()
            optimizer.step()

        return step

    parts = (pipe.unet, pipe.vae, pipe.text_encoder)
    with frozen(*parts):
        one, batch = seconds(step_of(1), given.repeats), seconds(step_of(given.batch), given.repeats)
        plain = seconds(
            lambda: draw(pipe, ["a photo of six green circles on white"], [0], settings), given.repeats
        )
    print(f"(c) a step {one:.3f} s, a plain picture {plain:.3f} s: {one / plain:.2f} times")
    print(
        f"(b) {given.batch} runs at once {batch:.3f} s, one by one {given.batch * one:.3f} s: "
        f"{given.batch * one / batch:.2f} times faster"
    )
    picture = torch.rand(1, 3, 64, 64)
    counters = seconds(lambda: (density(picture, [NAME]), centres.count(picture, [NAME])), given.repeats)
    print(f"    counter and driver {counters:.4f} s, {100 * counters / one:.1f} % of a step")

    embedding = pipe.text_encoder.get_input_embeddings().weight
    kept = embedding.detach().clone()
    with frozen(*parts):
        embedding.requires_grad_(True)
        optimizer = torch.optim.AdamW([embedding], lr=0.01, weight_decay=1e-2)
        ids = [pipe.tokenizer("some", add_special_tokens=False).input_ids[0]]
        noise = start_noise(0)[None]
        rewritten = {}
        for anomaly in (False, True):
            with torch.autograd.set_detect_anomaly(anomaly, check_nan=anomaly):
                rewritten[anomaly] = seconds(
                    lambda: official_step(pipe, density, settings, optimizer, ids, noise, N), given.repeats
                )
        moved = (embedding.detach() - kept).abs().max(1).values > 0
        embedding.data.copy_(kept)
        embedding.grad = None
    rows, width = 49_408, 768
    print(
        f"(a) the whole-matrix loop {rewritten[False]:.3f} s ({rewritten[False] / one:.2f} times ours), with anomaly "
        f"mode {rewritten[True]:.3f} s ({rewritten[True] / one:.2f} times); it moved {int(moved.sum())} of {len(kept)} "
        f"words, ours 1. At CLIP-L's size gradient and moments are {3 * rows * width * 4 / 1e6:.0f} MB, ours "
        f"{3 * width * 4 / 1e3:.0f} kB"
    )

    token = optimize(
        pipe, PROMPT, N, NAME, density, driver, scale="dynamic", static_scale=1.0, max_steps=12, sampler_steps=6,
        guidance=2.0, init_word="six", plain="a photo of six green circles on white", seed=0,
    )  # fmt: skip
    seeds = list(range(100, 124))
    with token.placed(pipe) as view:
        own = draw(view, [token.written_into(PROMPT)] * len(seeds), seeds, settings)
    usual = draw(pipe, [token.info["plain"]] * len(seeds), seeds, settings)
    shares = [sum(n == N for n in driver(some, [NAME] * len(seeds))) / len(seeds) for some in (usual, own)]
    learn = token.info["images_looked_at"] * one / plain
    print(
        f"(d) right by the driver on {len(seeds)} other seeds: plain {shares[0]:.0%}, token {shares[1]:.0%}; "
        f"learning cost {learn:.0f} pictures' time; break-even at {break_even(learn, *shares):.0f} right pictures"
    )


if __name__ == "__main__":
    main()

"""Metrics against loops, the paired report, its control, and the budget."""

import math

import numpy as np
import pytest
import torch
from doubles import Steps, Told, darkness
from pipelines import stable_diffusion

from paperworks.counting import evaluate, optimize
from paperworks.counting.evaluate import best_of_random, metrics
from paperworks.counting.objective import Objective, Settings, runs_from
from paperworks.counting.planner import break_even, plan, saved_bytes
from paperworks.counting.token import init_vectors
from paperworks.errors import InputError
from paperworks.intervals import bootstrap
from paperworks.sampling import frozen

PROMPT = "a photo of {token} red circles on white"
FAST = {"sampler_steps": 1, "max_steps": 4, "static_scale": 10.0, "learning_rate": 0.05}


@pytest.fixture(scope="module")
def pipe():
    return stable_diffusion()


@pytest.fixture(scope="module")
def token(pipe):
    return optimize(pipe, PROMPT, 3, "red circles", darkness, Told(5, 4, 3, 6), init_word="three", **FAST)


def test_the_metrics_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    counts, targets, cosines = rng.integers(0, 9, 30), rng.integers(1, 9, 30), rng.uniform(-0.2, 0.5, 30)
    found = metrics(counts, targets, cosines)
    total = squares = exact = signed = clip = 0.0
    for n, target, cosine in zip(counts, targets, cosines, strict=True):
        total += abs(int(n) - int(target)) / 30
        squares += (int(n) - int(target)) ** 2 / 30
        exact += (n == target) / 30
        signed += (int(n) - int(target)) / 30
        clip += 2.5 * max(cosine, 0) / 30
    assert (found.mae, found.rmse, found.accuracy, found.bias, found.clip_score) == pytest.approx(
        (total, math.sqrt(squares), exact, signed, clip)
    )
    with pytest.raises(InputError, match="at least one"):
        metrics([], [])


def test_the_interval_covers_the_mean_and_narrows():
    rng = np.random.default_rng(1)
    wide, narrow = bootstrap(rng.normal(0.5, 1, 20)), bootstrap(rng.normal(0.5, 1, 2000))
    assert wide.low < wide.value < wide.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 5
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 / math.sqrt(2000), rel=0.1)
    assert bootstrap([1.0]).high == math.inf


def test_the_report_is_paired_and_names_who_counted(pipe, token):
    report = evaluate(pipe, token, judge=Steps(0.1), seeds=range(3))
    assert (report.judge, report.driver, report.counter) == ("steps of darkness", "Told", "darkness")
    assert report.independent
    assert report.images_looked_at == 4
    assert len(report.rows) == 3
    errors = [abs(row["token"] - 3) - abs(row["plain"] - 3) for row in report.rows]
    assert report.difference.value == pytest.approx(np.mean(errors))
    assert report.verdict in ("better", "worse", "no difference")
    wanted = pipe(
        "a photo of three red circles on white", num_inference_steps=1, guidance_scale=0.0, output_type="np",
        generator=torch.Generator().manual_seed(1),
    ).images  # the token stood in the number's place  # fmt: skip
    plain = evaluate(
        pipe, optimize(pipe, PROMPT, 3, "red circles", darkness, Told(3), init_word="three",
                       plain="a photo of three red circles on white", **FAST | {"max_steps": 1}),
        judge=Steps(0.1), seeds=[1],
    )  # fmt: skip
    assert np.array_equal(plain.pictures["plain"][0], (wanted[0] * 255).round().astype(np.uint8))


def test_a_judge_that_took_part_makes_the_report_void(pipe, token):
    driver = Told(5, 4, 3, 6)
    report = evaluate(pipe, token, judge=driver, seeds=[1])
    assert not report.independent
    assert report.verdict == "void"
    assert "not independent" in report.summary()[0]
    assert report.to_dict()["verdict"] == "void"


def test_other_prompts_and_names_are_judged_as_asked(pipe, token):
    seen = []

    def judge(pictures, names):
        seen.extend(names)
        return [2] * len(names)

    report = evaluate(
        pipe, token, judge=judge, prompts=["{token} blue stars", "{token} squares on grey"],
        names=["blue stars", "squares"], seeds=[1, 2],
    )  # fmt: skip
    assert seen == 2 * ["blue stars", "blue stars", "squares", "squares"]
    assert report.token.bias == -1
    with pytest.raises(InputError, match="1 names for 2 prompts"):
        evaluate(
            pipe, token, judge=judge, prompts=["{token} a", "{token} b"], names=["blue stars"], seeds=[1]
        )
    with pytest.raises(InputError, match="no pictures"):
        evaluate(pipe, token, judge=judge, seeds=[])


def test_random_tokens_are_as_far_away_and_as_many(pipe, token, monkeypatch):
    given, real = [], Objective.draw
    monkeypatch.setattr(
        Objective,
        "draw",
        lambda self, vectors, rows: given.append(vectors["clip_l"].clone()) or real(self, vectors, rows),
    )
    (best,) = best_of_random(pipe, [token], darkness, Told(5, 5, 3, 4))
    assert best["step"] == 2
    assert best["counts"] == [[3]]
    assert len(given) == token.info["images_looked_at"] == 4
    start = init_vectors(pipe, ["three"])["clip_l"]
    lengths = [float((one[0] - start).norm()) for one in given]
    assert lengths == pytest.approx([step["moved"] for step in token.info["trajectory"]], rel=1e-4)
    directions = [one[0] - start for one in given[1:]]
    assert abs(torch.nn.functional.cosine_similarity(directions[0], directions[1])) < 0.5


def test_the_report_carries_the_control(pipe, token):
    report = evaluate(pipe, token, judge=Steps(0.1), seeds=[1], counter=darkness, driver=Told(5, 5, 3, 4))
    assert report.trained.n == report.control.n == 1
    assert "random tokens" in report.summary()[-1]


def test_the_plan_is_the_posterior_mean_of_one_over_p(pipe):
    (run,) = runs_from(PROMPT, 3, "red circles", 1)
    settings = Settings(sampler_steps=1, max_steps=10)
    found = plan(pipe, run, settings, lambda pictures, names: [3, 2, 3, 1], pictures=4)
    assert (found.right, found.drawn, found.reject) == (2, 4, 2.5)
    assert found.learn == pytest.approx(21)
    grid = np.linspace(1e-6, 1, 200_001)
    posterior = grid**2 * (1 - grid) ** 2
    assert (posterior / grid).sum() / posterior.sum() == pytest.approx(found.reject, rel=1e-3)
    none = plan(pipe, run, settings, lambda pictures, names: [0] * 4, pictures=4)
    assert none.reject == math.inf
    assert "more than 4" in none.lines()[1]


def test_break_even_is_where_the_costs_meet():
    k = break_even(150, 0.2, 0.6)
    assert 150 + k / 0.6 == pytest.approx(k / 0.2)
    assert break_even(150, 0.5, 0.5) == math.inf
    assert break_even(150, 0.0, 0.5) == 1


def test_memory_grows_with_the_steps_of_the_sampler_and_shrinks_with_checkpointing(pipe):
    sizes = []
    for steps, checkpointing in ((1, False), (2, False), (2, True)):
        runs = runs_from(PROMPT, 3, "red circles", 1)
        settings = Settings(scale="static", sampler_steps=steps, checkpointing=checkpointing)
        objective = Objective(pipe, runs, settings, counter=darkness)
        with frozen(pipe.unet, pipe.vae, pipe.text_encoder):
            vectors = {"clip_l": init_vectors(pipe, ["some"])["clip_l"][None].requires_grad_()}
            sizes.append(saved_bytes(objective, vectors, objective.rows([0])))
    assert sizes[0] < sizes[1] < 2 * sizes[0]
    assert sizes[2] < sizes[1]

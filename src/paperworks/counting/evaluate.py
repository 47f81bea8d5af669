"""Is it true: a token against the plain prompt, counted by a judge that took no part in learning it (section 3.7).

The released code scores the best of up to fifty pictures of the training seed with the detector that chose it. Here the
pictures are paired by prompt and seed, a report names the driver, the counter and the judge, says whether the judge is
another one, how many pictures were looked at, and what as many random tokens give that the same driver picks from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from paperworks.counting.counters import ClipSimilarity, Counter, DensityCounter, name_of
from paperworks.counting.detectors import Driver
from paperworks.counting.objective import Objective, Run, Settings, counted, draw, to_uint8
from paperworks.counting.token import CountingToken, fill, init_vectors, without_token
from paperworks.errors import InputError
from paperworks.intervals import Interval, bootstrap


@dataclass(frozen=True)
class Metrics:
    """Of `n` counts: mean absolute error, root of the mean square, share that is exact, mean signed error, and CLIP-S
    (`2.5 · max(cos, 0)` with "a photo of N class") where there is a model for it."""

    mae: float
    rmse: float
    accuracy: float
    bias: float
    n: int
    clip_score: float | None = None


def metrics(counts: ArrayLike, targets: ArrayLike, cosines: ArrayLike | None = None) -> Metrics:
    """The metrics of counts `[n]` against targets `[n]`. Raises `InputError` for none."""
    off = np.asarray(counts, dtype=float) - np.asarray(targets, dtype=float)
    if not off.size:
        raise InputError("there are no pictures to count: give at least one prompt and one seed")
    score = None if cosines is None else float(2.5 * np.maximum(np.asarray(cosines), 0).mean())
    return Metrics(
        float(np.abs(off).mean()),
        float(np.sqrt((off**2).mean())),
        float((off == 0).mean()),
        float(off.mean()),
        off.size,
        score,
    )


@dataclass(frozen=True)
class Report:
    """What `evaluate` found; `rows` has a picture and kind each: prompt, seed, class, asked, plain, token.

    `difference` is the token's absolute error minus the plain prompt's, paired. `control` is the best of as many random
    tokens as pictures were looked at for the token, chosen by the same driver, on the prompt and seed of the training;
    `trained` the token there. `pictures` are uint8 `[M, H, W, 3]`, plain and token in the order of `rows`.
    """

    judge: str
    driver: str | None
    counter: str
    independent: bool
    images_looked_at: int
    plain: Metrics
    token: Metrics
    difference: Interval
    rows: Sequence[dict[str, Any]]
    trained: Metrics | None = None
    control: Metrics | None = None
    pictures: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `no difference` by the interval; `void` where the judge took part in the learning."""
        if not self.independent:
            return "void"
        return (
            "better" if self.difference.high < 0 else "worse" if self.difference.low > 0 else "no difference"
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures, for JSON; an endless bound is `None`."""
        data = {key: value for key, value in asdict(self).items() if key != "pictures"}
        for key in ("low", "high"):
            if not np.isfinite(data["difference"][key]):
                data["difference"][key] = None
        return {**data, "verdict": self.verdict}

    def summary(self) -> list[str]:
        """Lines for people."""
        lines = [
            f"judge: {self.judge}{'' if self.independent else ' (not independent: it took part in the learning)'}; "
            f"driver: {self.driver or 'none'}; counter: {self.counter}; "
            f"{self.images_looked_at} pictures looked at for the token"
        ]
        for name, one in (("plain prompt", self.plain), ("token", self.token)):
            clip = f", CLIP-S {one.clip_score:.3f}" if one.clip_score is not None else ""
            lines.append(
                f"{name}: off by {one.mae:.2f} (RMSE {one.rmse:.2f}), exact {one.accuracy:.0%}, "
                f"bias {one.bias:+.2f}{clip}"
            )
        lines.append(f"token − plain, absolute error: {self.difference} → {self.verdict}")
        if self.control is not None and self.trained is not None:
            lines.append(
                f"on the training picture: token off by {self.trained.mae:.2f}, "
                f"best of as many random tokens {self.control.mae:.2f}"
            )
        return lines


def evaluate(
    pipe: Any,
    token: CountingToken,
    *,
    judge: Driver,
    prompts: Sequence[str] | None = None,
    names: Sequence[str | tuple[str, ...]] | None = None,
    seeds: Sequence[int] = range(8),
    semantic: ClipSimilarity | None = None,
    counter: Counter | DensityCounter | None = None,
    driver: Driver | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    **sampler: Any,
) -> Report:
    """Draw every prompt from every seed with the token and without it, and let the judge count.

    `prompts` have `{token}` (default: those of the training) and `names` say what the judge is to count in each
    (default: the token's classes). The plain prompt has the init word where the token stood in a number's place, else
    nothing. `sampler` may change `sampler_steps` and `guidance`. With `counter`, and a `driver` for the dynamic
    scale, the report carries the control of random tokens, at the cost of as many pictures as the learning. Raises
    `InputError` for prompts without their slots, and where nothing is asked.
    """
    run, settings = run_of(token), settings_of(token, **sampler)
    prompts = list(prompts) if prompts is not None else list(run.prompts)
    kinds = (
        [one if isinstance(one, tuple) else (one,) for one in names] if names else [run.names] * len(prompts)
    )
    if len(kinds) != len(prompts):
        raise InputError(f"{len(kinds)} names for {len(prompts)} prompts: one for each")
    asked = [(prompt, own, seed) for prompt, own in zip(prompts, kinds, strict=True) for seed in seeds]
    if not asked:
        raise InputError("there are no pictures to count: give at least one prompt and one seed")
    told = [seed for _, _, seed in asked]
    with token.placed(pipe) as view:
        with_token = draw(view, [fill(prompt, token.names) for prompt, _, _ in asked], told, settings)
    plain = draw(pipe, [plain_of(token, prompt) for prompt, _, _ in asked], told, settings)
    if progress:
        progress(1, 2, "counting")
    rows: list[dict[str, Any]] = []
    found: dict[str, list[np.ndarray]] = {"plain": [], "token": []}
    similar: dict[str, list[np.ndarray]] = {"plain": [], "token": []}
    for kind, target in enumerate(run.counts):
        own = [one[kind] for _, one, _ in asked]
        for arm, pictures in (("plain", plain), ("token", with_token)):
            found[arm].append(counted(judge, pictures, own))
            if semantic is not None:
                texts = [f"a photo of {target} {name}" for name in own]
                with torch.no_grad():
                    similar[arm].append(semantic(from_uint8(pictures, pipe), texts).cpu().numpy())
        rows += [
            {"prompt": prompt, "seed": seed, "class": name, "asked": target, "plain": int(a), "token": int(b)}
            for (prompt, _, seed), name, a, b in zip(
                asked, own, found["plain"][-1], found["token"][-1], strict=True
            )
        ]
    targets = np.array([row["asked"] for row in rows])
    counts = {arm: np.concatenate(values) for arm, values in found.items()}
    cosines = {arm: np.concatenate(values) if values else None for arm, values in similar.items()}
    trained = control = None
    if counter is not None:
        best = best_of_random(pipe, [token], counter, driver, semantic)[0]
        with token.placed(pipe) as view:
            own = [fill(prompt, token.names) for prompt, _ in run.pictures]
            after = draw(view, own, [seed for _, seed in run.pictures], settings_of(token))
        trained, control = (
            metrics(
                np.concatenate([counted(judge, pictures, [name] * len(pictures)) for name in run.names]),
                np.repeat(run.counts, len(pictures)),
            )
            for pictures in (after, best["pictures"])
        )
    took_part = {token.info.get("driver"), token.info.get("counter")}
    return Report(
        judge=name_of(judge),
        driver=token.info.get("driver"),
        counter=str(token.info.get("counter")),
        independent=name_of(judge) not in took_part and judge is not driver and judge is not counter,
        images_looked_at=int(token.info.get("images_looked_at", 0)),
        plain=metrics(counts["plain"], targets, cosines["plain"]),
        token=metrics(counts["token"], targets, cosines["token"]),
        difference=bootstrap(np.abs(counts["token"] - targets) - np.abs(counts["plain"] - targets)),
        rows=rows,
        trained=trained,
        control=control,
        pictures={"plain": plain, "token": with_token},
    )


@torch.no_grad()
def best_of_random(
    pipe: Any,
    tokens: Sequence[CountingToken],
    counter: Counter | DensityCounter,
    driver: Driver | None = None,
    semantic: ClipSimilarity | None = None,
    *,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """The control of selection: for each token as many random ones, the best by the same driver, loss and rule.

    Step `t` draws the start vector plus a Gaussian as long as the learned displacement at step `t`. A dict for each
    token: `step`, `loss`, `counts`, `pictures` uint8. The tokens must have been learned with the same settings.
    """
    settings = settings_of(tokens[0])
    objective = Objective(
        pipe, [run_of(token) for token in tokens], settings, counter=counter, driver=driver, semantic=semantic
    )
    starts = [init_vectors(pipe, token.info["init_word"]) for token in tokens]
    start = {key: torch.stack([one[key] for one in starts]) for key in starts[0]}
    moved = [[step["moved"] for step in token.info["trajectory"]] for token in tokens]
    steps = max(map(len, moved))
    rng = torch.Generator().manual_seed(seed)
    best: list[dict[str, Any]] = [{"loss": None}] * len(tokens)
    every = len(objective.rows(range(len(tokens))))
    scale = torch.full((every, len(objective.slots)), settings.static_scale, device=start["clip_l"].device)
    for step in range(steps):
        active = [number for number, own in enumerate(moved) if step < len(own)]
        rows, vectors = objective.rows(active), {}
        lengths = torch.tensor([own[min(step, len(own) - 1)] for own in moved])
        noise = {key: torch.randn(start[key].shape, generator=rng) for key in settings.encoders}
        norms = torch.stack([one.flatten(1).square().sum(1) for one in noise.values()]).sum(0).sqrt()
        for key, value in start.items():
            shift = noise[key] * (lengths / norms)[:, None, None] if key in noise else torch.zeros_like(value)
            vectors[key] = value + shift.to(value)
        pictures = objective.draw(vectors, rows)
        judged = objective.judge(pictures, rows, scale[rows])
        scale[rows] = judged.scale
        owner = objective.owner(rows)
        for number in active:
            own = (owner == number).nonzero().flatten().tolist()
            loss, counts = float(judged.loss[own].mean()), judged.counts[own].tolist()
            error = sum(
                abs(n - t) for row in counts for n, t in zip(row, objective.runs[number].counts, strict=True)
            )
            rank = (error, loss) if settings.select == "driver" else (loss,)
            if best[number]["loss"] is None or rank < best[number]["rank"]:
                best[number] = {
                    "step": step, "loss": loss, "rank": rank, "counts": counts, "pictures": to_uint8(pictures[own]),
                }  # fmt: skip
    return best


def run_of(token: CountingToken) -> Run:
    """The run that a token was learned in."""
    info = token.info
    return Run(
        tuple(info["prompts"]),
        tuple(info["counts"]),
        tuple(info["classes"]),
        tuple(info["seeds"]),
        info["plain"],
    )


def settings_of(token: CountingToken, **change: Any) -> Settings:
    """The settings that a token was learned with, changed where something else is asked."""
    own = dict(token.info["settings"])
    own["encoders"] = tuple(own["encoders"])
    return Settings(**{**own, **{key: value for key, value in change.items() if value is not None}})


def plain_of(token: CountingToken, prompt: str) -> str:
    """A prompt without the token: with the init word where it took a number's place in training, else left out."""
    words = token.info["init_word"]
    if token.info["plain"] == fill(token.prompt, words):
        return fill(prompt, words)
    return token.info["plain"] if prompt == token.prompt else without_token(prompt)


def from_uint8(pictures: np.ndarray, pipe: Any) -> torch.Tensor:
    """Pictures uint8 `[M, H, W, 3]` as `[M, 3, H, W]` in 0 to 1 on the pipeline's device."""
    return torch.from_numpy(pictures).to(pipe._execution_device).permute(0, 3, 1, 2).float() / 255

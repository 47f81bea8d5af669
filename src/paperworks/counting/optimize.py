"""Learning counting tokens: iterations of drawing, counting and moving one vector (section 3, released code).

Every run draws from the same noise at every iteration, only its vector `v` is a leaf, and what is kept is the vector
that made the best picture, before the update that followed. Runs of a batch do not see each other.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paperworks.counting.counters import ClipSimilarity, Counter, DensityCounter, name_of
from paperworks.counting.detectors import Driver
from paperworks.counting.objective import Judged, Objective, Run, Settings, runs_from, to_uint8
from paperworks.counting.token import CountingToken, encoders, free_names, init_vectors, text_encoder_hash
from paperworks.errors import InputError
from paperworks.files import replacing
from paperworks.sampling import frozen

Progress = Callable[[int, int, str], None]
BLANK = 10
"""Steps in a row at which the driver finds nothing after which a run stops."""
HALF_PRECISION = "a picture is not finite: put the VAE in float32, pipe.vae.to(torch.float32)"
MEMORY = "out of memory: use checkpointing, fewer runs at once, or fewer sampler steps"


def optimize(
    pipe: Any,
    prompt: str | tuple[str, ...] | list[Any],
    count: int | tuple[int, ...] | list[Any],
    name: str | tuple[str, ...] | list[Any],
    counter: Counter | DensityCounter,
    driver: Driver | None = None,
    semantic: ClipSimilarity | None = None,
    *,
    seed: int | tuple[int, ...] | list[Any] = 35,
    plain: str | list[str] | None = None,
    init_word: str | tuple[str, ...] | list[Any] = "some",
    token: str | tuple[str, ...] | list[Any] | None = None,
    state: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Any:
    """Learn the vector that makes the pipeline draw `count` objects; a `CountingToken`, or a list of them.

    `prompt` has `{token}` where the token goes. A list (of prompts, counts, names, seeds) is a batch of independent
    runs; a tuple is within a run: several kinds (`count=(3, 5), name=("apples", "cups")`, a slot each in the prompt),
    or several prompts or seeds, over which the loss is averaged. `init_word` is the vector to start from, `token` the
    name (default `<count-N>`), `plain` the prompt to compare with (default: the prompt without its slots). `settings`
    are those of `Settings`. `counter`, `driver` and `semantic` are equations (1), (5) and (3); without `semantic`
    there is no L_sem. With a `state` file the run is saved there at every step and goes on from there.

    The pipeline is as before afterwards. Ctrl-C ends the run and keeps the best so far, with `info["stopped"]` =
    "interrupted"; so do pictures that are not finite and a lack of memory, where there is a best so far. Warns where
    the driver finds nothing. Raises `InputError` for what cannot be run.
    """
    runs = runs_from(prompt, count, name, seed, plain)
    options = Settings(**settings)
    objective = Objective(pipe, runs, options, counter=counter, driver=driver, semantic=semantic)
    names = [_names(run, _own(token, number)) for number, run in enumerate(runs)]
    starts = []
    for number, run in enumerate(runs):
        free_names(pipe.tokenizer, names[number])
        words = _own(init_word, number)
        starts.append(init_vectors(pipe, words if isinstance(words, tuple) else (words,) * len(run.names)))
    loop = _Loop(
        objective, {key: torch.stack([one[key] for one in starts]) for key in starts[0]}, state, pipe
    )
    with frozen(
        pipe.unet,
        pipe.vae,
        *(encoder for _, encoder in encoders(pipe).values()),
        *_modules(counter, semantic),
    ):
        before = to_uint8(objective.draw_plain()) if options.max_steps else None
        loop.go(progress)
    about = {
        "model": _model_name(pipe),
        "text_encoder_sha256": text_encoder_hash(pipe),
        "counter": objective.counter.name,
        "driver": name_of(driver) if driver is not None else None,
        "semantic": name_of(semantic) if semantic is not None else None,
        "settings": {**asdict(options), "encoders": list(options.encoders)},
    }
    tokens = []
    for number, run in enumerate(runs):
        best = loop.best[number]
        info = {
            "counts": list(run.counts),
            "classes": list(run.names),
            "prompts": list(run.prompts),
            "plain": run.plain,
            "seeds": list(run.seeds),
            "init_word": _words(_own(init_word, number), len(run.names)),
            **about,
            "best_step": best["step"],
            "best_loss": best["loss"],
            "best_counts": best["counts"],
            "stopped": loop.stopped[number] or "max_steps",
            "images_looked_at": len(loop.trajectory[number]) * len(run.pictures),
            "events": loop.events[number],
            "trajectory": loop.trajectory[number],
        }
        pictures = {} if before is None else {"before": before[number : number + 1]}
        if best["pictures"] is not None:
            pictures["after"] = best["pictures"]
        vectors = {key: value.clone() for key, value in best["vectors"].items()}
        tokens.append(CountingToken(names[number], vectors, info, pictures))
    batch = any(isinstance(one, list) for one in (prompt, count, name, seed, plain, init_word, token))
    return tokens if batch else tokens[0]


class _Loop:
    """The state of a batch of runs between two iterations."""

    def __init__(
        self, objective: Objective, start: dict[str, Tensor], state: str | Path | None, pipe: Any
    ) -> None:
        self.objective, self.settings, self.start = objective, objective.settings, start
        missing = [key for key in self.settings.encoders if key not in start]
        if missing:
            raise InputError(f"the model has no encoder {missing[0]}: it has {', '.join(start)}")
        n, kinds = len(objective.runs), len(objective.slots)
        self.leaves = {key: start[key].clone().requires_grad_() for key in self.settings.encoders}
        self.optimizer = torch.optim.AdamW(
            list(self.leaves.values()),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
        )
        self.step = 0
        every = len(objective.rows(range(n)))
        self.scale = torch.full(
            (every, kinds), self.settings.static_scale, device=next(iter(start.values())).device
        )
        self.best: list[dict[str, Any]] = [
            {"step": None, "loss": None, "key": None, "counts": None, "pictures": None,
             "vectors": {key: value[number].cpu() for key, value in start.items()}}
            for number in range(n)
        ]  # fmt: skip
        self.since, self.blank, self.hits = [0] * n, [0] * n, [0] * n
        self.stopped: list[str | None] = [None] * n
        self.trajectory: list[list[dict[str, Any]]] = [[] for _ in range(n)]
        self.events: list[list[str]] = [[] for _ in range(n)]
        self.file = Path(state) if state else None
        told = {**asdict(self.settings), "max_steps": None, "runs": [asdict(run) for run in objective.runs]}
        told |= {"encoder": text_encoder_hash(pipe), "counter": objective.counter.name} if self.file else {}
        self.identity = json.dumps(told, sort_keys=True, default=str)
        if self.file and self.file.is_file():
            self._restore()

    def vectors(self) -> dict[str, Tensor]:
        return {**self.start, **self.leaves}

    def go(self, progress: Progress | None) -> None:
        """Iterate until every run has stopped. A step that fails leaves the state of the step before."""
        trouble = None
        try:
            while self.step < self.settings.max_steps and (active := self._active()):
                self.iterate(active)
                if progress:
                    progress(self.step, self.settings.max_steps, self._line())
                if self.file:
                    self._keep()
        except KeyboardInterrupt:
            trouble = "interrupted"
        except torch.OutOfMemoryError:
            trouble = MEMORY
        except FloatingPointError:
            trouble = HALF_PRECISION
        if trouble and trouble != "interrupted" and all(one["step"] is None for one in self.best):
            raise InputError(trouble)
        self.stopped = [one or trouble for one in self.stopped]

    def iterate(self, active: list[int]) -> None:
        """One iteration of the runs that are active: draw, judge, remember the best, move."""
        rows = self.objective.rows(active)
        vectors = self.vectors()
        pictures = self.objective.draw(vectors, rows)
        if not torch.isfinite(pictures).all():
            raise FloatingPointError
        judged = self.objective.judge(pictures, rows, self.scale[rows])
        owner = self.objective.owner(rows)
        n = len(self.objective.runs)
        sums = torch.zeros(n, device=owner.device).index_add(0, owner, judged.loss)
        losses = sums / torch.bincount(owner, minlength=n).clamp(min=1)
        self.optimizer.zero_grad()
        losses.sum().backward()
        norms = self._clip()
        self.scale[rows] = judged.scale
        for number in active:
            own = (owner == number).nonzero().flatten().tolist()
            self._remember(
                number, float(losses[number].detach()), judged, own, pictures, vectors, norms[number]
            )
        self.optimizer.step()
        self.step += 1

    @torch.no_grad()
    def _clip(self) -> list[float]:
        """The norm of each run's gradient, before it is cut to `max_grad_norm`."""
        grads = [leaf.grad for leaf in self.leaves.values() if leaf.grad is not None]
        squares = [grad.flatten(1).square().sum(1) for grad in grads]
        norms = torch.stack(squares).sum(0).sqrt()
        if self.settings.max_grad_norm is not None:
            factor = (self.settings.max_grad_norm / norms.clamp(min=1e-12)).clamp(max=1.0)
            for grad in grads:
                grad *= factor[:, None, None]
        return [float(one) for one in norms]

    def _remember(
        self, number: int, loss: float, judged: Judged, own: list[int], pictures: Tensor, vectors: dict[str, Tensor],
        norm: float,
    ) -> None:  # fmt: skip
        run, options = self.objective.runs[number], self.settings
        counts = judged.counts[own].tolist()
        known = self.objective.driver is not None
        error = sum(abs(n - target) for row in counts for n, target in zip(row, run.counts, strict=True))
        self.trajectory[number].append(
            {
                "step": self.step,
                "loss": loss,
                "semantic": float(judged.semantic[own].mean()),
                "mass": judged.mass[own].tolist(),
                "counts": counts if known else None,
                "scale": judged.scale[own].tolist(),
                "gradient": norm,
                "moved": self._moved(number),
            }
        )
        key = (error, loss) if options.select == "driver" else (loss,)
        best = self.best[number]
        if best["key"] is None or key < best["key"]:
            self.best[number] = {
                "step": self.step, "loss": loss, "key": key, "counts": counts if known else None,
                "pictures": to_uint8(pictures[own]),
                "vectors": {key: value[number].detach().cpu().clone() for key, value in vectors.items()},
            }  # fmt: skip
            self.since[number] = 0
        else:
            self.since[number] += 1
        none = known and options.scale == "dynamic" and any(n == 0 for row in counts for n in row)
        self.blank[number] = self.blank[number] + 1 if none else 0
        if none:
            used = f"{float(judged.scale[own].mean()):.3g}"
            self.events[number].append(f"step {self.step}: the driver found nothing, scale {used} was used")
            if self.blank[number] == 1:
                warnings.warn(
                    f"dynamic scale undefined: the driver found no {' or no '.join(run.names)} at step {self.step} "
                    f"(seed {run.seeds[0]}); scale {used} was used",
                    UserWarning, stacklevel=2,
                )  # fmt: skip
        self.hits[number] += known and error == 0
        if self.since[number] > options.patience:
            self.stopped[number] = "patience"
        elif self.blank[number] >= BLANK:
            self.stopped[number] = (
                f"the driver found nothing {BLANK} steps in a row in the picture of seed {run.seeds[0]}"
            )
        elif options.hits and self.hits[number] >= options.hits:
            self.stopped[number] = "hits"

    def _moved(self, number: int) -> float:
        """How far a run's vectors are from where they started."""
        shifts = [
            (self.leaves[key][number] - self.start[key][number]).detach().flatten() for key in self.leaves
        ]
        return float(torch.cat(shifts).norm())

    def _active(self) -> list[int]:
        return [number for number, reason in enumerate(self.stopped) if reason is None]

    def _line(self) -> str:
        best = [one["loss"] for one in self.best if one["loss"] is not None]
        return f"best loss {np.mean(best):.3f}" if best else ""

    def _keep(self) -> None:
        assert self.file is not None
        with replacing(self.file) as partial:
            torch.save(
                {
                    "identity": self.identity, "step": self.step, "scale": self.scale, "since": self.since,
                    "leaves": {key: leaf.detach() for key, leaf in self.leaves.items()},
                    "optimizer": self.optimizer.state_dict(), "blank": self.blank, "hits": self.hits,
                    "stopped": self.stopped, "trajectory": self.trajectory, "events": self.events,
                    "best": [
                        {**one, "pictures": None if one["pictures"] is None else torch.from_numpy(one["pictures"])}
                        for one in self.best
                    ],
                },
                partial,
            )  # fmt: skip

    def _restore(self) -> None:
        assert self.file is not None
        try:
            kept = torch.load(self.file, map_location=self.scale.device, weights_only=True)
        except Exception as error:
            raise InputError(f"{self.file} is not the state of a run: remove it to start anew") from error
        if kept.get("identity") != self.identity:
            raise InputError(
                f"{self.file} is of a run with other settings: remove it to start anew, or give another --out"
            )
        for key, leaf in self.leaves.items():
            leaf.data.copy_(kept["leaves"][key])
        self.optimizer.load_state_dict(kept["optimizer"])
        for name in ("step", "scale", "since", "blank", "hits", "stopped", "trajectory", "events"):
            setattr(self, name, kept[name])
        self.best = [
            {**one, "pictures": None if one["pictures"] is None else one["pictures"].cpu().numpy(),
             "vectors": {key: value.cpu() for key, value in one["vectors"].items()}}
            for one in kept["best"]
        ]  # fmt: skip


def _model_name(pipe: Any) -> str:
    """The hub id, or a local folder's own name: where it lies is nobody else's business."""
    name = str(pipe.name_or_path or type(pipe).__name__)
    return Path(name).name if Path(name).is_dir() else name


def _own(value: Any, number: int) -> Any:
    return value[number] if isinstance(value, list) else value


def _words(word: Any, kinds: int) -> list[str]:
    return list(word) if isinstance(word, tuple) else [word] * kinds


def _names(run: Run, token: Any) -> tuple[str, ...]:
    """The names of a run's tokens: those asked for, else `<count-3>`, or `<count-3-apples>` for several kinds."""
    if token is not None:
        names = token if isinstance(token, tuple) else (token,)
        if len(names) != len(run.names):
            raise InputError(f"{len(names)} token names for {len(run.names)} kinds: one for each")
        for one in names:
            if not one.strip() or " " in one:
                raise InputError(
                    f"token name {one!r}: a word without spaces is needed, such as <count-{run.counts[0]}>"
                )
        return names
    if len(run.names) == 1:
        return (f"<count-{run.counts[0]}>",)
    return tuple(
        f"<count-{count}-{'-'.join(name.split())}>" for count, name in zip(run.counts, run.names, strict=True)
    )


def _modules(*things: Any) -> list[torch.nn.Module]:
    """The networks behind a counter and a semantic model, whose weights take no gradient either."""
    inner = [getattr(one, "module", None) or getattr(one, "model", None) or one for one in things]
    return [one for one in inner if isinstance(one, torch.nn.Module)]

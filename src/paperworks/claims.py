"""What an experiment is: a claim of a paper, the evidence for it, and the lab that it runs in.

A claim states what it expects before it runs. The expectation is a predicate over a measurement and is applied
twice: to the measurement of the method, and to the same measurement with the method taken out (the control).

    method meets it, control does not   ->  holds
    method does not meet it             ->  fails
    the control meets it too            ->  void: the experiment cannot tell
    the experiment could not be run     ->  skipped, with the reason
"""

from __future__ import annotations

import hashlib
import inspect
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from paperworks.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Verdict = Literal["holds", "fails", "void", "skipped"]
Scale = Literal["small", "full"]
Item = TypeVar("Item")


class Skip(Exception):
    """Raised by an experiment that cannot run here; the message names the missing piece."""


@dataclass(frozen=True)
class Measured:
    """One measured quantity.

    `samples` are the values of the repetitions (seeds), `value` their mean unless given, `spread` their sample standard
    deviation (`None` for a single one). A single measurement is its own only sample. `details` holds further numbers
    that an expectation may refer to.
    """

    value: float
    unit: str = ""
    spread: float | None = None
    n: int = 1
    samples: tuple[float, ...] = ()
    details: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.samples:
            object.__setattr__(self, "samples", (float(self.value),))

    @classmethod
    def of(cls, samples: Sequence[float], unit: str = "", **details: float) -> Measured:
        """The mean and the sample standard deviation of repeated measurements. Raises `ValueError` on none."""
        if not samples:
            raise ValueError("a measurement needs at least one sample")
        mean = math.fsum(samples) / len(samples)
        spread = None
        if len(samples) > 1:
            spread = math.sqrt(math.fsum((x - mean) ** 2 for x in samples) / (len(samples) - 1))
        return cls(mean, unit, spread, len(samples), tuple(map(float, samples)), details)

    def is_finite(self) -> bool:
        """Whether every number of the measurement is a number."""
        return all(math.isfinite(x) for x in (self.value, *self.samples, *self.details.values()))


@dataclass(frozen=True)
class Table:
    """A table of the report; cells are strings or numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | int]]
    caption: str = ""


@dataclass(frozen=True)
class Evidence:
    """What an experiment found.

    `control` is the same quantity as `measured` with the method taken out; `baseline` is what the method is compared
    with, for the reader's eye alone. `note` says in a sentence or two what the small scale can and cannot show.
    """

    measured: Measured
    control: Measured
    baseline: Measured | None = None
    table: Table | None = None
    figures: Sequence[str] = ()
    note: str = ""


@dataclass
class Lab:
    """What an experiment is given: device, seed, scale, a scratch folder, and ways to report progress and draw.

    `seed` is the first seed of a run; an experiment with repetitions uses `seeds(n)`.
    """

    scratch: Path
    figure_folder: Path
    claim_id: str = "claim"
    device: str = "cpu"
    seed: int = 0
    scale: Scale = "small"
    report: Callable[[int, int, str], None] = lambda done, total, what: None
    figures: list[str] = field(default_factory=list)
    shared_folder: Path | None = None

    def shared(self, name: str, compute: Callable[[], Any]) -> Any:
        """What `compute` returns, computed once for all experiments of one `paperworks reproduce` (and pickled).

        `name` tells it apart from everything else that is shared, so it names all that the result depends on.
        """
        if self.shared_folder is None:
            return compute()
        from filelock import FileLock

        file = self.shared_folder / f"{hashlib.sha256(name.encode()).hexdigest()}.pickle"
        with FileLock(file.with_suffix(".lock")):
            if not file.exists():
                with replacing(file) as new:
                    new.write_bytes(pickle.dumps(compute()))
            return pickle.loads(file.read_bytes())

    def seeds(self, n: int) -> range:
        """`n` consecutive seeds, the first of them the run's own."""
        return range(self.seed, self.seed + n)

    def progress(self, done: int, total: int, what: str = "") -> None:
        """Tell the reader that `done` of `total` steps are done and `what` comes next."""
        self.report(done, total, what)

    def figure(self, name: str, figure: Figure) -> str:
        """Save a matplotlib figure as `METHOD.CLAIM.NAME.png` (150 dpi) and return the file's name."""
        file_name = f"{self.claim_id}.{name}.png"
        self.figure_folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(
            self.figure_folder / file_name, dpi=150, bbox_inches="tight", metadata={"Software": None}
        )
        if file_name not in self.figures:
            self.figures.append(file_name)
        return file_name


@dataclass(frozen=True)
class Claim:
    """A highlight of a paper as an experiment, declared with `@claim`."""

    id: str
    method: str
    paper: str
    highlight: str
    reported: str
    expects: str
    meets: Callable[[Measured], bool]
    control: str
    run: Callable[[Lab], Evidence]
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """The part of the evidence file that was fixed before the run."""
        return {
            "id": self.id,
            "method": self.method,
            "paper": self.paper,
            "highlight": self.highlight,
            "reported": self.reported,
            "expects": self.expects,
            "control": self.control,
            "translations": {tag: dict(texts) for tag, texts in self.translations.items()},
        }

    def fingerprint(self) -> str:
        """SHA-256 over the declaration and the source of the predicate: a changed expectation changes it."""
        declared = [f"{key}={value}" for key, value in self.describe().items()]
        return hashlib.sha256("\n".join([*declared, source_of(self.meets)]).encode()).hexdigest()


def standard_errors(samples: Sequence[float]) -> float:
    """The mean over its standard error; 0 where it cannot be told, a large number where the samples are equal."""
    n, mean = len(samples), math.fsum(samples) / len(samples)
    if n < 2:
        return 0.0
    error = math.sqrt(math.fsum((x - mean) ** 2 for x in samples) / (n - 1) / n)
    return mean / error if error else math.copysign(1e6, mean) if mean else 0.0


def source_of(function: Callable[..., Any]) -> str:
    """A text that changes when the function does: its bytecode, constants and names, nested functions included."""

    def parts(code: Any) -> list[str]:
        nested = [part for constant in code.co_consts if inspect.iscode(constant) for part in parts(constant)]
        constants = [
            # the order of a set of strings differs from process to process
            repr(sorted(constant, key=repr) if isinstance(constant, frozenset) else constant)
            for constant in code.co_consts
            if not inspect.iscode(constant)
        ]
        return [code.co_code.hex(), *constants, *code.co_names, *nested]

    return "\n".join(parts(function.__code__))


def claim(
    *,
    paper: str,
    highlight: str,
    reported: str,
    expects: str,
    meets: Callable[[Measured], bool],
    control: str,
    translations: Mapping[str, Mapping[str, str]] | None = None,
) -> Callable[[Callable[[Lab], Evidence]], Claim]:
    """Declare an experiment: the decorated function becomes a `Claim` named after it.

    `expects` says in words what `meets` computes; both are fixed before the run. `translations` maps a language tag
    to translated `highlight`, `expects` and `control`. The method is the package that the function is defined in.
    """

    def declare(run: Callable[[Lab], Evidence]) -> Claim:
        method = run.__module__.removesuffix(".claims").rpartition(".")[2]
        identity = run.__name__.replace("_", "-")
        return Claim(
            identity, method, paper, highlight, reported, expects, meets, control, run, translations or {}
        )

    return declare


def judge(claim: Claim, evidence: Evidence) -> tuple[Verdict, bool, str]:
    """The verdict, whether the control met the expectation, and the reason in one line.

    A measurement that is not a finite number does not meet any expectation; a control that is not one leaves the
    experiment unable to tell.
    """
    measured, control = evidence.measured, evidence.control
    if not measured.is_finite():
        return "fails", False, "the measured value is not a finite number"
    if not control.is_finite():
        return "void", False, "the control gave no finite number, so there is nothing to compare with"
    method_meets, control_meets = bool(claim.meets(measured)), bool(claim.meets(control))
    if control_meets:
        return "void", True, "the control meets the expectation too, so the experiment cannot tell"
    if not method_meets:
        return "fails", False, "the measurement does not meet the expectation"
    return "holds", False, "the measurement meets the expectation and the control does not"


def claims_of(namespace: Any) -> list[Claim]:
    """The claims declared in a module, in the order of their declaration."""
    return [value for value in vars(namespace).values() if isinstance(value, Claim)]

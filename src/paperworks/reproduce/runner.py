"""Runs experiments, each in a process of its own, several at a time.

An experiment that crashes, hangs or prints nonsense is one row that says so; the others go on. Ctrl-C stops the running
ones and leaves what is finished; the next run takes up from there.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from paperworks.claims import Claim, Evidence, Measured, Table
from paperworks.devices import cores
from paperworks.reproduce.store import Settings, Store, evidence_key, full_id, make_record

SMALL_SCALE_TIMEOUT = 600.0
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class Running:
    """One experiment's process and what it said so far."""

    claim: Claim
    key: str
    process: subprocess.Popen[bytes]
    descriptor: int
    started: float
    pending: bytes = b""
    outcome: dict[str, Any] = field(default_factory=dict)


def run_claims(
    claims: Sequence[Claim],
    store: Store,
    settings: Settings,
    *,
    jobs: int | None = None,
    timeout: float | None = None,
    fresh: bool = False,
    on_start: Callable[[Claim], None] = lambda claim: None,
    on_progress: Callable[[Claim, int, int, str], None] = lambda claim, done, total, what: None,
) -> Iterator[tuple[Claim, dict[str, Any], bool]]:
    """Measure `claims` and yield `(claim, record, crashed)` as each one ends; stored evidence is used again.

    A crash or a timeout gives a `skipped` record with the reason, which is not stored. With `jobs` experiments at a
    time each gets `cores / jobs` threads. `timeout` is in seconds; by default 600 at small scale and none at full.
    """
    jobs = min(jobs or cores(), max(len(claims), 1))
    if timeout is None and settings.scale == "small":
        timeout = SMALL_SCALE_TIMEOUT
    keys = {full_id(claim): evidence_key(claim, settings) for claim in claims}
    waiting: list[Claim] = []
    for claim in claims:
        record = None if fresh else store.valid(claim, keys[full_id(claim)])
        if record is None:
            waiting.append(claim)
        else:
            yield claim, record, False
    running: dict[int, Running] = {}
    with tempfile.TemporaryDirectory(prefix="paperworks-") as shared, selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    claim = waiting.pop(0)
                    threads = max(1, cores() // jobs)
                    with uninterrupted():
                        started = _start(claim, keys[full_id(claim)], store, settings, threads, shared)
                        running[started.descriptor] = started
                    selector.register(started.descriptor, selectors.EVENT_READ)
                    on_start(claim)
                ready = {key.fd for key, _ in selector.select(timeout=0.2)}
                for experiment in list(running.values()):
                    late = timeout is not None and time.monotonic() - experiment.started > timeout
                    if late:
                        _stop(experiment)
                        experiment.outcome = {"crashed": f"timed out after {timeout:g} s"}
                    if late or (experiment.descriptor in ready and not _listen(experiment, on_progress)):
                        selector.unregister(experiment.descriptor)
                        del running[experiment.descriptor]
                        yield experiment.claim, *_finish(experiment, store, settings)
        finally:
            for experiment in running.values():
                _stop(experiment)
                os.close(experiment.descriptor)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until a process that is being started is known, so that it can be ended."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(claim: Claim, key: str, store: Store, settings: Settings, threads: int, shared: str) -> Running:
    log_path = store.log_path(claim)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    request = {
        "module": claim.run.__module__,
        "claim": claim.id,
        "scratch": str(store.scratch(claim, key)),
        "shared": shared,
        **vars(settings),
    }
    reading, writing = os.pipe()
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"PYTHONUNBUFFERED": "1"}
    with open(log_path, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "paperworks.reproduce.worker", str(writing), json.dumps(request)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writing],
            env=environment,
            start_new_session=True,
        )
    os.close(writing)
    return Running(claim, key, process, reading, time.monotonic())


def _listen(experiment: Running, on_progress: Callable[[Claim, int, int, str], None]) -> bool:
    """Take in what the process said; false at the end of its messages."""
    data = os.read(experiment.descriptor, 1 << 16)
    if not data:
        return False
    *lines, experiment.pending = (experiment.pending + data).split(b"\n")
    for line in lines:
        message = json.loads(line)
        if "progress" in message:
            on_progress(experiment.claim, *message["progress"])
        else:
            experiment.outcome = message
    return True


def _stop(experiment: Running) -> None:
    """End the process and whatever it started."""
    if experiment.process.poll() is None:
        os.killpg(experiment.process.pid, signal.SIGKILL)
    experiment.process.wait()


def _finish(experiment: Running, store: Store, settings: Settings) -> tuple[dict[str, Any], bool]:
    status = experiment.process.wait()
    os.close(experiment.descriptor)
    outcome, claim = experiment.outcome, experiment.claim
    seconds = time.monotonic() - experiment.started
    if "evidence" in outcome:
        try:
            record = make_record(
                claim,
                settings,
                key=experiment.key,
                evidence=read_evidence(outcome["evidence"]),
                seconds=seconds,
                device=outcome["device"],
            )
            store.save(claim, record)
            return record, False
        except Exception as error:
            outcome = {"crashed": f"its evidence cannot be judged: {type(error).__name__}: {error}"}
    crashed = "skipped" not in outcome
    reason = outcome.get("skipped") or outcome.get("crashed")
    if reason is None:
        cause = signal.Signals(-status).name if status < 0 else f"status {status}"
        reason = f"its process ended with {cause} and no result"
    if crashed:
        reason = f"the experiment crashed: {reason} (see logs/{full_id(claim)}.log)"
    return make_record(claim, settings, key=experiment.key, reason=reason, seconds=seconds), crashed


def read_evidence(data: dict[str, Any]) -> Evidence:
    """`Evidence` from the dictionary that `dataclasses.asdict` makes of it."""

    def measured(part: dict[str, Any] | None) -> Measured | None:
        return None if part is None else Measured(**part | {"samples": tuple(part["samples"])})

    table = None if data["table"] is None else Table(**data["table"])
    method, control = measured(data["measured"]), measured(data["control"])
    assert method is not None
    assert control is not None
    return Evidence(method, control, measured(data["baseline"]), table, tuple(data["figures"]), data["note"])

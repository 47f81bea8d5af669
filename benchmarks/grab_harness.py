"""The harness of `paperworks grab run` against an endpoint that takes 50 ms: how near it comes to n · 0.05 / 16.

    python benchmarks/grab_harness.py [--n 640] [--peer PYTHON]

The endpoint is a server on loopback in a process of its own; each question carries a PNG of 600 × 600 pixels of about
30 kB from a file, as real ones do. Baselines: the time that 16 calls at a time need at least, and, where it is
installed (`--peer` names the interpreter), inspect_ai's openai-api provider on the same server with the same pictures.
Every harness runs in its own process and warms up on 32 questions first. Memory is the peak of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DELAY, CONCURRENCY = 0.05, 16


def serve() -> None:
    """Serve until the standard input ends; a line asks for the calls so far and the most at a time since."""
    from loopback import Server, right

    with Server(lambda asked: right(asked, delay=DELAY)) as server:
        server.keep = False
        print(server.url, flush=True)
        for _ in sys.stdin:
            print(sum(server.counts.values()), server.most_under_way, flush=True)
            server.most_under_way = 0


def pictured(n: int, folder: Path) -> Any:
    """A benchmark of `n` items whose pictures are files."""
    from loopback import FakeBench

    bench = FakeBench(n)
    bench.folder = folder
    return bench


def ours(url: str, n: int, folder: Path) -> dict[str, float]:
    """Seconds of a run, of the same run again, and the peak of memory in MB."""
    from paperworks.grab.endpoint import Endpoint
    from paperworks.grab.evaluate import evaluate

    def run(count: int, out: str) -> float:
        with tempfile.TemporaryDirectory() as parent:
            began = time.perf_counter()
            model = Endpoint(url, "m", concurrency=CONCURRENCY, price=(2.5, 10.0), budget=1000.0)
            evaluate(pictured(count, folder), model, out=Path(parent) / out)
            first = time.perf_counter() - began
            if out == "warm":
                return first
            began = time.perf_counter()
            evaluate(pictured(count, folder), model, out=Path(parent) / out)
            times["again"] = time.perf_counter() - began
            return first

    times: dict[str, float] = {}
    run(32, "warm")
    began = time.process_time()
    times["seconds"] = run(n, "run")
    times["cpu"] = time.process_time() - began
    return times | {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def peer(url: str, n: int, folder: Path) -> dict[str, float]:
    """The same with inspect_ai."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessageUser, ContentImage, ContentText, GenerateConfig, get_model
    from inspect_ai.solver import generate

    config = GenerateConfig(max_connections=CONCURRENCY, max_tokens=100, temperature=0.0)
    model = get_model("openai-api/local/m", base_url=url, api_key="none", config=config)

    def run(count: int) -> float:
        samples = [
            Sample(
                input=[
                    ChatMessageUser(
                        content=[
                            ContentText(text=f"Question {i}: what is the gradient?\nAnswer:"),
                            ContentImage(image=str(folder / "images" / f"{i}.png")),
                        ]
                    )
                ],
                id=i,
            )
            for i in range(count)
        ]
        with tempfile.TemporaryDirectory() as logs:
            began = time.perf_counter()
            [log] = eval(
                Task(dataset=samples, solver=generate()),
                model=model,
                display="none",
                log_dir=logs,
                max_samples=CONCURRENCY,
                max_connections=CONCURRENCY,
            )
            seconds = time.perf_counter() - began
        assert log.status == "success", log.error
        return seconds

    run(32)
    began = time.process_time()
    return {
        "seconds": run(n),
        "cpu": time.process_time() - began,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def pictures(n: int, folder: Path) -> int:
    """A PNG of a usual size under `n` names; its bytes."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    pixels = np.full((600, 600, 3), 255, np.uint8)
    pixels[rng.integers(0, 600, 4000), rng.integers(0, 600, 4000)] = rng.integers(0, 255, (4000, 3))
    (folder / "images").mkdir()
    first = folder / "images" / "0.png"
    Image.fromarray(pixels).save(first)
    for place in range(1, n):
        os.link(first, folder / "images" / f"{place}.png")
    return first.stat().st_size


def child(python: str, *arguments: str) -> dict[str, float]:
    paths = [str(ROOT / "tests" / "grab")] + ([str(ROOT / "src")] if python == sys.executable else [])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, __file__, *arguments], env=environment, stdout=subprocess.PIPE, check=True, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def show(name: str, figures: dict[str, float], least: float) -> None:
    print(
        f"{name:28} {figures['seconds']:7.2f} s  {figures['seconds'] / least:7.3f} × the least possible, "
        f"{figures['cpu']:.2f} s of CPU, {figures['memory']:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=640)
    parser.add_argument("--peer", default=sys.executable, help="the interpreter that has inspect_ai")
    parser.add_argument("--role", choices=["serve", "ours", "peer"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role == "serve":
        sys.path.insert(0, str(ROOT / "tests" / "grab"))
        serve()
    elif given.role is not None:
        measure = {"ours": ours, "peer": peer}[given.role]
        print(json.dumps(measure(given.url, given.n, given.folder)))
    else:
        compare(given.n, given.peer)


def compare(n: int, peer_python: str) -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        size = pictures(3 * n, folder)
        server = subprocess.Popen(
            [sys.executable, __file__, "--role", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdin
        assert server.stdout
        url = server.stdout.readline().strip()

        def calls() -> tuple[int, int]:
            print(file=server.stdin, flush=True)
            count, most = server.stdout.readline().split()
            return int(count), int(most)

        def measure(role: str, count: int, python: str = sys.executable) -> dict[str, float]:
            return child(python, "--role", role, "--n", str(count), "--url", url, "--folder", str(folder))

        try:
            least = n * DELAY / CONCURRENCY
            few = measure("ours", n)
            made, most = calls()
            print(f"{n} questions, {size / 1000:.0f} kB a picture, {CONCURRENCY} at a time, {DELAY} s a call")
            print(f"{'least possible':28} {least:7.2f} s")
            show(f"paperworks ({most} at a time)", few, least)
            print(f"{'the same run again':28} {few['again']:7.2f} s, {made - n - 32} calls")
            many = measure("ours", 3 * n)
            show("three times as many", many, 3 * least)
            results = {
                "ratio": few["seconds"] / least,
                "ratio_of_three_times": many["seconds"] / (3 * least),
                "cpu_ms_a_question": 1000 * many["cpu"] / (3 * n),
                "resumed_calls": made - n - 32,
                "memory_mb": few["memory"],
                "memory_growth_mb": many["memory"] - few["memory"],
            }
            calls()
            if peer_python == sys.executable and find_spec("inspect_ai") is None:
                print("inspect_ai is not installed: name an interpreter that has it with --peer")
            else:
                other = measure("peer", n, peer_python)
                show(f"inspect_ai ({calls()[1]} at a time)", other, least)
                results["peer_ratio"] = other["seconds"] / least
            print(json.dumps({name: round(value, 3) for name, value in results.items()}))
        finally:
            server.stdin.close()
            server.wait(10)


if __name__ == "__main__":
    main()

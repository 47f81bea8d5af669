"""Making and reading a benchmark: items, pictures, the pixel reader and scores, each beside a peer or a limit.

    python benchmarks/grab_pictures.py
    python benchmarks/grab_pictures.py --items 2170 --jobs 2

Pictures: ours (fixed boxes, outlines, no state), against a new figure of `matplotlib.pyplot` with `savefig` of the same
curves, and against the limit: Agg drawing an empty canvas of the same size plus zlib on our finished pixels. All three
on the same items, one after the other, in this process; then ours with `--jobs` processes into a folder, with its size.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from paperworks.grab.design import cells
from paperworks.grab.draw import draw, png
from paperworks.grab.families import points
from paperworks.grab.generate import generate
from paperworks.grab.items import Item, make_item
from paperworks.grab.reader import PixelReader
from paperworks.grab.scores import score_run
from paperworks.grab.small_scale import rows


def seconds(each: Callable[[Item], Any], items: Sequence[Item], repeats: int) -> float:
    """The median seconds of an item over rounds of all items, after one of them to warm up."""
    each(items[0])
    rounds = []
    for _ in range(repeats):
        start = time.perf_counter()
        for item in items:
            each(item)
        rounds.append((time.perf_counter() - start) / len(items))
    return statistics.median(rounds)


def with_pyplot(item: Item) -> bytes:
    """The same curves by pyplot in a new figure."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    style, axes = item.spec["style"], item.spec["axes"]
    width, height = style["size"]
    figure, panel = plt.subplots(figsize=(width / 100, height / 100), dpi=100)
    for place, member in enumerate(item.spec["members"]):
        x, y = points(member)
        dots = member["family"] == "points"
        panel.plot(x, y, "o" if dots else "-", color=style["colours"][place], markersize=4)
    panel.set(
        xlim=[float(one) for one in axes["x"]],
        ylim=[float(one) for one in axes["y"]],
        xlabel="x",
        ylabel="f(x)",
    )
    panel.grid(bool(style["grid"]))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return buffer.getvalue()


def limit(item: Item, drawn: dict[str, bytes]) -> bytes:
    """Agg on an empty canvas of the item's size, and zlib on the item's pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = item.spec["style"]["size"]
    canvas = FigureCanvasAgg(Figure(figsize=(width / 100, height / 100), dpi=100))
    canvas.draw()
    return zlib.compress(drawn[item.id], 6)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=120, help="items that are timed one by one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--saved", type=int, default=500, help="items saved with --jobs processes; 2170 for all"
    )
    parser.add_argument("--out", type=Path, default=Path("grab_pictures.json"))
    options = parser.parse_args()
    slots = cells("paper")
    start = time.perf_counter()
    made = [make_item(0, slot) for slot in slots]
    per_second = len(slots) / (time.perf_counter() - start)
    items = made[:: max(1, len(made) // options.items)]
    pixels = {item.id: draw(item.spec).tobytes() for item in items}
    pictures = {
        "ours": seconds(lambda item: png(draw(item.spec)), items, options.repeats),
        "ours, no PNG": seconds(lambda item: draw(item.spec), items, options.repeats),
        "pyplot and savefig": seconds(with_pyplot, items, options.repeats),
        "limit: empty Agg canvas and zlib": seconds(lambda item: limit(item, pixels), items, options.repeats),
    }
    reader = PixelReader()
    five = [item for item in made if item.task == "function" and item.complexity == 4][:30]
    ready = {item.id: draw(item.spec) for item in five}
    reading = seconds(lambda item: reader.explain(ready[item.id], item.question), five, options.repeats)
    with tempfile.TemporaryDirectory() as folder:
        bench = generate(0, "paper" if options.saved >= 2170 else "lite", jobs=options.jobs)
        start = time.perf_counter()
        bench.save(Path(folder) / "set", jobs=options.jobs)
        saving = len(bench) / (time.perf_counter() - start)
        megabytes = sum(file.stat().st_size for file in Path(folder).rglob("*.png")) / 1e6
    answered = rows(made, [item.answer for item in made])
    start = time.perf_counter()
    score_run(answered)
    scoring = time.perf_counter() - start
    print(f"items without pictures, one process: {per_second:,.0f} a second")
    ours = pictures["ours"]
    for name, value in pictures.items():
        print(f"{name:34} {1000 * value:7.1f} ms   {1 / value:6.1f} a second   {value / ours:5.2f} of ours")
    print(
        f"saved with {options.jobs} processes: {saving:.1f} a second; {len(bench):,} pictures {megabytes:.1f} MB, "
        f"{megabytes * 2170 / len(bench):.0f} MB for 2,170"
    )
    print(f"pixel reader, 600 pixels, 5 curves: {reading:.3f} s")
    print(f"scoring {len(answered):,} responses, all tables: {scoring:.2f} s")
    found = {
        "items_per_second": per_second,
        "pictures": pictures,
        "saved_per_second": saving,
        "megabytes": megabytes,
    }
    found |= {"reader_seconds": reading, "scoring_seconds": scoring}
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

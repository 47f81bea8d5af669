"""Pages for the tests of the site, and a reader of its search index that shares no code with it."""

from __future__ import annotations

import base64
import datetime
import json
import re
import zlib
from pathlib import Path

from paperworks.papers import Page, Paper, load_page

EVIL = "<script>self.hacked = 1</script>"


def small_pages() -> list[Page]:
    """Four days, among them the shipped one; a hostile title; a paper twice; a day of free bullets."""
    first = Paper(
        title="Zephyr: Müller's Winds, Forecast",
        arxiv_id="2407.00001",
        authors=["Jürgen Müller", "김철수", "Ada Lovelace", "B. C", "D. E", "Grace Hopper"],
        votes=3,
        sections={
            "What's New": "언어모델을 기상 예보에 씁니다. 바람의 세기를 예측하는 새로운 방법론을 제안합니다.",
            "Technical Details": "It learns a zonal-mean operator with GPT-4 labels.",
        },
    )
    second = Paper(
        title=f"{EVIL} & Friends",
        arxiv_id="2407.00002",
        url="https://arxiv.org/abs/2407.00002",
        thumbnail="https://example.org/thumbnail.png",
        authors=["<b>Bobby</b>"],
        votes=30,
        sections={"What's New": f"{EVIL} 데이터셋의 모델"},
    )
    bullets = Paper(
        title="Free bullets", votes=None, bullets=["하나의 점", "two words"], url="javascript:alert(1)"
    )
    return [
        Page(date=datetime.date(2024, 7, 1), language="ko", papers=[first, second]),
        Page(date=datetime.date(2024, 7, 2), language="ko", papers=[bullets, first, second, first]),
        load_page("2024-08-22"),
        Page(date=datetime.date(2024, 8, 23), language="ko", papers=[second]),
    ]


def write_pages(folder: Path, pages: list[Page]) -> None:
    for page in pages:
        path = folder / f"{page.date:%Y/%m/%d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.model_dump_json(indent=2), encoding="utf-8")


def read_index(script: str) -> tuple[dict, dict[str, dict[int, int]]]:
    """What the search index holds: the papers as shown, and each term's papers with their fields."""
    head, data = re.fullmatch(
        r'self\.searchIndex = \{\.\.\.(\{.*\}), data: "([A-Za-z0-9+/=]+)"\};\n', script
    ).groups()
    raw, parts, at = zlib.decompress(base64.b64decode(data), -15), [], 0
    for size in json.loads(head)["parts"]:
        parts.append(raw[at : at + size])
        at += size
    assert at == len(raw)
    shown, shared, rests, lengths, steps, fields = parts
    steps, lengths, fields = numbers(steps), numbers(lengths), iter(fields)
    found, before = {}, b""
    for same, rest in zip(shared, rests.decode().split("\n")[:-1], strict=True):
        before = before[: 2 * same] + rest.encode("utf-16-be")
        paper, postings = -1, {}
        for _ in range(next(lengths)):
            paper += next(steps) + 1
            postings[paper] = next(fields)
        found[before.decode("utf-16-be")] = postings
    assert next(steps, None) is next(lengths, None) is next(fields, None) is None
    return json.loads(shown), found


def numbers(planes: bytes):
    count = len(planes) // 3
    return (
        low + 256 * middle + 65536 * high
        for low, middle, high in zip(
            planes[:count], planes[count : 2 * count], planes[2 * count :], strict=True
        )
    )

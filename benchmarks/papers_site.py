"""A site of 357 days and about 5,500 papers: seconds to build, size of the search index, latency of its
search.

    python benchmarks/papers_site.py --pages FOLDER

The corpus is made from the shipped page and, with `--pages`, from real pages. A made paper takes its
sentences from the whole pool, in a new order, and changes some of the rare words in them: some for other rare
words, and so many for new ones that the vocabulary grows with the number of papers n as that of the pages
given does (n ** 0.7, Heaps' law; fitted on real pages). Names of authors are put together anew, three in ten
with a new surname. A second corpus repeats whole papers: what deflate makes of that is printed for
comparison, and flatters."""

from __future__ import annotations

import argparse
import datetime
import json
import random
import re
import statistics
import tempfile
from collections import Counter
from pathlib import Path

from paperworks.papers import Page, Paper, load_page
from paperworks.papers.site import build_site, find_pages

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
GROWTH = 0.7
LATIN = "abcdefghijklmnoprstuvwxyz"
QUERIES = [
    *("모델을", "모델", "언어 모델", "강화 학습", "벤치마크 성능", "이미지 생성", "추론", "데이터셋을 공개"),
    *(
        "diffusion",
        "language model",
        "transformer attention",
        "reinforcement",
        "video generation",
        "LLM 평가",
    ),
    *(
        "m",
        "모",
        "t",
        "a",
        "이",
        "zhang",
        "wei li",
        "chen",
        "2408.08793",
        "로봇 정책",
        "quantization",
        "nothingofthekind",
    ),
]


class Maker:
    """Papers of the pool's sentences and words, more and more different as they grow in number."""

    def __init__(self, pool: list[Paper], seed: int) -> None:
        self.pool, self.chance = pool, random.Random(seed)
        self.names = [name for paper in pool for name in paper.authors]
        texts = [text for paper in pool for text in texts_of(paper)]
        self.sentences = [part for text in texts for part in re.split(r"(?<=[.!?]) +", text) if part]
        seen = Counter(word for sentence in self.sentences for word in set(re.findall(r"\w+", sentence)))
        self.rare = [word for word, count in seen.items() if count == 1 and len(word) > 2]
        self.known = len(seen)
        self.is_rare = set(self.rare)

    def word(self, like: str) -> str:
        if re.search(r"[가-힣]", like):
            stem = "".join(chr(self.chance.randrange(0xAC00, 0xD7A4)) for _ in range(2))
            return stem + like[2:]
        return "".join(self.chance.choices(LATIN, k=self.chance.randrange(4, 10)))

    def text(self, length: int, new: float) -> str:
        """About `length` characters; `new` is the share of the rare words that have never been seen
        before."""

        def change(found: re.Match[str]) -> str:
            word = found[0]
            if word not in self.is_rare:
                return word
            return self.word(word) if self.chance.random() < new else self.chance.choice(self.rare)

        parts: list[str] = []
        while (left := length - sum(map(len, parts))) > 20:
            parts.append(re.sub(r"\w+", change, self.chance.choice(self.sentences))[: left + 20])
        return " ".join(parts)

    def paper(self, number: int) -> Paper:
        old = self.chance.choice(self.pool)
        base = len(self.pool)
        wanted = GROWTH * self.known / base * (base / max(number, base)) ** (1 - GROWTH)
        length = sum(map(len, texts_of(old)))
        rare_here = max(1.0, length / 120 * len(self.rare) / len(self.sentences) * 1.2)
        new = min(1.0, wanted / rare_here)
        sections = {name: self.text(len(text), new) for name, text in (old.sections or {}).items()}
        bullets = [self.text(len(text), new) for text in old.bullets]
        authors = []
        for _ in old.authors:
            first, last = self.chance.choice(self.names), self.chance.choice(self.names)
            surname = self.word("surname") if self.chance.random() < 0.3 else last.split()[-1]
            authors.append(f"{first.split()[0]} {surname.title()}")
        words = " ".join(self.chance.choice(self.pool).title for _ in range(2)).split()
        self.chance.shuffle(words)
        return Paper(
            title=" ".join(words[: max(4, len(words) // 2)]),
            arxiv_id=f"{2311 + number // 400}.{10000 + number}",
            thumbnail="https://example.org/thumbnail.png",
            votes=int(self.chance.expovariate(1 / 20)),
            authors=authors,
            sections=sections or None,
            bullets=bullets,
        )


def texts_of(paper: Paper) -> list[str]:
    return [*(paper.sections or {}).values(), *paper.bullets]


def make_pages(folder: Path, pool: list[Paper], days: int, papers: int, seed: int, repeat: bool) -> None:
    maker = Maker(pool, seed)
    start, number = datetime.date(2023, 11, 20), 0
    for day in range(days):
        date = start + datetime.timedelta(days=day * 535 // days)
        count = papers * (day + 1) // days - papers * day // days
        made = []
        for _ in range(count):
            made.append(pool[number % len(pool)] if repeat else maker.paper(number))
            number += 1
        path = folder / f"{date:%Y/%m/%d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Page(date=date, language="ko", papers=made).model_dump_json(), encoding="utf-8")


def browser_times(site: Path) -> dict[str, float] | None:
    """Milliseconds: the first answer (library and data loaded from disk), the longest task meanwhile, median
    and 95 % of an answer; and the megabytes that the loaded search keeps."""
    program = next((path for path in CHROMIUM if Path(path).exists()), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        return None
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    arguments += ["--disable-background-networking", "--disable-component-update"]
    arguments += ["--enable-precise-memory-info", "--js-flags=--expose-gc"]
    memory = "() => { gc(); return performance.memory.usedJSHeapSize / 1e6; }"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=arguments)
        page = browser.new_page()
        page.goto(site.joinpath("index.html").as_uri())
        page.evaluate("""() => {
            self.longest = 0;
            new PerformanceObserver((list) => {
                for (const task of list.getEntries()) self.longest = Math.max(self.longest, task.duration);
            }).observe({ type: "longtask" });
            self.ask = async (text) => {
                const query = document.getElementById("query"), from = performance.now();
                query.value = text;
                query.dispatchEvent(new Event("input"));
                const found = document.getElementById("found");
                const ready = () => found.textContent && !found.textContent.includes("…");
                while (!ready()) await new Promise((done) => setTimeout(done, 2));
                document.body.offsetHeight; // laid out as well
                return performance.now() - from;
            };
        }""")
        before = page.evaluate(memory)
        first = page.evaluate(f"ask({QUERIES[0]!r})")
        longest = page.evaluate("longest")
        kept = page.evaluate(memory) - before
        times = [page.evaluate(f"ask({query!r})") for _ in range(5) for query in QUERIES]
        browser.close()
    return {
        "first": first,
        "longest task": longest,
        "median": statistics.median(times),
        "95 %": statistics.quantiles(times, n=20)[-1],
        "worst": max(times),
        "megabytes": kept,
    }


def measure(name: str, folder: Path, site: Path) -> dict[str, object]:
    report = build_site(folder, site, language="ko")
    again = build_site(folder, site, language="ko")
    row: dict[str, object] = {
        "corpus": name,
        "days": report.days,
        "papers": report.papers,
        "build_seconds": report.seconds,
        "again_seconds": again.seconds,
        "again_written": again.written,
        "index_bytes": report.index_bytes,
        "feed_bytes": site.joinpath("feed.xml").stat().st_size,
        "index_page_bytes": site.joinpath("index.html").stat().st_size,
        "browser_ms": browser_times(site),
    }
    print(f"{name}: {report.days} days, {report.papers} papers")
    print(f"  build {report.seconds:.1f} s, again {again.seconds:.1f} s ({again.written} files written)")
    print(f"  search index {report.index_bytes / 1e6:.2f} MB, index page {row['index_page_bytes']:,} bytes")
    if row["browser_ms"]:
        print(
            "  browser, ms and MB: "
            + ", ".join(f"{key} {value:.1f}" for key, value in row["browser_ms"].items())
        )
    else:
        print("  no browser here (Debian: apt install chromium; pip install playwright): search not timed")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=Path, help="a folder of real pages to draw on")
    parser.add_argument("--days", type=int, default=357)
    parser.add_argument("--papers", type=int, default=5500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON at the end")
    options = parser.parse_args()
    pool = [*load_page("2024-08-22").papers]
    if options.pages:
        pool += [paper for path in find_pages(options.pages).values() for paper in load_page(path).papers]
    rows = []
    for name, repeat in (("varied", False), ("repeated", True)):
        with tempfile.TemporaryDirectory() as folder:
            pages, site = Path(folder, "pages"), Path(folder, "site")
            make_pages(pages, pool, options.days, options.papers, options.seed, repeat)
            rows.append(measure(f"{name} from {len(pool)} papers", pages, site))
    if options.json:
        print(json.dumps(rows, ensure_ascii=False))


if __name__ == "__main__":
    main()

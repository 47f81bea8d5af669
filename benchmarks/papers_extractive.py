"""The extractive summary against the lead of the paper, scored with a reference.

    python benchmarks/papers_extractive.py --specs FOLDER [--papers FOLDER]

`--specs` holds the specification files of the methods of the shipped page (Markdown, an arXiv id near the top). The
reference of each is what the page says of that paper in English. `--papers` holds papers as Markdown with an
"Abstract": the summary is made of the paper without its abstract, and the abstract is the reference. Beside the
summary stand lead-3 (the first three sentences) and, because a longer text always finds more, the lead and a random
choice of the summary's own length. Scores: ROUGE where the package `rouge-score` is installed (F1), else not; the
share of the reference's content words and of its figures that a text holds.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from markdown_it import MarkdownIt
from sklearn.feature_extraction.text import CountVectorizer

from paperworks.papers import load_page
from paperworks.papers.extractive import ExtractiveSummarizer
from paperworks.papers.sentences import sentences
from paperworks.papers.source import Section, Source
from paperworks.papers.summarize import SUMMARY_SECTIONS, parts_of

DAY = "2024-08-22"
_FIGURE = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")


def source_of(markdown: str) -> Source:
    """A Markdown file as the sections of a paper; code is left out, a row of a table is a line."""
    sections: list[tuple[str, list[str]]] = [("", [])]
    row: list[str] | None = None
    heading = False
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "heading_open":
            heading = True
        elif token.type == "tr_open":
            row = []
        elif token.type == "tr_close" and row is not None:
            sections[-1][1].append(" | ".join(row))
            row = None
        elif token.type == "inline":
            text = "".join(
                child.content
                if child.type in ("text", "code_inline")
                else "\n"
                if child.type == "softbreak"
                else ""
                for child in token.children or ()
            )
            if heading:
                sections.append((text, []))
                heading = False
            elif row is not None:
                row.append(text)
            else:
                sections[-1][1].append(text)
    return Source(tuple(Section(name, "\n\n".join(texts)) for name, texts in sections if name or texts))


def plain_sentences(source: Source) -> list[str]:
    """Every sentence of more than five words, in order, that is no row of a table."""
    texts = [section.text[a:b] for section in source.sections for a, b in sentences(section.text)]
    return [" ".join(text.split()) for text in texts if len(text.split()) > 5 and " | " not in text]


def of_length(texts: list[str], length: int) -> str:
    """The first of `texts` that fit into `length` characters."""
    chosen: list[str] = []
    for text in texts:
        if sum(map(len, chosen)) + len(chosen) + len(text) > length:
            break
        chosen.append(text)
    return " ".join(chosen)


def words_found(text: str, reference: str) -> float:
    """The share of the reference's different content words that `text` holds."""
    words = CountVectorizer(stop_words="english", token_pattern=r"[a-zA-Z][\w-]+").build_analyzer()
    wanted = set(words(reference))
    return len(wanted & set(words(text))) / len(wanted)


def figures_found(text: str, reference: str) -> float:
    """The share of the reference's different numbers that `text` holds."""
    wanted = set(_FIGURE.findall(reference))
    return len(wanted & set(_FIGURE.findall(text))) / len(wanted) if wanted else float("nan")


def scores(text: str, reference: str) -> dict[str, float]:
    found = {"words": words_found(text, reference), "figures": figures_found(text, reference)}
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        return found
    rouge = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True).score(reference, text)
    return {name: score.fmeasure for name, score in rouge.items()} | found


def with_page(folder: Path) -> Iterator[tuple[str, Source, str]]:
    """The specifications whose paper is on the shipped page, with what the page says of it."""
    page = load_page(DAY).in_language("en")
    for path in sorted(folder.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        paper = next(
            (paper for paper in page.papers if paper.arxiv_id and paper.arxiv_id in text[:1500]), None
        )
        if paper:
            said = " ".join((paper.sections or {}).get(section, "") for section in SUMMARY_SECTIONS)
            yield paper.title, source_of(text), said


def with_abstract(folder: Path) -> Iterator[tuple[str, Source, str]]:
    """The papers, without their abstract, and the abstract."""
    for path in sorted(folder.glob("*.md")):
        source = source_of(path.read_text(encoding="utf-8"))
        parts = parts_of(source)
        abstracts = [
            section.text
            for section, part in zip(source.sections, parts, strict=True)
            if part == "abstract" and section.heading
        ]
        first = next((place for place, part in enumerate(parts) if part == "introduction"), None)
        if abstracts and first is not None:
            yield path.stem, Source(source.sections[first:]), abstracts[0]


def compare(title: str, source: Source, reference: str, seed: int, show: bool) -> dict[str, dict[str, float]]:
    start = time.perf_counter()
    summary = ExtractiveSummarizer().summarize(title, source, "en")
    seconds = time.perf_counter() - start
    text = " ".join(summary.sections.values())
    lead = plain_sentences(source)
    shuffled = random.Random(seed).sample(lead, len(lead))
    texts = {
        "extractive": text,
        "lead-3": " ".join(lead[:3]),
        "lead, same length": of_length(lead, len(text)),
        "random, same length": of_length(shuffled, len(text)),
    }
    print(f"\n{title}  ({len(source.text):,} characters, {1000 * seconds:.0f} ms)")
    if show:
        for section, said in summary.sections.items():
            print(f"  {section}: {said}")
        print(f"  lead-3: {texts['lead-3']}")
    found = {name: scores(said, reference) | {"characters": float(len(said))} for name, said in texts.items()}
    table(found)
    return found


def speed(sources: list[Source], characters: int = 100_000) -> dict[str, float]:
    """The best of five runs on the sections of all texts, one after another, up to 100,000 characters."""
    sections: list[Section] = []
    for section in (section for _ in range(100) for source in sources for section in source.sections):
        room = characters - sum(len(other.heading) + len(other.text) + 4 for other in sections)
        if room < 200:
            break
        sections.append(Section(section.heading, section.text[:room]))
    long = Source(tuple(sections))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        ExtractiveSummarizer().summarize("", long)
        seconds.append(time.perf_counter() - start)
    print(f"\n{len(long.text):,} characters: {min(seconds):.3f} s (the best of 5)")
    return {"characters": float(len(long.text)), "seconds": min(seconds)}


def table(found: dict[str, dict[str, float]]) -> None:
    columns = list(next(iter(found.values())))
    print(f"  {'':20}" + "".join(f"{column:>11}" for column in columns))
    for name, row in found.items():
        cells = (
            f"{row[column]:11,.0f}" if column == "characters" else f"{row[column]:11.3f}"
            for column in columns
        )
        print(f"  {name:20}" + "".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--specs", type=Path, help="folder of specification files")
    parser.add_argument("--papers", type=Path, help="folder of papers as Markdown")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print the texts too")
    parser.add_argument("--out", type=Path, default=Path("papers_extractive.json"))
    options = parser.parse_args()
    ExtractiveSummarizer().summarize(
        "", Source((Section("", "This sentence only loads what the timing needs not count."),))
    )
    results: dict[str, Any] = {}
    read: list[tuple[str, Source, str]] = []
    for name, folder, reader in (
        ("specs", options.specs, with_page),
        ("papers", options.papers, with_abstract),
    ):
        texts = list(reader(folder)) if folder and folder.is_dir() else []
        if not texts:
            print(f"{name} skipped: give a folder with such files with --{name}")
            continue
        read += texts
        rows = [compare(*text, options.seed, options.show) for text in texts]
        mean = {
            system: {
                column: float(np.nanmean([row[system][column] for row in rows])) for column in rows[0][system]
            }
            for system in rows[0]
        }
        print(f"\nMean of {len(rows)} {name}")
        table(mean)
        results[name] = {"mean": mean, "each": {text[0]: row for text, row in zip(texts, rows, strict=True)}}
    if results:
        results["speed"] = speed([text for _, text, _ in read])
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

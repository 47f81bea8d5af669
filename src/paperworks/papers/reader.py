"""Goes through the lines of a page once and collects its headings, its papers and what stands before them.

A paper is read into a `Draft`, which knows the item or paragraph that is open, so that nested points, paragraphs within
an item and lines without indentation find the text they belong to.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from paperworks.errors import InputError
from paperworks.papers.lines import (
    FENCE,
    HEADING,
    LINKED,
    VIDEO,
    Heading,
    opens_list_of_authors,
    read_fact,
    read_heading,
    read_label,
    read_point,
    reads_as_text,
)
from paperworks.papers.model import Batch, Block, Page, Paper, arxiv_id_in, indented

FENCED_LINES = 200


@dataclass
class Draft:
    """A paper while its lines come in.

    `lines` is the item or paragraph that is open. A section whose label stands alone takes all that follows it, up to
    the next label or fact.
    """

    title: str
    url: str | None
    facts: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, list[str]] = field(default_factory=dict)
    bullets: list[list[str]] = field(default_factory=list)
    unplaced: list[list[str]] = field(default_factory=list)
    order: list[Block] = field(default_factory=list)
    lines: list[str] | None = None
    in_item: bool = False
    indent: int = 0
    takes_all: bool = False
    embedded: bool = False

    def continues(self, line: str) -> bool:
        """Whether `line` is indented under the open item."""
        return self.in_item and indented(line)[0] >= self.indent + 2

    def add(self, line: str, after_blank: bool) -> None:
        """Take a line that is neither blank nor a heading nor a fact."""
        if self.continues(line):
            self._append(indented(line, self.indent + (0 if self.takes_all else 2))[1], after_blank)
            return
        content, width = line.strip(), indented(line)[0]
        point, labelled = read_point(content)
        if label := read_label(labelled):
            self.open_section(*label, labelled, width)
        elif self.takes_all:
            self._append(indented(line, self.indent)[1], after_blank)
        elif self.in_item and self.lines is not None and not any(self.lines):
            self.takes_all, self.indent = True, width
            self._append(content, False)
        elif point is not None:
            escaped = point.startswith("\\") and read_label(point.lstrip("\\"))
            self._open(self.bullets, "bullet", point[1:] if escaped else point)
            self.in_item, self.indent = True, width
        elif self.lines is not None and not after_blank:
            self.lines.append(content if self.in_item else line)
        else:
            self._open(self.unplaced, "text", content)

    def open_section(self, name: str, text: str, labelled: str, indent: int) -> None:
        """Begin a section; one that is there already becomes a point of the section before."""
        if name in self.sections:
            self.lines = next(reversed(self.sections.values()))
            self.lines.append(f"- {labelled}")
        else:
            self.lines = self.sections[name] = [text]
            self.order.append("section")
        self.in_item, self.takes_all, self.indent = True, False, indent

    def add_fenced(self, lines: list[str]) -> None:
        """Keep a fenced block as it is, in the section that takes all or on its own."""
        if self.lines is not None and self.in_item and (self.takes_all or not any(self.lines)):
            self.takes_all, self.indent = True, 0
            self.lines += lines
        else:
            self._open(self.unplaced, "text", "\n".join(lines))
            self._close()

    def add_fact(self, content: str) -> bool:
        """Take a line that states a fact for the first time; say whether it did."""
        name, value = read_fact(content)
        if name == "video" and "</video>" in content:
            if self.embedded or self.facts.get("video", value) != value:
                return False
            self.embedded = True
        elif name is None or name in self.facts or (name == "arxiv" and arxiv_id_in(self.url)):
            return False
        if name not in self.facts:
            self.order.append(name)
        self.facts[name] = value
        self._close()
        return True

    def paper(self) -> Paper:
        """The finished paper."""
        return Paper(
            title=self.title,
            url=self.url,
            sections={name: "\n".join(lines) for name, lines in self.sections.items()},
            bullets=["\n".join(lines) for lines in self.bullets],
            unplaced=["\n".join(lines) for lines in self.unplaced],
            order=[block for block in self.order if block != "arxiv" or self.url],
            **{("arxiv_id" if name == "arxiv" else name): value for name, value in self.facts.items()},
        )

    def _append(self, line: str, after_blank: bool) -> None:
        assert self.lines is not None
        self.lines += ["", line] if after_blank else [line]

    def _open(self, blocks: list[list[str]], block: Block, line: str) -> None:
        self._close()
        self.lines = [line]
        blocks.append(self.lines)
        self.order.append(block)

    def _close(self) -> None:
        self.lines, self.in_item, self.takes_all = None, False, False


class Reader:
    """Reads the lines of a page.

    `misplaced` is the first line without a place, with its number: one that stands before any paper, or one under a
    paper that is neither a fact, a point nor text.
    """

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.papers: list[Draft] = []
        self.days: list[tuple[int, Heading]] = []
        self.preambles: list[list[list[str]]] = [[]]
        self.current: Draft | None = None
        self.misplaced: tuple[int, str] | None = None
        place, after_blank = 0, True
        while place < len(lines):
            blank = not lines[place].strip()
            place += 1 if blank else self._take(place, after_blank)
            after_blank = blank

    def page(self, date: datetime.date | None) -> Page:
        """The page; `date` is used where no heading has one. Raises `InputError` where this is no page."""
        if not self.days and not any(draft.url for draft in self.papers):
            raise InputError("not a page of papers: no heading such as '## Daily Papers (2024-08-22)'")
        date = next((heading.date for _, heading in self.days if heading.date), date)
        if date is None:
            raise InputError("the page has no date: begin it with '## Daily Papers (YYYY-MM-DD)'")
        preambles = [["\n".join(lines) for lines in blocks] for blocks in self.preambles]
        return Page(
            date=date,
            heading=self.days[0][1].text if self.days else None,
            preamble=preambles[0],
            papers=[draft.paper() for draft in self.papers],
            batches=[
                Batch(start=start, date=heading.date, heading=heading.text, preamble=preamble)
                for (start, heading), preamble in zip(self.days[1:], preambles[1:], strict=True)
            ]
            if self.days
            else [],
        )

    def _take(self, place: int, after_blank: bool) -> int:
        """Read what begins at `place` and return how many lines it took."""
        line, current = self.lines[place], self.current
        if current is not None and current.continues(line):
            current.add(line, after_blank)
            return 1
        if current is not None and (count := self._fenced(place)):
            current.add_fenced([line.strip(), *self.lines[place + 1 : place + count]])
            return count
        content, count = self._joined(place)
        if heading := read_heading(content):
            self._open(heading)
            return count
        if current is None:
            self._add_to_preamble(place, after_blank)
            return 1
        if current.add_fact(content):
            return count
        known = len(current.unplaced)
        current.add(line, after_blank)
        if len(current.unplaced) > known and not reads_as_text(content):
            self._misplace(place)
        return 1

    def _open(self, heading: Heading) -> None:
        if heading.kind == "day":
            if self.days:
                self.preambles.append([])
            self.days.append((len(self.papers), heading))
            self.current = None
        elif heading.kind == "section" and self.current is not None:
            self.current.open_section(heading.text, "", heading.text, 0)
        else:
            self.current = Draft(heading.text, heading.url)
            self.papers.append(self.current)
            if tail := read_heading(heading.tail):
                self._open(tail)
            elif heading.tail and not self.current.add_fact(heading.tail):
                self.current.add(heading.tail, True)

    def _add_to_preamble(self, place: int, after_blank: bool) -> None:
        blocks = self.preambles[-1]
        if after_blank or not blocks:
            blocks.append([])
        blocks[-1].append(self.lines[place])
        self._misplace(place)

    def _misplace(self, place: int) -> None:
        self.misplaced = self.misplaced or (place + 1, self.lines[place].strip())

    def _fenced(self, place: int) -> int:
        """The lines of the fenced block that opens at `place`; 0 for none, or where it wraps parts of the page.

        A heading or a label within says that it does; a heading of the first level may be a comment in code.
        """
        opening = self.lines[place].strip()
        match = FENCE.match(opening)
        if not match or match[1][0] in opening[match.end() :]:
            return 0
        filled = 0
        for count, line in enumerate(self.lines[place + 1 :], 2):
            content = line.strip()
            filled += bool(content)
            if filled > FENCED_LINES:
                return 0
            if content == match[1]:
                return count
            heading = read_heading(content)
            if heading and (heading.kind != "paper" or heading.url or not content.startswith("# ")):
                return 0
            if read_label(read_point(content)[1]):
                return 0
        return 0

    def _joined(self, place: int) -> tuple[str, int]:
        """The line, with the following ones where a title, a list of authors or a video is broken over several."""
        content = self.lines[place].strip()
        heading = HEADING.fullmatch(content)
        if heading and heading[2].startswith("[") and "](" not in content:
            return self._until(place, 4, lambda text: bool(LINKED.fullmatch(text.lstrip("# \t"))))
        if opens_list_of_authors(content):
            return self._until(place, 100, lambda text: text.endswith("]"))
        if content.startswith(("<div", "<video")) and not VIDEO.fullmatch(content):
            return self._until(place, 8, lambda text: bool(VIDEO.fullmatch(text)))
        return content, 1

    def _until(self, place: int, limit: int, complete: Callable[[str], bool]) -> tuple[str, int]:
        text = ""
        for count, content in enumerate(self._paragraph(place, limit), 1):
            text = f"{text} {content}".strip()
            if complete(text):
                return text, count
        return self.lines[place].strip(), 1

    def _paragraph(self, place: int, limit: int) -> Iterator[str]:
        for line in range(place, min(place + limit, len(self.lines))):
            content = self.lines[line].strip()
            if not content or (line > place and HEADING.match(content)):
                return
            yield content

"""The text of a paper as the page uses it: sections in their order, with where they came from.

`Source.text` is the one string that offsets refer to: summaries quote it and the figure check points into it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Kind = Literal["html", "pdf", "text", "abstract"]


@dataclass(frozen=True)
class Section:
    """A part of a paper: its `heading` ("Abstract", "3.1 Depth pruning", "Figure 2") and its `text`.

    Paragraphs stand apart by a blank line. A table is one row a line, its cells joined by ` | `.
    """

    heading: str
    text: str


@dataclass(frozen=True)
class Source:
    """A paper's text: `kind` says what it was read from, `url` where that was (empty for a local file)."""

    sections: tuple[Section, ...]
    kind: Kind = "html"
    url: str = ""

    @cached_property
    def text(self) -> str:
        """All sections with their headings, blank lines between."""
        return "".join(part for _, part in self._parts())

    def section_at(self, offset: int) -> Section | None:
        """The section that holds the character at `offset` of `text`."""
        end = 0
        for section, part in self._parts():
            end += len(part)
            if offset < end:
                return section
        return None

    def _parts(self) -> Iterator[tuple[Section, str]]:
        for section in self.sections:
            heading = f"{section.heading}\n\n" if section.heading else ""
            yield section, f"{heading}{section.text}\n\n"

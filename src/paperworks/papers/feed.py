"""The Atom feed of a site: its newest days, each with its titles and a sentence a paper."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

from feedgen.feed import FeedGenerator

from paperworks.papers.html import anchors_of, day_path, environment
from paperworks.papers.model import Page, Paper
from paperworks.papers.text import labelled_texts
from paperworks.papers.words import date_in, words_in

NEWEST = 50
NOWHERE = "https://paperworks.invalid/"
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def atom_feed(pages: Sequence[Page], *, title: str, base_url: str | None, language: str) -> str:
    """The feed of the newest `NEWEST` of `pages`, which are in the order newest first.

    An entry's id is the day's address, and its time the day's start in UTC, so that building again changes
    neither. Without `base_url` (which ends with `/`) addresses begin with `NOWHERE`, a host that never
    exists.
    """
    root = base_url or NOWHERE
    feed = FeedGenerator()
    feed.id(root)
    feed.title(_xml(title))
    feed.author({"name": _xml(title)})
    feed.language(language)
    feed.generator("paperworks")
    feed.link(href=root + "index.html", rel="alternate", type="text/html")
    feed.link(href=root + "feed.xml", rel="self", type="application/atom+xml")
    feed.updated(_start(pages[0].date))
    words = words_in(language)
    template = environment().get_template("entry.html.j2")
    for page in pages[:NEWEST]:
        address = root + day_path(page.date)
        papers = [
            {"paper": paper, "anchor": anchor, "text": _first_sentence(paper, language)}
            for paper, anchor in zip(page.papers, anchors_of(page), strict=True)
        ]
        content = template.render(papers=papers, address=address, w=words)
        entry = feed.add_entry(order="append")
        entry.id(address)
        entry.title(f"{words['daily papers']} · {date_in(page.date, language)}")
        entry.link(href=address, rel="alternate", type="text/html")
        entry.published(_start(page.date))
        entry.updated(_start(page.date))
        entry.content(_xml(content), type="html")
    return feed.atom_str(pretty=True).decode("utf-8")


def _first_sentence(paper: Paper, language: str) -> str:
    text = next(iter(labelled_texts(paper, language)), ("", ""))[1].removeprefix("- ")
    sentence = re.match(r".{30,}?[.!?。](?=\s|$)", text)
    return sentence[0] if sentence else text.split("\n")[0]


def _start(date: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(date, datetime.time(), tzinfo=datetime.UTC)


def _xml(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)

"""The data of a site's search: a script that a page opened from disk can load, small enough for a phone.

The search itself is MiniSearch (`templates/minisearch.js`, the npm package's own UMD build as it is; MIT).
Its tokenizer for queries (`terms` of `templates/search.js`) gives what `terms_of` gives here.

A browser gives a page from disk no other file to read, so the data is JavaScript: the base64 text of a raw
DEFLATE stream. It holds the papers as shown and the distinct terms of each, already processed: one front-coded
list of terms, and for each term its papers as differences, with a byte that says in which fields it stands. So
the browser only hands the terms over to MiniSearch (`addAllAsync`, some papers at a time), and no word is
processed twice. For 5,500 papers with 139,000 terms that takes 1.2 s in Chromium; MiniSearch's own form of a
finished index (`loadJSAsync`) takes 1.7 s and is no smaller. The terms with the fewest papers come first, and
the bytes of numbers stand apart: deflate makes 8 % less of that.

MiniSearch keeps its terms in a tree and tries the branches one after the other. A Hangul syllable has up to
11,172 of them, so `templates/search.js` spells each with three letters (first, middle, last or none), which finds
the same: in Node 1.0 s instead of 2.9 s to load the index.

Korean words are indexed without particles and the commonest endings, and searched by prefix. On 185 real
papers, for 986 queries of a noun with a particle, recall of the noun's papers was 1.00 at a precision of
0.98; by prefix alone 0.20 and 1.00, by pairs of syllables 0.24 and 0.99; and the index has 46 % fewer Korean
terms than by prefix alone.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

from paperworks.papers.html import anchors_of
from paperworks.papers.model import Page, Paper

VERSION = 2
TITLE, AUTHORS, TEXTS = 1, 2, 4
_PARTICLES = """
    으로부터 로부터 에게서 으로서 으로써 이라는 에서는 에서도 에서의 으로의 으로는 이라고 까지 부터 에서 에게
    으로 로서 로써 보다 처럼 마다 라는 라고 이나 이며 이고 에는 에도 와의 과의 들을 들이 들은 들의
    은 는 이 가 을 를 의 에 로 와 과 도 만 들
"""
_ENDINGS = """
    하였습니다 했습니다 합니다 하는 하여 하고 하며 하기 하지 하면 한다 한 할 함 해
    되었습니다 됐습니다 됩니다 되는 되어 되고 되며 된다 된 될 됨 입니다 이었습니다
"""
SUFFIXES = tuple(sorted(f"{_PARTICLES} {_ENDINGS}".split(), key=lambda suffix: (-len(suffix), suffix)))
_WORD = re.compile(
    r"([가-힣]+)|([\u3040-\u30ff\u3400-\u9fff]+)|((?:(?![가-힣\u3040-\u30ff\u3400-\u9fff])[^\W_])+)"
)
_MARKS = re.compile(r"[\u0300-\u036f]")


def folded(text: str) -> str:
    """`text` in lower case and compatibility form, without diacritics."""
    text = text.lower()
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFKD", text)))


@lru_cache(maxsize=1 << 17)
def stem(word: str) -> str:
    """A Korean word without its particles and endings, one after the other, as long as two syllables stay."""
    for suffix in SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 2:
            return stem(word.removesuffix(suffix))
    return word


def terms_of(text: str) -> list[str]:
    """The terms of a text in order: Korean stems, pairs of Chinese or Japanese characters, other words whole.

    `terms` of `templates/search.js` gives the same for a query.
    """
    found: list[str] = []
    for korean, chinese, other in _WORD.findall(folded(text)):
        if korean:
            found.append(stem(korean))
        elif chinese:
            found += [chinese[at : at + 2] for at in range(max(len(chinese) - 1, 1))]
        else:
            found.append(other)
    return found


def index_script(pages: Sequence[Page]) -> str:
    """The text of `search-index.js` for pages in the order in which equal hits are shown."""
    postings: dict[str, list[tuple[int, int]]] = {}
    papers = [paper for page in pages for paper in page.papers]
    for number, paper in enumerate(papers):
        for term, fields in _fields(paper).items():
            postings.setdefault(term, []).append((number, fields))
    terms = sorted(postings, key=lambda term: (len(postings[term]), term.encode("utf-16-be")))
    shown = {
        "days": [[str(page.date), len(page.papers)] for page in pages],
        "titles": [paper.title for paper in papers],
        "authors": [paper.authors for paper in papers],
        "votes": [paper.votes for paper in papers],
        "anchors": [anchor for page in pages for anchor in anchors_of(page)],
        "suffixes": SUFFIXES,
    }
    parts = [json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")]
    parts += [*_front_coded(terms), *_packed(postings[term] for term in terms)]
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = base64.b64encode(squeeze.compress(b"".join(parts)) + squeeze.flush()).decode()
    head = json.dumps({"version": VERSION, "parts": [len(part) for part in parts]})
    return f'self.searchIndex = {{...{head}, data: "{data}"}};\n'


def _fields(paper: Paper) -> dict[str, int]:
    """The distinct terms of a paper, and of each the fields in which it stands."""
    texts = [*(paper.sections or {}).values(), *paper.bullets, *paper.unplaced]
    found: dict[str, int] = {}
    for field, parts in ((TITLE, [paper.title]), (AUTHORS, paper.authors), (TEXTS, texts)):
        for term in {term for text in parts for term in terms_of(text)}:
            found[term] = found.get(term, 0) | field
    return found


def _front_coded(terms: Sequence[str]) -> tuple[bytes, bytes]:
    """How many UTF-16 units each term shares with the one before, and the rests."""
    shared, rests, before = bytearray(), [], ""
    for term in terms:
        same, limit = 0, min(len(before), len(term), 127)
        while same < limit and before[same] == term[same]:
            same += 1
        shared.append(len(term[:same].encode("utf-16-be")) // 2)
        rests.append(term[same:])
        before = term
    return bytes(shared), "".join(rest + "\n" for rest in rests).encode("utf-8", "replace")


def _packed(lists: Iterable[list[tuple[int, int]]]) -> tuple[bytes, bytes, bytes]:
    """The lengths of the lists, the differences of their numbers, and their fields."""
    lengths, steps, fields = [], [], bytearray()
    for postings in lists:
        lengths.append(len(postings))
        before = -1
        for number, field in postings:
            steps.append(number - before - 1)
            fields.append(field)
            before = number
    return _bytes_apart(lengths), _bytes_apart(steps), bytes(fields)


def _bytes_apart(numbers: Sequence[int]) -> bytes:
    """Numbers below 2 ** 24: all lowest bytes, then all second, then all third."""
    return b"".join(bytes(number >> shift & 255 for number in numbers) for shift in (0, 8, 16))

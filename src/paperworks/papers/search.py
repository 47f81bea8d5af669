"""The search index of a site: a script that a page opened from disk can load, small enough for a phone.

A browser gives a page from disk no other file to read, so the index is JavaScript: the base64 text of a raw
DEFLATE stream. It is an inverted index: the sorted terms, front-coded, and for each term its papers as
differences, with a byte that says whether the term stands in the title, among the authors and how often in
the texts. `templates/search.js` looks terms up in the packed bytes and unpacks only what a query asks for.

Why not a library: a prebuilt MiniSearch 7.2 index of 5,500 papers took 1.0 s and 260 MB to load in Node with the 67,000
terms that real pages would have, 3.1 s with 163,000, since every term becomes objects, which a phone feels. This one
answers 0.2 s after it is first asked for. A library that reads packed bytes (Pagefind) fetches them, which a page from
disk may not.

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
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from paperworks.papers.html import anchors_of
from paperworks.papers.model import Page, Paper

VERSION = 1
BLOCK = 32
TITLE, AUTHOR, TIMES = 1, 2, 4
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
        for term, weight in _weights(paper).items():
            postings.setdefault(term, []).append((number, weight))
    terms = sorted(postings, key=lambda term: term.encode("utf-16-be"))
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
    head = json.dumps({"version": VERSION, "block": BLOCK, "parts": [len(part) for part in parts]})
    return f'self.searchIndex = {{...{head}, data: "{data}"}};\n'


def _weights(paper: Paper) -> dict[str, int]:
    """A term's byte: whether it is in the title, whether among the authors, how often in the texts (to 63)."""
    texts = [*(paper.sections or {}).values(), *paper.bullets, *paper.unplaced]
    times = Counter(term for text in texts for term in terms_of(text))
    weights = {term: min(count, 63) * TIMES for term, count in times.items()}
    for bit, words in ((TITLE, [paper.title]), (AUTHOR, paper.authors)):
        for term in {term for text in words for term in terms_of(text)}:
            weights[term] = weights.get(term, 0) | bit
    return weights


def _front_coded(terms: Sequence[str]) -> tuple[bytes, bytes]:
    """How many UTF-16 units each term shares with the one before, and the rests; a block begins in full."""
    shared, rests, before = bytearray(), [], ""
    for place, term in enumerate(terms):
        same = 0
        if place % BLOCK:
            limit = min(len(before), len(term), 127)
            while same < limit and before[same] == term[same]:
                same += 1
        shared.append(len(term[:same].encode("utf-16-be")) // 2)
        rests.append(term[same:])
        before = term
    return bytes(shared), "".join(rest + "\n" for rest in rests).encode("utf-8", "replace")


def _packed(lists: Iterable[list[tuple[int, int]]]) -> tuple[bytes, bytes, bytes]:
    """The lengths of the lists, the differences of their numbers, and their weights."""
    lengths, steps, weights = bytearray(), bytearray(), bytearray()
    for postings in lists:
        _append(lengths, len(postings))
        before = -1
        for number, weight in postings:
            _append(steps, number - before - 1)
            weights.append(weight)
            before = number
    return bytes(lengths), bytes(steps), bytes(weights)


def _append(packed: bytearray, number: int) -> None:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    while number > 127:
        packed.append(number & 127 | 128)
        number >>= 7
    packed.append(number)

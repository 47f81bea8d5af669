"""A summary without a model: the paper's own sentences, each with its place.

Three things make a sentence worth quoting: it stands where authors say such things (the abstract, the first lines of
a section, the conclusion), it has the words with which they say them ("we propose", "consists of", "outperforms"),
and many other sentences of the paper speak of the same (PageRank on the graph of TF-IDF similarities, as in LexRank,
arXiv 1109.2128). Sentences are taken one at a time, each as different as possible from those already there (maximal
marginal relevance). What does not stand alone (a "However", a "Figure 3", a formula) is passed over where there is
something better. Nothing is random and nothing is rewritten.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

from paperworks.papers.sentences import sentences
from paperworks.papers.source import Source
from paperworks.papers.summarize import (
    SUMMARY_SECTIONS,
    Estimate,
    Part,
    Quote,
    Summary,
    SummaryError,
    parts_of,
)

NEW, TECHNICAL, PERFORMANCE = SUMMARY_SECTIONS
_ORDER = (NEW, PERFORMANCE, TECHNICAL)
_RELEVANCE = 0.75
_DAMPING = 0.85

# What a sentence gains by standing in a part of the paper.
_PLACE: dict[str, dict[Part, float]] = {
    NEW: {"abstract": 1.2, "introduction": 0.7, "conclusion": 0.6, "method": 0.1, "results": -0.6, "caption": -1.0},
    TECHNICAL: {"abstract": 0.5, "introduction": 0.1, "conclusion": -0.3, "method": 0.9, "results": 0.0, "caption": -0.3},
    PERFORMANCE: {"abstract": 1.0, "introduction": 0.5, "conclusion": 0.7, "method": -0.6, "results": 0.6, "caption": -0.2},
}  # fmt: skip

_CUES: dict[str, tuple[tuple[float, str], ...]] = {
    NEW: (
        (1.0, r"\b(?:we|this (?:paper|work|report|article|study)|our (?:work|paper))\b[^.]{0,40}?\b(?:propos|present|introduc|"
              r"develop|releas|describ|formulat|design|build|built|ask|address|establish|revisit)"),
        (0.8, r"제안|소개한|공개한|개발|제시한"),
        (0.5, r"\bnovel\b|\bnew\b|\bthe first\b|\bfirst time\b|\bfor the first\b|새로운|최초|처음으로"),
        (0.4, r"\bunlike\b|\bin contrast to\b|\brather than\b|\binstead of\b|\bwithout (?:any|the need|re)|달리|대신"),
        (0.4, r"\b(?:key|main|central) (?:idea|insight|contribution)|\bthe idea is\b|\bour (?:method|approach|contributions?)\b|핵심"),
        (0.3, r"\b(?:called|dubbed|termed|named)\b|[A-Z][\w-]{2,} ?\([A-Z]"),
        (0.3, r"\b(?:challeng|costly|expensive|difficult|fails? to|limited|suffer|struggl|lack|too )|한계|어렵|문제"),
    ),
    TECHNICAL: (
        (0.8, r"\bconsists? of\b|\bcomprises?\b|\bis composed of\b|\bis made of\b|구성"),
        (0.4, r"\barchitectur|\bencoder|\bdecoder|\bbackbone|\btransformer|\badapter|\blayers?\b|\bheads?\b|\bmodules?\b|"
              r"\bblocks?\b|\bembedding|구조|인코더|디코더|층|모듈"),
        (0.4, r"\btrain(?:ed|ing|s)?\b|\bpre-?train|\bfine-?tun|\bdistill|\binitiali[sz]|학습|훈련|증류|미세 ?조정"),
        (0.5, r"\bloss(?:es)?\b|\bobjectives?\b|\bminimi[sz]|\boptimi[sz]er|\blearning rate|\bbatch size|\bepochs?\b|손실|최적화"),
        (0.4, r"\b\d[\d.,]*\s?(?:[KMBT]|k|thousand|million|billion|trillion)?\+?\s(?:[a-z-]+\s){0,2}(?:tokens|images|samples|examples|"
              r"videos?|clips|pairs|parameters|layers|hours|documents|questions|prompts|GPUs?|steps|epochs|frames)|데이터셋|파라미터"),
        (0.4, r"\b(?:dataset|corpus|corpora|benchmark) of\b|\bdatasets?\b"),
        (0.4, r"\bwe (?:use|apply|compute|split|freeze|sample|append|encode|adopt|employ|combine|add|insert|replace|select|"
              r"train|start|keep|remove|construct|collect)\b|\b(?:is|are) (?:computed|added|inserted|split|fed|frozen|sampled)\b"),
    ),
    PERFORMANCE: (
        (0.9, r"\boutperform|\bsurpass|\bexceed|\bbeats?\b|\bsuperior\b|\bbest\b|\bstate[- ]of[- ]the[- ]art|\bSOTA\b|능가|우수|최고"),
        (0.5, r"\bimprov|\bgains?\b|\bincreas|\breduc|\bfaster\b|\bspeed-?up|\blower\b|\bhigher\b|\bbetter\b|\bwors|\bdrops?\b|"
              r"향상|개선|감소|증가|빠르|높|낮"),
        (0.5, r"\bachiev|\battain|\bobtain|\breach|\bscor|\byield|달성|기록"),
        (0.4, r"\bcompared (?:to|with)\b|\bversus\b|\bagainst\b|\bthan\b|\bbaselines?\b|\bon par\b|\bcomparable\b|대비|비해|보다"),
        (0.3, r"\baccuracy|\bF1\b|\bBLEU|\bROUGE|\bmAP\b|\bmIoU|\bperplexity|\bFID\b|\bFVD\b|\bAUROC|\berror\b|\blatency|"
              r"\bthroughput|\bpass@|\bwin rate|정확도|처리량|지연"),
    ),
}  # fmt: skip
_PATTERNS = {
    section: [(weight, re.compile(pattern, re.IGNORECASE)) for weight, pattern in cues]
    for section, cues in _CUES.items()
}
_MEASURED = re.compile(
    r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?\s?(?:%p?|percent|points?\b|x\b|×|times\b|pp\b|dB\b|ms\b|배)|(?<![\w.])\d+\.\d+(?![\w.])"
)
_LEANING = re.compile(
    r"(?:However|Nevertheless|Nonetheless|Moreover|Furthermore|Additionally|Also|Besides|Therefore|Thus|Hence|Then|Next|"
    r"Consequently|Accordingly|Similarly|Likewise|Conversely|Instead|Otherwise|Still|Yet|But|And|So|Or|For (?:example|instance)|"
    r"In (?:contrast|addition|particular|other words|this (?:way|case|sense))|On the (?:other hand|contrary)|"
    r"As a (?:result|consequence)|To this end|To (?:address|solve|overcome|tackle) (?:this|these)|This|These|Those|It|Its|They|"
    r"Their|Such|Here|There|He|She|The (?:former|latter|above|same)|Both|Specifically|Finally|First|Second|Third|Lastly|Namely|"
    r"Interestingly|Notably)\b|그러나|하지만|그런데|또한|따라서|그래서|그리고|이는|이를|이것|이러한|이와|그 결과|즉|한편|반면|예를 들어"
)
_FIRM = re.compile(r"(?:This|Our) (?:paper|work|report|article|study|survey)|There (?:is|are) no")
_POINTER = re.compile(
    r"\b(?:Fig(?:ure|s?\.)|Tab(?:le|\.)|Eq(?:uation|s?\.)|Sec(?:tion|\.)|Appendi(?:x|ces)|Algorithm|Theorem|Lemma|Supplement\w*)\s?"
    r"[\d(A-Z]|§|\b(?:as (?:shown|illustrated|described|discussed)|above|below|following)\b|[그표] ?\d|그림 ?\d"
)
_CITED = re.compile(r"\[\d[\d,;\s–-]*\]|\([^()]{0,80}\b(?:19|20)\d\d[a-z]?\)|\bet al\b")
_OTHERS = re.compile(
    r"^[A-Z][\w'’-]+ (?:et al|and [A-Z][\w'’-]+ ?[\[(])|\b(?:prior|previous|existing|recent) (?:work|studies|methods)\b"
)
_THANKS = re.compile(
    r"\b(?:thank|acknowledg|supported by|funded by|grant (?:no|number)|equal contribution|correspond(?:ing|ence)|"
    r"(?:paper|rest|section) is (?:organi[sz]ed|structured)|we leave|future work|under review|all rights|preprint|licen[cs]ed? under)|"
    r"https?://|www\.|@\w+\.\w|감사의|후속 연구",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"[\\{}^_=<>∑∏∫√∂∇∈∀∃≤≥≈≠→←↦⊂∪∩∥⟨⟩·∼]|[α-ωΑ-Ω]|[𝐀-𝟿]")
_WORD = re.compile(r"[^\W\d_][\w’'-]*")
_TERMS = re.compile(r"[a-zà-ÿа-я][a-zà-ÿа-я0-9-]+|[가-힣]{2,}|[぀-ヿ一-鿿]+")
_COMMON = {
    "en": "the of and is that with are this", "de": "der die und ist mit das von nicht", "fr": "le les des est et dans une que",
    "es": "el los que una con para del las", "pt": "o os que uma com para não das", "it": "il che di una con per gli sono",
}  # fmt: skip


@dataclass(frozen=True)
class _Sentence:
    """A span of the source's text that may be quoted, in section number `place` of the source."""

    start: int
    end: int
    text: str
    place: int
    part: Part
    turn: int
    turns: int


class ExtractiveSummarizer:
    """Quotes the paper: for each section up to `most` sentences of together at most `length` characters.

    The same paper gives the same summary. It is in the paper's own language, whatever language is asked for.
    """

    name = "extractive"

    def __init__(self, most: int = 4, length: int = 800) -> None:
        self._most, self._length = most, length

    def estimate(self, title: str, source: Source, language: str) -> Estimate:
        """Nothing: no model is called."""
        return Estimate(price=0.0)

    def summarize(self, title: str, source: Source, language: str = "") -> Summary:
        """The summary of `source`. A section for which the paper has no sentence is left out; `language` is not used.

        Raises `SummaryError` where the text has no sentence that can be quoted.
        """
        found = _sentences(source)
        worth = np.array([_worth(sentence.text) for sentence in found])
        able = [number for number, value in enumerate(worth) if value > -math.inf]
        if not able:
            raise SummaryError(
                f"the text of {title!r} has no sentence to quote ({len(source.text)} characters, {source.kind})"
            )
        vectors = _vectors([sentence.text for sentence in found], title)
        rank = _rank(vectors[:-1], vectors[-1])
        share = min(self._most, -(-len(able) // 3))
        picked: dict[str, list[int]] = {}
        for section in _ORDER:
            scores = _scores(section, found, worth, rank)
            taken = [number for numbers in picked.values() for number in numbers]
            picked[section] = self._pick(scores, found, vectors, taken, share)
        quotes = tuple(
            _quote(section, found[number], source)
            for section in SUMMARY_SECTIONS
            for number in sorted(picked[section])
        )
        texts = {section: _told(quotes, section) for section in SUMMARY_SECTIONS}
        return Summary(
            {section: text for section, text in texts.items() if text},
            self.name,
            language_of_text(source.text),
            quotes,
        )

    def _pick(
        self,
        scores: np.ndarray,
        found: Sequence[_Sentence],
        vectors: csr_matrix,
        taken: list[int],
        share: int,
    ) -> list[int]:
        """The numbers of the sentences for one section, best first (maximal marginal relevance)."""
        scores = scores.copy()
        scores[taken] = -math.inf
        nearest = np.zeros(len(found))
        for number in taken:
            nearest = np.maximum(nearest, _similar(vectors, number))
        picked: list[int] = []
        room = self._length
        while len(picked) < share:
            worth = _RELEVANCE * scores - (1 - _RELEVANCE) * 2 * nearest
            best = int(np.argmax(worth))
            if scores[best] <= 0:
                break
            size = found[best].end - found[best].start
            if size <= room:
                picked.append(best)
                room -= size + 1
                nearest = np.maximum(nearest, _similar(vectors, best))
                after = best + 1
                # What leans on the sentence before it stands well beside it.
                if (
                    after < len(found)
                    and found[after].place == found[best].place
                    and _leans(found[after].text)
                ):
                    scores[after] += 0.5
            scores[best] = -math.inf
        return picked


def language_of_text(text: str) -> str:
    """The tag of the language that most of `text` is in, by its script and its commonest words; `und` if unknown."""
    sample = text[:50_000].casefold()
    letters = len(re.findall(r"[^\W\d_]", sample)) or 1
    for tag, script, share in (("ko", "[가-힣]", 0.2), ("ja", "[぀-ヿ]", 0.1), ("zh", "[一-鿿]", 0.2)):
        if len(re.findall(script, sample)) > share * letters:
            return tag
    words = Counter(re.findall(r"[^\W\d_]+", sample))
    counts = {tag: sum(words[word] for word in common.split()) for tag, common in _COMMON.items()}
    best = max(counts, key=lambda tag: counts[tag])
    return best if counts[best] > 0.03 * words.total() else "und"


def _sentences(source: Source) -> list[_Sentence]:
    """The sentences of the parts that a summary may quote; of appendices only if there is nothing else."""
    parts = parts_of(source)
    found: dict[bool, list[_Sentence]] = {True: [], False: []}
    offset = 0
    for place, (section, part) in enumerate(zip(source.sections, parts, strict=True)):
        offset += len(section.heading) + 2 if section.heading else 0
        spans = sentences(section.text) if part != "references" else []
        for turn, (start, end) in enumerate(spans):
            text = " ".join(section.text[start:end].split())
            found[part in ("related", "back")].append(
                _Sentence(offset + start, offset + end, text, place, part, turn, len(spans))
            )
        offset += len(section.text) + 2
    return found[False] or found[True]


def _worth(text: str) -> float:
    """0 for a sentence that stands alone, less for one that does not, -inf for what is none."""
    words = _WORD.findall(text)
    hangul = len(re.findall(r"[가-힣]", text))
    wide = len(re.findall(r"[぀-ヿ一-鿿]", text))
    enough = len(words) >= (4 if hangul else 7) or wide >= 12
    ends = re.search(r"[.!。！][)\]\"'”’」』]*(?:\[[\d,\s–-]+\])?$", text)
    if not enough or not ends or len(text) > 420 or len(words) > 65 or " | " in text:
        return -math.inf
    if text[0].islower() and not re.match(r"[a-z]*[A-Z]|[a-z]+-", text):
        return -math.inf
    if text.count("(") != text.count(")") or _THANKS.search(text) or re.search(r"[☐□�]", text):
        return -math.inf
    symbols = len(_FORMULA.findall(text)) / len(text)
    figures = sum(map(str.isdigit, text)) / len(text)
    lonely = sum(len(word) == 1 for word in words) / max(len(words), 1) if not wide else 0.0
    if symbols > 0.05 or figures > 0.25 or lonely > 0.3:
        return -math.inf
    loss = 12 * symbols + (0.8 if _leans(text) else 0.0) + 0.15 * min(len(_CITED.findall(text)), 4)
    loss += 0.4 * min(len(_POINTER.findall(text)), 2) + (0.5 if _OTHERS.search(text) else 0.0)
    loss += 0.3 if len(text) < 60 and not hangul and not wide else 0.0
    loss += 0.002 * max(len(text) - 260, 0)
    return -loss


def _leans(text: str) -> bool:
    return bool(_LEANING.match(text)) and not _FIRM.match(text)


def _scores(section: str, found: Sequence[_Sentence], worth: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """How much each sentence says for `section`; -inf for one that says nothing of it."""
    scores = np.full(len(found), -math.inf)
    for number, sentence in enumerate(found):
        if worth[number] == -math.inf:
            continue
        cues = sum(weight for weight, pattern in _PATTERNS[section] if pattern.search(sentence.text))
        if section == PERFORMANCE:
            measured = len(_MEASURED.findall(sentence.text))
            if not cues and not measured:
                continue
            cues = 0.6 * cues + 0.3 * min(measured, 4) - 0.1 * max(measured - 8, 0)
        place = _PLACE[section].get(sentence.part, -0.8)
        early = 0.3 if sentence.turn == 0 and sentence.part in ("introduction", "method", "results") else 0.0
        scores[number] = min(cues, 1.6) + place + early + 0.6 * rank[number] + worth[number] + 0.3
    return scores


def _terms(text: str) -> list[str]:
    """The words of a text for comparing: Hangul by their first two syllables, Han and kana by pairs."""
    terms: list[str] = []
    for word in _TERMS.findall(text.casefold()):
        if word[0] >= "가" and word[0] <= "힣":
            terms.append(word[:2])
        elif word[0] >= "぀":
            terms += [word[at : at + 2] for at in range(max(len(word) - 1, 1))]
        elif word not in ENGLISH_STOP_WORDS:
            terms.append(word[:-1] if len(word) > 3 and word.endswith("s") else word)
    return terms


def _vectors(texts: list[str], title: str) -> csr_matrix:
    """TF-IDF of each text and, in the last row, of the title [sentences + 1, terms], rows of length 1."""
    try:
        return TfidfVectorizer(analyzer=_terms, sublinear_tf=True).fit_transform([*texts, title]).tocsr()
    except ValueError:
        return csr_matrix((len(texts) + 1, 1))


def _rank(vectors: csr_matrix, title: csr_matrix) -> np.ndarray:
    """PageRank of each sentence on the graph of similarities, with jumps towards the title, scaled to 0…1.

    The similarities are `V V'` without its diagonal; they are applied and never built, so that a book fits too.
    """
    count = vectors.shape[0]
    own = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()
    degree = vectors @ (vectors.T @ np.ones(count)) - own
    jump = np.asarray((vectors @ title.T).todense()).ravel() + 1 / count
    jump /= jump.sum()
    rank = jump
    for _ in range(50):
        flow = np.divide(rank, degree, out=np.zeros(count), where=degree > 1e-12)
        new = (1 - _DAMPING) * jump + _DAMPING * (vectors @ (vectors.T @ flow) - own * flow)
        new /= new.sum()
        if np.abs(new - rank).sum() < 1e-6:
            break
        rank = new
    return rank / rank.max()


def _similar(vectors: csr_matrix, number: int) -> np.ndarray:
    return np.asarray((vectors[:-1] @ vectors[number].T).todense()).ravel()


def _quote(section: str, sentence: _Sentence, source: Source) -> Quote:
    verbatim = source.text[sentence.start : sentence.end]
    return Quote(section, verbatim, sentence.start, sentence.end, source.sections[sentence.place].heading)


def _told(quotes: Sequence[Quote], section: str) -> str:
    return " ".join(" ".join(quote.text.split()) for quote in quotes if quote.section == section)

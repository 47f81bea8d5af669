"""The words by which authors of papers give away what a sentence is for, and whether it can stand alone.

Written for English and Korean. In other languages a sentence is judged by its place and its neighbours alone.
"""

from __future__ import annotations

import math
import re
from collections import Counter

from paperworks.papers.model import SECTIONS

NEW, TECHNICAL, PERFORMANCE = SECTIONS[:3]

# Each cue counts once a sentence. The patterns are verbose: spaces in them are for the eye only.
_CUES: dict[str, tuple[tuple[float, str], ...]] = {
    NEW: (
        (
            1.0,
            r"""\b(?:we|this\s(?:paper|work|report|article|study)|our\s(?:work|paper))\b [^.]{0,40}?
            \b(?:propos|present|introduc|develop|releas|describ|formulat|design|buil|ask|address|establish|revisit)""",
        ),
        (0.8, r"제안|소개한|공개한|개발|제시한"),
        (0.5, r"\bnovel\b|\bnew\b|\bthe\sfirst\b|\bfor\sthe\sfirst\stime\b|새로운|최초|처음으로"),
        (
            0.4,
            r"\bunlike\b|\bin\scontrast\sto\b|\brather\sthan\b|\binstead\sof\b|\bwithout\s(?:any|the\sneed|re)|달리|대신",
        ),
        (
            0.4,
            r"""\b(?:key|main|central)\s(?:idea|insight|contribution)|\bthe\sidea\sis\b|핵심|
            \bour\s(?:method|approach|contributions?)\b""",
        ),
        (0.3, r"\b(?:called|dubbed|termed|named)\b|[A-Z][\w-]{2,}\s?\([A-Z]"),
        (
            0.3,
            r"\b(?:challeng|costly|expensive|difficult|fails?\sto|limited|suffer|struggl|lack|too\s)|한계|어렵|문제",
        ),
    ),
    TECHNICAL: (
        (0.8, r"\bconsists?\sof\b|\bcomprises?\b|\bis\scomposed\sof\b|\bis\smade\sof\b|구성"),
        (
            0.4,
            r"""\barchitectur|\bencoder|\bdecoder|\bbackbone|\btransformer|\badapter|\blayers?\b|\bheads?\b|\bmodules?\b|
            \bblocks?\b|\bembedding|구조|인코더|디코더|층|모듈""",
        ),
        (
            0.4,
            r"\btrain(?:ed|ing|s)?\b|\bpre-?train|\bfine-?tun|\bdistill|\binitiali[sz]|학습|훈련|증류|미세\s?조정",
        ),
        (
            0.5,
            r"""\bloss(?:es)?\b|\bobjectives?\b|\bminimi[sz]|\boptimi[sz]er|\blearning\srate|\bbatch\ssize|\bepochs?\b|
            손실|최적화""",
        ),
        (
            0.5,
            r"""\b\d[\d.,]*\s?(?:[KMBTk]|thousand|million|billion|trillion)?\+?\s(?:[a-z-]+\s){0,2}
            (?:tokens|images|samples|examples|videos?|clips|pairs|parameters|layers|hours|documents|questions|prompts|
            GPUs?|steps|epochs|frames|heads)|데이터셋|파라미터""",
        ),
        (0.3, r"\b(?:dataset|corpus|corpora|benchmark)\sof\b|\bdatasets?\b"),
        (
            0.4,
            r"""\bwe\s(?:use|apply|compute|split|freeze|sample|append|encode|adopt|employ|combine|add|insert|replace|
            select|train|start|keep|remove|construct|collect|set)\b|
            \b(?:is|are)\s(?:computed|added|inserted|split|fed|frozen|sampled|trained|encoded)\b""",
        ),
    ),
    PERFORMANCE: (
        (
            0.9,
            r"""\boutperform|\bsurpass|\bexceed|\bbeats?\b|\bsuperior\b|\bbest\b|\bstate[-\s]of[-\s]the[-\s]art|\bSOTA\b|
            능가|우수|최고""",
        ),
        (
            0.5,
            r"""\bimprov|\bgains?\b|\bincreas|\breduc|\bfaster\b|\bspeed-?up|\blower\b|\bhigher\b|\bbetter\b|\bwors|
            \bdrops?\b|향상|개선|감소|증가|빠르|높|낮""",
        ),
        (0.5, r"\bachiev|\battain|\bobtain|\breach|\bscor|\byield|달성|기록"),
        (
            0.4,
            r"""\bcompared\s(?:to|with)\b|\bversus\b|\bagainst\b|\bthan\b|\bbaselines?\b|\bon\spar\b|\bcomparable\b|
            대비|비해|보다""",
        ),
        (
            0.3,
            r"""\baccuracy|\bF1\b|\bBLEU|\bROUGE|\bmAP\b|\bmIoU|\bperplexity|\bFID\b|\bFVD\b|\bAUROC|\berror\b|
            \blatency|\bthroughput|\bpass@|\bwin\srate|정확도|처리량|지연""",
        ),
    ),
}
_PATTERNS = {
    section: [(weight, re.compile(pattern, re.IGNORECASE | re.VERBOSE)) for weight, pattern in cues]
    for section, cues in _CUES.items()
}
_MEASURED = re.compile(
    r"""(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?\s?(?:%p?|percent|points?\b|x\b|×|times\b|pp\b|dB\b|ms\b|배)|
    (?<![\w.])\d+\.\d+(?![\w.])""",
    re.VERBOSE,
)
_LEANING = re.compile(
    r"""(?:However|Nevertheless|Nonetheless|Moreover|Furthermore|Additionally|Also|Besides|Therefore|Thus|Hence|Then|Next|
    Consequently|Accordingly|Similarly|Likewise|Conversely|Instead|Otherwise|Still|Yet|But|And|So|Or|Specifically|
    Finally|First|Second|Third|Lastly|Namely|Interestingly|Notably|For\s(?:example|instance)|
    In\s(?:contrast|addition|particular|other\swords|this\s(?:way|case|sense))|On\sthe\s(?:other\shand|contrary)|
    As\sa\s(?:result|consequence)|To\sthis\send|To\s(?:address|solve|overcome|tackle)\s(?:this|these)|
    This|These|Those|It|Its|They|Their|Such|Here|There|He|She|Both|The\s(?:former|latter|above|same))\b|
    그러나|하지만|그런데|또한|따라서|그래서|그리고|이는|이를|이것|이러한|이와|그\s결과|즉|한편|반면|예를\s들어""",
    re.VERBOSE,
)
_FIRM = re.compile(r"(?:This|Our) (?:paper|work|report|article|study|survey)|There (?:is|are) no")
_POINTER = re.compile(
    r"""\b(?:Fig(?:ure|s?\.)|Tab(?:le|\.)|Eq(?:uation|s?\.)|Sec(?:tion|\.)|Appendi(?:x|ces)|Algorithm|Theorem|Lemma)
    \s?[\d(A-Z]|\bSupplement|§|\b(?:as\s(?:shown|illustrated|described|discussed)|above|below|following)\b|(?:그림|표)\s?\d""",
    re.VERBOSE,
)
_CITED = re.compile(r"\[\d[\d,;\s–-]*\]|\([^()]{0,80}\b(?:19|20)\d\d[a-z]?\)|\bet al\b")
_OTHERS = re.compile(
    r"^[A-Z][\w'’-]+ (?:et al|and [A-Z][\w'’-]+ ?[\[(])|\b(?:prior|previous|existing|recent) (?:work|stud|methods)"
)
_NO_CONTENT = re.compile(
    r"""\b(?:thank|acknowledg|supported\sby|funded\sby|grant\s(?:no|number)|equal\scontribution|
    correspond(?:ing\sauthor|ence)|(?:paper|rest|section)\sis\s(?:organi[sz]ed|structured)|we\sleave|future\swork|
    under\sreview|all\srights|preprint|licen[cs]ed\sunder)|arXiv:?\s?\d{4}\.\d|https?://|www\.|@\w+\.\w|감사의|후속\s연구""",
    re.IGNORECASE | re.VERBOSE,
)
_FORMULA = re.compile(r"[\\{}^_=<>∑∏∫√∂∇∈∀∃≤≥≈≠→←↦⊂∪∩∥⟨⟩·∼]|[α-ωΑ-Ω]|[𝐀-𝟿]")
_END = re.compile(r"""[.!。！][)\]"'”’」』]*(?:\[[\d,\s–-]+\])?$""")
_WORD = re.compile(r"[^\W\d_][\w’'-]*")
_COMMON = {
    "en": "the of and is that with are this",
    "de": "der die und ist mit das von nicht",
    "fr": "le les des est et dans une que",
    "es": "el los que una con para del las",
    "pt": "o os que uma com para não das",
    "it": "il che di una con per gli sono",
}


def cue_scores(text: str) -> dict[str, float]:
    """How much the words of a sentence say that it belongs to each section (at most 1.6), -inf where they rule it out.

    What speaks more for another section counts against this one.
    """
    strength = {section: _strength(text, section) for section in _PATTERNS}
    most = max(strength.values())
    scores = {section: own - 0.5 * (most - own) for section, own in strength.items()}
    if strength[PERFORMANCE] < 0.5:
        scores[PERFORMANCE] = -math.inf
    return scores


def _strength(text: str, section: str) -> float:
    cues = sum(weight for weight, pattern in _PATTERNS[section] if pattern.search(text))
    if section == PERFORMANCE:
        measured = len(_MEASURED.findall(text))
        cues = 0.6 * cues + 0.3 * min(measured, 4) - 0.1 * max(measured - 8, 0)
    return min(cues, 1.6)


def announces(text: str) -> bool:
    """Whether a sentence says what the paper does: "we propose", "this paper presents"."""
    return any(pattern.search(text) for weight, pattern in _PATTERNS[NEW] if weight >= 0.8)


def leans(text: str) -> bool:
    """Whether a sentence begins with a word that needs the sentence before it."""
    return bool(_LEANING.match(text)) and not _FIRM.match(text)


def flaw(text: str) -> float:
    """What is against quoting a sentence alone: 0 for nothing, `inf` for what is no sentence about the work.

    Counted are formulas, citations, pointers to figures and sections, other people's work, and length (characters).
    """
    words = _WORD.findall(text)
    hangul = bool(re.search(r"[가-힣]", text))
    wide = len(re.findall(r"[぀-ヿ一-鿿]", text))
    enough = len(words) >= (4 if hangul else 7) or wide >= 12
    if not enough or not _END.search(text) or len(text) > 420 or len(words) > 65 or " | " in text:
        return math.inf
    if text[0].islower() and not re.match(r"[a-z]*[A-Z]|[a-z]+-", text):
        return math.inf
    if text.count("(") != text.count(")") or _NO_CONTENT.search(text) or "\ufffd" in text:
        return math.inf
    symbols = len(_FORMULA.findall(text)) / len(text)
    digits = sum(map(str.isdigit, text)) / len(text)
    lonely = sum(len(word) == 1 and word.isascii() for word in words) / max(len(words), 1)
    if symbols > 0.05 or digits > 0.25 or lonely > 0.3:
        return math.inf
    against = 12 * symbols + (0.8 if leans(text) else 0.0) + (0.5 if _OTHERS.search(text) else 0.0)
    against += 0.15 * min(len(_CITED.findall(text)), 4) + 0.4 * min(len(_POINTER.findall(text)), 2)
    against += 0.3 if len(text) < 60 and not hangul and not wide else 0.0
    return against + 0.002 * max(len(text) - 260, 0)


def language_of_paper(text: str) -> str:
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

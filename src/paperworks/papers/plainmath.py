r"""Writes TeX formulas as plain text that can be read and searched: `10^{-4}` is `10^-4`, `2.7\times` is `2.7×`.

A summary says "2.7×" and "21.7%" where the paper's source says `2.7\times` and `21.7\%`; quotes and figures can only be
found in a text that has them the same way. Layout is not kept: a fraction is `a/b`, a matrix is its entries.
"""

from __future__ import annotations

import re
from functools import lru_cache


def _words(text: str) -> set[str]:
    return set(text.split())


_SYMBOLS = {
    name: symbol
    for line in r"""
    alpha α beta β gamma γ delta δ epsilon ε varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ lambda λ mu μ
    nu ν xi ξ pi π varpi ϖ rho ρ varrho ϱ sigma σ varsigma ς tau τ upsilon υ phi φ varphi φ chi χ psi ψ omega ω
    Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω
    times × cdot · div ÷ pm ± mp ∓ ast * star * circ ∘ bullet • oplus ⊕ ominus ⊖ otimes ⊗ odot ⊙ setminus ∖
    leq ≤ le ≤ leqslant ≤ geq ≥ ge ≥ geqslant ≥ neq ≠ ne ≠ approx ≈ sim ~ simeq ≃ cong ≅ equiv ≡ propto ∝ ll ≪ gg ≫
    lesssim ≲ gtrsim ≳ lt < gt > coloneqq := triangleq ≜ prec ≺ succ ≻
    in ∈ notin ∉ ni ∋ subset ⊂ subseteq ⊆ supset ⊃ supseteq ⊇ cup ∪ cap ∩ emptyset ∅ varnothing ∅
    forall ∀ exists ∃ neg ¬ lnot ¬ land ∧ wedge ∧ lor ∨ vee ∨ mid | vert | lvert | rvert | Vert ‖ lVert ‖ rVert ‖ | ‖
    parallel ∥ perp ⊥ bot ⊥ top ⊤ angle ∠ triangle △ nabla ∇ partial ∂ infty ∞ hbar ℏ ell ℓ Re ℜ Im ℑ aleph ℵ
    sum ∑ prod ∏ coprod ∐ int ∫ iint ∬ oint ∮ bigcup ⋃ bigcap ⋂ bigoplus ⨁ bigotimes ⨂
    to → rightarrow → longrightarrow → leftarrow ← gets ← longleftarrow ← leftrightarrow ↔ longleftrightarrow ↔
    Rightarrow ⇒ implies ⇒ Longrightarrow ⇒ Leftarrow ⇐ Leftrightarrow ⇔ iff ⇔ mapsto ↦ uparrow ↑ downarrow ↓
    nearrow ↗ searrow ↘ updownarrow ↕ rightsquigarrow ⇝ hookrightarrow ↪
    ldots … dots … cdots … dotsc … dotsb … vdots ⋮ ddots ⋱ prime ′ dagger † ddagger ‡ degree ° textdegree ° S § P ¶
    langle ⟨ rangle ⟩ lceil ⌈ rceil ⌉ lfloor ⌊ rfloor ⌋ lbrace { rbrace } lbrack [ rbrack ] backslash \ colon :
    checkmark ✓ xmark ✗ square □ blacksquare ■ diamond ◇ clubsuit ♣ heartsuit ♥ spadesuit ♠ diamondsuit ♦
    percent % textpercent % textasciitilde ~ textless < textgreater > textbar | textendash – textemdash —
    pounds £ textdollar $ And & textunderscore _ textasciicircum ^ textbackslash \
    """.strip().splitlines()
    for name, symbol in zip(line.split()[::2], line.split()[1::2], strict=True)
}
_SPACES = {",", ";", ":", ">", " ", "\\", "quad", "qquad", "enspace", "thinspace", "newline", "cr"}
_NOTHING = _words(
    "! / displaystyle textstyle scriptstyle scriptscriptstyle limits nolimits left right middle big Big bigg Bigg "
    "bigl bigr bigm Bigl Bigr Bigm biggl biggr biggm Biggl Biggr Biggm nonumber notag allowbreak rm bf it sf tt cal "
    "boldmath unboldmath normalfont bfseries itshape rmfamily sffamily ttfamily scshape tiny scriptsize footnotesize "
    "small normalsize large Large LARGE huge Huge centering noindent relax strut protect hfill hline toprule midrule "
    "bottomrule mathop mathbin mathrel mathord mathopen mathclose mathpunct mathinner"
)
_FUNCTIONS = _words(
    "arccos arcsin arctan arg argmax argmin cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup "
    "ln log max min mod Pr sec sin sinh sup tan tanh"
)
_TEXT = _words(
    "text textrm textbf textit textsf texttt textsc textnormal textup mbox hbox emph operatorname mathrm"
)
_DROPPED_ARGUMENTS = {"label": 1, "tag": 1, "color": 1, "vspace": 1, "hspace": 1, "phantom": 1, "vphantom": 1}
_DROPPED_ARGUMENTS |= {
    "hphantom": 1,
    "cellcolor": 1,
    "rowcolor": 1,
    "columncolor": 1,
    "definecolor": 3,
    "end": 1,
}
_DROPPED_ARGUMENTS |= {"textcolor": 1, "colorbox": 1, "raisebox": 1, "rotatebox": 1, "scalebox": 1, "href": 1}
_DROPPED_ARGUMENTS |= {
    "overset": 1,
    "underset": 1,
    "stackrel": 1,
    "multirow": 2,
    "multicolumn": 2,
    "resizebox": 2,
}
_FRACTIONS = {"frac", "dfrac", "tfrac", "cfrac", "nicefrac", "sfrac"}

_TOKEN = re.compile(r"\\(?:[A-Za-z]+|.)|[{}^_&~\[\]]|\s+|[^\\{}^_&~\s\[\]]", re.DOTALL)
_RELATION = re.compile(r" ?(:=|[=<>≤≥≈≠≡≃≅∝≪≫≲≳≜∈∉⊂⊆→←↔⇒⇔]+) ?")
_SHORT = re.compile(r"[-+−]?[\w.%°√]+|\([^()]*\)")


@lru_cache(maxsize=20_000)
def plain_math(tex: str) -> str:
    """The formula `tex` as one line of plain text. Raises nothing, whatever `tex` is."""
    tex = re.sub(r"(?<!\\)%.*\n?", "", tex).replace("\\operatorname*", "\\operatorname")
    tex = re.sub(r"(?<=\d)(?:\{,\}|\\,)(?=\d{3}(?!\d))", ",", tex).replace("{,}", ",")
    tokens = _TOKEN.findall(tex)[::-1]
    parts = []
    try:
        while tokens:
            parts.append(_group(tokens, text=False))
    except RecursionError:
        parts = [re.sub(r"[\\{}]+", " ", tex)]
    text = _RELATION.sub(r" \1 ", "".join(parts))
    text = re.sub(r",(?=[^\s\d])|(?<=\D),(?=\d)", ", ", text)
    return " ".join(text.split())


def _group(tokens: list[str], text: bool) -> str:
    """What stands before the closing brace, which is taken as well, or before the end. `tokens` are a stack."""
    parts: list[str] = []
    while tokens:
        token = tokens.pop()
        if token == "}":
            break
        before = parts[-1] if parts else ""
        part = _one(token, tokens, text, before)
        stands_apart = token[1:] in _FUNCTIONS or before[:1] in ("^", "_")
        if stands_apart and before[-1:].isalnum() and part[:1].isalnum():
            parts.append(" ")
        if part:
            parts.append(part)
    return "".join(parts)


def _argument(tokens: list[str], text: bool = False) -> str:
    while tokens and tokens[-1].isspace():
        tokens.pop()
    if not tokens or tokens[-1] == "}":
        return ""
    return _one(tokens.pop(), tokens, text, "").strip()


def _option(tokens: list[str]) -> str:
    if not tokens or tokens[-1] != "[":
        return ""
    parts = []
    tokens.pop()
    while tokens and tokens[-1] != "]":
        parts.append(tokens.pop())
    del tokens[-1:]
    return "".join(parts)


def _one(token: str, tokens: list[str], text: bool, before: str) -> str:
    if token == "{":
        return _group(tokens, text)
    if token in ("^", "_"):
        return _script(token, _argument(tokens), before)
    if token in ("&", "~"):
        return " "
    if token.isspace():
        return " " if text else ""
    if token == "'":
        return "′"
    if token[0] == "\\":
        return _command(token[1:], tokens, text)
    return token


def _script(mark: str, content: str, before: str) -> str:
    if mark == "^" and content in ("∘", "°"):
        return "°"
    if mark == "^" and re.fullmatch(r"[′*†‡]+", content):
        return content
    if mark == "^" and before[-1:].isdigit() and content in ("st", "nd", "rd", "th"):
        return content
    if content.startswith(("±", "+/-")):  # the deviation that tables set below a score
        return content
    if not content or _SHORT.fullmatch(content) or len(content) == 1:
        return f"{mark}{content}" if content else ""
    return f"{mark}({content})"


def _command(name: str, tokens: list[str], text: bool) -> str:
    if name in ("left", "right", "middle") and tokens and tokens[-1] == ".":
        tokens.pop()
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    if name in _SPACES:
        return " "
    if name in _NOTHING or name == "":
        return ""
    if name in _FUNCTIONS:
        return name + _gap(tokens)
    if name in _FRACTIONS:
        above, below = _argument(tokens), _argument(tokens)
        return f"{_bracketed(above)}/{_bracketed(below)}"
    if name in ("binom", "dbinom", "tbinom"):
        return f"({_argument(tokens)} choose {_argument(tokens)})"
    if name == "sqrt":
        return f"{_option(tokens)}√{_bracketed(_argument(tokens))}"
    if name == "not":
        negated = _argument(tokens)
        return {"=": "≠", "∈": "∉", "≡": "≢", "⊂": "⊄"}.get(negated, f"¬{negated}")
    if name == "begin":
        if _argument(tokens, text=True).rstrip("*") in ("array", "tabular", "alignedat"):
            _option(tokens)
            _argument(tokens)
        return ""
    if name in _TEXT:
        content = _argument(tokens, text=True) if tokens[-1:] != ["{"] else _group_after_brace(tokens)
        return content + (_gap(tokens) if name == "operatorname" else "")
    if name in _DROPPED_ARGUMENTS:
        for _ in range(_DROPPED_ARGUMENTS[name]):
            _option(tokens)
            _argument(tokens)
        return ""
    if not name[0].isalpha():
        return name
    if tokens and tokens[-1] in ("{", "["):  # \hat{x}, \mathbf{x}, \boxed{x} and the like
        _option(tokens)
        return _argument(tokens, text)
    return "" if name.startswith(("math", "text")) else name + _gap(tokens)


def _group_after_brace(tokens: list[str]) -> str:
    tokens.pop()
    return _group(tokens, text=True)


def _gap(tokens: list[str]) -> str:
    rest = next((token for token in reversed(tokens) if not token.isspace()), "")
    return " " if rest[:1].isalnum() or (rest[:1] == "\\" and rest[1:] not in _NOTHING) else ""


def _bracketed(content: str) -> str:
    return content if not content or _SHORT.fullmatch(content) else f"({content})"

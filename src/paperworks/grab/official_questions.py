"""What an official question asks for: property, precision and operations, told from its words."""

from __future__ import annotations

import re
from typing import Any

from paperworks.errors import InputError
from paperworks.grab.design import CATEGORIES

# The first that the question has, in this order: "interquartile range" before "range", "domain length" before "mean".
_WORDS = (
    ("x-intercept", r"x-intercept"),
    ("y-intercept", r"y-intercept"),
    ("gradient", r"gradient|slope"),
    ("stationary-points", r"stationary points"),
    ("stationary-point", r"stationary point"),
    ("amplitude", r"amplitude"),
    ("period", r"period"),
    ("vertical-shift", r"vertical shift"),
    ("phase-shift", r"phase shift"),
    ("equation", r"equation"),
    ("number-of-points", r"how many (?:data )?points|number of (?:data )?points"),
    ("number-of-series", r"how many (?:different |data )*series|number of (?:different |data )*series"),
    ("pearson", r"pearson"),
    ("spearman", r"spearman"),
    ("kendall", r"kendall"),
    ("net-area", r"net area"),
    ("total-area", r"total area"),
    ("interquartile-range", r"interquartile|inter-quartile|\biqr\b"),
    ("median", r"median"),
    ("variance", r"variance"),
    ("peak", r"\bpeak"),
    ("maximum", r"maximum"),
    ("minimum", r"minimum"),
    ("domain-length", r"domain"),
    ("range-span", r"range"),
    ("function-mean", r"function mean|mean of the functions? |mean value of the function"),
    ("mean", r"\bmean\b"),
)
_OPERATION = re.compile(
    r"(?P<scale>scal\w*\s+by\s+(?P<factor>-?[\d.]+)\s+in\s+(?:the\s+)?(?P<scaled>[xy]))"
    r"|(?P<rotate>rotat\w*\s+by\s+(?P<angle>-?[\d.]+))"
    r"|(?P<reflect>reflect\w*\s+(?:in|about|across)\s+the\s+(?:line\s+(?P<line>[xy]\s*=\s*-?(?:[xy]|[\d.]+))|(?P<axis>[xy])-axis))"
    r"|(?P<translate>translat\w*\s+by\s+(?P<by>-?[\d.]+)\s+in\s+(?:the\s+)?(?P<moved>[xy]))",
    re.IGNORECASE,
)


def property_of(question: str, category: str, task: str) -> str:
    """The property that an official question asks for, one of its category's. `InputError` where none is named."""
    if category not in CATEGORIES:
        raise InputError(f"no category {category!r}: choose from {', '.join(CATEGORIES)}")
    asked = re.split(
        r"\n\s*1\.|after (?:it|being|these|the following)|after they|Give your|Write your", question
    )[0].lower()
    if task in ("function", "series"):
        asked = re.sub(
            r"\b(estimate|what is|find|calculate) the (mean|average)( value of)?( the)? ",
            r"\1 the ",
            asked,
            count=1,
        )
    names = CATEGORIES[category]
    for name, words in _WORDS:
        if name in names and re.search(words, asked):
            # One point of each function: "the mean x-value of the stationary points of the functions".
            return "stationary-point" if name == "stationary-points" and task == "function" else name
    raise InputError(
        f"cannot tell which of {', '.join(names)} the question asks for: {question!r}; the category is {category!r}"
    )


def quantum_of(question: str, answer: str) -> str:
    """The precision that a question asks for: "10", "1" or "0.1", by its words, else by the answer's form.

    Raises `InputError` where words and answer contradict.
    """
    asked = question.lower()
    found = None
    if re.search(r"nearest (?:10|ten)\b", asked):
        found = "10"
    elif re.search(r"(?:1|one) decimal", asked):
        found = "0.1"
    elif re.search(r"\binteger", asked):
        found = "1"
    decimal = re.fullmatch(r"-?\d+\.\d", answer.strip()) is not None
    if found is None:
        return "0.1" if decimal else "1"
    if decimal != (found == "0.1"):
        raise InputError(
            f"the question asks for a precision of {found}, but its answer is {answer!r}: {question!r}"
        )
    return found


def operations_of(question: str) -> list[dict[str, Any]]:
    """The operations of a transform question, in order, as `operations.py` takes them."""
    found: list[dict[str, Any]] = []
    for match in _OPERATION.finditer(question):
        if match["scale"]:
            found.append(
                {"kind": "scale", "axis": match["scaled"].lower(), "factor": _plain(match["factor"])}
            )
        elif match["rotate"]:
            found.append({"kind": "rotate", "angle": round(float(match["angle"])) % 360})
        elif match["translate"]:
            found.append({"kind": "translate", "axis": match["moved"].lower(), "by": _plain(match["by"])})
        elif match["axis"]:
            found.append({"kind": "reflect", "in": f"{match['axis'].lower()}-axis"})
        else:
            left, right = match["line"].lower().replace(" ", "").split("=")
            if right.lstrip("-") in ("x", "y"):
                found.append({"kind": "reflect", "in": "y=-x" if "-" in right else "y=x"})
            else:
                found.append({"kind": "reflect", "in": f"{left}=k", "k": _plain(right)})
    return found


def _plain(number: str) -> str:
    return re.sub(r"\.0*$", "", number) if "." in number else number

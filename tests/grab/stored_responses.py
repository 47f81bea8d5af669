"""Responses of all kinds to answers of all forms, as models give them."""

from itertools import cycle, islice
from typing import Any

ANSWERS = (
    ("3", "1"),
    ("-7", "1"),
    ("0", "1"),
    ("120", "10"),
    ("-40", "10"),
    ("3.0", "0.1"),
    ("-0.4", "0.1"),
    ("12.5", "0.1"),
    ("[-3, 4]", "1"),
    ("y = -1x - 3", "1"),
    ("y = 2x^4 - 1x^3 - 2x^2 + 6x + 3", "1"),
    ("y = 2sin(3x + 1) + 6", "1"),
)
FORMS = (
    "{a}",
    " {a}\n",
    "{a}.",
    "{a}0",
    "Answer: {a}",
    "The answer is approximately {a}.",
    "**{a}**",
    "$\\boxed{{{a}}}$",
    "First I look at the axes: 5 ticks. Then the curve.\n\nAnswer: **{a}**",
    "{m}",
    "{s}",
    "{off}",
    "I cannot tell from the image.",
    "between 3 and 4",
    "3",
    "3.0 units",
    "three",
    "\\frac{{1}}{{2}}",
    "<think>maybe 5</think>{a}",
    "",
    "y = 3x + 2",
    "(-3, 4)",
    "x = -3 and x = 4",
    "45",
    "__import__('os').getcwd()",
    "−7",
    "1e1",
    "{a}\ud83d",
)


def stored_responses(n: int = 200) -> list[dict[str, Any]]:
    """`n` responses: text, the item's answer and quantum, each form with answers of every form."""
    pairs = [(form, answer) for form in FORMS for answer in ANSWERS]
    step = next(step for step in range(29, len(pairs)) if len(pairs) % step)
    rows = []
    for place in islice(cycle(range(0, len(pairs) * step, step)), n):
        form, (answer, quantum) = pairs[place % len(pairs)]
        off = answer
        if answer[0] not in "[y":
            value = float(answer) + float(quantum)
            off = f"{value:.1f}" if quantum == "0.1" else f"{value:.0f}"
        text = form.format(a=answer, m=answer.replace("-", "−"), s=answer.replace(" ", ""), off=off)
        rows.append({"text": text, "answer": answer, "quantum": quantum})
    return rows

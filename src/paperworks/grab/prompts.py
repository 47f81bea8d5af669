"""What is said to a model around a question.

"official" asks for the bare answer, as the authors' example does (its meaning, in our words) and allows 100 new tokens
as that example does; "reason" lets the model think first and has it end with a line that is easy to find.
"""

from __future__ import annotations

from dataclasses import dataclass

from paperworks.errors import InputError

_PLACE = "{question}"


@dataclass(frozen=True)
class Prompt:
    """A prompt: `template` holds `{question}` once, `max_tokens` is how long an answer to it may be."""

    name: str
    template: str
    max_tokens: int = 100

    def __post_init__(self) -> None:
        if self.template.count(_PLACE) != 1:
            raise InputError(f"the prompt {self.name!r} must have {_PLACE} once, where the question goes")
        if self.max_tokens < 1:
            raise InputError(
                f"the prompt {self.name!r} has max_tokens {self.max_tokens}; it is a number above 0"
            )

    def text(self, question: str) -> str:
        """The whole text that is sent with a question."""
        return self.template.replace(_PLACE, question)


PROMPTS = {
    prompt.name: prompt
    for prompt in (
        Prompt(
            "official",
            "{question}\nReply with nothing but the answer. Leave out any explanation or working. If you are not sure, "
            "answer all the same.\nAnswer:",
            100,
        ),
        Prompt(
            "reason",
            "{question}\nWork it out step by step from the picture. If you are not sure, answer all the same. "
            "End with one line of the form\nAnswer: <your answer>",
            8192,
        ),
    )
}


def find_prompt(prompt: str | Prompt) -> Prompt:
    """The prompt of that name. Raises `InputError` with the names there are."""
    if isinstance(prompt, Prompt):
        return prompt
    if prompt not in PROMPTS:
        raise InputError(f"no prompt {prompt!r}; choose one of {', '.join(PROMPTS)}")
    return PROMPTS[prompt]

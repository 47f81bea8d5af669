"""What a language model is asked about a paper, and how its answer is read.

Every prompt is a Jinja template in a Markdown file, so that a user can replace it with his own. The paper stands
between marker lines that cannot occur in it, because a paper may hold sentences that read like instructions. Models
wrap the JSON that they are asked for in prose, code fences or their thoughts; `sections_in` finds it there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from paperworks.errors import InputError
from paperworks.papers.model import tidy, usual_name
from paperworks.papers.source import Source
from paperworks.papers.summarize import SUMMARY_SECTIONS, Message, Summary, SummaryError, Usage, left_out

SHIPPED = Path(__file__).parent / "prompts"
_NAMES = {
    "ko": "Korean (한국어)",
    "en": "English",
    "ja": "Japanese (日本語)",
    "zh": "Chinese (中文)",
    "de": "German (Deutsch)",
    "fr": "French (français)",
    "es": "Spanish (español)",
}


class Answer(BaseModel):
    """A model's answer: the three sections, none of them empty. A list of points becomes lines of a list."""

    model_config = ConfigDict(extra="forbid")

    whats_new: str
    technical_details: str
    performance_highlights: str

    @field_validator("*", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(point, str) for point in value):
            value = "\n".join(f"- {point}" for point in value)
        if isinstance(value, str) and not tidy(value):
            raise ValueError("it is empty")
        return tidy(value) if isinstance(value, str) else value

    def sections(self) -> dict[str, str]:
        """The texts under the names that the page uses."""
        return dict(zip(SUMMARY_SECTIONS, self.model_dump().values(), strict=True))


class Unusable(ValueError):
    """An answer that holds no summary; the message says in a few words what is wrong with it."""


class Prompts:
    """The prompts by name: those in `folder`, and the shipped ones for what is not there.

    Raises `InputError` where `folder` is no folder, and later where a template has an error (with file and line).
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        if folder is not None and not Path(folder).is_dir():
            raise InputError(
                f"{folder}: no such folder of prompts; it holds files such as summary.md, named as the shipped ones"
            )
        self._folders = [*([Path(folder)] if folder is not None else []), SHIPPED]
        self._templates = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(self._folders),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def ask(
        self, title: str, source: Source, language: str, left_out: tuple[str, ...] = ()
    ) -> tuple[Message, ...]:
        """The first messages about a paper. Raises `InputError` where a template loses the paper or has an error."""
        paper = source.text.strip()
        mark = hashlib.sha256(paper.encode()).hexdigest()[:12]
        task = self._render(
            "summary.md",
            title=title,
            paper=paper,
            begin=f"<<<PAPER {mark}",
            end=f"PAPER {mark}>>>",
            left_out=left_out,
            **_language(language),
        )
        if paper not in task:
            raise InputError(
                f"{self._file('summary.md')}: the template leaves the paper out; write {{{{ paper }}}} in it"
            )
        return (
            {"role": "system", "content": self._render("system.md", **_language(language))},
            {"role": "user", "content": task},
        )

    def ask_again(self, answer: str, problem: str, language: str) -> tuple[Message, ...]:
        """What follows on an answer that cannot be used."""
        task = self._render("repair.md", problem=problem, **_language(language))
        return {"role": "assistant", "content": answer}, {"role": "user", "content": task}

    def correct(self, answer: str, unfounded: list[str], language: str) -> tuple[Message, ...]:
        """What follows on a summary with figures that the paper does not hold."""
        task = self._render("figures.md", unfounded=unfounded, **_language(language))
        return {"role": "assistant", "content": answer}, {"role": "user", "content": task}

    def _file(self, name: str) -> Path:
        return next((folder / name for folder in self._folders if (folder / name).is_file()), Path(name))

    def _render(self, name: str, **values: Any) -> str:
        try:
            return self._templates.get_template(name).render(**values).strip()
        except TemplateNotFound as error:
            raise InputError(f"{self._file(name)}: it includes {error.name}, which is not there") from error
        except (TemplateError, TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
            number = getattr(error, "lineno", None)
            line = f", line {number}" if number else ""
            where = getattr(error, "name", None) or name
            message = " ".join(str(error).split())
            raise InputError(
                f"{self._file(where)}{line}: {message}; correct the template or remove the file"
            ) from error
        except OSError as error:
            raise InputError(f"{self._file(name)}: {error.strerror}") from error


class ModelSummarizer(ABC):
    """What summaries by any language model have in common: the question, one more try, and the correction of figures.

    A model needs a `name`, what it can read of a paper (`_fitting`) and how it answers messages (`_call`).
    """

    name: str
    prompts: Prompts

    @abstractmethod
    def _fitting(self, title: str, source: Source, language: str) -> Source:
        """As much of `source` as the question may hold."""

    @abstractmethod
    def _call(self, what: str, messages: tuple[Message, ...]) -> tuple[str, Usage]:
        """The answer to `messages`, which are about `what`, and what it took."""

    def question(
        self, title: str, source: Source, language: str
    ) -> tuple[tuple[Message, ...], tuple[str, ...]]:
        """The first messages about a paper and the headings of the sections that do not fit."""
        cut = self._fitting(title, source, language)
        missing = left_out(source, cut)
        return self.prompts.ask(title, cut, language, missing), missing

    def summarize(self, title: str, source: Source, language: str) -> Summary:
        """The model's summary in `language`, asked once more where the first answer cannot be used.

        Raises `SummaryError` where this paper failed (a refusal, an empty or cut-off answer, two answers that are no
        summary, a model that does not answer) and `InputError` where no other paper will fare better.
        """
        messages, missing = self.question(title, source, language)
        answer, usage = self._call(title, messages)
        try:
            sections = sections_in(answer)
        except Unusable as problem:
            again = self.prompts.ask_again(answer, str(problem), language)
            answer, more = self._call(title, (*messages, *again))
            usage += more
            sections = self._usable(title, answer)
        return Summary(sections, self.name, language, usage=usage, left_out=missing, messages=messages)

    def repair(self, summary: Summary, unfounded: list[str]) -> Summary:
        """`summary` corrected by the model, which is told which figures are not in the paper.

        One call, once a summary: a repaired one and one without unfounded figures come back as they are. Raises as
        `summarize` does; the summary as it was is then still the caller's.
        """
        if summary.repaired or not unfounded:
            return summary
        if not summary.messages:
            raise SummaryError(
                "a summary without its exchange with the model cannot be sent back: summarise again"
            )
        told = self.prompts.correct(answer_json(summary.sections), unfounded, summary.language)
        answer, usage = self._call("the corrected summary", (*summary.messages, *told))
        sections = self._usable("the corrected summary", answer)
        return replace(summary, sections=sections, usage=summary.usage + usage, repaired=True)

    def _usable(self, what: str, answer: str) -> dict[str, str]:
        try:
            return sections_in(answer)
        except Unusable as problem:
            raise SummaryError(
                f"{self.name}: no usable answer for {what!r}, {problem}: {short(answer) or 'nothing'}"
            ) from problem


def sections_in(answer: str) -> dict[str, str]:
    """The sections in a model's answer: its JSON, alone or in prose, fences or thoughts. Raises `Unusable`."""
    found = list(_objects(answer))
    if not found:
        raise Unusable("it holds no JSON object" if answer.strip() else "it is empty")
    best = max(reversed(found), key=len)
    try:
        return Answer.model_validate(best).sections()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "missing":
            raise Unusable(f"the key {name!r} is missing") from error
        raise Unusable(
            f"the key {name!r} holds no text: {first['msg'].removeprefix('Value error, ')}"
        ) from error


def answer_json(sections: dict[str, str]) -> str:
    """The sections as the JSON that a model is asked for."""
    return json.dumps(dict(zip(Answer.model_fields, sections.values(), strict=True)), ensure_ascii=False)


def short(text: str) -> str:
    """`text` on one line of at most 200 characters, for a message."""
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:199]}…"


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in `text`, each with those of its keys that name sections, in any spelling."""
    decoder = json.JSONDecoder(strict=False)
    position = text.find("{")
    while position >= 0:
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            yield {key: said for name, said in value.items() if (key := _key(name))}
        position = text.find("{", end)


def _key(name: str) -> str | None:
    usual = usual_name(re.sub(r"_|(?<=[a-z])(?=[A-Z])", " ", name))
    return dict(zip(SUMMARY_SECTIONS, Answer.model_fields, strict=True)).get(usual or "")


def _language(language: str) -> dict[str, str]:
    if not re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", language):
        raise InputError(f"{language!r} is no language tag; give one such as ko, en or pt-BR with --lang")
    name = _NAMES.get(language.split("-")[0].casefold(), f"the language with the tag {language}")
    return {"language": language, "language_name": name}

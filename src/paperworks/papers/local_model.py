"""Summaries by a language model in a folder on this machine: no network, no key, no price.

Such a model has a context of its own, often a short one. The paper is cut by section until question, paper and answer
fit into it, counted with the model's own tokenizer. The answer is the likeliest token after token, so the same paper
gives the same summary.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from paperworks.devices import resolve_device
from paperworks.errors import InputError, require
from paperworks.papers.prompting import ModelSummarizer, Prompts, short
from paperworks.papers.source import Source
from paperworks.papers.summarize import Estimate, Message, SummaryError, Usage, left_out, within_budget

if TYPE_CHECKING:
    from transformers import LogitsProcessorList


class LocalSummarizer(ModelSummarizer):
    """Summaries by a causal language model and its tokenizer in the folder `path`, with its chat template if it has
    one.

    `answer_tokens` is how long an answer may be, `paper_tokens` how much of a paper is read at most (`None`: what the
    context holds), `device` as in `resolve_device`. `logits_processor` is handed to `generate`, for
    decoding that is constrained to a grammar. `context` is the most tokens of question and answer together. Threads
    take turns. Raises `InputError` for a folder that is none or holds no such model.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        prompts: Prompts | None = None,
        *,
        answer_tokens: int = 1_500,
        paper_tokens: int | None = None,
        device: str = "auto",
        logits_processor: LogitsProcessorList | None = None,
    ) -> None:
        folder = Path(path)
        if not (folder / "config.json").is_file():
            raise InputError(
                f"{path} is no folder of a model (no config.json): give one that holds a downloaded model"
            )
        require("local", "torch", "transformers")
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.name = folder.resolve().name
        self.prompts = prompts or Prompts()
        device = resolve_device(device)
        dtype = "float32" if device == "cpu" else "auto"
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=dtype)
            self._model = model.to(device).eval()
        except Exception as error:
            raise InputError(
                f"{path} holds no causal language model with a tokenizer: {short(str(error))}"
            ) from error
        self._answer_tokens, self._paper_tokens = answer_tokens, paper_tokens
        self._logits_processor = logits_processor
        self._turn = threading.Lock()
        sizes = (
            getattr(self._model.config.get_text_config(), "max_position_embeddings", None),
            self._tokenizer.model_max_length,
        )
        self.context: int = min([size for size in sizes if size and size < 1e9], default=32_768)

    def estimate(self, title: str, source: Source, language: str) -> Estimate:
        """The tokens of the question by the model's own tokenizer and the longest answer allowed; the price is 0."""
        messages, missing = self.question(title, source, language)
        return Estimate(len(self._encoded(messages)), self._answer_tokens, 0.0, missing)

    def _fitting(self, title: str, source: Source, language: str) -> Source:
        nothing = Source(())
        limit = self.context - self._answer_tokens
        bare = self._encoded(self.prompts.ask(title, nothing, language, left_out(source, nothing)))
        budget = min(limit - len(bare), self._paper_tokens or limit)
        while budget > 0:
            try:
                cut = within_budget(source, budget, self._count)
            except InputError:
                break
            over = len(self._encoded(self.prompts.ask(title, cut, language, left_out(source, cut)))) - limit
            if over <= 0:
                return cut
            budget -= over
        raise InputError(
            f"{self.name} has a context of {self.context:,} tokens: too short for a question and an answer of "
            f"{self._answer_tokens:,} tokens; allow a shorter answer with --answer-tokens or take another model"
        )

    def _call(self, what: str, messages: tuple[Message, ...]) -> tuple[str, Usage]:
        from transformers import BatchEncoding

        question = self._encoded(messages)
        if len(question) + self._answer_tokens > self.context:
            raise SummaryError(
                f"{self.name}: a second question about {what!r} does not fit into its context of {self.context:,} "
                "tokens; allow less of the paper with --paper-tokens"
            )
        encoded = {"input_ids": [question], "attention_mask": [[1] * len(question)]}
        inputs = BatchEncoding(encoded, tensor_type="pt").to(self._model.device)
        end = self._model.generation_config.eos_token_id or self._tokenizer.eos_token_id
        with self._turn:
            output = self._model.generate(
                **inputs,
                max_new_tokens=self._answer_tokens,
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                eos_token_id=end,
                pad_token_id=end[0] if isinstance(end, list) else end,
                logits_processor=self._logits_processor,
            )
        tokens = output[0, len(question) :].tolist()
        return self._tokenizer.decode(tokens, skip_special_tokens=True), Usage(
            len(question), len(tokens), 1, 0.0
        )

    def _encoded(self, messages: tuple[Message, ...]) -> list[int]:
        if not self._tokenizer.chat_template:
            return self._tokenizer("\n\n".join(message["content"] for message in messages) + "\n\n")[
                "input_ids"
            ]
        try:
            return self._chat([*messages])
        except TemplateError:
            # A template without a system role, as Gemma's: what it would say opens the first question.
            system, question, *rest = messages
            opening = {"role": "user", "content": f"{system['content']}\n\n{question['content']}"}
            return self._chat([opening, *rest])

    def _chat(self, messages: list[Message]) -> list[int]:
        # Control tokens that are spelled out in a paper stay text and cannot end its message.
        return self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=False, sanitize_control_tokens=True
        )

    def _count(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

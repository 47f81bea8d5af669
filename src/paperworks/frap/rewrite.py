"""Prompts that a language model makes longer, without losing an object on the way."""

from __future__ import annotations

from typing import Any

from paperworks.errors import InputError
from paperworks.frap.parser import WORD
from paperworks.frap.words import Objects

REQUEST = (
    "Rewrite this prompt for an image generator as one richer sentence, and keep every object and colour in it.\n"
    "Prompt: {prompt}\nRewritten prompt:"
)


def rewrite(prompt: str, objects: Objects, model: str, *, tokens: int = 60) -> str:
    """The prompt in the words of any causal language model, by its hub id or folder; greedy, so always the same.

    Raises `InputError` that names the first word of `objects` that was lost, or a model that cannot be read.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        network = AutoModelForCausalLM.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise InputError(f"{model} is no causal language model that can be read: {error}") from error
    return kept(_continued(tokenizer, network, REQUEST.format(prompt=prompt), tokens), objects)


def kept(text: str, objects: Objects) -> str:
    """`text`, where it has every word of `objects`. Raises `InputError` with the first that is lost."""
    there = {match.group().lower() for match in WORD.finditer(text)}
    for name, modifiers in objects.items():
        for word in (str(name), *map(str, modifiers)):
            for piece in word.partition("#")[0].split():
                if piece.lower() not in there:
                    raise InputError(f'the rewritten prompt lost "{piece}": "{text}"')
    return text


def _continued(tokenizer: Any, network: Any, request: str, tokens: int) -> str:
    if getattr(tokenizer, "chat_template", None):
        request = tokenizer.apply_chat_template(
            [{"role": "user", "content": request}], tokenize=False, add_generation_prompt=True
        )
    inputs = tokenizer(request, return_tensors="pt")
    output = network.generate(
        **inputs,
        max_new_tokens=tokens,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
    )
    told = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return next((line.strip(' "') for line in told.splitlines() if line.strip(' "')), "")

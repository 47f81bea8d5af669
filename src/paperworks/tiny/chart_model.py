"""A small real vision-language model: a `LlavaForConditionalGeneration` that answers questions on drawn graphs.

CLIP's vision tower and a Llama of four layers each, of some four million parameters together, with a tokenizer that
spells whatever is not a phrase of the benchmark's questions. `AutoModelForImageTextToText` and `AutoProcessor` load the
folder. `python -m paperworks.tiny build chart_model` makes it again; `chart_model/README.md` is the card.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paperworks.errors import require

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast

FOLDER = Path(__file__).with_name("chart_model")
SIZE, PATCH = 128, 16
"""Pixels of the model's picture and of its patches, each way."""
PLACES = (SIZE // PATCH) ** 2 + 1
"""Tokens of a picture: its patches and the tower's class token, which comes first."""
HIDDEN = 192
CONTEXT = 2048
"""Tokens at most, those of the picture among them."""
START, END, UNKNOWN, IMAGE, REPLY = "<s>", "</s>", "<unk>", "<image>", "<reply>"
SPECIAL = (UNKNOWN, START, END, IMAGE, REPLY)
CHARACTERS = "".join(map(chr, range(32, 127))) + "\n"
PHRASES = (
    "What is the mean, over all functions shown, of the ",
    "What is the ",
    "x-intercept (the x at which y is 0)",
    "y-intercept (the y at x = 0)",
    "gradient",
    "function mean (the x-coordinate of the bell's peak)",
    "variance (the squared distance in x from the bell's peak to its inflection)",
    " of the ",
    "blue",
    "orange",
    "green",
    "red",
    " function",
    "How many points are shown",
    "How many data series are shown",
    "? Give the answer to the nearest integer.",
    "? Give the answer to one decimal place.",
    "\nReply with nothing but the answer. Leave out any explanation or working. If you are not sure, "
    "answer all the same.\nAnswer:",
)
"""Parts of the benchmark's questions and of its prompt that are one token each; every other text is spelled."""
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}<reply>{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<reply>{% endif %}"
)
"""The chat: the picture first, the text as it is, `<reply>` before what the model says."""
VISION: dict[str, Any] = {
    "image_size": SIZE,
    "patch_size": PATCH,
    "hidden_size": HIDDEN,
    "intermediate_size": 4 * HIDDEN,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "hidden_act": "gelu",
    "projection_dim": HIDDEN,
}
TEXT: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": CONTEXT,
    "tie_word_embeddings": True,
    "initializer_range": 0.05,
}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A `PreTrainedTokenizerFast` of characters and `PHRASES`: the longest phrase first, and decoding loses nothing."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {entry: number for number, entry in enumerate((*SPECIAL, *CHARACTERS))}
    own = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    own.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    own.decoder = decoders.Fuse()
    own.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    own.add_tokens([AddedToken(phrase, normalized=False) for phrase in PHRASES])
    return PreTrainedTokenizerFast(
        tokenizer_object=own,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        unk_token=UNKNOWN,
        extra_special_tokens={"image_token": IMAGE},
        model_max_length=CONTEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=TEMPLATE,
    )


def make_processor() -> LlavaProcessor:
    """A `LlavaProcessor` that needs no torchvision: whole pictures squeezed to `SIZE` × `SIZE`, white 0, black −4."""
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    side = {"height": SIZE, "width": SIZE}
    pictures = CLIPImageProcessorPil(
        size=side, crop_size=side, do_center_crop=False, image_mean=[1.0] * 3, image_std=[0.25] * 3
    )
    return LlavaProcessor(
        image_processor=pictures,
        tokenizer=make_tokenizer(),
        patch_size=PATCH,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE,
    )


def empty_model(tokenizer: Any) -> LlavaForConditionalGeneration:
    """The model with weights drawn anew from torch's generator."""
    from transformers import (
        CLIPVisionConfig,
        GenerationConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    ids: dict[str, Any] = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**VISION),
            text_config=LlamaConfig(**TEXT, vocab_size=len(tokenizer), **ids),
            image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
            image_seq_length=PLACES,
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
            tie_word_embeddings=True,
            **ids,
        )
    )
    model.generation_config = GenerationConfig(do_sample=False, **ids)
    return model


def load_chart_model(folder: str | Path = FOLDER) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """The shipped model in float32 and its processor."""
    require("grab", "torch", "transformers", "PIL")
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(
        Path(folder), dtype=torch.float32, local_files_only=True
    )
    return model.eval(), AutoProcessor.from_pretrained(Path(folder), local_files_only=True)


def chat(question: str) -> list[dict[str, Any]]:
    """The question with a picture before it, as the chat template takes it."""
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]


def ask(
    model: Any, processor: Any, pictures: Sequence[Any], questions: Sequence[str], *, batch_size: int = 64
) -> list[str]:
    """The model's answers, greedily; `pictures` are PIL images or arrays `[H, W, 3]` uint8, one a question."""
    import torch
    from PIL import Image

    found: list[str] = []
    for first in range(0, len(questions), batch_size):
        part = [
            Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
            for picture in pictures[first : first + batch_size]
        ]
        texts = [
            processor.apply_chat_template(chat(question), add_generation_prompt=True)
            for question in questions[first : first + batch_size]
        ]
        inputs = processor(
            images=part, text=texts, padding=True, return_tensors="pt", add_special_tokens=False
        )
        with torch.no_grad():
            tokens = model.generate(**inputs, max_new_tokens=12, do_sample=False)
        new = tokens[:, inputs["input_ids"].shape[1] :]
        found += [text.strip() for text in processor.batch_decode(new, skip_special_tokens=True)]
    return found

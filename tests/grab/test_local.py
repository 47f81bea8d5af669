"""Checkpoints on this machine: tiny random models of real classes, and the sizes of a real one on `meta`."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest
import tiny_vlm
import torch
from loopback import FakeBench
from transformers import AutoModelForImageTextToText, CLIPVisionConfig, LlamaConfig, LlavaConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from paperworks.errors import InputError
from paperworks.grab.evaluate import evaluate
from paperworks.grab.local import LocalModel
from paperworks.grab.models import Model, Request


@pytest.fixture(scope="module")
def llava():
    return tiny_vlm.llava()


@pytest.fixture(scope="module")
def idefics3():
    return tiny_vlm.idefics3()


def local(pair, **changes) -> LocalModel:
    return LocalModel(*pair, **({"device": "cpu", "max_tokens": 12} | changes))


def requests(n: int, size: tuple[int, int] = (120, 90)) -> list[Request]:
    """Prompts of different lengths, so that a batch has to be padded."""
    bench = FakeBench(n, size)
    return [
        Request(
            item.id, item.id, "why? " * (place % 5) + item.question, lambda item=item: bench.png(item), ""
        )
        for place, item in enumerate(bench)
    ]


@pytest.mark.parametrize("name", ["llava", "idefics3"])
def test_a_batch_answers_as_one_by_one(name, request):
    pair = request.getfixturevalue(name)
    batched = list(local(pair, batch_size=5).answer(requests(12)))
    alone = list(local(pair, batch_size=1).answer(requests(12)))
    assert [response.text for response in batched] == [response.text for response in alone]
    assert [response.tokens_in for response in batched] == [response.tokens_in for response in alone]
    assert len({response.text for response in batched}) > 6


def test_padding_on_the_right_would_not(llava, monkeypatch):
    model = local(llava, batch_size=5)
    alone = [response.text for response in local(llava, batch_size=1).answer(requests(12))]
    inputs, processor = model._inputs, llava[1]

    def padded_on_the_right(prompts, images):
        monkeypatch.setattr(model, "_processor", Right(processor))
        return inputs(prompts, images)

    class Right:
        def __init__(self, processor):
            self.tokenizer, self.apply_chat_template = processor.tokenizer, processor.apply_chat_template

        def __call__(self, **options):
            return processor(**(options | {"padding_side": "right"}))

    monkeypatch.setattr(model, "_inputs", padded_on_the_right)
    assert [response.text for response in model.answer(requests(12))] != alone


def test_the_answer_depends_on_the_picture_and_is_the_same_each_time(llava):
    bench = FakeBench(6)
    same = [Request(item.id, item.id, "what?", lambda item=item: bench.png(item), "") for item in bench]
    texts = [response.text for response in local(llava, batch_size=3).answer(same)]
    assert len(set(texts)) > 1
    assert texts == [response.text for response in local(llava, batch_size=3).answer(same)]


def test_only_new_tokens_are_decoded_as_by_generate_itself(llava):
    model, processor = llava
    [request] = requests(1)
    [response] = local(llava).answer([request])
    text = f"USER: <image>\n{request.prompt}\nASSISTANT:"
    inputs = processor(
        text=[text], images=[FakeBench(1, (120, 90)).image(FakeBench(1)[0])], return_tensors="pt"
    )
    tokens = model.generate(**inputs, max_new_tokens=12, do_sample=False, pad_token_id=0)
    expected = processor.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert response.text == expected
    assert response.tokens_in == inputs["input_ids"].shape[1]


def test_an_answer_without_an_end_is_cut_off_and_one_with_an_end_is_whole(idefics3):
    found = list(local(idefics3, batch_size=6).answer(requests(12)))
    assert {response.finish for response in found} == {"stop", "length"}
    for response in found:
        assert response.tokens_out <= 12
        assert (response.finish == "length") == (response.tokens_out == 12 and "</s>" not in response.text)


def test_a_local_model_is_a_model_and_its_run_resumes(llava, tmp_path):
    model = local(llava, max_tokens=None)
    assert isinstance(model, Model)
    run = evaluate(FakeBench(7), model, out=tmp_path / "run")
    assert run.counts["left"] == 0
    assert model.parameters == {"kind": "local", "dtype": "float32", "max_tokens": 100, "sampling": "greedy"}
    model.answer = lambda _: pytest.fail("asked again")
    evaluate(FakeBench(7), model, out=tmp_path / "run")


# What the model sees ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture", "scale", "seen"),
    [
        ((56, 56), 1.0, (1.0, 1.0)),
        ((600, 600), 56 / 600, (1.0, 1.0)),
        ((600, 375), 56 / 375, (375 / 600, 1.0)),
    ],
)
def test_the_input_size_is_measured_with_what_is_cropped(llava, picture, scale, seen):
    found = local(llava).input_size(picture)
    assert (found.size, found.tiles, found.tokens) == ((56, 56), 1, 16)
    assert found.scale == pytest.approx((scale, scale), rel=0.02)
    assert found.seen == pytest.approx(seen, abs=0.02)
    assert found.cropped == (picture == (600, 375))


def test_tiles_count_for_what_they_resolve(idefics3):
    found = local(idefics3).input_size((600, 600))
    assert (found.size, found.tiles, found.tokens) == ((56, 56), 5, 20)
    assert found.scale == pytest.approx((112 / 600, 112 / 600), rel=0.02)
    assert not found.cropped


def test_pixels_per_quantum_are_said(llava):
    axes = {"x": ["-10", "10"], "y": ["-10", "10"], "step": ["2", "2"]}
    spec = {"axes": axes, "style": {"size": [600, 600]}}
    lines = local(llava).describe(
        [SimpleNamespace(spec=spec, quantum=quantum) for quantum in ("1", "0.1", "0.1")]
    )
    assert lines[0].startswith("a picture of 600 × 600 pixels reaches the model as 56 × 56 (16 tokens")
    per_unit = 510 / 20 * 56 / 600
    assert (
        lines[1]
        == f"a quantum of 0.1 is {per_unit / 10:.2g} of the model's pixels on the axis (median of 2 items)"
    )
    assert (
        lines[2] == f"a quantum of 1 is {per_unit:.2g} of the model's pixels on the axis (median of 1 items)"
    )


# The real size ------------------------------------------------------------------------------------------------------


def real_config() -> LlavaConfig:
    """The configuration of llava-1.5-7b: a CLIP ViT-L/14 of 336 pixels and a Llama of 7 B."""
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
        projection_dim=768,
    )
    text = LlamaConfig(
        vocab_size=32064,
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        max_position_embeddings=4096,
    )
    return LlavaConfig(vision_config=vision, text_config=text, image_token_id=4, image_seq_length=576)


@pytest.fixture(scope="module")
def real():
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(real_config(), dtype=torch.float16)
    processor = tiny_vlm.llava()[1]
    processor.image_processor = CLIPImageProcessorPil(
        size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}
    )
    return model, processor


def test_llava_7b_has_the_size_it_is_known_for(real):
    model, _ = real
    text = 2 * 32064 * 4096 + 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096) + 4096
    layer = 4 * (1024**2 + 1024) + 2 * 1024 * 4096 + 4096 + 1024 + 4 * 1024
    vision = 1024 + 3 * 14 * 14 * 1024 + 577 * 1024 + 24 * layer + 4 * 1024
    projector = 1024 * 4096 + 4096 + 4096**2 + 4096
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == text + vision + projector
    assert count == 7_063_427_072


def test_llava_7b_takes_our_inputs(real):
    model, processor = real
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = LocalModel(model, processor, device="meta", max_tokens=100)
    seen = wrapped.input_size((600, 600))
    assert (seen.size, seen.tokens) == ((336, 336), 576)
    assert seen.scale == pytest.approx((0.56, 0.56), rel=0.01)
    axes = {"x": ["-10", "10"], "y": ["-10", "10"], "step": ["2", "2"]}
    item = SimpleNamespace(spec={"axes": axes, "style": {"size": [600, 600]}}, quantum="0.1")
    assert "a quantum of 0.1 is 1.4 of the model's pixels" in wrapped.describe([item])[1]
    bench = FakeBench(2, (600, 600))
    inputs = wrapped._inputs(["short", "a longer prompt"], [bench.image(item) for item in bench])
    length = inputs["input_ids"].shape[1]
    inputs = inputs.to("meta")
    inputs["pixel_values"] = inputs["pixel_values"].to(torch.float16)
    features = model.get_image_features(pixel_values=inputs["pixel_values"])
    features = getattr(features, "pooler_output", features)
    assert all(feature.shape[-2:] == (576, 4096) for feature in features)
    embeddings = model.get_input_embeddings()(inputs["input_ids"])
    logits = model.lm_head(model.model.language_model(inputs_embeds=embeddings).last_hidden_state)
    assert logits.shape == (2, length, 32064)


# Bad input ----------------------------------------------------------------------------------------------------------


def test_a_context_too_short_for_the_picture_names_both_numbers():
    model = local(tiny_vlm.llava(context=60))
    with pytest.raises(
        InputError, match=r"the prompt takes \d+ tokens \(16 of them the picture\).* the context is 60"
    ):
        list(model.answer(requests(1)))


def test_a_processor_without_a_chat_template_is_refused():
    with pytest.raises(InputError, match="no chat template"):
        local(tiny_vlm.llava(template=None))


def test_a_model_without_pictures_is_refused(llava):
    model, processor = llava
    with pytest.raises(InputError, match="no image processor"):
        LocalModel(model, SimpleNamespace(tokenizer=processor.tokenizer), device="cpu")


def test_a_loaded_model_needs_its_processor(llava):
    with pytest.raises(InputError, match="needs its processor"):
        LocalModel(llava[0])


def test_a_checkpoint_is_loaded_from_its_folder(llava, tmp_path):
    model, processor = llava
    model.save_pretrained(tmp_path / "tiny")
    processor.save_pretrained(tmp_path / "tiny")
    loaded = LocalModel(tmp_path / "tiny", device="cpu", max_tokens=12)
    assert [r.text for r in loaded.answer(requests(3))] == [r.text for r in local(llava).answer(requests(3))]


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(InputError, match="no processor can be loaded"):
        LocalModel(tmp_path, device="cpu")


def test_a_language_model_is_told_apart(llava, tmp_path):
    llava[1].save_pretrained(tmp_path)
    tiny_vlm.text_config(120).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="is no model of pictures and text"):
        LocalModel(tmp_path, device="cpu")


def test_a_picture_that_is_none_is_told(llava):
    with pytest.raises(InputError, match="cannot be decoded"):
        list(local(llava).answer([Request("k", "i", "?", lambda: b"no picture", "?")]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"device": "tpu9"}, "tpu9"),
    ],
)
def test_options_that_cannot_be_are_told(llava, changes, said):
    with pytest.raises(InputError, match=said):
        local(llava, **changes)

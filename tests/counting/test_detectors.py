"""Detectors of transformers on small random weights, and the names that they know."""

import numpy as np
import pytest
import torch
from transformers import (
    DetrConfig,
    GroundingDinoConfig,
    OwlViTConfig,
    OwlViTForObjectDetection,
    YolosConfig,
    YolosForObjectDetection,
)

from paperworks.counting.detectors import Detector, detector, distinct, label_for, singulars
from paperworks.errors import InputError

LABELS = {0: "apple", 1: "skis", 2: "sheep", 3: "baseball bat", 4: "skateboard"}


class Pixels:
    """A processor that puts pictures where the model wants them."""

    def __call__(self, images, return_tensors="pt", **rest):
        from transformers import BatchFeature

        pixels = torch.stack(
            [torch.from_numpy(np.ascontiguousarray(one)).permute(2, 0, 1).float() / 255 for one in images]
        )
        return BatchFeature({"pixel_values": pixels})


def yolos():
    torch.manual_seed(0)
    return YolosForObjectDetection(
        YolosConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=[32, 32],
            patch_size=8, num_detection_tokens=7, id2label=LABELS, label2id={v: k for k, v in LABELS.items()},
        )
    ).eval()  # fmt: skip


def test_boxes_of_the_label_above_the_threshold_are_counted():
    model = yolos()
    with torch.no_grad():
        for layer in model.class_labels_classifier.layers:
            layer.weight.mul_(8)
    pictures = (np.random.default_rng(0).random((3, 32, 32, 3)) * 255).astype(np.uint8)
    found = {name: [] for name in ("apples", "sheep")}
    for threshold in (0.0, 0.3):
        counting = Detector(model, Pixels(), threshold)
        for name, own in found.items():
            own.append(counting(pictures, [name] * 3))
    for row, picture in enumerate(pictures):
        with torch.no_grad():
            logits = model(pixel_values=Pixels()([picture]).pixel_values).logits[0]
        for name, label in (("apples", 0), ("sheep", 2)):
            for place, threshold in enumerate((0.0, 0.3)):
                wanted = 0
                for query in logits:
                    odds = [float(value) for value in query.softmax(-1)[:-1]]
                    wanted += odds.index(max(odds)) == label and max(odds) > threshold
                assert found[name][place][row] == wanted
    assert sum(map(sum, found["apples"] + found["sheep"])) > 0
    assert counting.name == "YolosForObjectDetection"


def test_the_real_processor_of_a_saved_detector_is_read(tmp_path):
    from transformers import YolosImageProcessorPil

    yolos().save_pretrained(tmp_path)
    YolosImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 64}).save_pretrained(tmp_path)
    counting = detector(str(tmp_path), threshold=0.0)
    picture = (np.random.default_rng(0).random((1, 40, 48, 3)) * 255).astype(np.uint8)
    counts = [counting(picture, [name])[0] for name in LABELS.values()]
    assert 0 < sum(counts) <= 7
    with pytest.raises(InputError, match="knows no 'aple' \\(nearest: apple"):
        counting(picture, ["aple"])


def test_a_detr_counts_with_the_same_wrapper():
    from transformers import DetrForObjectDetection, ResNetConfig

    torch.manual_seed(0)
    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    model = DetrForObjectDetection(
        DetrConfig(
            use_timm_backbone=False, backbone=None, backbone_config=backbone, use_pretrained_backbone=False, d_model=16,
            encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16, num_queries=5, id2label=LABELS, label2id={v: k for k, v in LABELS.items()},
        )
    ).eval()  # fmt: skip
    picture = (np.random.default_rng(0).random((1, 64, 64, 3)) * 255).astype(np.uint8)
    counts = [Detector(model, Pixels(), 0.0)(picture, [name])[0] for name in LABELS.values()]
    assert sum(counts) <= 5


class Texts(Pixels):
    """A processor of pictures and names: its tokens are the letters."""

    tokenizer = "letters"

    def __init__(self):
        self.asked = []

    def __call__(self, images, text=None, return_tensors="pt"):
        found = super().__call__(images)
        own = text[0] if isinstance(text[0], str) else text[0][0]
        self.asked.append(own)
        ids = torch.zeros(1, 16, dtype=torch.long)
        letters = [ord(letter) % 90 + 1 for letter in own][:15]
        ids[0, : len(letters)] = torch.tensor(letters)
        ids[0, len(letters)] = 99
        found["input_ids"], found["attention_mask"] = ids, (ids > 0).long()
        return found


def test_a_zero_shot_detector_takes_any_name():
    torch.manual_seed(0)
    config = OwlViTConfig(
        text_config={
            "vocab_size": 100, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 16, "bos_token_id": 97, "eos_token_id": 99, "pad_token_id": 0,
        },
        vision_config={
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
        },
        projection_dim=16,
    )  # fmt: skip
    model, processor = OwlViTForObjectDetection(config).eval(), Texts()
    picture = (np.random.default_rng(0).random((1, 32, 32, 3)) * 255).astype(np.uint8)
    everything = Detector(model, processor, 0.0)(picture, ["purple unicorns"])
    assert processor.asked == ["a photo of a purple unicorns"]
    assert 1 <= everything[0] <= 16
    assert Detector(model, processor, 1.0)(picture, ["purple unicorns"]) == [0]


def test_grounding_dino_is_asked_in_its_own_way():
    from transformers import GroundingDinoForObjectDetection

    torch.manual_seed(0)
    config = GroundingDinoConfig(
        use_timm_backbone=False, backbone=None, use_pretrained_backbone=False,
        backbone_config={
            "model_type": "swin", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "window_size": 2,
            "image_size": 64, "out_features": ["stage2", "stage3", "stage4"],
        },
        text_config={
            "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16,
            "vocab_size": 100,
        },
        d_model=32, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=6, max_text_len=16,
    )  # fmt: skip
    model, processor = GroundingDinoForObjectDetection(config).eval(), Texts()
    picture = (np.random.default_rng(0).random((1, 128, 128, 3)) * 255).astype(np.uint8)
    counts = Detector(model, processor, 0.0)(picture, ["Unicorns"])
    assert processor.asked == ["unicorns."]
    assert 1 <= counts[0] <= 6


@pytest.mark.parametrize(("name", "label"), [("apples", 0), ("Skis", 1), ("sheep", 2), ("baseball bats", 3)])
def test_the_singular_is_found_and_a_plural_label_stays(name, label):
    assert label_for(name, LABELS) == label


def test_a_class_that_is_not_known_gets_the_nearest_and_a_way_out():
    with pytest.raises(InputError) as error:
        label_for("skatebords", LABELS)
    assert "nearest: skateboard" in str(error.value)
    assert "owlv2" in str(error.value)
    assert singulars("berries") == ["berry", "berrie"]
    assert singulars("boxes") == ["boxe", "box"]
    assert singulars("glass") == []


def test_boxes_that_overlap_a_better_one_are_the_same_object():
    boxes = torch.tensor(
        [[0.5, 0.5, 0.4, 0.4], [0.52, 0.5, 0.4, 0.4], [0.1, 0.1, 0.1, 0.1], [0.5, 0.5, 0.1, 0.1]]
    )
    assert distinct(boxes, torch.tensor([0.5, 0.9, 0.4, 0.3])) == [1, 2, 3]
    assert distinct(boxes[:0], torch.zeros(0)) == []


def test_what_is_no_detector_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read a detector"):
        detector(str(tmp_path))
    with pytest.raises(InputError, match="processor="):
        detector(yolos())

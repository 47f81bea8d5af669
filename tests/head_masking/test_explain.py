"""Why a document was flagged, against what was planted: a head, a word and a patch that push it away, and its twin."""

import numpy as np
import pytest
import torch
from encoders import build, inputs
from PIL import Image

from paperworks.errors import InputError
from paperworks.head_masking.detector import HeadMaskingDetector
from paperworks.head_masking.documents import Document
from paperworks.head_masking.explain import head_effects, nearest_known, patch_effects, word_effects
from paperworks.head_masking.heads import HeadMask, masked_heads

pytestmark = pytest.mark.filterwarnings("ignore:.*do not span.*", "ignore:.*cannot bound.*")
KNOWN, FOREIGN = [f"w{number}" for number in range(10, 40)], "w96"


class Words:
    """A tokenizer of the words w3…w96, whose numbers they are."""

    model_max_length = 12

    def convert_tokens_to_ids(self, word):
        return int(word[1:])

    def __call__(self, texts, **_):
        rows = [[2, *(self.convert_tokens_to_ids(word) for word in text.split())] for text in texts]
        ids = torch.ones(len(rows), max(map(len, rows)), dtype=torch.long)
        for row, own in zip(ids, rows, strict=True):
            row[: len(own)] = torch.tensor(own)
        return Read(input_ids=ids, attention_mask=(ids != 1).long())


class Read(dict):
    encodings = ()


class Pixels:
    """An image processor: grey in −1…1, on 32 × 32 pixels."""

    def preprocess(self):
        raise NotImplementedError

    def __call__(self, images, **_):
        grey = [
            np.asarray(image.convert("L").resize((32, 32), 0), np.float32) / 127.5 - 1 for image in images
        ]
        return {"pixel_values": torch.tensor(np.stack([[one] * 3 for one in grey]))}


def texts(n, seed):
    """Six words of three classes: the first tells the class."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(n):
        words = [f"w{4 + number % 3}", *generator.choice(KNOWN, 5).tolist()]
        found.append(Document(f"{seed}/{number}", words=tuple(words), label=f"LABEL_{number % 3}"))
    return found


def text_model(only=None):
    """A BERT of words that are much alike, but for the foreign one, which is their opposite, wherever they stand; with
    `only` no head but that one of the last layer adds anything."""
    model = build("bert", num_hidden_layers=2)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        words = model.bert.embeddings.word_embeddings.weight
        alike = torch.randn(48, generator=generator)
        words[3:] = alike + 0.3 * torch.randn(94, 48, generator=generator)
        words[96] = -alike
        model.bert.embeddings.position_embeddings.weight.zero_()
        if only is not None:
            for layer in model.bert.encoder.layer:
                layer.attention.output.dense.weight[:, torch.arange(48) // 12 != only] = 0
            model.bert.encoder.layer[0].attention.output.dense.weight.zero_()
    return model


@pytest.fixture(scope="module")
def detector():
    return HeadMaskingDetector(text_model(), Words(), heads="none", score="knn", k=3).fit(
        texts(60, 1), texts(60, 2)
    )


def test_a_foreign_word_speaks_against_a_document_and_its_absence_is_worth_what_the_detector_says(detector):
    document = texts(1, 5)[0]
    words = [*document.words[:3], FOREIGN, *document.words[3:]]
    foreign = Document("foreign", words=tuple(words))
    effects = word_effects(detector, foreign)
    assert effects[0].what == (3, FOREIGN)
    with_it, without = detector.score_samples([foreign, document])
    assert effects[0].rise == pytest.approx(without - with_it, abs=1e-5)
    assert effects[0].rise > 0
    assert sorted(effect.what for effect in effects) == sorted(enumerate(words))
    assert [effect.rise for effect in effects] == sorted((effect.rise for effect in effects), reverse=True)
    assert len(word_effects(detector, foreign, limit=2)) == 2


def test_boxes_go_with_the_word_that_is_left_out(detector, monkeypatch):
    seen = []
    monkeypatch.setattr(detector, "score_samples", lambda some: seen.extend(some) or np.zeros(len(some)))
    boxes = tuple((x, 0, x + 1, 1) for x in range(3))
    word_effects(detector, Document("one", words=("w4", "w5", "w6"), boxes=boxes))
    assert [(one.words, one.boxes) for one in seen[1:]] == [
        (("w5", "w6"), boxes[1:]),
        (("w4", "w6"), (boxes[0], boxes[2])),
        (("w4", "w5"), boxes[:2]),
    ]


@pytest.mark.parametrize("score", ["knn", "mahalanobis"])
def test_the_effect_of_a_head_is_that_of_a_pass_without_it_against_the_same_reference(score):
    model = text_model()
    mask = HeadMask.all(model).without("bert.encoder.layer.0.attention.output.dense", 2)
    detector = HeadMaskingDetector(model, Words(), heads=mask, score=score).fit(texts(60, 1), texts(60, 2))
    document = texts(1, 5)[0]
    effects = head_effects(detector, document)
    on = {(name, head) for name in mask for head in range(4) if mask[name][head]}
    assert {effect.what for effect in effects} == on
    assert len(effects) == 7
    batch = next(detector.inputs([document]).batches(1))

    def score_under(own):
        with torch.no_grad(), masked_heads(model, own):
            found = model(**batch, output_hidden_states=True)
        features = found.hidden_states[-1][:, 0].numpy()
        outputs, _ = detector.outputs([document])
        return float(detector.scores_[0](type(outputs)(features, outputs.logits))[0])

    whole = score_under(mask)
    for effect in effects:
        assert effect.rise == pytest.approx(
            score_under(mask.without(*effect.what)) - whole, rel=1e-3, abs=1e-4
        )


def test_a_head_that_alone_carries_the_foreign_word_alone_speaks_against_the_document():
    detector = HeadMaskingDetector(text_model(only=1), Words(), heads="none", score="knn", k=3)
    detector.fit(texts(60, 1), texts(60, 2))
    first, *others = head_effects(detector, Document("foreign", words=(FOREIGN,) * 6))
    assert first.what == ("bert.encoder.layer.1.attention.output.dense", 1)
    assert first.rise > 0.01
    np.testing.assert_allclose([effect.rise for effect in others], 0, atol=1e-5)


def test_the_nearest_known_documents_are_those_of_a_sort_and_a_twin_is_the_first(detector):
    known = detector.documents_
    twin, other = Document("twin", words=known[7].words), texts(1, 5)[0]
    _, features = detector.outputs([twin, other])
    found = nearest_known(detector, features, 4)
    assert found[0][0][0] == known[7]
    assert found[0][0][1] == pytest.approx(0, abs=1e-5)
    unit = features[0] / np.linalg.norm(features[0], axis=1, keepdims=True)
    reference = detector.reference_[0] / np.linalg.norm(detector.reference_[0], axis=1, keepdims=True)
    far = np.linalg.norm(reference - unit[1], axis=1)
    first = far.argsort(kind="stable")[:4]
    assert [one for one, _ in found[1]] == [known[index] for index in first]
    np.testing.assert_allclose([distance for _, distance in found[1]], far[first], atol=1e-6)


def test_documents_that_the_detector_does_not_know_cannot_be_the_nearest():
    model = build("bert", num_hidden_layers=1)
    data = [{**inputs(model, 30, seed), "labels": torch.arange(30) % 3} for seed in (1, 2)]
    detector = HeadMaskingDetector(model, Words(), heads="none", score="knn", k=3).fit(*data)
    _, features = detector.outputs(texts(1, 5))
    with pytest.raises(InputError, match="fitted on encoded data"):
        nearest_known(detector, features)
    assert detector.explain(texts(1, 5)[0]).nearest == []


def pages(n, seed):
    """White pages with a grey word somewhere; the class is how dark it is, about."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(n):
        image = Image.new("RGB", (80, 100), "white")
        left, top = (int(place) for place in generator.integers(0, 65, 2))
        image.paste((60 + 60 * (number % 3) + number // 3,) * 3, (left, top, left + 15, top + 6))
        found.append(Document(f"{seed}/{number}", image, label=f"LABEL_{number % 3}"))
    return found


def test_a_stamp_speaks_against_a_page_in_its_patch_alone():
    model = build("vit", num_hidden_layers=2)
    detector = HeadMaskingDetector(model, Pixels(), heads="none", score="knn", k=3)
    detector.fit(pages(60, 1), pages(60, 2))
    page = pages(1, 5)[0]
    stamped = page.image.copy()
    stamped.paste((0, 0, 0), (40, 20, 60, 40))  # row 1, column 2 of the 5 × 4 patches
    foreign = Document("stamped", stamped)
    effects = patch_effects(detector, foreign)
    assert effects[0].what == (1, 2)
    assert {effect.what for effect in effects} == {(row, column) for row in range(5) for column in range(4)}
    scores = detector.score_samples([foreign, page])
    assert effects[0].rise == pytest.approx(scores[1] - scores[0], rel=0.05)
    for effect in effects:
        pixels, (row, column) = np.array(stamped), effect.what
        pixels[20 * row : 20 * row + 20, 20 * column : 20 * column + 20] = 255
        painted = detector.score_samples([foreign, Document("painted", Image.fromarray(pixels))])
        assert effect.rise == pytest.approx(painted[1] - painted[0], abs=1e-5)
    with pytest.raises(InputError, match="no image"):
        patch_effects(detector, Document("none"))
    explanation = detector.explain(foreign)
    assert explanation.words == []
    assert explanation.patches == effects


def test_an_explanation_is_all_of_it_and_json_has_what_speaks_against(detector):
    foreign = Document("foreign", words=("w4", "w12", FOREIGN))
    found = detector.explain(foreign)
    assert found.words == word_effects(detector, foreign)
    assert found.heads == head_effects(detector, foreign)
    assert found.patches == []
    assert len(found.nearest) == 3
    told = found.to_dict(2)
    assert told["words"][0] == {"what": [2, FOREIGN], "rise": found.words[0].rise}
    assert len(told["heads"]) <= 2
    assert all(effect["rise"] > 0 for effect in told["words"] + told["heads"])
    assert told["nearest"][0] == {
        "id": found.nearest[0][0].id,
        "label": found.nearest[0][0].label,
        "distance": found.nearest[0][1],
    }

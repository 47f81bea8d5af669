"""The shipped document classifiers: what they are, what they have not seen, and that they have learnt."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from paperworks.errors import InputError  # noqa: E402
from paperworks.tiny import document_model  # noqa: E402
from paperworks.tiny.document_model import (  # noqa: E402
    FOLDER,
    SHAPE,
    SPLITS,
    encoded,
    known,
    load_document_model,
    pages,
)


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_knows_ten_kinds_and_tells_new_pages_of_them_apart(split):
    model, processor = load_document_model(split)
    assert type(model).__name__ == "LayoutLMv3ForSequenceClassification"
    assert tuple(model.config.id2label[index] for index in range(10)) == known(split)
    assert {name: getattr(model.config, name) for name in SHAPE} == SHAPE
    some = pages(known(split), 6, 77)
    with torch.no_grad():
        predicted = model(**encoded(some, processor)).logits.argmax(1)
    labels = torch.tensor([known(split).index(page.kind) for page in some])
    assert (predicted == labels).float().mean() > 0.85


def test_the_models_are_small_and_ordinary_checkpoints():
    from transformers import AutoModelForSequenceClassification, AutoProcessor

    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 9e6
    model = AutoModelForSequenceClassification.from_pretrained(FOLDER / "a")
    assert sum(p.numel() for p in model.parameters()) < 1e6
    processor = AutoProcessor.from_pretrained(FOLDER / "a")
    assert processor.image_processor.apply_ocr is False


def test_training_on_a_few_pages_writes_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(document_model, "TRAIN", 2)
    monkeypatch.setattr(document_model, "VALID", 1)
    facts = document_model.train("b", tmp_path, steps=4)
    assert facts["left_out"] == list(SPLITS["b"])
    model, _ = load_document_model("b", tmp_path)
    assert model.config.num_labels == 10


def test_an_unknown_split_is_refused():
    with pytest.raises(InputError, match="no split is called 'z'"):
        known("z")

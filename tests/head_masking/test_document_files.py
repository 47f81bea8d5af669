"""Documents from the files that people have: read as they are, refused by file, document and word, and encoded."""

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from paperworks.errors import InputError
from paperworks.head_masking.documents import Document, encode, label_ids, read_documents, same_documents
from paperworks.tiny.documents import collection, to_jsonl

KINDS = ["invoice", "email"]


@pytest.fixture(scope="module")
def pages():
    return collection(KINDS, 2, 0)


@pytest.fixture
def lines(tmp_path):
    """Writes rows as JSON lines, and gives the file."""

    def write(*rows):
        path = tmp_path / "documents.jsonl"
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return write


def row(**changes):
    return {
        "words": ["Total", "12.50"],
        "boxes": [[10, 20, 90, 40], [100, 20, 180, 40]],
        "label": "invoice",
    } | changes


def hocr(page, words, image=""):
    """An hOCR file of one page `(x0, y0, x1, y1)` with words and their boxes, as engines write it."""
    spans = "".join(
        f"<span class='ocrx_word' id='word_1_{number}' title='bbox {' '.join(map(str, box))}; x_wconf 91'>"
        f"<strong>{word}</strong></span> "
        for number, (word, box) in enumerate(words)
    )
    title = f"{image}bbox {' '.join(map(str, page))}; ppageno 0"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml"><body>'
        f"<div class='ocr_page' id='page_1' title='{title}'><div class='ocr_carea'><p class='ocr_par'>"
        f"<span class='ocr_line' title='bbox 0 0 9 9'>{spans}</span></p></div></div></body></html>"
    )


# Reading


def test_json_lines_round_trip(tmp_path, pages):
    path = to_jsonl(pages, tmp_path)
    for source in (path, str(path), tmp_path):
        documents = read_documents(source)
        assert [document.label for document in documents] == [page.kind for page in pages]
        for document, page in zip(documents, pages, strict=True):
            assert list(document.words) == page.words
            assert list(document.boxes) == page.boxes
            assert np.array_equal(np.asarray(document.open_image().convert("L")), np.asarray(page.image))
    assert documents[1].id == "images/0001.png"


def test_text_alone_has_words_and_no_boxes(tmp_path, lines):
    assert read_documents(lines({"text": "Dear Ada, thanks", "id": 7})) == [
        Document("7", None, ("Dear", "Ada,", "thanks"))
    ]
    table = tmp_path / "documents.csv"
    table.write_text('text,label\n"Dear Ada,\nthanks",letter\nTotal 3,\n')
    first, second = read_documents(table)
    assert (first.words, first.label) == (("Dear", "Ada,", "thanks"), "letter")
    assert (second.words, second.label) == (("Total", "3"), None)


def test_white_space_is_no_word(lines):
    (document,) = read_documents(lines(row(words=[" ", "12.50"])))
    assert document.words == ("12.50",)
    assert document.boxes == ((100, 20, 180, 40),)


def test_hocr_is_scaled_by_its_page_and_finds_its_image(tmp_path):
    pytest.importorskip("lxml")
    (tmp_path / "letters").mkdir()
    (tmp_path / "bills").mkdir()
    Image.new("L", (40, 60)).save(tmp_path / "letters" / "a.png")
    Image.new("L", (40, 60)).save(tmp_path / "bills" / "scan 7.png")
    words = [("Dear", (100, 200, 300, 250)), (" ", (0, 0, 1, 1)), ("Zoë", (1100, 1700, 2100, 3200))]
    (tmp_path / "letters" / "a.hocr").write_text(hocr((100, 200, 2100, 3200), words), encoding="utf-8")
    named = 'image "C:\\scans\\scan 7.png"; '
    (tmp_path / "bills" / "b.html").write_text(hocr((0, 0, 1000, 1000), words[:1], named), encoding="utf-8")
    bill, letter = read_documents(tmp_path)
    assert letter == Document(
        "letters/a",
        tmp_path / "letters" / "a.png",
        ("Dear", "Zoë"),
        ((0, 0, 100, 17), (500, 500, 1000, 1000)),
        "letters",
    )
    assert (bill.id, bill.label, bill.image) == ("bills/b", "bills", tmp_path / "bills" / "scan 7.png")
    (alone,) = read_documents(tmp_path / "letters" / "a.hocr")
    assert (alone.id, alone.label, alone.words) == ("a", None, letter.words)


def test_hocr_of_several_pages_is_as_many_documents(tmp_path):
    pytest.importorskip("lxml")
    page = hocr((0, 0, 100, 100), [("one", (0, 0, 50, 50))])
    body = page.split("<body>")[1].split("</body>")[0]
    (tmp_path / "book.hocr").write_text(page.replace("</body>", body + "</body>"))
    assert [document.id for document in read_documents(tmp_path)] == ["book#1", "book#2"]


def test_hocr_without_its_parser_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "a.hocr").write_text(hocr((0, 0, 9, 9), []))
    monkeypatch.setattr("paperworks.errors.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"lxml.*paperworks\[head-masking\]"):
        read_documents(tmp_path)


def funsd(folder, words):
    for name in ("annotations", "images"):
        (folder / name).mkdir(parents=True)
    Image.new("L", (200, 400), 255).save(folder / "images" / "page.png")
    entity = {"id": 0, "text": "", "box": [0, 0, 9, 9], "label": "question", "linking": [], "words": words}
    (folder / "annotations" / "page.json").write_text(json.dumps({"form": [entity]}))


def test_funsd_as_it_is_published(tmp_path):
    funsd(tmp_path, [{"text": "Date:", "box": [20, 40, 100, 80]}, {"text": "", "box": [0, 0, 0, 0]}])
    assert read_documents(tmp_path) == [
        Document("page", tmp_path / "images" / "page.png", ("Date:",), ((100, 100, 500, 200),))
    ]


@pytest.mark.parametrize("columns", [("words", "boxes", "label"), ("tokens", "bboxes", "labels")])
def test_data_sets_in_memory_and_saved(tmp_path, pages, columns):
    datasets = pytest.importorskip("datasets")
    words, boxes, label = columns
    table = datasets.Dataset.from_dict(
        {
            "image": [page.image for page in pages],
            words: [page.words for page in pages],
            boxes: [page.boxes for page in pages],
            label: [KINDS.index(page.kind) for page in pages],
        },
        features=datasets.Features(
            {
                "image": datasets.Image(),
                words: datasets.List(datasets.Value("string")),
                boxes: datasets.List(datasets.List(datasets.Value("int64"))),
                label: datasets.ClassLabel(names=KINDS),
            }
        ),
    )
    table.save_to_disk(tmp_path / "saved")
    for source in (table, tmp_path / "saved"):
        documents = read_documents(source)
        assert [document.label for document in documents] == [page.kind for page in pages]
        for document, page in zip(documents, pages, strict=True):
            assert list(document.words) == page.words
            assert list(document.boxes) == page.boxes
            assert np.array_equal(np.asarray(document.open_image().convert("L")), np.asarray(page.image))
    datasets.DatasetDict(train=table, test=table).save_to_disk(tmp_path / "splits")
    with pytest.raises(InputError, match=r"several splits.*test, train"):
        read_documents(tmp_path / "splits")
    with pytest.raises(InputError, match=r"several splits.*train, test"):
        read_documents(datasets.DatasetDict(train=table, test=table))


def test_labels_of_the_words_are_not_labels_of_the_document():
    (document,) = read_documents([{"tokens": ["a"], "bboxes": [[0, 0, 1, 1]], "labels": [3]}])
    assert document.label is None


def test_images_in_folders_of_classes_have_no_words_and_that_is_no_warning(tmp_path):
    for name in ("memo/1.png", "memo/deep/2.jpg", "form/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        documents = read_documents(tmp_path)
    assert [(document.id, document.label) for document in documents] == [
        ("form/1.png", "form"),
        ("memo/1.png", "memo"),
        ("memo/deep/2.jpg", "memo"),
    ]
    assert documents[0].boxes is None


def test_documents_are_read_again_as_they_are():
    documents = [Document("a", None, ("x",), ((0, 0, 1, 1),), "memo")]
    assert read_documents(documents) == documents


# Refusing


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"boxes": [[10, 20, 90, 40], [100, 20, 1001, 40]]},
            r"line 1: word 2 “12.50”.*\(100, 20, 1001, 40\).*0–1000",
        ),
        ({"boxes": [[-1, 20, 90, 40], [100, 20, 180, 40]]}, r"word 1 “Total”.*\(-1, 20, 90, 40\).*outside"),
        (
            {"boxes": [[90, 20, 10, 40], [100, 20, 180, 40]]},
            r"word 1 “Total”.*\(90, 20, 10, 40\): x1 or y1 is less",
        ),
        ({"boxes": [[10, 40, 90, 20], [100, 20, 180, 40]]}, "x1 or y1 is less"),
        ({"boxes": [[10, 20, 90, 40], [1, 2, 3]]}, "word 2 “12.50”.*four numbers"),
        ({"boxes": [[10, 20, 90, float("nan")], [1, 2, 3, 4]]}, "word 1 “Total”.*four numbers"),
        ({"boxes": [[10, 20, 90, 40]]}, "line 1: 2 words and 1 boxes"),
        ({"words": ["Total", 12.5]}, "words must be text, got 12.5"),
        ({"image": "gone.png"}, r"line 1: there is no image .*gone\.png"),
    ],
)
def test_bad_rows_are_named_by_file_document_and_word(lines, changes, message):
    path = lines(row(**changes))
    with pytest.raises(InputError, match=message) as caught:
        read_documents(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lines_that_are_no_documents(lines):
    with pytest.raises(InputError, match=r"line 2: not a JSON object"):
        read_documents(lines(row(), "{words: 3"))
    with pytest.raises(InputError, match=r"line 2: an object with words"):
        read_documents(lines(row(), "[1]"))
    with pytest.raises(InputError, match=r"line 1: no words, text or image in it, only page"):
        read_documents(lines({"page": 3}))


def test_ids_that_name_two_documents(lines):
    with pytest.raises(InputError, match="1 ids name more than one document, the first a"):
        read_documents(lines(row(id="a"), row(id="b"), row(id="a")))


def test_nothing_to_read(tmp_path, lines):
    for source in (lines(), tmp_path / "empty", []):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="there is no document"):
            read_documents(source)
    with pytest.raises(InputError, match="no such file or folder"):
        read_documents(tmp_path / "gone")
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"model\.bin: documents are read from"):
        read_documents(tmp_path / "model.bin")
    with pytest.raises(InputError, match="got int"):
        read_documents(3)


def test_folders_with_several_answers(tmp_path):
    (tmp_path / "one.jsonl").write_text(json.dumps(row()))
    (tmp_path / "two.jsonl").write_text(json.dumps(row()))
    with pytest.raises(InputError, match=r"several files of documents: give one, as .*one\.jsonl"):
        read_documents(tmp_path)
    for part in ("testing_data", "training_data"):
        funsd(tmp_path / "funsd" / part, [])
    with pytest.raises(InputError, match=r"several sets: give one of .*testing_data, .*training_data"):
        read_documents(tmp_path / "funsd")


def test_pages_without_words_are_warned_of_in_one_line(lines):
    path = lines(row(), *[row(id=str(number), words=[], boxes=[]) for number in range(5)])
    with pytest.warns(UserWarning, match=r"documents\.jsonl: no words on 0, 1, 2 and 2 more$") as caught:
        documents = read_documents(path)
    assert len(caught) == 1
    assert documents[1].words == documents[1].boxes == ()


def test_bad_hocr(tmp_path):
    pytest.importorskip("lxml")
    path = tmp_path / "page.hocr"
    for text, message in (
        ("", "cannot read the hOCR file"),
        ("<html><p>Hello</p></html>", "no element of class ocr_page"),
        (hocr((0, 0, 10, 10), [("x", (0, 0, 1, 1))]).replace("bbox 0 0 10 10; ", ""), "page 1: no bbox"),
        (hocr((0, 0, 10, 10), [("x", (0, 0, 1))]), "page 1, word “x”: no bbox"),
        (hocr((0, 0, 0, 10), [("x", (0, 0, 1, 1))]), "has no area"),
        (hocr((0, 0, 10, 10), [("far", (0, 0, 11, 1))]), "document page: word 1 “far”.*1100"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_documents(tmp_path)


def test_bad_funsd(tmp_path):
    funsd(tmp_path, [{"text": "wide", "box": [20, 40, 201, 80]}])
    with pytest.raises(InputError, match=r"document page: word 1 “wide”.*1005"):
        read_documents(tmp_path)
    (tmp_path / "annotations" / "page.json").write_text('{"form": [{"text": "no words"}]}')
    with pytest.raises(InputError, match=r"page\.json: not FUNSD's form.*'words'"):
        read_documents(tmp_path)
    (tmp_path / "images" / "page.png").write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"page\.png: not a readable image"):
        read_documents(tmp_path)
    (tmp_path / "images" / "page.png").unlink()
    with pytest.raises(InputError, match=r"there is no image .*page\.png"):
        read_documents(tmp_path)


def test_table_without_text(tmp_path):
    (tmp_path / "a.csv").write_text("words,label\na,b\n")
    with pytest.raises(InputError, match="no column text, only words, label"):
        read_documents(tmp_path / "a.csv")


# Comparing and labels


def test_documents_of_both_sets_are_counted_whatever_they_are_called():
    def document(id_, word, x1=5, **changes):
        return Document(id_, words=(word,), boxes=((0, 0, x1, 5),), **changes)

    train = [document("a", "one", label="memo"), document("b", "two")]
    held = [document("c", "one"), document("d", "two", x1=6), document("e", "three"), document("f", "one")]
    assert same_documents(train, held) == 2
    assert same_documents(train, []) == 0
    white, black = (Document(str(shade), Image.new("L", (4, 4), shade)) for shade in (255, 0))
    assert same_documents([white], [black, Document("w", Image.new("RGB", (4, 4), (255, 255, 255)))]) == 1


def test_labels_become_the_models_numbers():
    documents = [Document("a", label="memo"), Document("b", label="letter"), Document("c", label="memo")]
    assert label_ids(documents, SimpleNamespace(label2id={"letter": 0, "memo": 1})) == [1, 0, 1]
    backwards = SimpleNamespace(label2id=None, id2label={"0": "memo", "1": "letter"})
    assert label_ids(documents, backwards) == [0, 1, 0]
    with pytest.raises(InputError, match=r"labels 'memo' \(2\), 'letter' \(1\); it has LABEL_0"):
        label_ids(documents, SimpleNamespace(label2id={"LABEL_0": 0}))
    with pytest.raises(InputError, match="1 documents have no label, the first d"):
        label_ids([*documents, Document("d")], SimpleNamespace(label2id={"letter": 0, "memo": 1}))


# Encoding


@pytest.fixture(scope="module")
def transformers():
    pytest.importorskip("torch")
    return pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def documents(pages):
    return read_documents([
        {"id": str(number), "image": page.image, "words": page.words, "boxes": page.boxes}
        for number, page in enumerate(pages)
    ])  # fmt: skip


@pytest.fixture(scope="module")
def word_tokenizer(transformers, pages):
    """A word-level tokenizer with BERT's special tokens; every word is a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted({word for page in pages for word in page.words})]
    tokenizer = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


@pytest.fixture(scope="module")
def layout_processor(transformers, pages):
    """LayoutLMv3's own processor with its OCR switched on, as its checkpoints have it, and a small vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    trained.train_from_iterator([" ".join(page.words) for page in pages], trainer)
    model = json.loads(trained.to_str())["model"]
    tokenizer = transformers.LayoutLMv3Tokenizer(
        vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]], model_max_length=512
    )
    images = transformers.LayoutLMv3ImageProcessor(apply_ocr=True, size={"height": 112, "width": 112})
    return transformers.LayoutLMv3Processor(images, tokenizer)


def test_a_layout_processor_gets_words_boxes_and_pixels_and_does_no_ocr(layout_processor, documents):
    encoded = encode(documents, layout_processor)
    inputs = encoded.inputs
    assert set(inputs) == {"input_ids", "attention_mask", "bbox", "pixel_values"}
    n, tokens = inputs["input_ids"].shape
    assert n == len(documents)
    assert inputs["bbox"].shape == (n, tokens, 4)
    assert inputs["pixel_values"].shape == (n, 3, 112, 112)
    assert encoded.truncated == 0
    for number, document in enumerate(documents):
        boxes = {tuple(box) for box in inputs["bbox"][number].tolist()}
        assert boxes == {*document.boxes, (0, 0, 0, 0)}
    assert layout_processor.image_processor.apply_ocr


def test_it_is_what_the_processor_itself_makes_of_the_same_page(transformers, layout_processor, documents):
    images = transformers.LayoutLMv3ImageProcessor(apply_ocr=False, size={"height": 112, "width": 112})
    processor = transformers.LayoutLMv3Processor(images, layout_processor.tokenizer)
    document = documents[0]
    theirs = processor(
        document.open_image(),
        list(document.words),
        boxes=[list(box) for box in document.boxes],
        return_tensors="pt",
    )
    ours = encode([document], layout_processor).inputs
    assert set(theirs) == set(ours)
    assert all(bool((theirs[name] == ours[name]).all()) for name in ours)


def test_documents_longer_than_the_model_reads_are_counted(layout_processor, word_tokenizer, documents):
    lengths = [len(document.words) + 2 for document in documents]
    limit = sorted(lengths)[1]
    encoded = encode(documents, word_tokenizer, max_length=limit)
    assert encoded.truncated == sum(length > limit for length in lengths) > 0
    assert encoded.inputs["input_ids"].shape == (len(documents), limit)
    cut = encode(documents, layout_processor, max_length=20, padding="max_length")
    assert cut.truncated == len(documents)
    assert cut.inputs["bbox"].shape == (len(documents), 20, 4)


def test_a_tokenizer_gets_the_words_as_text(word_tokenizer, documents):
    inputs = encode(documents, word_tokenizer, max_length=512).inputs
    assert "bbox" not in inputs
    assert "pixel_values" not in inputs
    for number, document in enumerate(documents):
        words = word_tokenizer.decode(inputs["input_ids"][number], skip_special_tokens=True)
        assert words == " ".join(document.words)
    with pytest.raises(InputError, match="give max_length"):
        encode(documents, word_tokenizer)


def test_any_tokenizer_can_carry_boxes(word_tokenizer, documents):
    """As LayoutLM's, which is BERT's and knows nothing of boxes."""
    inputs = encode(documents, word_tokenizer, max_length=512, boxes=True).inputs
    for number, document in enumerate(documents):
        boxes = [tuple(box) for box in inputs["bbox"][number].tolist()]
        count = len(document.words)
        assert boxes == [(0, 0, 0, 0), *document.boxes, *[(0, 0, 0, 0)] * (len(boxes) - count - 1)]


def test_an_image_processor_gets_the_pixels(transformers, documents):
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    encoded = encode([*documents, Document("grey", Image.new("L", (9, 9)))], processor)
    assert set(encoded.inputs) == {"pixel_values"}
    assert encoded.inputs["pixel_values"].shape == (len(documents) + 1, 3, 32, 32)
    assert encoded.truncated == 0


def test_pages_without_words_are_encoded_alone_and_among_others(layout_processor, documents):
    empty = Document("empty", documents[0].image, (), ())
    for batch in ([empty], [empty, documents[0]], [documents[0], empty]):
        inputs = encode(batch, layout_processor).inputs
        row = batch.index(empty)
        assert inputs["attention_mask"][row].sum() == 2
        assert not inputs["bbox"][row].any()


def test_without_any_image_a_layout_model_gets_the_text_alone(layout_processor, documents):
    plain = [Document(document.id, None, document.words, document.boxes) for document in documents]
    assert set(encode(plain, layout_processor).inputs) == {"input_ids", "attention_mask", "bbox"}
    with pytest.raises(InputError, match=f"document {plain[0].id} has no image"):
        encode([documents[1], plain[0]], layout_processor)


def test_what_a_processor_needs_and_a_document_lacks(tmp_path, transformers, layout_processor):
    with pytest.raises(InputError, match="needs a box for every word, and document a has none"):
        encode([Document("a", Image.new("L", (9, 9)), ("x",))], layout_processor)
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"document b: .*bad\.png: not a readable image"):
        encode([Document("b", tmp_path / "bad.png")], transformers.ViTImageProcessor())
    with pytest.raises(InputError, match="dict is no tokenizer"):
        encode([Document("b")], {})
    with pytest.raises(InputError, match="no document to encode"):
        encode([], layout_processor)

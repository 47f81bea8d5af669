"""Documents to classify: page images, words and their boxes, read from the files that people have, and checked.

LayoutLMv3's processor takes boxes outside 0–1000 without a word, and the model then fails with an index error; here
the file, the document and the word are named before anything is computed. An OCR engine is not needed: JSON lines, hOCR
and `datasets` bring words and boxes along.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from paperworks.errors import InputError, require

if TYPE_CHECKING:
    import torch
    from PIL import Image

Box = tuple[int, int, int, int]
IMAGES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
HOCR = {".hocr", ".html", ".htm", ".xhtml"}
READABLE = (
    "a .jsonl, .csv or hOCR file, a folder of hOCR files or of images (CLASS/IMAGE), FUNSD's annotations/ and images/, "
    "or a folder of Dataset.save_to_disk"
)


@dataclass(frozen=True)
class Document:
    """A page: `words` in reading order, `boxes` `(x0, y0, x1, y1)` in thousandths of its width and height.

    `image` is a file, its bytes, a Pillow image, or `None`; `boxes` is `None` for plain text.
    """

    id: str
    image: Path | bytes | Image.Image | None = None
    words: tuple[str, ...] = ()
    boxes: tuple[Box, ...] | None = None
    label: str | None = None

    def open_image(self) -> Image.Image:
        """The image in RGB. Raises `InputError` where there is none or it cannot be read."""
        from PIL import Image

        if self.image is None:
            raise InputError(f"document {self.id} has no image: the model's image processor needs one")
        if isinstance(self.image, Image.Image):
            return self.image.convert("RGB")
        try:
            with Image.open(self.image if isinstance(self.image, Path) else io.BytesIO(self.image)) as file:
                return file.convert("RGB")
        except OSError as error:
            name = self.image if isinstance(self.image, Path) else "its bytes"
            raise InputError(
                f"document {self.id}: {name}: not a readable image; repair or remove it"
            ) from error


def read_documents(source: str | Path | Any) -> list[Document]:
    """The documents of a file, a folder, a `datasets.Dataset`, or a sequence of `Document`s or of rows like its.

    - JSON lines: `image` (relative to the file), `words` and `boxes` in 0–1000, or `text`; optional `label` and `id`.
    - CSV: `text`, optional `label` and `id`.
    - hOCR: one document a page, boxes scaled by the page's own; the image is the one beside it with the same name or
      that of the page's `image` property; the label is the folder's name where pages lie in folders of classes.
    - FUNSD: `annotations/*.json` and `images/*`, boxes in pixels; or a data set with `words` or `tokens`, `bboxes` or
      `boxes`, `image`, and optional `label` or `labels`.
    - Images in folders of classes: no words, for image models.

    A word of white space alone is left out with its box. Warns, in one line, of pages without words. Raises
    `InputError` for what cannot be read, for no document at all, for two of one id, and for bad words and boxes.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        found, name = _from_path(path), str(path)
    else:
        found, name = _rows(source, "the data set"), "the data set"
    documents = [_checked(document, name) for document in found]
    if not documents:
        raise InputError(f"there is no document in {name}: give {READABLE}")
    if twice := [id_ for id_, count in Counter(document.id for document in documents).items() if count > 1]:
        raise InputError(f"{name}: {len(twice)} ids name more than one document, the first {twice[0]}")
    if empty := [document.id for document in documents if document.boxes is not None and not document.words]:
        more = f" and {len(empty) - 3} more" if len(empty) > 3 else ""
        warnings.warn(f"{name}: no words on {', '.join(empty[:3])}{more}", stacklevel=2)
    return documents


def same_documents(a: Sequence[Document], b: Sequence[Document]) -> int:
    """How many documents of `b` are in `a` too: the same words in the same boxes, or without words the same pixels."""
    known = {_content(document) for document in a}
    return sum(_content(document) in known for document in b)


def label_ids(documents: Sequence[Document], config: Any) -> list[int]:
    """The labels as the numbers of a model's configuration (`label2id`, else `id2label`).

    Raises `InputError` for documents without a label and for labels that the model does not have.
    """
    ids = {str(label): int(number) for label, number in (getattr(config, "label2id", None) or {}).items()}
    ids = ids or {
        str(label): int(number) for number, label in (getattr(config, "id2label", None) or {}).items()
    }
    if missing := [document.id for document in documents if document.label is None]:
        raise InputError(f"{len(missing)} documents have no label, the first {missing[0]}")
    unknown = Counter(document.label for document in documents if document.label not in ids)
    if unknown:
        listed = ", ".join(f"{label!r} ({count})" for label, count in unknown.items())
        raise InputError(f"the model does not know the labels {listed}; it has {', '.join(ids) or 'none'}")
    return [ids[cast(str, document.label)] for document in documents]


@dataclass(frozen=True)
class Encoded:
    """What a model takes, and how many documents had more tokens than it reads."""

    inputs: dict[str, torch.Tensor]
    truncated: int


def encode(
    documents: Sequence[Document],
    processor: Any,
    *,
    max_length: int | None = None,
    padding: str = "longest",
    boxes: bool | None = None,
) -> Encoded:
    """One batch: `input_ids`, `attention_mask` `[n, tokens]`, `bbox` `[n, tokens, 4]`, `pixel_values` `[n, 3, h, w]`.

    `processor` decides what is in it: a tokenizer gives the words joined by spaces, an image processor the pixels, a
    processor with both all of it; its own OCR is not used. `boxes` says whether to give them: by default where the
    tokenizer takes them or comes with an image processor. Documents that all lack an image give none. Tokens beyond
    `max_length` (default: the tokenizer's) are cut. Raises `InputError` where a document lacks what is needed.
    """
    tokenizer, images = _parts(processor)
    inputs: dict[str, torch.Tensor] = {}
    truncated = 0
    if not documents:
        raise InputError("there is no document to encode")
    if tokenizer is not None:
        takes_boxes = hasattr(tokenizer, "cls_token_box")
        with_boxes = takes_boxes or images is not None if boxes is None else boxes
        inputs, truncated = _tokens(documents, tokenizer, max_length, padding, with_boxes)
    if images is not None and not (tokenizer is not None and all(d.image is None for d in documents)):
        options = {"apply_ocr": False} if hasattr(images, "apply_ocr") else {}
        pixels = images(
            images=[document.open_image() for document in documents], return_tensors="pt", **options
        )
        inputs["pixel_values"] = pixels["pixel_values"]
    return Encoded(inputs, truncated)


def _parts(processor: Any) -> tuple[Any, Any]:
    """The tokenizer and the image processor of a processor that is either or has both."""
    tokenizer, images = getattr(processor, "tokenizer", None), getattr(processor, "image_processor", None)
    if tokenizer is None and images is None:
        if hasattr(processor, "convert_tokens_to_ids"):
            return processor, None
        if hasattr(processor, "preprocess"):
            return None, processor
        raise InputError(
            f"{type(processor).__name__} is no tokenizer, image processor or processor with either"
        )
    return tokenizer, images


def _tokens(
    documents: Sequence[Document], tokenizer: Any, max_length: int | None, padding: str, with_boxes: bool
) -> tuple[dict[str, torch.Tensor], int]:
    import torch

    limit = max_length or tokenizer.model_max_length
    if limit > 1_000_000:
        raise InputError("the tokenizer does not say how many tokens the model reads: give max_length")
    options = {"truncation": True, "max_length": limit, "padding": padding, "return_tensors": "pt"}
    if not with_boxes:
        encoded = tokenizer([" ".join(document.words) for document in documents], **options)
        return dict(encoded), _overflowing(encoded)
    if lacking := [document.id for document in documents if document.boxes is None]:
        raise InputError(f"the model needs a box for every word, and document {lacking[0]} has none")
    words = [list(document.words) for document in documents]
    if hasattr(tokenizer, "cls_token_box"):
        placed = [[list(box) for box in document.boxes or ()] for document in documents]
        encoded = tokenizer(words, boxes=placed, **options)
        return dict(encoded), _overflowing(encoded)
    encoded = tokenizer(words, is_split_into_words=True, **options)
    inputs = dict(encoded)
    bbox = torch.zeros(*inputs["input_ids"].shape, 4, dtype=torch.long)
    for row, document in enumerate(documents):
        for place, word in enumerate(encoded.word_ids(row)):
            if word is not None:
                bbox[row, place] = torch.tensor((document.boxes or ())[word])
    return {**inputs, "bbox": bbox}, _overflowing(encoded)


def _overflowing(encoded: Any) -> int:
    return sum(bool(encoding.overflowing) for encoding in encoded.encodings)


def _from_path(path: Path) -> Iterable[Document]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; documents are read from {READABLE}")
    if path.is_dir():
        return _from_folder(path)
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        return _json_lines(path)
    if suffix == ".csv":
        return _csv(path)
    if suffix in HOCR:
        return _hocr(path, path.parent)
    raise InputError(f"{path}: documents are read from {READABLE}")


def _from_folder(folder: Path) -> Iterable[Document]:
    if (folder / "dataset_dict.json").exists():
        splits = ", ".join(path.name for path in sorted(folder.iterdir()) if path.is_dir())
        raise InputError(f"{folder} has several splits: give one of its folders {splits}")
    if (folder / "dataset_info.json").exists():
        require("head-masking", "datasets")
        from datasets import load_from_disk

        return _rows(load_from_disk(str(folder)), str(folder))
    if (folder / "annotations").is_dir():
        return _funsd(folder)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    if parts := sorted({path.parents[1] for path in files if path.parent.name == "annotations"}):
        raise InputError(f"{folder} has several sets: give one of {', '.join(map(str, parts))}")
    pages = [path for path in files if path.suffix.lower() in HOCR]
    lines = [path for path in files if path.suffix.lower() == ".jsonl"]
    if pages and not lines:
        return (document for page in pages for document in _hocr(page, folder))
    if len(lines) == 1 and not pages:
        return _json_lines(lines[0])
    if lines:
        raise InputError(f"{folder} has several files of documents: give one, as {lines[0]}")
    pictures = [path for path in files if path.suffix.lower() in IMAGES]
    return (
        Document(path.relative_to(folder).as_posix(), path, label=_class(path, folder)) for path in pictures
    )


def _class(path: Path, root: Path) -> str | None:
    parents = path.relative_to(root).parts[:-1]
    return parents[0] if parents else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"cannot read the documents {path}: {reason}") from error


def _json_lines(path: Path) -> Iterator[Document]:
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{where}: not a JSON object: {error}") from error
            yield _document(row, where, f"line {number}", path.parent)


def _csv(path: Path) -> Iterator[Document]:
    reader = csv.DictReader(io.StringIO(_text(path), newline=""))
    if "text" not in (reader.fieldnames or ()):
        raise InputError(f"{path}: no column text, only {', '.join(reader.fieldnames or ()) or 'none'}")
    for row in reader:
        where = f"line {reader.line_num}"
        yield _document(
            {name: value for name, value in row.items() if value}, f"{path}, {where}", where, None
        )


def _rows(source: Any, name: str) -> Iterator[Document]:
    """The rows of a `datasets.Dataset`, of its undecoded images, or of any sequence of documents and mappings."""
    columns = getattr(source, "column_names", None)
    if isinstance(columns, Mapping):
        raise InputError(f"{name} has several splits: give one of {', '.join(columns)}")
    features = getattr(source, "features", None) or {}
    if "image" in features and hasattr(features["image"], "decode"):
        from datasets import Image as ImageFeature

        source = source.cast_column("image", ImageFeature(decode=False))
    classes = next((features[column] for column in ("label", "labels") if column in features), None)
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise InputError(
            f"documents are read from {READABLE}, or a datasets.Dataset; got {type(source).__name__}"
        )
    for number, row in enumerate(source):
        if isinstance(row, Document):
            yield row
        else:
            where = f"{name}, row {number}"
            yield _document(row, where, f"row {number}", None, getattr(classes, "int2str", None))


def _document(row: Any, where: str, id_: str, folder: Path | None, name_of: Any = None) -> Document:
    """A row with its columns under any of their usual names; images are relative to `folder`."""
    if not isinstance(row, Mapping):
        raise InputError(f"{where}: an object with words and boxes, text or image is expected")
    words, boxes, label = (
        next((row[name] for name in names if row.get(name) is not None), None)
        for names in (("words", "tokens", "text"), ("boxes", "bboxes"), ("label", "labels"))
    )
    if words is None and row.get("image") is None:
        raise InputError(
            f"{where}: no words, text or image in it, only {', '.join(map(str, row)) or 'nothing'}"
        )
    if isinstance(label, list):  # A label of each word: not the document's.
        label = None
    if name_of is not None and isinstance(label, int):
        label = name_of(label)
    image = _image(row.get("image"), where, folder)
    named = row["image"] if isinstance(row.get("image"), str) else id_
    words = tuple(words.split() if isinstance(words, str) else words or ())
    return Document(str(row.get("id", named)), image, words, boxes, None if label is None else str(label))


def _image(image: Any, where: str, folder: Path | None) -> Path | bytes | Image.Image | None:
    if isinstance(image, Mapping):
        image = image.get("bytes") or image.get("path")
    if not isinstance(image, str | Path):
        return cast("bytes | Image.Image | None", image)
    path = (folder or Path()) / image
    if not path.is_file():
        raise InputError(f"{where}: there is no image {path}")
    return path


def _hocr(path: Path, root: Path) -> Iterator[Document]:
    """The pages of an hOCR file (elements `ocr_page`, words `ocrx_word`)."""
    require("head-masking", "lxml")
    from lxml import etree, html

    try:
        tree = html.fromstring(path.read_bytes())
    except (OSError, etree.ParserError) as error:
        raise InputError(f"cannot read the hOCR file {path}: {error}") from error
    pages = tree.xpath("//*[contains(concat(' ', normalize-space(@class), ' '), ' ocr_page ')]")
    if not pages:
        raise InputError(f"{path}: not hOCR: no element of class ocr_page in it")
    stem = path.relative_to(root).with_suffix("").as_posix()
    for number, page in enumerate(pages, 1):
        id_ = stem if len(pages) == 1 else f"{stem}#{number}"
        frame = _bbox(page, f"{path}, page {number}")
        words, boxes = [], []
        for word in page.xpath(".//*[contains(concat(' ', normalize-space(@class), ' '), ' ocrx_word ')]"):
            text = " ".join(word.text_content().split())
            if text:
                words.append(text)
                boxes.append(_scaled(_bbox(word, f"{path}, page {number}, word “{text}”"), frame))
        image = _hocr_image(path, page, alone=len(pages) == 1)
        yield Document(id_, image, tuple(words), tuple(boxes), _class(path, root))


def _bbox(element: Any, where: str) -> tuple[float, ...]:
    found = re.search(r"\bbbox\s+" + r"\s+".join([r"(-?[\d.]+)"] * 4), element.get("title") or "")
    if not found:
        raise InputError(f"{where}: no bbox in the title attribute {element.get('title')!r}")
    return tuple(map(float, found.groups()))


def _hocr_image(path: Path, page: Any, *, alone: bool) -> Path | None:
    """The image that a page names, looked for as it is written and beside the file; else the one of the same name."""
    named = re.search(r"\bimage\s+(?:[\"']([^\"']*)[\"']|([^;\s]+))", page.get("title") or "")
    if named:
        name = Path((named[1] or named[2]).replace("\\", "/"))
        for candidate in (path.parent / name, path.parent / name.name):
            if candidate.is_file():
                return candidate
    beside = (file for file in sorted(path.parent.glob("*")) if file.stem == path.stem) if alone else ()
    return next((file for file in beside if file.suffix.lower() in IMAGES), None)


def _scaled(box: Sequence[float], frame: Sequence[float]) -> Box:
    """A box in pixels, in thousandths of the page `frame`."""
    left, top, right, bottom = frame
    if right <= left or bottom <= top:
        raise InputError(f"the page's bbox {frame} has no area")
    x0, x1 = (round(1000 * (x - left) / (right - left)) for x in box[0::2])
    y0, y1 = (round(1000 * (y - top) / (bottom - top)) for y in box[1::2])
    return x0, y0, x1, y1


def _funsd(folder: Path) -> Iterator[Document]:
    """FUNSD's own layout; the words of all entities in their order."""
    from PIL import Image

    for path in sorted((folder / "annotations").glob("*.json")):
        image = next((folder / "images" / f"{path.stem}{end}" for end in sorted(IMAGES)
                      if (folder / "images" / f"{path.stem}{end}").is_file()), None)  # fmt: skip
        if image is None:
            raise InputError(f"{path}: there is no image {folder / 'images' / path.stem}.png")
        try:
            with Image.open(image) as file:
                frame = (0, 0, *file.size)
            found = [word for entity in json.loads(_text(path))["form"] for word in entity["words"]]
            words = tuple(word["text"] for word in found)
            boxes = tuple(_scaled(word["box"], frame) for word in found)
        except OSError as error:
            raise InputError(f"{image}: not a readable image; repair or remove it") from error
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{path}: not FUNSD's form → words → text and box: {type(error).__name__} {error}"
            ) from error
        yield Document(path.stem, image, words, boxes)


def _checked(document: Document, name: str) -> Document:
    """The document with tuples of words and boxes. Raises `InputError` for what no model can read."""
    where = f"{name}: document {document.id}"
    words = tuple(document.words)
    if wrong := [word for word in words if not isinstance(word, str)]:
        raise InputError(f"{where}: words must be text, got {wrong[0]!r}")
    if document.boxes is None:
        return replace(document, words=tuple(word for word in words if word.strip()))
    if len(words) != len(document.boxes):
        raise InputError(f"{where}: {len(words)} words and {len(document.boxes)} boxes; each word needs one")
    kept = [
        (word, _checked_box(box, f"{where}: word {number} “{word}”"))
        for number, (word, box) in enumerate(zip(words, document.boxes, strict=True), 1)
        if word.strip()
    ]
    return replace(document, words=tuple(word for word, _ in kept), boxes=tuple(box for _, box in kept))


def _checked_box(box: Any, where: str) -> Box:
    try:
        x0, y0, x1, y1 = (round(float(value)) for value in box)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where} has the box {box}: four numbers x0, y0, x1, y1 are expected") from error
    if x1 < x0 or y1 < y0:
        raise InputError(f"{where} has the box {(x0, y0, x1, y1)}: x1 or y1 is less than x0 or y0")
    if min(x0, y0) < 0 or max(x1, y1) > 1000:
        raise InputError(
            f"{where} has the box {(x0, y0, x1, y1)}: outside 0–1000; boxes are in thousandths of the page"
        )
    return x0, y0, x1, y1


def _content(document: Document) -> bytes:
    digest = hashlib.sha256()
    if document.words:
        digest.update(json.dumps([document.words, document.boxes]).encode())
    elif document.image is not None:
        image = document.open_image()
        digest.update(f"{image.size}".encode() + image.tobytes())
    return digest.digest()

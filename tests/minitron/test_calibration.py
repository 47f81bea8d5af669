"""Text to packed token ids, and what is refused."""

import json

import pytest
import torch

from paperworks.errors import InputError
from paperworks.minitron.calibration import as_calibration, load_calibration


class Bytes:
    """A tokenizer of bytes with an end token."""

    eos_token_id = 256

    def __call__(self, text, **_):
        return {"input_ids": list(text.encode())}


def test_documents_follow_one_another_each_with_its_end(tmp_path):
    path = tmp_path / "text.jsonl"
    path.write_text('{"text": "abc"}\n\n{"text": "defg"}\n{"input_ids": [1, 2]}\n')
    rows = load_calibration(path, Bytes(), samples=3, length=4)
    assert rows.input_ids.tolist() == [[97, 98, 99, 256], [100, 101, 102, 103], [256, 1, 2, 256]]
    assert rows.mask is None


def test_samples_are_drawn_by_the_seed(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(chr(97 + i % 26) for i in range(400)))
    first = load_calibration(path, Bytes(), samples=5, length=8, seed=1).input_ids
    assert torch.equal(first, load_calibration(path, Bytes(), samples=5, length=8, seed=1).input_ids)
    assert not torch.equal(first, load_calibration(path, Bytes(), samples=5, length=8, seed=2).input_ids)


def test_a_data_set_and_a_folder_are_text_too(tmp_path):
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"text": ["abcd", "efgh"]})
    assert len(load_calibration(data, Bytes(), samples=2, length=5)) == 2
    (tmp_path / "a.txt").write_text("abcd")
    (tmp_path / "b.txt").write_text("efgh")
    rows = load_calibration(tmp_path, Bytes(), samples=2, length=5).input_ids
    assert rows.tolist() == [[97, 98, 99, 100, 256], [101, 102, 103, 104, 256]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no text"),
        ('{"text": "abc"}', "fill 0 samples"),
        ('{"words": "abc"}', "line 1"),
        ("{", "line 1"),
    ],
)
def test_text_that_does_not_do_is_refused(tmp_path, content, message):
    path = tmp_path / "text.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        load_calibration(path, Bytes(), samples=1, length=100)


def test_a_missing_file_and_a_strange_shape_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        load_calibration(tmp_path / "none.txt", Bytes(), samples=1, length=4)
    with pytest.raises(InputError, match="shape"):
        as_calibration(torch.zeros(3))
    assert json.dumps(as_calibration([[1, 2], [3, 4]]).input_ids.tolist()) == "[[1, 2], [3, 4]]"

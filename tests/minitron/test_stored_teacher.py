"""A teacher on disk: what is written, found again, resumed and refused."""

import json

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from paperworks.errors import InputError
from paperworks.minitron import stored_teacher
from paperworks.minitron.stored_teacher import StoredTeacher, pad_rows, store_teacher, tokenizer_hash

WORDS = 40
CONFIG = {
    "vocab_size": WORDS,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


class Words:
    def __init__(self, words):
        self.words = words

    def get_vocab(self):
        return {word: number for number, word in enumerate(self.words)}


def llama(seed=0, **changes):
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**(CONFIG | changes))).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(30)
    return model


@pytest.fixture
def rows():
    torch.manual_seed(1)
    return [torch.randint(WORDS, (length,)).tolist() for length in (9, 5, 12, 7, 12, 1, 8)]


def test_a_lookup_gives_the_teachers_probabilities(tmp_path, rows):
    model = llama()
    stored = store_teacher(model, rows, tmp_path, k=6, batch_size=2, shard_tokens=20, budget=3 * 16 * WORDS)
    assert (stored.rows, stored.tokens, stored.k, stored.vocabulary) == (7, sum(map(len, rows)), 6, WORDS)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "00000.safetensors", "00001.safetensors", "00002.safetensors", "teacher.json"
    ]  # fmt: skip
    for chosen in ([0], [4, 1, 2], [6, 5]):
        batch = pad_rows([{"input_ids": rows[number]} for number in chosen])
        indices, log_probs, log_rest = stored.lookup(batch["input_ids"], batch["attention_mask"])
        for row, number in enumerate(chosen):
            with torch.no_grad():
                log_p = model(torch.tensor([rows[number]])).logits[0].log_softmax(-1)
            length = len(rows[number])
            top, words = log_p.topk(6, -1)
            torch.testing.assert_close(log_probs[row, :length], top, rtol=1e-3, atol=1e-3)
            assert torch.equal(indices[row, :length], words)
            mass = log_probs[row, :length].exp().sum(-1) + log_rest[row, :length].exp()
            torch.testing.assert_close(mass, torch.ones(length), rtol=2e-3, atol=0)
            assert not log_rest[row, length:].any()


def test_rows_may_be_a_tensor_or_a_padded_data_set(tmp_path, rows):
    from datasets import Dataset

    model = llama()
    batch = pad_rows([{"input_ids": row} for row in rows])
    padded = Dataset.from_dict({name: batch[name].tolist() for name in ("input_ids", "attention_mask")})
    found = store_teacher(model, padded, tmp_path / "a", k=3)
    same = store_teacher(model, rows, tmp_path / "b", k=3)
    ids = torch.tensor([rows[2]])
    assert all(torch.equal(a, b) for a, b in zip(found.lookup(ids), same.lookup(ids), strict=True))
    whole = store_teacher(model, torch.randint(WORDS, (3, 8)), tmp_path / "c", k=WORDS)
    assert whole.rows == 3


def test_a_cut_vocabulary_is_that_of_the_cut_head(tmp_path, rows):
    model = llama()
    stored = store_teacher(model, rows, tmp_path, k=4, vocabulary=30)
    indices, log_probs, _ = stored.lookup(torch.tensor([rows[0]]))
    with torch.no_grad():
        log_p = model(torch.tensor([rows[0]])).logits[0, :, :30].log_softmax(-1)
    torch.testing.assert_close(log_probs[0], log_p.topk(4, -1).values, rtol=1e-3, atol=1e-3)
    assert indices.max() < 30


def test_a_killed_run_keeps_its_shards_and_ends_with_the_same_bytes(tmp_path, rows, monkeypatch):
    model, whole, killed = llama(), tmp_path / "whole", tmp_path / "killed"
    seen = []
    store_teacher(model, rows, whole, k=5, shard_tokens=12, progress=lambda *step: seen.append(step))
    assert seen[0] == (0, 7, "storing the teacher")
    assert seen[-1] == (7, 7, "stored the teacher")

    real, calls = stored_teacher._top_k, []

    def counted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(stored_teacher, "_top_k", counted)
    with pytest.raises(KeyboardInterrupt):
        store_teacher(model, rows, killed, k=5, shard_tokens=12)
    with pytest.raises(InputError, match="no finished teacher"):
        StoredTeacher(killed)
    assert len(list(killed.glob("*.safetensors"))) == 2
    store_teacher(model, rows, killed, k=5, shard_tokens=12)
    assert len(calls) == 3 + len(list(whole.glob("*.safetensors"))) - 2
    for path in whole.iterdir():
        assert path.read_bytes() == (killed / path.name).read_bytes()


def test_another_run_in_the_folder_is_refused(tmp_path, rows):
    store_teacher(llama(), rows, tmp_path, k=5, shard_tokens=12)
    with pytest.raises(InputError, match="another teacher"):
        store_teacher(llama(), rows, tmp_path, k=6, shard_tokens=12)
    other = llama()
    torch.nn.init.uniform_(other.model.norm.weight)
    with pytest.raises(InputError, match="another teacher"):
        store_teacher(other, rows, tmp_path, k=5, shard_tokens=12)
    with pytest.raises(InputError, match="another text"):
        store_teacher(llama(), rows[1:], tmp_path, k=5, shard_tokens=12)
    with pytest.raises(InputError, match="longer text"):
        store_teacher(llama(), rows[:3], tmp_path, k=5, shard_tokens=12)


def test_another_text_and_another_tokenizer_are_refused(tmp_path, rows):
    stored = store_teacher(llama(), rows, tmp_path, k=5, tokenizer=Words("abc"))
    assert json.loads((tmp_path / "teacher.json").read_text())["tokenizer"] == tokenizer_hash(Words("abc"))
    with pytest.raises(InputError, match="another text"):
        stored.lookup(torch.tensor([rows[0][:-1]]))
    StoredTeacher(tmp_path, Words("abc"))
    with pytest.raises(InputError, match="another tokenizer"):
        StoredTeacher(tmp_path, Words("abd"))


def test_bad_input_is_one_line(tmp_path, rows):
    model = llama()
    for bad, message in (
        ({"k": 0}, "k = 0 is not between"),
        ({"k": WORDS + 1}, "k = 41"),
        ({"vocabulary": WORDS + 1}, "vocabulary 41"),
        ({"rows": []}, "no rows"),
        ({"rows": [[1], []]}, "row 1"),
        ({"rows": [[1], [WORDS]]}, "token id 40"),
    ):
        with pytest.raises(InputError, match=message):
            store_teacher(model, **({"rows": rows, "out": tmp_path / "none", "k": 2} | bad))
    assert not list((tmp_path / "none").glob("*.safetensors"))
    folder = tmp_path / "damaged"
    store_teacher(model, rows, folder, k=2)
    (folder / "00000.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match="missing or damaged"):
        StoredTeacher(folder).lookup(torch.tensor([rows[0]]))
    (folder / "teacher.json").write_text("{}")
    with pytest.raises(InputError, match=r"teacher\.json is damaged"):
        StoredTeacher(folder)

"""Checkpoint folders: tensors over the mapped files, a container that `safetensors` reads, and what is refused."""

import json
import shutil

import pytest
import torch
from models import build
from safetensors.torch import load_file, save_file

from paperworks.errors import InputError
from paperworks.minitron.checkpoint import INDEX, JOURNAL, SINGLE, Checkpoint, ShardWriter, read_header


@pytest.fixture(scope="module")
def model():
    return build("llama")


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model.save_pretrained(folder / "one")
    model.save_pretrained(folder / "sharded", max_shard_size="40KB")
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    """A copy of the sharded folder, to be damaged."""
    return shutil.copytree(saved / "sharded", tmp_path / "copy")


@pytest.mark.parametrize("kind", ["one", "sharded"])
def test_tensors_and_rows_are_those_of_the_model_without_a_copy(model, saved, kind):
    checkpoint = Checkpoint(saved / kind)
    for name, tensor in model.state_dict().items():
        assert torch.equal(checkpoint.tensor(name), tensor), name
        assert torch.equal(checkpoint.rows(name, 3, 9), tensor[3:9])
    name = "model.norm.weight"
    assert checkpoint.tensor(name).data_ptr() == checkpoint.tensor(name).data_ptr()
    checkpoint.prefetch([name])
    checkpoint.release([name])
    assert torch.equal(checkpoint.tensor(name), model.model.norm.weight)


def test_the_table_says_type_and_shape_and_a_bfloat16_checkpoint_is_read(tmp_path):
    model = build("llama-biases").bfloat16()
    model.save_pretrained(tmp_path)
    checkpoint = Checkpoint(tmp_path)
    assert "lm_head.weight" not in checkpoint.table
    assert {name: entry.shape for name, entry in checkpoint.table.items()} == dict(checkpoint.sizes.tensors())
    assert {entry.dtype for entry in checkpoint.table.values()} == {"BF16"}
    assert torch.equal(checkpoint.tensor("model.embed_tokens.weight"), model.model.embed_tokens.weight)


def test_a_fingerprint_changes_with_a_shard(copied):
    before = Checkpoint(copied).fingerprint()
    assert Checkpoint(copied).fingerprint() == before
    shard = next(copied.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes())
    assert Checkpoint(copied).fingerprint() != before


def written(folder, tensors, **options):
    """All shards of `{name: tensor}` by our writer."""
    types = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F64"}
    writer = ShardWriter(
        folder,
        [(name, types[one.dtype], tuple(one.shape)) for name, one in tensors.items()],
        key="k",
        **options,
    )
    writer.start()
    for shard in writer.remaining():
        with writer.shard(shard) as file:
            for name, _, _ in shard.tensors:
                file.write(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    writer.write_index()
    writer.finish()
    return writer


MIXED = {
    "odd": torch.arange(3).bfloat16(),
    "matrix": torch.randn(5, 7, generator=torch.Generator().manual_seed(0)),
    "halves": torch.ones(2, 3, dtype=torch.float16),
    "doubles": torch.full((4,), torch.pi, dtype=torch.float64),
    "scalar": torch.tensor(-2.5),
}


def test_safetensors_reads_our_container_equal_to_that_of_save_file(tmp_path):
    written(tmp_path / "ours", MIXED)
    save_file(MIXED, tmp_path / "theirs", {"format": "pt"})
    ours, theirs = load_file(tmp_path / "ours" / SINGLE), load_file(tmp_path / "theirs")
    assert ours.keys() == theirs.keys() == MIXED.keys()
    for name, tensor in MIXED.items():
        assert torch.equal(ours[name], theirs[name])
        assert ours[name].dtype == tensor.dtype
    header = int.from_bytes((tmp_path / "ours" / SINGLE).read_bytes()[:8], "little")
    assert header % 8 == 0
    entries = read_header(tmp_path / "ours" / SINGLE)
    assert all((entry.first - 8 - header) % MIXED[name].itemsize == 0 for name, entry in entries.items())
    assert [path.name for path in (tmp_path / "ours").iterdir()] == [SINGLE]


def test_shards_stay_below_their_size_and_the_index_names_them(tmp_path):
    tensors = {f"t{i}": torch.full((10,), float(i)) for i in range(7)}
    written(tmp_path, tensors, shard_bytes=80)
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"]["total_size"] == 7 * 40
    assert sorted(set(index["weight_map"].values())) == [
        f"model-0000{i}-of-00004.safetensors" for i in range(1, 5)
    ]
    for name, file in index["weight_map"].items():
        assert torch.equal(load_file(tmp_path / file)[name], tensors[name])


def test_a_shard_that_fails_leaves_nothing_and_the_finished_ones_are_kept(tmp_path):
    tensors = [(f"t{i}", "F32", (4,)) for i in range(2)]
    writer = ShardWriter(tmp_path, tensors, key="k", shard_bytes=16)
    writer.start()
    first, second = writer.remaining()
    with writer.shard(first) as file:
        file.write(bytes(16))
    with pytest.raises(ValueError, match="got"), writer.shard(second) as file:
        file.write(bytes(15))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first.file, JOURNAL])
    again = ShardWriter(tmp_path, tensors, key="k", shard_bytes=16)
    assert again.remaining() == [second]
    (tmp_path / first.file).write_bytes(b"short")
    assert ShardWriter(tmp_path, tensors, key="k", shard_bytes=16).remaining() == [first, second]
    with pytest.raises(InputError, match="unfinished cut to something else"):
        ShardWriter(tmp_path, tensors, key="another")


def change(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def refused(folder, message):
    with pytest.raises(InputError, match=message) as error:
        Checkpoint(folder)
    assert "\n" not in str(error.value)


def test_a_missing_or_truncated_shard_is_refused(copied):
    shards = sorted(copied.glob("*.safetensors"))
    whole = shards[1].read_bytes()
    for length in (0, 5, 20, len(whole) - 1):
        shards[1].write_bytes(whole[:length])
        refused(copied, f"{shards[1].name} .*download it again")
    shards[1].write_bytes(whole[:-1])
    refused(copied, f"truncated: it has {len(whole) - 1:,} bytes, its header says {len(whole):,}")
    shards[1].write_bytes((2).to_bytes(8, "little") + b"[]" + whole)
    refused(copied, "no valid safetensors header")
    shards[1].unlink()
    refused(copied, f"shard {shards[1].name} is missing")


def test_an_index_that_is_none_or_names_what_is_not_there_is_refused(copied):
    index = json.loads((copied / INDEX).read_text())
    index["weight_map"]["other"] = next(iter(index["weight_map"].values()))
    (copied / INDEX).write_text(json.dumps(index))
    refused(copied, "lacks other, which the index says it has")
    (copied / INDEX).write_text("[]")
    refused(copied, "is no index of shards")


def test_shapes_that_are_not_the_configs_and_tensors_that_lack_are_refused(copied):
    change(copied, intermediate_size=60)
    refused(copied, r"gate_proj.weight has the shape \[56, 48\], the config of .* says \[60, 48\]")
    change(copied, intermediate_size=56, num_hidden_layers=4)
    refused(copied, "lacks model.layers.3.self_attn.q_proj.weight: is it whole")


def test_quantised_pickled_and_unknown_checkpoints_are_refused(copied, tmp_path):
    change(copied, quantization_config={"quant_method": "gptq"})
    refused(copied, "quantised")
    change(copied, quantization_config=None, model_type="gemma2")
    refused(copied, "only llama, mistral, qwen2, qwen3 are supported")
    refused(tmp_path / "nowhere", "no config.json")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    shutil.copy(copied / "config.json", pickled)
    change(pickled, model_type="llama")
    refused(pickled, "no model.safetensors")
    (pickled / "pytorch_model.bin").write_bytes(b"")
    refused(pickled, ".bin weights")


def test_weights_in_eight_bits_are_refused(saved, tmp_path):
    tensors = load_file(saved / "one" / SINGLE)
    tensors["model.layers.1.mlp.up_proj.weight"] = tensors["model.layers.1.mlp.up_proj.weight"].to(torch.int8)
    shutil.copy(saved / "one" / "config.json", tmp_path)
    save_file(tensors, tmp_path / SINGLE)
    refused(tmp_path, r"up_proj.weight is quantised \(I8\)")

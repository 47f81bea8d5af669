"""Timing: what is counted and how often; no test depends on how fast the machine is."""

import json

import pytest
import torch
from models import FAMILIES, build

from paperworks.errors import InputError
from paperworks.minitron.architecture import sizes_of
from paperworks.minitron.speed import _Runner, random_model, speed
from paperworks.minitron.target import Target

QUICK = {"prompt": 16, "generate": 2, "repeats": 3}


@pytest.mark.parametrize("family", FAMILIES)
def test_configs_models_and_folders_are_timed(family, tmp_path):
    model = build(family)
    model.save_pretrained(tmp_path / "saved")
    found = speed(
        {"config": model.config, "loaded": model, "folder": tmp_path / "saved"}, batches=(1, 2), **QUICK
    )
    assert len(found.rows) == 3 * 2 * 2
    for row in found.rows:
        assert 0 < row.low <= row.tokens_per_second <= row.high
        assert len(found.samples[row.name, row.phase, row.batch]) == 3
        assert row.flops_bound == 1
        assert row.cache_bytes == sizes_of(model.config).cache_bytes(4)
    assert all(
        row.ratio == row.ratio_low == row.ratio_high == 1 for row in found.rows if row.name == "config"
    )
    assert json.loads(json.dumps(found.to_dict()))["rows"][0]["phase"] == "prefill"
    assert model.config.num_hidden_layers == 3


def test_bounds_are_those_of_the_sizes():
    model = build("llama")
    source = sizes_of(model.config)
    raw = model.config.to_dict()
    depth, width = Target(drop_layers=(1,)), Target(hidden_size=24)
    found = speed(
        {"full": raw, "depth": depth.config(raw, source), "width": width.config(raw, source)}, **QUICK
    )
    for name, target in (("depth", depth), ("width", width)):
        row, sizes = found.row(name, "decode", 1), target.sizes(source)
        assert row.flops_bound == source.flops_per_token / sizes.flops_per_token
        assert row.cache_bytes == 2 * sizes.layers * 4 * 12 * 4

        def step(sizes):
            return sizes.flops_per_token // 2 * 4 + 16 * sizes.cache_bytes(4)

        assert row.bytes_bound == step(source) / step(sizes)
        assert found.row(name, "prefill", 1).bytes_bound is None


def test_contenders_take_turns_and_the_first_round_does_not_count(monkeypatch):
    turns = []
    true = _Runner.tokens_per_second

    def watched(self, phase, batch, length, steps):
        turns.append((phase, batch, self.sizes.layers))
        return true(self, phase, batch, length, steps)

    monkeypatch.setattr(_Runner, "tokens_per_second", watched)
    model, other = build("llama"), build("llama", num_hidden_layers=2)
    speed({"a": model, "b": other}, batches=(1, 4), prompt=4, generate=1, repeats=2)
    order = [
        (phase, batch, layers) for phase in ("prefill", "decode") for batch in (1, 4) for layers in (3, 2)
    ]
    assert turns == order * 3


def test_a_config_costs_its_layers_times_one_and_the_head(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(_Runner, "now", lambda self: float(next(clock)))
    config = build("qwen2", num_hidden_layers=5).config  # one full layer, four with a window
    found = speed({"config": config}, prompt=8, generate=2, repeats=1)
    # every reading of the clock is one second: each layer takes 1, the head 1
    assert found.samples["config", "prefill", 1] == [8 / 6]
    assert found.samples["config", "decode", 1] == [2 / 12]


def test_ratios_are_of_pairs_and_may_be_of_two_batches():
    model = build("llama")
    found = speed({"a": model, "b": build("llama", 1)}, batches=(1, 2), **QUICK)
    pairs = [
        b / a for a, b in zip(found.samples["a", "decode", 1], found.samples["b", "decode", 2], strict=True)
    ]
    assert found.ratio("b", "decode", 2, to="a", to_batch=1)[0] == pytest.approx(sorted(pairs)[1])
    assert found.row("b", "decode", 1).ratio == found.ratio("b", "decode", 1, to="a", to_batch=1)[0]
    with pytest.raises(InputError, match="not timed"):
        found.row("b", "decode", 3)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_random_model_runs_and_has_the_rotation_and_ties_of_its_config(family):
    config = build(family).config
    model = random_model(config, torch.float32, "cpu")
    ids = torch.arange(6)[None]
    with torch.no_grad():
        assert torch.isfinite(model(input_ids=ids).logits).all()
    assert torch.equal(model.model.rotary_emb.inv_freq, build(family).model.rotary_emb.inv_freq)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == config.tie_word_embeddings


def test_cached_decoding_sees_the_cache():
    runner = _Runner(build("llama"), sizes_of(build("llama").config))
    cache = runner._cache(2, 7)
    with torch.no_grad():
        runner._seconds(2, 1, cache)
    assert cache.get_seq_length() == 8
    assert cache.layers[2].keys.shape == (2, 4, 8, 12)


def test_nothing_to_time_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one"):
        speed({}, **QUICK)
    with pytest.raises(InputError, match="at least one"):
        speed({"a": build("llama")}, batches=())
    with pytest.raises(InputError, match="at least one"):
        speed({"a": build("llama")}, repeats=0)
    with pytest.raises(InputError, match=r"no config\.json"):
        speed([tmp_path])
    with pytest.raises(InputError, match="only llama"):
        speed({"a": {"model_type": "gemma"}})

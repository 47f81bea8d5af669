"""The language-model loss against a whole tensor of logits, and the thin way to lm-evaluation-harness."""

import math
import sys
import types

import pytest
import torch
from models import FAMILIES, build, tokens

from paperworks.errors import InputError
from paperworks.minitron import evaluate
from paperworks.minitron.calibration import Calibration
from paperworks.minitron.evaluate import Loss, evaluate_harness, lm_loss


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_the_librarys_own(family):
    model = build(family).train()
    ids = tokens(model, 7, 20)
    found = lm_loss(model, ids, batch_size=3)
    assert model.training
    with torch.no_grad():
        assert found.mean == pytest.approx(float(model(input_ids=ids, labels=ids).loss), abs=1e-5)
    assert found.tokens == 7 * 19
    assert found.perplexity == pytest.approx(math.exp(found.mean))


def test_padding_does_not_count_on_either_side():
    model = build("llama")
    ids = tokens(model, 2, 12)
    wide, mask = torch.full((2, 16), 7), torch.zeros(2, 16, dtype=torch.long)
    wide[0, :12], wide[1, 4:] = ids[0], ids[1]
    mask[0, :12] = mask[1, 4:] = 1
    found, bare = lm_loss(model, Calibration(wide, mask)), lm_loss(model, ids)
    assert found.tokens == bare.tokens == 22
    assert found.mean == pytest.approx(bare.mean, abs=1e-5)  # RoPE is relative, so a shift changes nothing


def test_no_more_rows_of_logits_than_said_are_in_memory(monkeypatch):
    monkeypatch.setattr(evaluate, "HEAD_ROWS", 10)
    model = build("llama")
    seen = []
    model.lm_head.register_forward_hook(lambda _, args, output: seen.append(len(output)))
    lm_loss(model, tokens(model, 3, 8))
    assert seen == [10, 10, 1]


def test_samples_of_one_token_and_tokens_of_another_model_are_refused():
    model = build("llama")
    with pytest.raises(InputError, match="two tokens"):
        lm_loss(model, tokens(model, 3, 1))
    with pytest.raises(InputError, match="another tokenizer"):
        lm_loss(model, torch.full((1, 4), 200))


def test_an_infinite_perplexity_is_left_out_of_the_json():
    assert Loss(800.0, 3).perplexity == math.inf
    assert Loss(800.0, 3).to_dict() == {"mean": 800.0, "tokens": 3}


def test_the_harness_is_called_with_the_folder_or_its_absence_named(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="lm_eval not installed"):
        evaluate_harness(tmp_path, ["winogrande"])
    calls = []
    module = types.ModuleType("lm_eval")
    module.simple_evaluate = lambda **options: (
        calls.append(options) or {"results": {"winogrande": {"acc,none": 0.5}}}
    )
    monkeypatch.setitem(sys.modules, "lm_eval", module)
    monkeypatch.setattr(evaluate, "find_spec", lambda _: object())
    with pytest.raises(InputError, match=r"no config\.json"):
        evaluate_harness(tmp_path, ["winogrande"])
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert evaluate_harness(tmp_path, ["winogrande"], num_fewshot=5) == {"winogrande": {"acc,none": 0.5}}
    assert calls[0]["model_args"] == {"pretrained": str(tmp_path)}
    assert calls[0]["num_fewshot"] == 5

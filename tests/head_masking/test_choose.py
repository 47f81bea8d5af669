"""The choice of heads: planted heads are found, controls find nothing, and the same seed chooses the same."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from encoders import build, inputs

from paperworks.errors import InputError
from paperworks.head_masking.choose import (
    Candidate,
    Choice,
    Criterion,
    Split,
    choose,
    class_holdout,
    draw_candidates,
    shares_of,
    spread_out,
)
from paperworks.head_masking.features import Inputs, Passes
from paperworks.head_masking.heads import HeadMask
from paperworks.head_masking.scores import Outputs


def outputs(features):
    return Outputs(np.asarray(features, np.float32), np.zeros((len(features), 3), np.float32))


def clouds(n, seed, spread=0.1):
    """Three classes far from one another."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    centres = 5 * np.eye(3, 4)
    return outputs(centres[labels] + spread * generator.standard_normal((n, 4))), labels


def test_the_criterion_is_1_for_classes_apart_and_a_half_for_noise():
    reference, labels = clouds(60, 0)
    validation, others = clouds(30, 1)
    found = class_holdout(reference, labels, validation, others, "mahalanobis")
    assert found.auroc == 1
    assert found.fpr95 == 0
    assert found.margin > 3
    assert set(found.per_class) == {"0", "1", "2"}
    noise = class_holdout(
        outputs(np.random.default_rng(2).standard_normal((600, 4))),
        np.arange(600) % 3,
        outputs(np.random.default_rng(3).standard_normal((600, 4))),
        np.arange(600) % 3,
        "knn",
    )
    assert 0.4 < noise.auroc < 0.6


def test_the_criterion_is_that_of_a_loop_over_classes():
    from sklearn.metrics import roc_auc_score

    from paperworks.head_masking.scores import fit_score

    reference, labels = clouds(60, 0, 4)
    validation, others = clouds(45, 1, 4)
    found = class_holdout(reference, labels, validation, others, "knn", {"k": 3})
    for one in range(3):
        score = fit_score("knn", reference[labels != one], labels[labels != one], k=3)
        assert found.per_class[str(one)] == pytest.approx(roc_auc_score(others != one, score(validation)))


def test_candidates_differ_share_their_first_layers_and_mask_the_fraction():
    model = build("bert", num_hidden_layers=4, num_attention_heads=8)
    masks = draw_candidates(model, 32, 0.25, 0)
    assert len(set(masks)) == 33
    assert masks[0] == HeadMask.all(model)
    assert {mask.masked for mask in masks[1:]} == {8}
    names = list(masks[0])
    nodes = [
        len({tuple(mask[name] for name in names[: depth + 1]) for mask in masks[1:]}) for depth in range(4)
    ]
    assert nodes[0] <= 4
    assert nodes == sorted(nodes)
    assert sum(nodes) < 32 * 4 / 2
    assert draw_candidates(model, 32, 0.25, 1) != masks
    few = draw_candidates(build("bert", num_hidden_layers=1), 32, 0.25, 0)
    assert len(few) == 5


def test_every_beginning_of_the_order_has_the_classes_in_their_proportions():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    order = spread_out(labels, 0)
    assert sorted(order) == list(range(100))
    for share in (0.1, 0.5):
        counts = np.bincount(labels[order[: round(100 * share)]], minlength=3)
        assert np.abs(counts - share * np.array([60, 30, 10])).max() <= 1
    assert list(spread_out(labels, 1)) != list(order)


def test_a_share_needs_documents_of_every_class():
    many, few = np.repeat([0, 1], 200), np.repeat([0, 1], 20)
    assert shares_of(many, many) == [1 / 8, 1 / 2, 1]
    assert shares_of(many, few) == [1.0]
    assert shares_of(np.repeat([0, 1], 30), np.repeat([0, 1], 30)) == [1 / 2, 1]


class Planted:
    """A model whose class shows in all heads but one, which adds a loud noise to every feature."""

    def __init__(self):
        self.model = build("bert", num_hidden_layers=2, num_labels=3)
        self.layer = list(HeadMask.all(self.model))[-1]
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            embeddings = self.model.bert.embeddings.word_embeddings.weight
            for label in range(3):
                embeddings[10 + label] = 2 * torch.randn(48, generator=generator)
            last = self.model.get_submodule(self.layer)
            last.weight[:, :12] *= 400  # head 0 of the last layer

    def documents(self, n, seed):
        generator = torch.Generator().manual_seed(seed)
        batch = inputs(self.model, n, seed)
        labels = torch.arange(n) % 3
        batch["input_ids"] = torch.randint(20, 97, batch["input_ids"].shape, generator=generator)
        batch["input_ids"][:, :3] = (10 + labels)[:, None]
        batch["attention_mask"][:] = 1
        return Inputs(batch), labels.numpy()

    def split(self):
        return Split(*self.documents(120, 1), *self.documents(120, 2))


@pytest.mark.parametrize("method", ["class_holdout", "greedy"])
def test_a_loud_and_useless_head_is_masked(method):
    planted = Planted()
    passes = Passes(planted.model)
    options = {"method": method, "score": "knn", "options": {"k": 5}, "n_masks": 12}
    choice = choose(passes, planted.split(), **options)
    assert choice.masks[0][planted.layer][0] == 0
    first, chosen = choice.candidates[0].rungs[-1], choice.chosen.rungs[-1]
    assert chosen.auroc > first.auroc + 0.02
    assert chosen.fpr95 < first.fpr95 - 0.1
    again = choose(passes, planted.split(), **options)
    assert again.to_dict() == choice.to_dict()
    assert Choice.from_dict(choice.to_dict(), choice.masks).to_dict() == choice.to_dict()


def test_where_no_mask_is_better_all_heads_are_kept():
    planted = Planted()
    with torch.no_grad():  # no attention output at all: masks change nothing
        for name in HeadMask.all(planted.model):
            planted.model.get_submodule(name).weight.zero_()
    choice = choose(Passes(planted.model), planted.split(), score="knn", options={"k": 5}, n_masks=6)
    assert choice.keeps_all


def test_halving_compares_fewer_masks_on_more_documents_and_always_all_heads():
    planted = Planted()
    split = Split(*planted.documents(300, 1), *planted.documents(300, 2))
    choice = choose(Passes(planted.model), split, score="knn", options={"k": 5}, n_masks=12)
    assert choice.shares == [1 / 8, 1 / 2, 1]
    rungs = [len(one.rungs) for one in choice.candidates]
    assert rungs[0] == 3
    assert sum(rung >= 2 for rung in rungs) in (4, 5)
    assert sum(rung >= 3 for rung in rungs) in (2, 3)
    assert len(rungs) == 13


def test_saturated_candidates_are_ranked_by_the_margin():
    from paperworks.head_masking.choose import _order, ranked_by

    model = build("bert")
    masks = draw_candidates(model, 3, 0.5, 0)
    candidates = [
        Candidate(mask, [Criterion(auroc, 0.0, margin)])
        for mask, auroc, margin in zip(masks, (1.0, 0.9995, 1.0, 1.0), (2.0, 5.0, 5.0, 1.0), strict=True)
    ]
    assert ranked_by([one.rungs[-1] for one in candidates]) == "margin"
    assert _order(candidates, "margin") == [1, 2, 0, 3]
    assert _order(candidates, "auroc") == [0, 2, 3, 1]  # ties: fewer masked heads, then the earlier
    candidates[1].rungs = [Criterion(0.9, 0.0, 9.0)]
    assert ranked_by([one.rungs[-1] for one in candidates]) == "auroc"


def test_outliers_choose_when_they_are_given():
    planted = Planted()
    passes, split = Passes(planted.model), planted.split()
    foreign, _ = planted.documents(60, 9)
    foreign.data["input_ids"][:, :3] = 15
    choice = choose(passes, split, method="outlier_exposure", score="knn", outliers=foreign, n_masks=8)
    assert choice.candidates[0].rungs[0].per_class == {}
    with pytest.raises(InputError, match="give outliers"):
        choose(passes, split, method="outlier_exposure")


def test_random_and_ensemble_look_at_no_document():
    planted = Planted()
    passes = Passes(planted.model)
    assert choose(passes, planted.split(), method="random", seed=4).masks == [
        HeadMask.random(planted.model, 0.25, 4)
    ]
    assert len(choose(passes, planted.split(), method="ensemble", n_masks=5).masks) == 5
    assert choose(passes, planted.split(), method="none").keeps_all


def test_the_same_seed_draws_the_same_masks_in_another_process():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from encoders import build; from paperworks.head_masking.choose import draw_candidates;"
        "print([mask.to_dict() for mask in draw_candidates(build('bert'), 6, 0.5, 7)])"
    )
    here = str(__import__("pathlib").Path(__file__).parent)
    said = {
        subprocess.run(
            [sys.executable, "-c", code, here],
            env={**__import__("os").environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert said == {f"{[mask.to_dict() for mask in draw_candidates(build('bert'), 6, 0.5, 7)]}\n"}


def test_bad_input_is_refused():
    planted = Planted()
    split = planted.split()
    passes = Passes(planted.model)
    with pytest.raises(InputError, match="heads is one of"):
        choose(passes, split, method="best")
    with pytest.raises(InputError, match="at least one"):
        choose(passes, split, n_masks=0)
    with pytest.raises(InputError, match="two classes"):
        choose(passes, Split(split.reference, np.zeros(120, int), split.validation, np.zeros(120, int)))
    with pytest.raises(InputError, match="have 3 labels"):
        Split(split.reference, np.zeros(3, int), split.validation, np.zeros(120, int))

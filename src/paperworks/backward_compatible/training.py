"""Training a new embedding model that searches an old model's gallery (the paper's OCA; BCT is a special case).

The new model's unit vector `h = [h_bct (d) ; h_e (e)]` has `e` dimensions more than the old one's. Only the first `d`
are held to the old space, through the old model's class prototypes `P [C, d]`; a learnable orthogonal `Q` lies between
`h` and the classifier `W`, so that the classifier sees all of it rotated. With `p = h_bct / |h_bct|`:

    L = w_1 · CE(W Q h, y)  +  w_2 · CE(P p, y)  +  w_3 · mean(1 − cos(p, P_y))

`Q` and `W` are dropped after training: the embedding is `h`, of which an old gallery sees the first `d` coordinates.
Since `W (Q h) = (W Q) h`, the layer adds no function that `W` alone could not express; it can only change the path of
the optimiser. `transformation="identity"` is that ablation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from paperworks.errors import InputError

Transformation = Literal["orthogonal", "cayley", "identity"]
# Torch's Householder map is left out: weight decay on its stored diagonal of −1 turns Q into zeros.
ORTHOGONAL_MAPS = {"orthogonal": "matrix_exp", "cayley": "cayley"}


def old_prototypes(
    old_features: Tensor | ArrayLike, labels: Tensor | ArrayLike, classes: int | None = None
) -> Tensor:
    """`P [C, d]`: the mean of the old model's unit-norm features per class of the *new* training set.

    `old_features [n, d]` may be of any length; `labels [n]` are 0 … C − 1, and `classes` is C (default: the largest
    label + 1). The means are not scaled to unit length. Summed in float64, returned in the dtype of the features.

    Raises `InputError` for unequal numbers of rows, an all-zero or non-finite feature, or a class without any.
    """
    features, targets = torch.as_tensor(old_features), torch.as_tensor(labels).long()
    if features.ndim != 2 or targets.shape != features.shape[:1] or not len(targets):
        raise InputError(
            f"prototypes need features [n, d] and labels [n], got {list(features.shape)} and {list(targets.shape)}"
        )
    norms = features.double().norm(dim=1, keepdim=True)
    if (bad := ~(norms.isfinite() & (norms > 0)).squeeze(1)).any():
        raise InputError(
            f"old feature {int(bad.nonzero()[0])} is all zero or not finite: it has no direction"
        )
    count = int(targets.max()) + 1 if classes is None else classes
    if int(targets.min()) < 0 or int(targets.max()) >= count:
        raise InputError(
            f"labels lie between {targets.min()} and {targets.max()}, but must between 0 and {count - 1}"
        )
    sizes = torch.bincount(targets, minlength=count)
    if not sizes.all():
        missing = (sizes == 0).nonzero().flatten().tolist()
        raise InputError(
            f"no features of class {missing}: every class of the new training set needs a prototype"
        )
    sums = features.new_zeros(count, features.shape[1], dtype=torch.float64)
    sums.index_add_(0, targets, features / norms)
    return (sums / sizes[:, None]).to(features.dtype)


def embed(features: Tensor, width: int | None = None) -> Tensor:
    """The embedding that is served: the first `width` (default: all) of `features [N, D]` as unit vectors."""
    return F.normalize(features[:, :width], dim=1)


class CompatibleTraining(nn.Module):
    """The loss of a new model that must stay compatible with an old one; an `nn.Module` with `Q` and `W` to train.

    `loss = head(features, labels)` takes the new model's `features [N, d + e]` (of any length; they are normalised)
    and labels of `old_prototypes [C, d]`. `head.terms` then holds the three unweighted terms, detached.

    `transformation` is the orthogonal layer: "orthogonal" (matrix exponential, as in the paper's code), "cayley"
    (cheaper beyond a few thousand dimensions), or "identity" (none). `bias=True` adds the bias that the released code's
    layer has. The defaults of `weights` (classification, influence, alignment) and `label_smoothing` are the released
    code's. BCT is `extra_dimensions=0, transformation="identity", weights=(1, 10, 0)`.

    Computes in the dtype of its own parameters, also under autocast, since a half-precision `Q` is not orthogonal.
    """

    prototypes: Tensor

    def __init__(
        self,
        old_prototypes: Tensor | ArrayLike,
        extra_dimensions: int = 32,
        transformation: Transformation = "orthogonal",
        bias: bool = False,
        weights: tuple[float, float, float] = (5.0, 10.0, 5.0),
        label_smoothing: float = 0.1,
    ) -> None:
        super().__init__()
        prototypes = torch.as_tensor(old_prototypes).detach().clone()
        if prototypes.ndim != 2 or not prototypes.is_floating_point() or not prototypes.isfinite().all():
            raise InputError(f"prototypes must be finite numbers [C, d], got shape {list(prototypes.shape)}")
        if extra_dimensions < 0:
            raise InputError(f"extra_dimensions must be at least 0, got {extra_dimensions}")
        if transformation not in (*ORTHOGONAL_MAPS, "identity"):
            choices = ", ".join([*ORTHOGONAL_MAPS, "identity"])
            raise InputError(f"no transformation is called {transformation!r}: choose from {choices}")
        if bias and transformation == "identity":
            raise InputError(
                "bias belongs to the orthogonal layer: leave it out with transformation='identity'"
            )
        if len(weights) != 3 or min(weights) < 0:
            raise InputError(
                f"weights are three numbers of at least 0 (classification, influence, alignment): {weights}"
            )
        classes, self.old_width = prototypes.shape
        self.width = self.old_width + extra_dimensions
        self.weights = tuple(weights)
        self.label_smoothing = label_smoothing
        self.terms: Mapping[str, Tensor] = {}
        self.register_buffer("prototypes", prototypes)
        self.classifier = nn.Linear(self.width, classes, bias=False, dtype=prototypes.dtype)
        self.transformation: nn.Module = nn.Identity()
        if transformation != "identity":
            layer = nn.Linear(self.width, self.width, bias=bias, dtype=prototypes.dtype)
            self.transformation = parametrizations.orthogonal(
                layer, orthogonal_map=ORTHOGONAL_MAPS[transformation]
            )

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar. Raises `InputError` for features of another width and labels without a prototype."""
        classes = len(self.prototypes)
        if features.ndim != 2 or features.shape[1] != self.width:
            raise InputError(
                f"features have shape {list(features.shape)}, need [N, {self.width}]: "
                f"{self.old_width} old dimensions and {self.width - self.old_width} extra ones"
            )
        if labels.shape != features.shape[:1] or not len(labels):
            raise InputError(
                f"{len(features)} features but labels of shape {list(labels.shape)}: one label each"
            )
        if int(labels.min()) < 0 or int(labels.max()) >= classes:
            outside = labels[(labels < 0) | (labels >= classes)][0]
            raise InputError(
                f"label {int(outside)} has no prototype: there are {classes}, 0 to {classes - 1}"
            )
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(self.prototypes.dtype)
            compatible = embed(features, self.old_width)
            logits = self.classifier(self.transformation(embed(features)))
            alignment = 1 - F.cosine_similarity(compatible, self.prototypes[labels], dim=1)
            terms = {
                "classification": F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing),
                "influence": F.cross_entropy(
                    compatible @ self.prototypes.T, labels, label_smoothing=self.label_smoothing
                ),
                "alignment": alignment.mean(),
            }
        self.terms = {name: term.detach() for name, term in terms.items()}
        return sum(
            (weight * term for weight, term in zip(self.weights, terms.values(), strict=True)),
            features.new_zeros(()),
        )


def warmup_cosine(step: int, warmup: int, total: int) -> float:
    """The factor of the learning rate at `step` (from 0): linear up over `warmup` steps, then half a cosine to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

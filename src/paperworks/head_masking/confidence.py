"""Detectors that ask how sure the classifier is: functions of its logits, and of its last linear layer's input.

`o` are the logits, `p = softmax(o)`, `C` the number of classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy.special import log_softmax, logsumexp

from paperworks.errors import InputError
from paperworks.head_masking.score import Outputs, Score, State, in_blocks, same_width


class MaxSoftmax(Score):
    """`max_c softmax(o)_c` (Hendrycks and Gimpel, arXiv 1610.02136)."""

    name = "msp"

    def __call__(self, outputs: Outputs) -> np.ndarray:
        return np.exp(_log_posterior(outputs).max(axis=1))


class MaxLogit(Score):
    """`max_c o_c` (Hendrycks et al., arXiv 1911.11132)."""

    name = "max_logit"

    def __call__(self, outputs: Outputs) -> np.ndarray:
        return outputs.logits.max(axis=1).astype(np.float64)


class Energy(Score):
    """`T · logsumexp(o / T)` (Liu et al., arXiv 2010.03759)."""

    name = "energy"
    defaults: ClassVar[Mapping[str, Any]] = {"T": 1.0}

    def __call__(self, outputs: Outputs) -> np.ndarray:
        T = self.options["T"]
        return T * logsumexp(outputs.logits.astype(np.float64) / T, axis=1)

    @classmethod
    def learn(cls, reference: Outputs, labels: np.ndarray, options: dict[str, Any]) -> State:
        if not options["T"] > 0:
            raise InputError(f"temperature T = {options['T']} is not positive")
        return {}


class Entropy(Score):
    """`Σ_c p_c log p_c`: the entropy of the posterior, negated."""

    name = "entropy"

    def __call__(self, outputs: Outputs) -> np.ndarray:
        return _negative_entropy(_log_posterior(outputs))


class KLMatching(Score):
    """`−min_c KL(p ‖ p̄_c)`, `p̄_c` the mean posterior of the reference predicted as `c` (arXiv 1911.11132)."""

    name = "kl_matching"

    def __call__(self, outputs: Outputs) -> np.ndarray:
        log_means = self._state["log_means"]
        same_width(outputs.logits, log_means.shape[1], "logits")
        log_p = _log_posterior(outputs)
        cross = in_blocks(np.exp(log_p), lambda rows: rows @ log_means.T)
        return cross.max(axis=1) - _negative_entropy(log_p)

    @classmethod
    def learn(cls, reference: Outputs, labels: np.ndarray, options: dict[str, Any]) -> State:
        log_p = _log_posterior(reference)
        predicted = log_p.argmax(axis=1)
        groups = [log_p[predicted == c] for c in np.unique(predicted)]
        return {"log_means": np.stack([logsumexp(group, axis=0) - np.log(len(group)) for group in groups])}


class GradNorm(Score):
    """`‖p − 1/C‖₁ · ‖z‖₁`, z the input of the last linear layer (Huang et al., arXiv 2110.00218).

    The L1 norm of the gradient of the cross-entropy to the uniform distribution with respect to that layer's weight:
    the gradient is the outer product `(p − 1/C) zᵀ`, so no backward pass is needed.
    """

    name = "grad_norm"

    def __call__(self, outputs: Outputs) -> np.ndarray:
        off_uniform = np.abs(np.exp(_log_posterior(outputs)) - 1 / outputs.logits.shape[1]).sum(axis=1)
        return off_uniform * np.abs(outputs.last).sum(axis=1, dtype=np.float64)


def _log_posterior(outputs: Outputs) -> np.ndarray:
    return log_softmax(outputs.logits.astype(np.float64), axis=1)


def _negative_entropy(log_p: np.ndarray) -> np.ndarray:
    return (np.exp(log_p) * log_p).sum(axis=1)

"""Chains of model updates: v1 <- v2 and v2 <- v3 composed into one rotation v1 <- v3."""

from __future__ import annotations

import numpy as np

from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.alignment_report import AlignmentReport
from paperworks.backward_compatible.mean_direction import disagreement
from paperworks.errors import InputError


def compose(first: OrthogonalAligner, second: OrthogonalAligner) -> OrthogonalAligner:
    """`first` carries v2 to v1, `second` v3 to v2; the result carries v3 to v1.

        R = R_second [d3, d2 + e2] · diag(R_first [d2, D1], I [e2, e2])        [d3, D1 + e2]

    v3's extra dimensions e2 follow those of v2, so that v1 vectors (zero-padded), v2 vectors rotated by `first`
    (zero-padded) and v3 vectors rotated by the result share one index of width D1 + e2. Norms are kept.

    Raises `InputError` where the two do not meet: widths, names of the middle model, or, where the middle model's
    vectors have a mean direction, different directions in the two samples.
    """
    _refuse_strangers(first, second)
    middle = first.n_features_in_
    extra = second.rotation_.shape[1] - middle
    through_first = second.rotation_[:, :middle] @ first.rotation_
    rotation = np.hstack([through_first, second.rotation_[:, middle:]]) if extra else through_first

    chain = OrthogonalAligner(
        normalize=first.normalize and second.normalize,
        relaxation=max(first.relaxation, second.relaxation),
        new_model=second.new_model,
        old_model=first.old_model,
    )
    chain.n_features_in_, chain.n_features_old_ = second.n_features_in_, first.n_features_old_
    chain.n_pairs_ = min(first.n_pairs_, second.n_pairs_)
    chain.new_mean_, chain.old_mean_ = second.new_mean_, first.old_mean_
    chain.sample_sha256_ = f"{first.sample_sha256_} {second.sample_sha256_}"
    values = np.linalg.svd(rotation, compute_uv=False)
    exact = first.report_.singular_values == second.report_.singular_values == (1.0, 1.0)
    unusable = [aligner.report_.reason for aligner in (first, second) if not aligner.report_.usable]
    report = AlignmentReport(
        usable=not unusable,
        reason=unusable[0]
        if unusable
        else "composed of two usable aligners; measure the chain itself with `check`",
        pairs=chain.n_pairs_,
        rank=min(first.rank_, second.rank_),
        singular_values=(1.0, 1.0) if exact else (float(values.min()), float(values.max())),
    )
    chain._set_solution(rotation, report.rank, report)
    return chain


def _refuse_strangers(first: OrthogonalAligner, second: OrthogonalAligner) -> None:
    if first.n_features_in_ != second.n_features_old_:
        raise InputError(
            f"the chain does not meet: the first aligner takes width {first.n_features_in_}, the second gives "
            f"{second.n_features_old_}; give v1 <- v2 first, then v2 <- v3"
        )
    if first.new_model and second.old_model and first.new_model != second.old_model:
        raise InputError(
            f"the chain does not meet: the first aligner rotates vectors of {first.new_model!r}, the second gives "
            f"vectors of {second.old_model!r}"
        )
    cosine = disagreement(first.new_mean_, first.n_pairs_, second.old_mean_, second.n_pairs_)
    if cosine is not None:
        raise InputError(
            f"the chain does not meet: the middle vectors of the two samples point in different directions (cosine "
            f"{cosine:.2f} of their means): they are not of one model"
        )

"""The folder of a saved aligner: `aligner.safetensors` with everything, `aligner.json` with the facts for people.

The facts are stored inside the safetensors file too, and that copy is the one that is read: one file is replaced at
once, so a save that is killed leaves the old aligner or the new one, never a mixture.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from paperworks.backward_compatible.aligner import OrthogonalAligner
from paperworks.backward_compatible.alignment_report import AlignmentReport
from paperworks.errors import InputError
from paperworks.files import replacing, write_json

FORMAT = 1


def save_aligner(aligner: OrthogonalAligner, folder: str | os.PathLike[str]) -> None:
    """Write `aligner.safetensors` (float64 `rotation [d_new, D]`, `new_mean [d_new]`, `old_mean [d_old]`) and the JSON.

    The same aligner gives the same bytes. Raises `InputError` where the folder cannot be written.
    """
    from safetensors.numpy import save

    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; an aligner is saved as a folder")
    facts = describe(aligner)
    tensors = {
        "rotation": np.ascontiguousarray(aligner.rotation_),
        "new_mean": aligner.new_mean_,
        "old_mean": aligner.old_mean_,
    }
    with replacing(folder / "aligner.safetensors") as partial:
        partial.write_bytes(save(tensors, metadata={"aligner": json.dumps(facts, allow_nan=False)}))
    write_json(folder / "aligner.json", facts)


def describe(aligner: OrthogonalAligner) -> dict[str, Any]:
    """What `aligner.json` holds."""
    return {
        "format": FORMAT,
        "d_old": aligner.n_features_old_,
        "d_new": aligner.n_features_in_,
        "D": aligner.rotation_.shape[1],
        "normalize": aligner.normalize,
        "relaxation": aligner.relaxation,
        "refine": aligner.refine,
        "old_model": aligner.old_model,
        "new_model": aligner.new_model,
        "pairs": aligner.n_pairs_,
        "rank": aligner.rank_,
        "sample_sha256": aligner.sample_sha256_,
        "fingerprint": aligner.fingerprint(),
        "report": aligner.report_.to_dict(),
    }


def load_aligner(folder: str | os.PathLike[str]) -> OrthogonalAligner:
    """The aligner saved in `folder`; it transforms as before. Raises `InputError` for anything else."""
    from safetensors import SafetensorError, safe_open

    path = Path(folder) / "aligner.safetensors"
    if not path.is_file():
        raise InputError(f"{folder} holds no aligner: make one with `paperworks backward-compatible align`")
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {})["aligner"])
            rotation, new_mean, old_mean = map(file.get_tensor, ("rotation", "new_mean", "old_mean"))
        if facts["format"] != FORMAT:
            raise InputError(
                f"{path} has format {facts['format']}, this version reads {FORMAT}: upgrade paperworks"
            )
        report = AlignmentReport.from_dict(facts["report"])
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not a saved aligner, or is damaged: {error}") from error
    aligner = OrthogonalAligner(
        normalize=facts["normalize"],
        relaxation=facts["relaxation"],
        refine=facts["refine"],
        new_model=facts["new_model"],
        old_model=facts["old_model"],
    )
    aligner.n_features_in_, aligner.n_features_old_ = facts["d_new"], facts["d_old"]
    aligner.n_pairs_, aligner.sample_sha256_ = facts["pairs"], facts["sample_sha256"]
    aligner.new_mean_, aligner.old_mean_ = new_mean, old_mean
    aligner._set_solution(rotation, facts["rank"], report)
    if aligner.fingerprint() != facts["fingerprint"]:
        raise InputError(f"{path} is damaged: the rotation does not have the stored fingerprint")
    return aligner

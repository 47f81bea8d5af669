"""The detector: fitted on known documents alone, it says of a new one whether it is of a known kind.

Two passes of the classifier: one without a mask gives the class, which stays what it was, and one under the mask gives
the features, which are scored against those of the training documents under the same mask (specification, sections 3, 4
and 6).
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from paperworks.devices import resolve_device
from paperworks.errors import InputError
from paperworks.files import replacing, write_json
from paperworks.head_masking.choose import METHODS, Choice, Split, choose, fit_with
from paperworks.head_masking.documents import Document, encode, label_ids, same_documents
from paperworks.head_masking.explain import (
    Explanation,
    head_effects,
    nearest_known,
    patch_effects,
    word_effects,
)
from paperworks.head_masking.features import Inputs, Passes, Pool, Progress, read_outputs
from paperworks.head_masking.heads import HeadMask
from paperworks.head_masking.metrics import Alarm, Metrics, batch_alarm, ood_metrics, p_values, threshold
from paperworks.head_masking.scores import Outputs, Score, score_kind

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FORMAT = 1


@dataclass(frozen=True)
class Finding:
    """One document: the `label` that the classifier gives, or `None` where the document is of no known kind.

    `score` is the decision function, below 0 for unknown; `p_value` the share of known documents that look as foreign.
    """

    label: str | None
    predicted: str
    score: float
    p_value: float


class HeadMaskingDetector:
    """Tells documents of unknown kinds by the features of a fine-tuned classifier with some attention heads masked.

    `model` is any `…ForSequenceClassification` or `…ForImageClassification` with attention heads; it is not changed.
    `processor` encodes `Document`s (a LayoutLMv3 processor, a tokenizer or an image processor); not needed for encoded
    data. `score` is one of `scores.SCORES`, `score_options` are its own (`k`, `ridge` …). `heads` is one of
    `choose.METHODS` or a `HeadMask`; `fraction` of the heads of each layer are masked in a random mask, `n_masks` are
    drawn. `contamination` is the share of known documents that may be called unknown.

    After `fit`: `masks_` (one, or those of an ensemble), `choice_` (how they were chosen), `scores_` (one fitted
    score a mask; `baseline_` is that of all heads), `reference_` (features `[masks, N, d]` of the training documents,
    `documents_` where they were documents), `known_scores_` (held-out ones in order), `offset_` (the threshold of
    `score_samples`), `classes_` (the labels).
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: Any = None,
        *,
        score: str = "mahalanobis",
        heads: str | HeadMask = "class_holdout",
        fraction: float = 0.25,
        n_masks: int = 32,
        feature: str | Pool = "cls",
        contamination: float = 0.05,
        seed: int = 0,
        batch_size: int = 16,
        device: str | None = None,
        **score_options: Any,
    ) -> None:
        if isinstance(heads, str) and heads not in METHODS:
            raise InputError(f"heads is one of {', '.join(METHODS)} or a HeadMask, not {heads!r}")
        if not 0 < contamination < 1:
            raise InputError(f"contamination {contamination} is not between 0 and 1")
        score_kind(score)
        self.model = model if device is None else model.to(resolve_device(device))  # type: ignore[arg-type]
        self.processor = processor
        self.score, self.score_options = score, score_options
        self.heads, self.fraction, self.n_masks = heads, fraction, n_masks
        self.feature, self.contamination = feature, contamination
        self.seed, self.batch_size = seed, batch_size
        self.passes = Passes(model, feature)

    def fit(
        self, train: Any, validation: Any, *, outliers: Any = None, progress: Progress | None = None
    ) -> Self:
        """Fit on known documents: `train` are the reference, `validation` sets the threshold and chooses the heads.

        Each is a list of `Document`s, or encoded data with `labels` (a dict of tensors or a `datasets.Dataset`).
        `outliers` are documents known to be foreign, for `heads="outlier_exposure"`. Raises `InputError`; warns where
        the two sets share documents.
        """
        self.documents_ = list(train) if _documents(train) else []
        if self.documents_ and _documents(validation) and (shared := same_documents(train, validation)):
            warnings.warn(
                f"{shared} documents are in both sets: the threshold will be too high, give others to one",
                stacklevel=2,
            )
        split = Split(
            self.inputs(train), self._labels(train), self.inputs(validation), self._labels(validation)
        )
        if isinstance(self.heads, HeadMask):
            self.choice_ = Choice([self.heads.checked(self.model)], "given")
        else:
            self.choice_ = choose(
                self.passes,
                split,
                method=self.heads,
                score=self.score,
                options=self.score_options,
                fraction=self.fraction,
                n_masks=self.n_masks,
                seed=self.seed,
                outliers=None if outliers is None else self.inputs(outliers),
                batch_size=self.batch_size,
                progress=progress,
            )
        self.masks_ = self.choice_.masks
        reference, features = self._read(split.reference, progress, "reading the reference")
        self.reference_ = features
        held, held_features = self._read(split.validation, progress, "setting the threshold")
        masked = [replace(held, features=own) for own in held_features]
        self.scores_ = [
            fit_with(self.score, replace(reference, features=own), split.labels, known, self.score_options)
            for own, known in zip(features, masked, strict=True)
        ]
        self.baseline_ = fit_with(self.score, reference, split.labels, held, self.score_options)
        each = np.stack([score(known) for score, known in zip(self.scores_, masked, strict=True)])
        self._centre, self._spread = each.mean(1), np.maximum(each.std(1), np.finfo(float).tiny)
        if len(self.scores_) == 1:
            self._centre, self._spread = np.zeros(1), np.ones(1)
        self.known_scores_ = np.sort(self._combined(each))
        self.offset_ = threshold(self.known_scores_, self.contamination)
        names: Any = self.model.config.id2label
        self.classes_ = [str(names[index]) for index in sorted(names)]
        return self

    def score_samples(self, data: Any, *, progress: Progress | None = None) -> np.ndarray:
        """The score of each document `[N]`: larger is more like the known ones."""
        return self._scores(data, progress)[1]

    def decision_function(self, data: Any, *, progress: Progress | None = None) -> np.ndarray:
        """`score_samples` minus `offset_`: below 0 for unknown documents."""
        return self.score_samples(data, progress=progress) - self.offset_

    def predict(self, data: Any, *, progress: Progress | None = None) -> np.ndarray:
        """1 for known and −1 for unknown documents, scikit-learn's convention for outliers."""
        return np.where(self.decision_function(data, progress=progress) >= 0, 1, -1)

    def classify(self, data: Any, *, progress: Progress | None = None) -> list[Finding]:
        """The class of each document by the model as it was, or none."""
        logits, scores = self._scores(data, progress)
        return self.findings(logits, scores)

    def findings(self, logits: np.ndarray, scores: np.ndarray) -> list[Finding]:
        """Findings of logits `[N, C]` and scores `[N]`."""
        names = [self.classes_[index] for index in logits.argmax(1)]
        chances = p_values(self.known_scores_, scores)
        return [
            Finding(name if score >= self.offset_ else None, name, float(score - self.offset_), float(chance))
            for name, score, chance in zip(names, scores, chances, strict=True)
        ]

    def p_values(self, data: Any) -> np.ndarray:
        """Of each document, the probability that a known one scores as low (conformal; `metrics.p_values`)."""
        return p_values(self.known_scores_, self.score_samples(data))

    def alarm(self, data: Any, *, level: float = 0.01) -> Alarm:
        """Whether a batch of documents has more low scores than known documents have (`metrics.batch_alarm`)."""
        return self.alarm_of(self.p_values(data), level=level)

    def alarm_of(self, chances: Sequence[float] | np.ndarray, *, level: float = 0.01) -> Alarm:
        """`alarm` of p-values that are there already."""
        return batch_alarm(chances, len(self.known_scores_), level=level)

    def evaluate(self, known: Any, unknown: Any, *, progress: Progress | None = None) -> dict[str, Metrics]:
        """The metrics on known and unknown documents: `chosen`, and `all heads` for the same score without a mask."""
        pairs: dict[str, list[np.ndarray]] = {"chosen": [], "all heads": []}
        for data in (known, unknown):
            base, features = self.outputs(data, progress=progress)
            pairs["chosen"].append(self.score_outputs(base, features))
            pairs["all heads"].append(self.baseline_(base))
        return {name: ood_metrics(*pair) for name, pair in pairs.items()}

    def outputs(self, data: Any, *, progress: Progress | None = None) -> tuple[Outputs, np.ndarray]:
        """Outputs without a mask, and features `[masks, N, d]` under those of the detector."""
        self._check_fitted()
        return self._read(self.inputs(data), progress, "reading documents")

    def score_outputs(self, base: Outputs, features: np.ndarray) -> np.ndarray:
        """The scores `[N]` of what `outputs` gave."""
        each = [score(replace(base, features=own)) for score, own in zip(self.scores_, features, strict=True)]
        return self._combined(np.stack(each))

    def explain(self, document: Document) -> Explanation:
        """Why a document has its score: its nearest known ones, and the heads, words and patches that speak for or
        against it. Takes a pass for each word (of the first 64) and patch (of 20), and up to one for each head.

        Raises `InputError` for a detector that is not fitted, or has no processor.
        """
        _, features = self.outputs([document])
        read = next(self.inputs([document]).batches(1))
        return Explanation(
            nearest_known(self, features)[0] if self.documents_ else [],
            head_effects(self, document),
            word_effects(self, document) if "input_ids" in read else [],
            patch_effects(self, document) if "pixel_values" in read else [],
        )

    def save(self, folder: str | Path, *, model_path: str | None = None) -> None:
        """Write `detector.json`, `head_mask.json` and `reference.safetensors`; the model itself is not copied.

        Raises `InputError` for a feature that is a function, which no file can hold.
        """
        from safetensors.numpy import save_file

        self._check_fitted()
        if not isinstance(self.feature, str):
            raise InputError("a detector with a feature of your own cannot be saved: choose one by name")
        folder = Path(folder)
        tensors: dict[str, np.ndarray] = {
            "known_scores": self.known_scores_,
            "centre": self._centre,
            "spread": self._spread,
            "features": np.ascontiguousarray(self.reference_),
        }
        for index, score in enumerate([*self.scores_, self.baseline_]):
            tensors |= {f"score.{index}.{name}": value for name, value in score.state().items()}
        with replacing(folder / "reference.safetensors") as partial:
            save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, partial)
        masks = [mask.to_dict() for mask in self.masks_]
        write_json(folder / "head_mask.json", masks[0] if len(masks) == 1 else {"masks": masks})
        write_json(
            folder / "detector.json",
            {
                "format": FORMAT,
                "model": model_path or self.model.name_or_path,
                "weights": fingerprint(self.model),
                "score": self.score,
                "score_options": self.scores_[0].options,
                "feature": self.feature,
                "contamination": self.contamination,
                "offset": self.offset_,
                "classes": self.classes_,
                "fraction": self.fraction,
                "n_masks": self.n_masks,
                "seed": self.seed,
                "choice": self.choice_.to_dict(),
                "documents": [
                    {"id": one.id, "image": str(one.image) if isinstance(one.image, Path) else None,
                     "label": one.label}
                    for one in self.documents_
                ],
            },
        )  # fmt: skip

    @classmethod
    def load(
        cls,
        folder: str | Path,
        model: PreTrainedModel | None = None,
        processor: Any = None,
        *,
        batch_size: int = 16,
        device: str | None = None,
    ) -> Self:
        """A saved detector, for the model that it was fitted on; without one, that of the noted folder is loaded.

        Raises `InputError` for a folder that is none, a newer format, or a model whose weights differ.
        """
        from safetensors.numpy import load_file

        folder = Path(folder)
        try:
            facts = json.loads((folder / "detector.json").read_text(encoding="utf-8"))
            masks = json.loads((folder / "head_mask.json").read_text(encoding="utf-8"))
            tensors = load_file(folder / "reference.safetensors")
        except (OSError, ValueError) as error:
            raise InputError(f"{folder} holds no detector ({error}): fit one") from error
        if facts.get("format") != FORMAT:
            raise InputError(f"{folder} has format {facts.get('format')}, this version reads {FORMAT}")
        if model is None:
            model, processor = load_classifier(facts["model"])
        if fingerprint(model) != facts["weights"]:
            raise InputError(
                f"{folder} was fitted on other weights than {model.name_or_path or 'this model'}: fit again"
            )
        detector = cls(
            model,
            processor,
            score=facts["score"],
            fraction=facts["fraction"],
            n_masks=facts["n_masks"],
            feature=facts["feature"],
            contamination=facts["contamination"],
            seed=facts["seed"],
            batch_size=batch_size,
            device=device,
            **facts["score_options"],
        )
        detector.masks_ = [HeadMask.from_dict(one).checked(model) for one in masks.get("masks", [masks])]
        detector.choice_ = Choice.from_dict(facts["choice"], detector.masks_)
        states: list[dict[str, np.ndarray]] = [{} for _ in range(len(detector.masks_) + 1)]
        for name, value in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "score":
                index, _, part = rest.partition(".")
                states[int(index)][part] = value
        *detector.scores_, detector.baseline_ = (
            Score.restore(facts["score"], state, facts["score_options"]) for state in states
        )
        detector.reference_ = tensors["features"]
        detector._centre, detector._spread = tensors["centre"], tensors["spread"]
        detector.known_scores_ = tensors["known_scores"]
        detector.offset_, detector.classes_ = facts["offset"], facts["classes"]
        detector.documents_ = [
            Document(one["id"], Path(one["image"]) if one["image"] else None, label=one["label"])
            for one in facts["documents"]
        ]
        return detector

    def _read(self, inputs: Inputs, progress: Progress | None, what: str) -> tuple[Outputs, np.ndarray]:
        return read_outputs(
            self.passes, inputs, self.masks_, batch_size=self.batch_size, progress=progress, what=what
        )

    def _scores(self, data: Any, progress: Progress | None) -> tuple[np.ndarray, np.ndarray]:
        base, features = self.outputs(data, progress=progress)
        return base.logits, self.score_outputs(base, features)

    def _combined(self, each: np.ndarray) -> np.ndarray:
        """The mean of the standardised scores `[masks, N]`."""
        combined: np.ndarray = ((each - self._centre[:, None]) / self._spread[:, None]).mean(0)
        return combined

    def inputs(self, data: Any) -> Inputs:
        """`data` as batches of tensors, read anew each time."""
        if isinstance(data, Inputs):
            return data
        if _documents(data):
            if self.processor is None:
                raise InputError("documents need a processor: give that of the model")
            return Inputs(list(data), lambda part: encode(part, self.processor).inputs)
        return Inputs(data)

    def _labels(self, data: Any) -> np.ndarray:
        if _documents(data):
            return np.asarray(label_ids(data, self.model.config))
        for name in ("labels", "label"):
            names = data.keys() if isinstance(data, Mapping) else getattr(data, "column_names", ())
            if name in names:
                return np.asarray(data[name])
        raise InputError("the documents have no labels: give `labels` with the encoded data")

    def _check_fitted(self) -> None:
        if not hasattr(self, "scores_"):
            raise InputError("the detector is not fitted: call fit first")


def fingerprint(model: PreTrainedModel) -> str:
    """A hash of a model's weights, the same on every device."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().float().numpy().tobytes())
    return digest.hexdigest()[:32]


def load_classifier(path: str | Path) -> tuple[PreTrainedModel, Any]:
    """A classifier in float32 and its processor, from a folder or a hub id. Raises `InputError`."""
    import torch
    from transformers import AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(path)
        model = _kind(config).from_pretrained(path, dtype=torch.float32).eval()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot load a classifier from {path}: {str(error).splitlines()[0]}") from error
    for loader in (AutoProcessor, AutoImageProcessor, AutoTokenizer):
        try:
            return model, loader.from_pretrained(path)
        except (OSError, ValueError, KeyError, ImportError, AttributeError):
            continue
    return model, None


def empty_classifier(path: str | Path) -> PreTrainedModel:
    """The classifier of a folder's config.json on the `meta` device, without weights. Raises `InputError`."""
    import torch
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(path)
        with torch.device("meta"):
            return _kind(config).from_config(config)
    except (OSError, ValueError) as error:
        raise InputError(f"no classifier's config.json in {path}: {str(error).splitlines()[0]}") from error


def _kind(config: Any) -> Any:
    """The auto class of a classifier, by the architecture that its configuration names."""
    from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification

    image = any("ImageClassification" in name for name in config.architectures or ())
    return AutoModelForImageClassification if image else AutoModelForSequenceClassification


def _documents(data: Any) -> bool:
    return isinstance(data, Sequence) and bool(data) and isinstance(data[0], Document)

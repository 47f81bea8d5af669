"""scikit-learn's own estimator checks. No exception is listed, because none is needed: all that apply pass."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.estimator_checks import parametrize_with_checks

from paperworks.backward_compatible.aligner import OrthogonalAligner

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

EXPECTED_FAILURES: dict[str, str] = {}


@parametrize_with_checks(
    [OrthogonalAligner(), OrthogonalAligner(normalize=False), OrthogonalAligner(relaxation=0.5)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def test_it_works_in_a_pipeline_and_a_grid_search():
    random = np.random.default_rng(0)
    new = random.normal(size=(200, 6))
    old = new @ np.linalg.qr(random.normal(size=(6, 6)))[0] + 0.1 * random.normal(size=(200, 6))
    rotated = make_pipeline(Normalizer(), OrthogonalAligner()).fit(new, old).transform(new)
    assert np.allclose(np.linalg.norm(rotated, axis=1), 1)
    search = GridSearchCV(OrthogonalAligner(), {"relaxation": [0.0, 0.5, 1.0]}, cv=3).fit(new, old)
    assert 0.9 < search.best_score_ <= 1


def test_names_go_in_and_come_out():
    pandas = pytest.importorskip("pandas")
    new = pandas.DataFrame(np.random.default_rng(0).normal(size=(50, 3)), columns=["a", "b", "c"])
    aligner = OrthogonalAligner().fit(new, new.to_numpy()[:, :2])
    assert list(aligner.feature_names_in_) == ["a", "b", "c"]
    names = [f"orthogonalaligner{i}" for i in range(3)]
    assert list(aligner.get_feature_names_out()) == names
    assert list(aligner.set_output(transform="pandas").transform(new).columns) == names

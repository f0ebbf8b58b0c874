"""Where a candidate stands between two predictors."""

from __future__ import annotations

import numpy as np
import pytest

from veribayes.predictive import Categorical, Normal
from veribayes.validation.relative import Relative, relative

RNG = np.random.default_rng(0)
A, B = (Categorical(RNG.dirichlet(np.ones(3), (400, 2, 1))) for _ in range(2))
OUTCOME = np.zeros((400, 2, 1))


def mixed(weight: float) -> Categorical:
    return Categorical((1 - weight) * A.probs + weight * B.probs)


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 1.0])
def test_a_mixture_stands_where_its_weight_says(weight: float) -> None:
    """Exactly, whatever the predictors are: a change of either square would show."""
    found = relative(mixed(weight), A, B, OUTCOME)
    assert found is not None
    overall = found.overall()
    assert overall["estimate"] == pytest.approx(2 * weight - 1, abs=1e-12)
    np.testing.assert_allclose(found.curve()["estimate"], 2 * weight - 1, atol=1e-12)


def test_the_interval_covers_the_ratio_and_not_the_mean_of_ratios() -> None:
    """Weights that differ between data sets: limits hold the pooled ratio in 95 % of 200 samples,
    within three standard errors; measured 189.
    """
    weights = RNG.beta(1, 2, 40_000)
    size = RNG.gamma(1.0, size=40_000)
    truth = ((2 * weights - 1) * size).mean() / size.mean()
    held = 0
    for start in range(0, 40_000, 200):
        rows = slice(start, start + 200)
        lead = ((2 * weights - 1) * size)[rows, None]
        entry = Relative(lead, size[rows, None]).overall()
        held += entry["low"] <= truth <= entry["high"]
    assert 180 <= held <= 199


def test_what_does_not_apply_is_left_out_and_other_forms_have_no_place() -> None:
    spoiled = mixed(0.5).probs.copy()
    spoiled[0] = A.probs[0]
    outcome = OUTCOME.copy()
    outcome[0] = np.nan
    found = relative(Categorical(spoiled), A, B, outcome)
    assert found is not None
    assert found.overall()["estimate"] == pytest.approx(0.0, abs=1e-12)
    normal = Normal(np.zeros((400, 2, 1)), np.ones((400, 2, 1)))
    assert relative(normal, A, B, OUTCOME) is None


def test_predictors_that_coincide_have_nothing_between_them() -> None:
    found = relative(A, B, B, OUTCOME)
    assert found is not None
    assert found.overall() == {"estimate": None, "low": None, "high": None}
    assert found.curve()["estimate"] == [None, None]

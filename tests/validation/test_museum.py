"""Published defects that our code must not share; the number is that of the museum in the validation design."""

from __future__ import annotations

import numpy as np
import pytest

from veribayes import registry
from veribayes.errors import InputError
from veribayes.predictive import Array, Bins, Categorical, Draws, Normal
from veribayes.validation import bootstrap, decision
from veribayes.validation.metrics._metric import Metric


def metric(name: str) -> Metric:
    found = registry.load("metric", name)
    assert isinstance(found, Metric)
    return found


def test_3_and_6_unbiased_means_that_no_draw_is_its_own_partner() -> None:
    """A CRPS of draws that keeps pairs of a draw with itself is biased by E|X - X'| / (2 S); the fair one is not."""
    rng = np.random.default_rng(3)
    shape, draws = (20_000, 1, 1), 5
    exact = Normal(np.zeros(shape), np.ones(shape))
    scores = metric("crps").score(Draws(rng.normal(size=(*shape, draws))), exact, np.zeros(shape))
    error = scores.std() / np.sqrt(scores.size)
    assert abs(scores.mean()) < 4 * error  # measured: .3 standard errors
    assert (1 / np.sqrt(np.pi)) / draws > 50 * error  # what the biased one would show, 0.113
    assert (scores < 0).any()  # unbiased at zero cannot mean non-negative


def test_10_resamples_are_distinct() -> None:
    """A seed inside the loop made 2 distinct replicates of 50."""
    sums = bootstrap.resampled(np.random.default_rng(10).normal(size=(50, 1)), seed=0)
    assert sums.shape == (1999, 1)
    assert np.unique(sums).size == 1999


def test_11_a_divergence_is_neither_clipped_nor_estimated_from_neighbours() -> None:
    """Clipped at 0, and 16.2 for repeated draws of the same law: nearest-neighbour estimates break on duplicates."""
    rng = np.random.default_rng(11)
    shape = (4000, 1, 1)
    p = Categorical(np.broadcast_to([0.5, 0.3, 0.2], (*shape, 3)))
    few = metric("kl_draws").score(Draws(p.sample(rng, 200)), p, np.zeros(shape))
    assert few.min() < 0  # a clipped estimate has a positive mean under the null: .04 in the museum
    assert abs(few.mean()) < 4 * few.std() / np.sqrt(few.size)  # measured: .2 standard errors
    normal = Normal(np.zeros(shape), np.ones(shape))
    repeated = np.repeat(rng.normal(size=(*shape, 50)), 4, axis=-1)  # a chain that stays put
    assert (
        abs(metric("crps").score(Draws(repeated), normal, np.zeros(shape)).mean()) < 0.02
    )  # finite and small: measured .008


def test_13_order_of_draws_carries_nothing() -> None:
    rng = np.random.default_rng(13)
    exact = Normal(np.zeros((1, 1, 1)), np.ones((1, 1, 1)))
    draws = rng.normal(size=(1, 1, 1, 200))
    scores = [
        metric("crps").score(Draws(d), exact, np.zeros((1, 1, 1))) for d in (draws, np.sort(draws), draws[..., ::-1])
    ]
    np.testing.assert_allclose(scores[1:], scores[:-1], rtol=0, atol=1e-14)


def test_15_the_density_of_bins_is_not_its_inverse() -> None:
    """Bins twice too wide lose half of the density, so regret is log 2; with the inverse it would be negative."""
    exact = Bins(np.array([[[[0.25, 0.25, 0.25, 0.25]]]]), np.array([0.0, 0.5, 1.0, 1.5, 2.0]))
    spread = Bins(np.array([[[[0.25, 0.25, 0.25, 0.25]]]]), np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
    regret = metric("log_score_regret").score(spread, exact, np.full((1, 1, 1), 0.7))
    assert regret.item() == pytest.approx(np.log(2))


def test_16_a_missing_score_is_an_error_not_an_answer() -> None:
    values = np.ones(300)
    values[7] = np.nan
    with pytest.raises(InputError, match="NaN"):
        decision.decide(values, tolerance=2.0)
    with pytest.raises(InputError, match="finite"):
        bootstrap.interval(values)
    with pytest.raises(InputError):
        bootstrap.recovery(values, np.ones(300))


@pytest.mark.parametrize("values", [np.zeros(300), np.full(300, 0.1), np.full(300, 1e-300)])
def test_16_no_spread_is_not_a_division_by_zero(values: Array) -> None:
    """Equal values have a standard deviation of 1e-17 by rounding; studentised, that is noise of any size."""
    found = bootstrap.interval(values)
    assert found.low == found.high == pytest.approx(found.estimate)
    assert decision.decide(values, tolerance=1.0).verdict == "equivalent"

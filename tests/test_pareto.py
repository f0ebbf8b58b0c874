"""Shapes of tails that are known, and what lies beyond the largest value."""

from __future__ import annotations

import numpy as np
import pytest

from veribayes.statistics.pareto import heaviness, mean_beyond, tail_shape, tail_size

Z = (5.0, 2.5, 1.7, 1.2, 0.8, 0.5, 0.3, 0.2, 0.1, 0.0)  # a tail of nine above its threshold


def test_shape_of_known_tails() -> None:
    rng, size = np.random.default_rng(0), tail_size(4096)
    for k in (0.2, 0.5, 0.9):
        top = np.sort(rng.random((50, 4096)) ** -k, axis=-1)[:, : -size - 2 : -1]
        found = tail_shape(top)
        assert found.mean() == pytest.approx(k, abs=0.1)  # .03
        np.testing.assert_allclose(tail_shape(1e-8 * top - 3e-8), found, rtol=1e-5)
    assert np.all(np.isneginf(tail_shape(np.ones((2, size + 1)))))


def test_a_shape_is_drawn_towards_a_half_by_ten_observations() -> None:
    """Of a tail of m values the fit k becomes (m k + 5) / (m + 10):
    with 12 values of a light tail that is most of it.
    """
    rng = np.random.default_rng(4)
    light = np.sort(rng.random((400, 60)), axis=-1)[:, : -tail_size(60) - 2 : -1]
    assert tail_size(60) == 12
    assert tail_shape(light).mean() == pytest.approx(
        (12 * -1 + 5) / 22, abs=0.12
    )  # uniform: k = -1, and -1 without
    doubled = tail_shape(
        np.repeat(light[:, :1], 1, axis=0) - np.arange(13) * 0.01
    )  # equal steps: the same fit in every row
    assert np.ptp(doubled) < 1e-9


def test_the_fit_is_that_of_zhang_and_stephens() -> None:
    """The profile likelihood of theta, m (log(-theta / k) - k - 1) with k = mean log(1 - theta
    x), at 30 + sqrt(m) points.
    """
    x = np.array(Z[-2::-1])
    points = 33
    theta = [
        1 / 5.0 + (1 - (points / (j - 0.5)) ** 0.5) / (3 * 0.2) for j in range(1, points + 1)
    ]  # .2: the first quartile of nine
    k = [np.log(1 - t * x).mean() for t in theta]
    likelihood = [(-t / at * np.exp(-at)) ** 9 for t, at in zip(theta, k, strict=True)]
    best = np.average(theta, weights=likelihood)
    fitted = np.log(1 - best * x).mean()
    assert tail_shape(np.array(Z)) == pytest.approx((9 * fitted + 5) / 19, rel=1e-9)


def test_a_shape_is_fitted_from_twenty_five_values_on() -> None:
    values = np.random.default_rng(6).random(25) ** -1.0
    assert (tail_size(24), tail_size(25), tail_size(225), tail_size(400)) == (4, 5, 45, 60)
    assert heaviness(values) > 0.3
    assert mean_beyond(np.sort(values)) > 1.3


def test_heaviness_is_the_shape_of_the_largest_values() -> None:
    values = np.random.default_rng(5).random(900) ** -0.8
    size = tail_size(900)
    assert heaviness(values) == pytest.approx(float(tail_shape(np.sort(values)[: -size - 2 : -1])))
    assert heaviness(values[:24]) == -np.inf
    assert heaviness(np.ones(100)) == -np.inf


def test_what_lies_beyond_the_largest_value() -> None:
    rng = np.random.default_rng(1)
    pareto, light = (
        np.sort(x, axis=0) for x in (rng.random((2000, 40)) ** -0.5, rng.random((2000, 40)))
    )
    assert mean_beyond(pareto).mean() == pytest.approx(2.0, abs=0.2)
    assert np.all(mean_beyond(light) == 1)  # uniform: the end of the support is in sight
    assert np.all(mean_beyond(pareto[:24]) == 1)
    assert mean_beyond(np.geomspace(1, 1e300, 200)) == pytest.approx(20)
    assert mean_beyond(np.zeros(200)) == 1


def test_ties_and_an_exact_exponential() -> None:
    """Scores of few data sets are often multiples of each other;
    here one of the fit's grid points is zero.
    """
    tail = np.array(
        [0.40333333, 0.33666667, 0.27, 0.20333333, 0.20333333, 0.13666667, 0.13666667, 0.07, 0.07]
    )
    steps = np.array([6.0, 5, 4, 3, 3, 2, 2, 1, 1])
    with np.errstate(all="raise"):
        assert np.isfinite(tail_shape(tail))
        assert tail_shape(steps) == pytest.approx(tail_shape(tail), abs=0.01)
        assert np.isfinite(tail_shape(np.array([1.0, 0, 0, 0, 0, 0, 0])))


def test_values_at_the_threshold_are_not_above_it() -> None:
    """Shares of four queries are quarters: nothing lies beyond one,
    and the next data set is no farther out than the last.
    """
    rng = np.random.default_rng(2)
    shares = np.sort(rng.binomial(4, 0.5, (200, 40)) / 4, axis=0)
    assert mean_beyond(shares).mean() == pytest.approx(
        1.0, abs=0.02
    )  # 20 where ties counted as the beginning of a tail
    mixed = np.sort(np.concatenate([np.zeros(150), rng.random(50) ** -0.5]))
    assert (
        1.2 < mean_beyond(mixed) < 3.5
    )  # a tail of shape .5 above many ties: its 40 largest values have none

"""The divergence of two answers in every form, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from veribayes.errors import InputError
from veribayes.predictive import (
    Array,
    Bins,
    Categorical,
    Draws,
    Normal,
    NormalMixture,
    Predictive,
    Quantiles,
)
from veribayes.validation import repeats


def apart(one: Predictive, other: Predictive, categories: int | None = None) -> list[float]:
    """J of every row."""
    applies = np.ones(one.shape, dtype=bool)
    found = repeats.divergence(one, other, applies, categories)
    back = repeats.divergence(other, one, applies, categories)
    np.testing.assert_allclose(found, back, rtol=1e-9, atol=1e-12)  # it is symmetric
    return [float(v) for v in found.ravel()]


def rows(*values: object) -> Array:
    """(row, 1, 1, ...)."""
    return np.array(values, dtype=np.float64)[:, None, None]


def test_masses() -> None:
    """(p - q) log(p / q) / 2 summed: (1/4 log 2 + 1/4 log 3/2) / 2 = log 3 / 8;
    nothing between equal ones.
    """
    one, other = rows([0.5, 0.5], [0.3, 0.7]), rows([0.25, 0.75], [0.3, 0.7])
    assert apart(Categorical(one), Categorical(other)) == pytest.approx([np.log(3) / 8, 0.0])
    edges = np.array([0.0, 1.0, 5.0])
    assert apart(Bins(one, edges), Bins(other, edges)) == pytest.approx([np.log(3) / 8, 0.0])
    with pytest.raises(InputError, match="the same 'edges'"):
        apart(Bins(one, edges), Bins(other, edges + 1))


def test_normals_and_mixtures_of_them() -> None:
    """N(0, 1), N(1, 1): 1/2; N(0, 1), N(0, 4): (1/8 + 2 - 1) / 2 = 9/16."""
    means, sds = (rows(0.0, 0.0), rows(1.0, 0.0)), (rows(1.0, 1.0), rows(1.0, 2.0))
    one, other = (Normal(m, s) for m, s in zip(means, sds, strict=True))
    assert apart(one, other) == pytest.approx([1 / 2, 9 / 16])
    mixed = [
        NormalMixture(np.full((2, 1, 1, 2), 0.5), *(np.repeat(v[..., None], 2, -1) for v in law))
        for law in zip(means, sds, strict=True)
    ]
    assert apart(*mixed) == pytest.approx([1 / 2, 9 / 16], rel=1e-6)
    with pytest.raises(InputError, match="in the form 'normal'"):
        apart(one, mixed[0])


def test_a_density_that_only_one_has_is_infinitely_far() -> None:
    logs = np.array([-np.inf, -np.inf, 0.0])
    np.testing.assert_array_equal(
        repeats._integrand(np.array([-np.inf, 0.0, -np.inf]), logs), [0.0, np.inf, np.inf]
    )


def test_quantiles() -> None:
    """Integral of (F - G)^2 over the pieces between knots;
    a quarter of the mass lies at either end.

    (0, 1) and (0, 2): 1/48 + 7/48. (1, 3) and (0, 2): 7/48 + 3/48 + 7/48. (0, 1) and (5, 6): F
    rises from 1/4 to 3/4, is 1 for four units, and 1 - G falls from 3/4 to 1/4.
    """
    levels = np.array([0.25, 0.75])
    one, other = (
        Quantiles(levels, v) for v in (rows([0, 1], [1, 3], [0, 1]), rows([0, 2], [0, 2], [5, 6]))
    )
    ramp = (1 / 16 + 3 / 16 + 9 / 16) / 3  # of (1/4 to 3/4)^2 over one unit
    wanted = [8 / 48, 17 / 48, 4 + 2 * ramp]
    assert apart(one, other) == pytest.approx(wanted)
    for i in range(3):
        assert apart(one[i : i + 1], other[i : i + 1]) == pytest.approx(wanted[i : i + 1])
    with pytest.raises(InputError, match="the same 'levels'"):
        apart(one, Quantiles(levels / 2, other.values))


def test_draws_of_reals() -> None:
    """Integral of (F - G)^2 less F (1 - F) / (n - 1) of each: 5/18 - 4/9 - 1/2;
    with ties 2 (1/36 - 1/9 - 1/4) from 0 to 2.
    """
    one, other = Draws(rows([4, 0, 2], [4, 0, 2])), Draws(rows([1, 3], [0, 2]))
    assert apart(one, other) == pytest.approx([-2 / 3, -2 / 3])


def test_draws_of_categories() -> None:
    """Counts (2, 1, 1, 0) and (1, 3, 0, 0): X^2 = 1/3 + 1 + 1;
    three categories seen let 2 * 8 / 7 expect.
    """
    one, other = Draws(rows([0, 0, 1, 2], [3, 3, 3, 3])), Draws(rows([1, 0, 1, 1], [3, 3, 3, 3]))
    assert apart(one, other, 4) == pytest.approx([(7 / 3 - 16 / 7) / 4, 0.0])
    with pytest.raises(InputError, match="4 draws whenever"):
        apart(one, Draws(other.draws[..., :2]), 4)


def test_queries_that_do_not_apply_have_none() -> None:
    one, other = (
        Normal(rows(0.0, 0.0, 0.0), rows(1.0, 1.0, 1.0)),
        Normal(rows(1.0, 0.0, 1.0), rows(1.0, 1.0, 1.0)),
    )
    applies = np.array([True, False, False])[:, None, None]
    np.testing.assert_array_equal(
        repeats.divergence(one, other, applies).ravel(), [0.5, np.nan, np.nan]
    )


def test_half_of_it_is_noise_and_half_of_the_rest_is_order() -> None:
    within, across = [np.array([2.0]), np.array([4.0])], [np.array([7.0]), np.array([9.0])]
    assert repeats.repeat(within[0]).tolist() == [1.0]
    assert repeats.beyond_repeat(across, within).tolist() == [(8 - 3) / 2]

"""p-values that count the observed statistic, maxT, Holm's correction: numbers made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from veribayes.errors import InputError
from veribayes.validation.checks._null import attainable, generator, holm, max_statistic, p_value

NULL = np.array([1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    ("statistic", "p"),
    [
        (0.5, 1.0),
        (1.0, 1.0),
        (2.5, 0.6),
        (3.0, 0.6),
        (4.0, 0.4),
        (5.0, 0.2),
        (np.inf, 0.2),
        (-np.inf, 1.0),
    ],
)
def test_a_p_value_counts_the_observed_statistic(statistic: float, p: float) -> None:
    """(1 + number at or above) / (1 + B) with B = 4."""
    assert p_value(statistic, NULL) == p


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_statistics_apart_by_rounding_are_ties_at_every_scale(scale: float, sign: float) -> None:
    null = np.sort(sign * scale * NULL)
    one = sign * scale * 3.0
    tied = 0.6 if sign > 0 else 0.8
    assert p_value(one + 1e-11 * abs(one), null) == tied
    assert p_value(one + 1e-9 * abs(one), null) == pytest.approx(tied - 0.2)


def test_the_largest_statistic_is_compared_with_the_largest_of_each_relabelling() -> None:
    """Columns in standard deviations, sqrt 2 and sqrt 5: 1.41, .45 observed;
    maxima of the relabellings 1.34, 0, -1.34.
    """
    values = np.array([[2.0, 1.0], [0.0, 3.0], [0.0, -1.0], [-2.0, -3.0]])
    statistic, p = max_statistic(values)
    assert statistic == pytest.approx(2 / 2**0.5)
    assert p.tolist() == [0.25, 0.5]
    assert max_statistic(values * np.array([100.0, 1.0]) + 7)[0] == pytest.approx(statistic)
    with pytest.raises(InputError, match="without spread"):
        max_statistic(np.ones((4, 2)))


def test_holm_by_hand() -> None:
    """Smallest times three, next times two, and never smaller than one before; at most one;
    names stay with their p-values.
    """
    assert holm({"b": 0.04, "a": 0.03, "c": 0.01}) == pytest.approx(
        {"c": 0.03, "a": 0.06, "b": 0.06}
    )
    assert holm({"b": 0.6, "a": 0.7}) == {"b": 1.0, "a": 1.0}
    assert holm({}) == {}


def test_a_family_that_no_test_of_it_can_reject_in_is_refused() -> None:
    """Five resampling tests at .05 need p-values from .01 on:
    99 resamples give that exactly, 98 do not.
    """
    names = "abcde"
    attainable(0.05, dict.fromkeys(names, 1 / 100))
    attainable(0.05, {**dict.fromkeys(names, 0.0), "a": 0.01})
    with pytest.raises(
        InputError, match=r"'a' that can reject at 0\.05 by Holm over 5.*at least 99 resamples"
    ):
        attainable(0.05, dict.fromkeys(names, 1 / 99))
    with pytest.raises(InputError, match="at least 99 resamples"):
        attainable(0.05, {**dict.fromkeys(names, 0.0), "e": 0.011})


def test_a_generator_is_a_function_of_seed_stream_and_index() -> None:
    first = generator(1, "paths", 2).random()
    assert first == generator(1, "paths", 2).random()
    assert (
        len(
            {
                first,
                generator(2, "paths", 2).random(),
                generator(1, "bets", 2).random(),
                generator(1, "paths", 3).random(),
            }
        )
        == 4
    )

"""Which limits are shown, and how many data sets would give one: by hand."""

from __future__ import annotations

import math
from itertools import count
from typing import Any

import numpy as np
import pytest

from veribayes.validation import stability

INF = math.inf


@pytest.mark.parametrize(
    ("limits", "values", "options", "held"),
    [
        ((1.0, 0.5, 5.0), (0.1, 100.0), {}, (True, True)),
        ((1.0, 0.5, 5.1), (0.1, 100.0), {}, (True, False)),  # above five times the mean
        ((1.0, 0.5, 4.0), (0.1, 3.9), {}, (True, False)),  # above the largest
        ((0.0, 0.0, 0.0), (0.0, 0.0), {}, (True, True)),
        ((1.0, -3.0, 2.0), (0.0, INF), {}, (True, True)),  # never negative: zero bounds it
        ((1.0, -3.0, 2.0), (-5e-10, INF), {}, (False, True)),  # an infinite value has no rounding
        ((1.0, -3.0, 2.0), (-5e-8, 100.0), {}, (True, True)),  # rounding of 100
        (
            (1.0, -1.0, 60.0),
            (-1.0, 100.0),
            {},
            (True, True),
        ),  # of a signed quantity the mean says nothing
        ((1.0, -1.1, 60.0), (-1.0, 100.0), {}, (False, True)),
        ((1.0, -1.1, 60.0), (-1.0, 100.0), {"within": (-1.1, 60.0)}, (True, True)),
        ((1.0, -1.1, 60.0), (-1.0, 100.0), {"within": (-2.0, 60.0)}, (False, True)),
        ((0.9, 0.8, 1.0), (0.2, 0.95), {"within": (0.0, 1.0)}, (True, True)),
        ((0.9, 0.8, 0.99), (0.2, 0.95), {"within": (0.0, 1.0)}, (True, False)),
        ((0.9, 0.8, INF), (0.2, 0.95), {}, (True, False)),
    ],
)
def test_a_limit_is_supported(
    limits: tuple[float, ...],
    values: tuple[float, ...],
    options: dict[str, Any],
    held: tuple[bool, bool],
) -> None:
    found = stability.supported(*map(np.asarray, (*limits, *values)), **options)
    assert tuple(map(bool, found)) == held


def test_limits_of_columns_are_shown_where_their_own_values_support_them() -> None:
    values = np.array([[1.0, np.nan, -1.0], [9.0, 2.0, 4.0], [np.nan, 4.0, 6.0]])
    low, high = stability.shown(
        np.full(3, 3.0), np.array([2.0, 2.0, -1.5]), np.array([8.0, 5.0, 5.0]), values
    )
    np.testing.assert_array_equal(low, [2.0, 2.0, np.nan])
    np.testing.assert_array_equal(high, [8.0, np.nan, 5.0])
    (shown,) = stability.shown(
        np.ones(1), np.array([-1.5]), np.ones(1), values[:, 2:], within=(-1.5, INF)
    )[0]
    assert shown == -1.5


def test_where_a_limit_is_expected_to_lie() -> None:
    """2.8 standard errors above the mean, on the log scale where there is one,
    and ln 40 / n of the largest.
    """
    assert stability.planned(2.0, 3.0, 5.0, 4) == pytest.approx(
        2 * math.exp(2.8 * 3 / 2 / 2) + math.log(40) * 5 / 4
    )
    assert stability.planned(0.0, 3.0, 5.0, 4) == pytest.approx(2.8 * 3 / 2 + math.log(40) * 5 / 4)
    assert stability.planned(1e-9, 3.0, 5.0, 4) < INF


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_data_sets_from_which_a_limit_is_one_and_a_half_means(scale: float) -> None:
    """Mean 2, sd 1, largest 3; of a signed quantity twice as many as there are."""
    values = scale * np.array([1.0, 2.0, 3.0])
    needed = next(n for n in count(2) if 2 * math.exp(2.8 / n**0.5 / 2) + math.log(40) * 3 / n <= 3)
    assert needed > 6
    assert stability.data_sets(values) == needed
    assert stability.data_sets(values - 1.5 * scale) == 6
    assert stability.data_sets(np.array([scale])) == next(
        n for n in count(2) if math.exp(2.8 / n**0.5) + math.log(40) / n <= 1.5
    )
    assert stability.data_sets(np.full(40, scale)) == 80  # the formula is content with what was not


def test_the_smallest_number_that_settles() -> None:
    assert stability.smallest_number(lambda n: n >= 777, 5) == 777
    assert stability.smallest_number(lambda n: True, 5) == 5
    assert stability.smallest_number(lambda n: n >= 10**9, 5) == 10**9
    assert stability.smallest_number(lambda n: n > 10**9, 5) is None


def test_the_reason_names_the_side_and_what_would_be_needed() -> None:
    values = np.array([1.0, 2.0, 3.0])
    assert stability.reason(values, True, True) is None
    text = stability.reason(values, True, False)
    assert text is not None
    assert text.startswith(
        "no stable upper limit at this sample size: mean 2, largest of 3 data sets 3; about "
    )
    assert "no stable lower limit" in str(stability.reason(values, False, True))
    assert "no stable lower and no stable upper limit" in str(
        stability.reason(values, False, False)
    )
    heavy = 1 / np.arange(1.0, 400.0) ** 3
    assert stability.data_sets(heavy) is None
    assert str(stability.reason(heavy, True, False)).endswith(
        "no number of data sets is known to give one"
    )

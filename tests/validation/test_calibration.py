"""The measured error rates of the decision procedure, in the reduced form that fits a test run.

All intervals at n = 50 / 200 / 1000: test_intervals.py and `veribayes calibrate-tests`;
docs/calibration.md has the table.
"""

from __future__ import annotations

import numpy as np
import pytest

from veribayes.validation import calibration, decision
from veribayes.validation.calibration import (
    Law,
    disasters,
    gamma,
    left_tailed,
    lognormal,
    pool,
    rare,
    signed,
)

NULLS = 500  # standard error of a coverage of .95: .010


@pytest.mark.parametrize(
    "law",
    [
        *(lognormal(sd) for sd in (0.5, 1.0, 1.5)),
        *(gamma(shape) for shape in (0.5, 1.0, 2.0)),
        signed(0.0),
        signed(0.2),
    ],
    ids=lambda law: law.name,
)
def test_coverage_at_200(law: Law) -> None:
    found = calibration.experiments(law, 200, nulls=NULLS).coverage
    assert found.covered == pytest.approx(
        0.95, abs=0.03
    )  # three standard errors; measured: .942 to .964
    assert found.covered + found.below + found.above == pytest.approx(1)


@pytest.mark.parametrize(
    "law", [lognormal(0.5), lognormal(1.0), gamma(0.5), gamma(1.0)], ids=lambda law: law.name
)
def test_errors_and_power_at_1000(law: Law) -> None:
    found = calibration.experiments(law, 1000, nulls=NULLS, ratios=(1.0, 0.5, 2.0))
    at, half, double = found.rates(1.0), found.rates(0.5), found.rates(2.0)
    assert (
        at.equivalent <= 0.01
    )  # measured: 0, since an unseen context may cost what the prior does
    assert at.different <= 0.05  # nominal .025, standard error .007; measured .023 to .028
    assert half.equivalent >= 0.99  # measured: 1
    assert double.different >= 0.99  # measured: 1
    assert at.equivalent + at.different + at.undecided == pytest.approx(1)


def test_a_secondary_endpoint_at_200() -> None:
    found = calibration.experiments(lognormal(1.0), 200, nulls=NULLS, prior=0.0)
    assert found.rates(1.0, fewest=decision.FEWEST_SECONDARY).equivalent <= 0.025  # measured: .008
    assert found.rates(0.5, fewest=decision.FEWEST_SECONDARY).equivalent >= 0.93  # measured: .960


@pytest.mark.parametrize("elsewhere", [0.0, 1e-18, 1e-6])
def test_exact_but_in_a_few_contexts(elsewhere: float) -> None:
    """Three of a thousand contexts go wrong;
    e^-3 = 5.0 % of the samples hold none, and nothing tells those from exact ones.
    """
    found = calibration.experiments(rare(0.003, elsewhere), 1000, nulls=1000)
    assert (
        found.rates(1.0).equivalent <= 0.0498 + 0.005 + 0.014
    )  # .5 points more, and two standard errors
    assert found.rates(1.0).different <= 0.05
    assert found.coverage.covered >= 0.90  # measured over 2,000: .927


def test_the_prior_in_one_context_of_a_hundred_is_seen_by_400_data_sets() -> None:
    prior = np.random.default_rng(3).gamma(1.5, 1.0, 4000)

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return np.where(
            rng.random(shape) < 0.01, 100 * rng.choice(prior, shape) / prior.mean(), 0.0
        )

    law = Law("one in a hundred", 1.0, draw)
    few, enough = (
        calibration.experiments(law, 200, nulls=500, prior=0.0),
        calibration.experiments(law, 400, nulls=1000),
    )
    assert (
        few.rates(1.0, fewest=200).equivalent >= 0.08
    )  # why 200 data sets are not enough; e^-2 = .135 hold none
    assert enough.rates(1.0).equivalent <= 0.025 + 0.01  # measured over 2,000: .017


@pytest.mark.parametrize("sd", [1.0, 1.5])
def test_a_tail_below_makes_few_false_differences(sd: float) -> None:
    found = calibration.experiments(left_tailed(sd), 200, nulls=1000)
    assert found.rates(1.0).different <= 0.04  # nominal .025; without the allowance .045 and .07


def test_floors_hold_whatever_the_data_say() -> None:
    small, tiny = (
        calibration.experiments(lognormal(0.3), n, nulls=50, ratios=(0.1, 10.0)) for n in (399, 20)
    )
    assert small.rates(0.1).equivalent == 0
    assert small.rates(10.0).different == 1
    assert tiny.rates(10.0).undecided == 1


def test_a_heavy_tail_is_seen_in_a_thousand_data_sets() -> None:
    found = calibration.experiments(lognormal(2.0), 1000, nulls=NULLS)
    assert (
        found.coverage.covered > 0.92
    )  # measured over 4,000: .950, and .933 without the tail's shape
    assert found.rates(1.0).equivalent < 0.01  # .001
    assert found.rates(0.5).equivalent > 0.45  # .57, as without a bound for what was not seen


def test_unseen_disasters_are_rarely_called_equivalent() -> None:
    """1 % of contexts 50 times as bad: at n = 200 13 % of the samples hold none of them,
    or too few.
    """
    found = calibration.experiments(disasters(), 200, nulls=NULLS)
    assert found.rates(1.0).equivalent == 0  # 200 data sets are too few to say so
    assert calibration.experiments(disasters(), 400, nulls=NULLS).rates(1.0).equivalent <= 0.025
    assert (
        found.coverage.below > 5 * found.coverage.above
    )  # the interval errs by not knowing the tail


def test_a_pool_is_its_own_truth() -> None:
    values = np.random.default_rng(0).gamma(0.7, 1.0, 5000)
    assert calibration.experiments(
        pool(values), 200, nulls=NULLS
    ).coverage.covered == pytest.approx(0.95, abs=0.03)


def test_later_runs_are_those_of_a_longer_measurement() -> None:
    whole = calibration.experiments(gamma(1.0), 50, nulls=600)
    part = calibration.experiments(gamma(1.0), 50, nulls=100, first=500)
    np.testing.assert_array_equal(whole.low[500:], part.low)

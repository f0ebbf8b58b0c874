"""The measured error rates of the decision procedure, in the reduced form that fits a test run.

The full table (2,000 experiments, n = 50 / 200 / 1000) is printed by `calibration.table`. Coverage of the interval there:
log-normal sd .5: .950 / .934 / .944, sd 1: .933 / .933 / .946, sd 1.5: .903 / .916 / .930, sd 2: .840 / .881 / .910;
gamma .5: .946 / .953 / .945, gamma 1: .948 / .950 / .945, gamma 2: .950 / .953 / .961; 1 % disasters of 50 x:
.395 / .850 / .969. False `equivalent` at the tolerance (nominal .025) is at most .018 at n = 200 and .009 at 1000, except
for sd 2 (.037, .030) and disasters (.129, .002).
"""

from __future__ import annotations

import numpy as np
import pytest

from veribayes.validation import calibration
from veribayes.validation.calibration import Law, disasters, gamma, lognormal, pool, signed

NULLS = 500  # standard error of a coverage of .95: .010


@pytest.mark.parametrize(
    ("law", "wanted"),
    [
        (lognormal(0.5), 0.934), (lognormal(1.0), 0.933), (lognormal(1.5), 0.916),
        (gamma(0.5), 0.953), (gamma(1.0), 0.950), (gamma(2.0), 0.953), (signed(0.0), 0.953), (signed(0.2), 0.946),
    ],
    ids=lambda x: getattr(x, "name", str(x)),
)  # fmt: skip
def test_coverage_at_200(law: Law, wanted: float) -> None:
    found = calibration.experiments(law, 200, nulls=NULLS).coverage
    assert found.covered == pytest.approx(wanted, abs=0.03)  # three standard errors around the 2,000 of the table
    assert found.covered + found.below + found.above == pytest.approx(1)


@pytest.mark.parametrize("law", [lognormal(0.5), lognormal(1.0), gamma(0.5), gamma(1.0)], ids=lambda law: law.name)
def test_errors_and_power_at_200(law: Law) -> None:
    found = calibration.experiments(law, 200, nulls=NULLS)
    at, half, double = found.rates(1.0), found.rates(0.5), found.rates(2.0)
    assert at.equivalent <= 0.025  # nominal; measured: .002 to .008, the rule of three makes it conservative
    assert at.different <= 0.05  # nominal .025, standard error .007; measured .023 to .028
    assert half.equivalent >= 0.95  # measured: .971 to 1
    assert double.different >= 0.99  # measured: 1
    assert at.equivalent + at.different + at.undecided == pytest.approx(1)


def test_floors_hold_whatever_the_data_say() -> None:
    small, tiny = (calibration.experiments(lognormal(0.3), n, nulls=50) for n in (100, 20))
    assert small.rates(0.1).equivalent == 0
    assert small.rates(10.0).different == 1
    assert tiny.rates(10.0).undecided == 1


def test_unseen_disasters_are_rarely_called_equivalent() -> None:
    """1 % of contexts 50 times as bad: at n = 200 13 % of the samples hold none of them, or too few."""
    found = calibration.experiments(disasters(), 200, nulls=NULLS)
    assert found.rates(1.0).equivalent < 0.18  # measured over 2,000: .129
    assert found.coverage.below > 5 * found.coverage.above  # the interval errs by not knowing the tail


def test_a_pool_is_its_own_truth() -> None:
    values = np.random.default_rng(0).gamma(0.7, 1.0, 5000)
    assert calibration.experiments(pool(values), 200, nulls=NULLS).coverage.covered == pytest.approx(0.95, abs=0.03)


def test_bands_hold_whole_curves() -> None:
    """Twenty correlated positions; at sd 1.5 and n = 200 pointwise t holds the whole curve in 16 %."""
    found = calibration.band_coverage(lognormal(1.5), 200, nulls=200)
    assert found >= 0.92  # nominal .95, standard error .015; measured over 400: .973 (sd 1.5), .958 (sd 1)


def test_table_has_a_line_for_each_law_and_size() -> None:
    lines = calibration.table((gamma(1.0), lognormal(1.0)), sizes=(50, 200), nulls=20).splitlines()
    assert len(lines) == 5
    assert lines[0].split()[:3] == ["law", "n", "coverage"]

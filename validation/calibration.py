"""How often the interval of a mean covers and the decisions err, measured on laws whose mean is known.

Null experiments are columns: all of one sample size share their resamples, as runs with one seed do, so 2,000 of them at
n = 1,000 take seconds. Every other interval, and the tables: intervals.py; divergences of shipped networks: benchmarks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from veribayes.predictive import Array
from veribayes.validation import bootstrap
from veribayes.validation.decision import upper_limit, verdicts

COLUMNS = 250  # experiments analysed at once: 1,999 x 750 sums are 12 MiB


@dataclass(frozen=True)
class Law:
    """A law of cluster values with a known mean; `draw(rng, shape)` gives independent ones."""

    name: str
    mean: float
    draw: Callable[[np.random.Generator, tuple[int, ...]], Array]


@dataclass(frozen=True)
class Coverage:
    """Share of intervals that hold the true mean, that lie below it, and that lie above it; and their mean width."""

    covered: float
    below: float
    above: float
    width: float


@dataclass(frozen=True)
class Rates:
    """Share of each verdict."""

    equivalent: float
    different: float
    undecided: float


def lognormal(sd: float) -> Law:
    """exp(sd Z - sd^2 / 2), mean 1."""
    return Law(f"log-normal sd {sd:g}", 1.0, lambda rng, shape: np.exp(sd * rng.standard_normal(shape) - sd * sd / 2))


def gamma(shape_parameter: float) -> Law:
    """Gamma with mean 1; 0.5 is the law of a squared normal error."""
    return Law(
        f"gamma {shape_parameter:g}", 1.0, lambda rng, shape: rng.gamma(shape_parameter, 1 / shape_parameter, shape)
    )


def pool(values: Array, name: str = "pool") -> Law:
    """Draws with replacement from measured cluster values; their mean is the truth."""
    return Law(name, float(values.mean()), lambda rng, shape: rng.choice(values, shape))


def disasters(rate: float = 0.01, size: float = 50.0, sd: float = 0.5) -> Law:
    """Log-normal values of which a few are `size` times as large: what a model does that fails on rare contexts."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return lognormal(sd).draw(rng, shape) * np.where(rng.random(shape) < rate, size, 1.0)

    return Law(f"{rate:.0%} disasters x {size:g}", 1 + rate * (size - 1), draw)


def signed(shift: float = 0.0, sd: float = 1.0) -> Law:
    """Skewed values around a mean that may be zero: a debiased divergence of a candidate that is nearly exact."""
    return Law(
        f"signed, mean {shift:g}",
        shift,
        lambda rng, shape: shift + sd * (rng.standard_gamma(2.0, shape) - 2.0) / math.sqrt(2.0),
    )


@dataclass(frozen=True)
class Experiments:
    """Limits that many runs with `clusters` data sets each would report, all (run,)."""

    law: Law
    clusters: int
    low: Array
    high: Array
    upper: Array

    @property
    def coverage(self) -> Coverage:
        """How often the 95 % interval holds the true mean."""
        below, above = float((self.high < self.law.mean).mean()), float((self.low > self.law.mean).mean())
        return Coverage(1 - below - above, below, above, float((self.high - self.low).mean()))

    def rates(self, ratio: float, reference_error: float = 0.0) -> Rates:
        """How often each verdict is given when the tolerance is the true mean divided by `ratio`.

        ratio 1: every `equivalent` or `different` is false. ratio 0.5: `equivalent` is power. ratio 2: `different` is.
        """
        verdict = verdicts(self.low, self.upper, self.clusters, self.law.mean / ratio, reference_error)
        return Rates(*(float((verdict == name).mean()) for name in ("equivalent", "different", "undecided")))


def experiments(law: Law, clusters: int, *, nulls: int = 2000, seed: int = 0, first: int = 0) -> Experiments:
    """The interval on `nulls` samples from number `first`, a multiple of 250; block i is a function of (seed, clusters, i)."""
    found = []
    for start in range(first, first + nulls, COLUMNS):
        rng = np.random.default_rng([seed, clusters, start // COLUMNS])
        values = law.draw(rng, (clusters, min(COLUMNS, first + nulls - start)))
        low, high = bootstrap.limits(values, seed=seed)
        found.append((low, high, upper_limit(high, values.max(0), clusters)))
    return Experiments(law, clusters, *(np.concatenate(x) for x in zip(*found, strict=True)))


LAWS = (
    *(lognormal(sd) for sd in (0.5, 1.0, 1.5, 2.0)),
    *(gamma(shape) for shape in (0.5, 1.0, 2.0)),
    disasters(),
)

"""How often the interval of a mean covers and the decisions err,
measured on laws whose mean is known.

Null experiments are columns: all of one sample size share their resamples, as runs with one seed
do, so 2,000 of them at n = 1,000 take seconds. Every other interval, and the tables: intervals.py;
divergences of shipped networks: benchmarks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from veribayes.predictive import Array
from veribayes.validation import bootstrap
from veribayes.validation.decision import FEWEST_EQUIVALENT, PRIOR, Bounds, allowed, verdicts

COLUMNS = 250  # experiments analysed at once: 1,999 x 750 sums are 12 MiB


@dataclass(frozen=True)
class Law:
    """A law of cluster values with a known mean; `draw(rng, shape)` gives independent ones."""

    name: str
    mean: float
    draw: Callable[[np.random.Generator, tuple[int, ...]], Array]


def rare(rate: float, elsewhere: float = 0.0, sd: float = 0.5) -> Law:
    """Exact, or off by `elsewhere` of the mean, but in this share of contexts: what a cache or a
    special case does.
    """
    hit = (1 - elsewhere * (1 - rate)) / rate

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        rare = rng.random(shape) < rate

        values = hit * lognormal(sd).draw(rng, shape)
        return np.where(rare, values, elsewhere)

    return Law(f"{elsewhere:g} but in {rate:.2%}", 1.0, draw)


def left_tailed(sd: float = 1.0) -> Law:
    """2 - log-normal, mean 1: a debiased divergence whose noise has its long tail below."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return 2 - lognormal(sd).draw(rng, shape)

    return Law(f"2 - log-normal sd {sd:g}", 1.0, draw)


@dataclass(frozen=True)
class Coverage:
    """Share of intervals that hold the true mean, that lie below it, and that lie above it; and
    their mean width.
    """

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

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return np.exp(sd * rng.standard_normal(shape) - sd * sd / 2)

    return Law(f"log-normal sd {sd:g}", 1.0, draw)


def gamma(shape_parameter: float) -> Law:
    """Gamma with mean 1; 0.5 is the law of a squared normal error."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return rng.gamma(shape_parameter, 1 / shape_parameter, shape)

    return Law(f"gamma {shape_parameter:g}", 1.0, draw)


def pool(values: Array, name: str = "pool") -> Law:
    """Draws with replacement from measured cluster values; their mean is the truth."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return np.asarray(rng.choice(values, shape))

    return Law(name, float(values.mean()), draw)


def disasters(rate: float = 0.01, size: float = 50.0, sd: float = 0.5) -> Law:
    """Log-normal values of which a few are `size` times as large: what a model does that fails on
    rare contexts.
    """

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        usual = lognormal(sd).draw(rng, shape)
        factor = np.where(rng.random(shape) < rate, size, 1.0)
        return usual * factor

    return Law(f"{rate:.0%} disasters x {size:g}", 1 + rate * (size - 1), draw)


def signed(shift: float = 0.0, sd: float = 1.0) -> Law:
    """Skewed values around a mean that may be zero: a debiased divergence of a candidate that is
    nearly exact.
    """

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        centred = rng.standard_gamma(2.0, shape) - 2.0
        return shift + sd * centred / math.sqrt(2.0)

    return Law(f"signed, mean {shift:g}", shift, draw)


@dataclass(frozen=True)
class Experiments:
    """Limits that many runs with `clusters` data sets each would report, all (run,).

    Attributes:
        bounds: by the ratio of the true mean to the tolerance, which sets what an unseen context
            may cost.
    """

    law: Law
    clusters: int
    bounds: Mapping[float, Bounds]

    @property
    def low(self) -> Array:
        return self._any.low

    @property
    def high(self) -> Array:
        return self._any.high

    @property
    def _any(self) -> Bounds:
        return next(iter(self.bounds.values()))

    @property
    def coverage(self) -> Coverage:
        """How often the 95 % interval holds the true mean; its lower limit with the allowance for a
        tail below.
        """
        low = self._any.lower
        high = self._any.high
        below = float((high < self.law.mean).mean())
        above = float((low > self.law.mean).mean())
        width = float((high - low).mean())
        return Coverage(1 - below - above, below, above, width)

    def rates(
        self, ratio: float, reference_error: float = 0.0, fewest: int = FEWEST_EQUIVALENT
    ) -> Rates:
        """How often each verdict is given when the tolerance is the true mean divided by `ratio`,
        one that was asked for.

        ratio 1: every `equivalent` or `different` is false. ratio 0.5: `equivalent` is power. ratio
            2: `different` is.
        """
        tolerance = self.law.mean / ratio
        verdict = verdicts(self.bounds[ratio], self.clusters, tolerance, reference_error, fewest)
        names = ("equivalent", "different", "undecided")
        return Rates(*(float((verdict == name).mean()) for name in names))


def experiments(
    law: Law,
    clusters: int,
    *,
    nulls: int = 2000,
    seed: int = 0,
    first: int = 0,
    ratios: Sequence[float] = (1.0, 0.5),
    prior: float = PRIOR,
) -> Experiments:
    """The interval on `nulls` samples from number `first`, a multiple of 250; block i is a function
    of (seed, clusters, i).

    Args:
        ratios: of the true mean to the tolerances that are tried.
        prior: what an unseen context may cost, in tolerances; 0 where nothing bounds it, as for a
            secondary endpoint.
    """
    blocks: list[list[Bounds]] = []
    for start in range(first, first + nulls, COLUMNS):
        rng = np.random.default_rng([seed, clusters, start // COLUMNS])
        runs = min(COLUMNS, first + nulls - start)
        values = law.draw(rng, (clusters, runs))
        low, high = bootstrap.limits(values, seed=seed)
        worst = [prior * law.mean / ratio for ratio in ratios]
        blocks.append([allowed(values, low, high, each, seed) for each in worst])
    bounds = {}
    for number, ratio in enumerate(ratios):
        bounds[ratio] = _joined([block[number] for block in blocks])
    return Experiments(law, clusters, bounds)


def _joined(parts: Sequence[Bounds]) -> Bounds:
    return Bounds(
        low=np.concatenate([part.low for part in parts]),
        high=np.concatenate([part.high for part in parts]),
        lower=np.concatenate([part.lower for part in parts]),
        upper=np.concatenate([part.upper for part in parts]),
    )


LAWS = (
    *(lognormal(sd) for sd in (0.5, 1.0, 1.5, 2.0)),
    *(gamma(shape) for shape in (0.5, 1.0, 2.0)),
    disasters(),
)

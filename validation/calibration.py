"""How often the intervals cover and the decisions err, measured on laws whose mean is known.

Null experiments are columns: all of one sample size share their resamples, as runs with one seed do, so 2,000 of them at
n = 1,000 take seconds. `table` prints what `veribayes calibrate-tests` shows; divergences of shipped networks: benchmarks.
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


def experiments(law: Law, clusters: int, *, nulls: int = 2000, seed: int = 0) -> Experiments:
    """Run the interval on `nulls` samples; sample block i is a function of (seed, clusters, i)."""
    found = []
    for block, start in enumerate(range(0, nulls, COLUMNS)):
        rng = np.random.default_rng([seed, clusters, block])
        values = law.draw(rng, (clusters, min(COLUMNS, nulls - start)))
        low, high = bootstrap.limits(values, seed=seed)
        found.append((low, high, upper_limit(high, values.max(0), clusters)))
    return Experiments(law, clusters, *(np.concatenate(x) for x in zip(*found, strict=True)))


def sequences(
    sizes: tuple[int, ...] = (50, 200), *, length: int = 16, rho: float = 0.9, nulls: int = 2000, seed: int = 0
) -> list[dict[str, object]]:
    """How often intervals of a mean score hold it when the positions of a sequence resemble each other.

    Scores are exp(z), z normal with autocorrelation `rho` from one position to the next. `by_sequence`: whole sequences are the
    data sets; `by_position`: every position is counted as one, as many do.
    """
    return [_sequence_row(n, length, rho, nulls, seed) for n in sizes]


def _sequence_row(clusters: int, length: int, rho: float, nulls: int, seed: int) -> dict[str, object]:
    rng, truth, held = np.random.default_rng([seed, clusters, length]), math.exp(0.5), []
    for start in range(0, nulls, columns := COLUMNS // 2):
        z = rng.standard_normal((length, clusters, min(columns, nulls - start)))
        for i in range(1, length):
            z[i] = rho * z[i - 1] + math.sqrt(1 - rho**2) * z[i]
        scores = np.exp(z)
        limits = [bootstrap.limits(x, seed=seed) for x in (scores.mean(0), scores.reshape(-1, z.shape[-1]))]
        held.append([(low <= truth) & (truth <= high) for low, high in limits])
    whole, single = (float(np.concatenate(parts).mean()) for parts in zip(*held, strict=True))
    return {"rho": rho, "length": length, "n": clusters, "by_sequence": whole, "by_position": single, "nulls": nulls}


def band_coverage(
    law: Law, clusters: int, *, positions: int = 20, common: float = 0.5, nulls: int = 400, seed: int = 0
) -> float:
    """Share of simultaneous bands that hold the whole true curve, which falls as 1 / position.

    A share `common` of each value is the data set's own and the same at all its positions: they are correlated.
    """
    rng, shape = np.random.default_rng([seed, clusters, positions]), (clusters, COLUMNS // positions + 1)
    decay = 1 / np.arange(1, positions + 1)
    held = np.empty(0, dtype=bool)
    while held.size < nulls:
        mixed = common * law.draw(rng, (*shape, 1)) + (1 - common) * law.draw(rng, (*shape, positions))
        _, low, high = bootstrap.band(decay * mixed, seed=seed)
        held = np.append(held, ((low <= decay * law.mean) & (decay * law.mean <= high)).all(-1))
    return float(held.mean())


def measured(
    laws: tuple[Law, ...] | None = None, sizes: tuple[int, ...] = (50, 200, 1000), *, nulls: int = 2000, seed: int = 0
) -> list[dict[str, object]]:
    """Coverage, false verdicts and power at half the tolerance, one row a law and number of data sets."""
    return [_row(law, n, nulls, seed) for law in laws or LAWS for n in sizes]


def _row(law: Law, clusters: int, nulls: int, seed: int) -> dict[str, object]:
    found = experiments(law, clusters, nulls=nulls, seed=seed)
    at, half = found.rates(1.0), found.rates(0.5)
    return {
        "law": law.name,
        "n": clusters,
        "coverage": found.coverage.covered,
        "below": found.coverage.below,
        "above": found.coverage.above,
        "false_equivalent": at.equivalent,
        "false_different": at.different,
        "power_at_half": half.equivalent,
        "nulls": nulls,
    }


def table(rows: list[dict[str, object]]) -> str:
    """The rows of `measured` in Markdown."""
    lines = [
        "| divergences of data sets | n | 95 % interval covers | false equivalent | false different | equivalent at half |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        rates = (r[key] for key in ("coverage", "false_equivalent", "false_different", "power_at_half"))
        lines.append(f"| {r['law']} | {r['n']} | {' | '.join(f'{rate:.3f}' for rate in rates)} |")
    return "\n".join(lines)


def sequence_table(rows: list[dict[str, object]]) -> str:
    """The rows of `sequences` in Markdown."""
    heads = "| autocorrelation | positions | sequences | clustered by sequence, covers | every position as a data set | runs |"
    lines = [heads, "| --- " * 6 + "|"]
    lines += [
        f"| {r['rho']} | {r['length']} | {r['n']} | {r['by_sequence']:.3f} | {r['by_position']:.3f} | {r['nulls']} |"
        for r in rows
    ]
    return "\n".join(lines)


LAWS = (
    *(lognormal(sd) for sd in (0.5, 1.0, 1.5, 2.0)),
    *(gamma(shape) for shape in (0.5, 1.0, 2.0)),
    disasters(),
)

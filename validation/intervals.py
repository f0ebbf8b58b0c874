"""Coverage of every interval that a run states, on data whose truth is known:
what `veribayes calibrate-tests` prints.

    INTERVALS   what is measured: the interval of a mean, of a difference, of a recovery, of a score
                by sequence; simultaneous bands; shares of covered outcomes; the nulls of
                reliability; a distance that a classifier proves
    jobs, run   10,000 intervals of each kind at three numbers of data sets, in blocks (_shards.py)
    tables      Markdown

An interval misses below its truth, or above it; a band misses where any of its points does; a
one-sided limit on one side.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from scipy import stats

from veribayes.predictive import Array
from veribayes.statistics import pareto
from veribayes.validation import (
    _shards,
    bootstrap,
    calibration,
    decision,
    resampling,
    summaries,
)
from veribayes.validation.calibration import COLUMNS, LAWS, Law, gamma, lognormal, signed
from veribayes.validation.checks import _classifier, c2st
from veribayes.validation.checks._null import generator

SIZES = (50, 200, 1000)
POSITIONS = 7  # points of a curve, as the designs of the shipped tasks have
QUERIES = 4
STEP = COLUMNS // 2  # runs whose bands are made at once
LENGTH, RHO = 16, 0.9  # positions of a sequence, and the correlation from one to the next
Limits = tuple[Array, Array]  # of some runs; a band's have its points on the last axis
Rng = np.random.Generator


def _mean(law: str, n: int, first: int, runs: int, seed: int) -> _shards.Counts:
    """Intervals and verdicts of a mean divergence that is 1, where that or twice that is the
    tolerance.
    """
    found = calibration.experiments(_law(law), n, nulls=runs, seed=seed, first=first)
    at = found.rates(1.0)
    half = found.rates(0.5)
    return {
        **counts((found.low, found.high), found.law.mean),
        "false_equivalent": round(at.equivalent * runs),
        "false_different": round(at.different * runs),
        "power_at_half": round(half.equivalent * runs),
    }


def _law(name: str) -> Law:
    return next(law for law in (*LAWS, *SIGNED) if law.name == name)


def _difference(law: str, n: int, first: int, runs: int, seed: int) -> _shards.Counts:
    """Intervals of a mean that may be zero or negative: debiased divergences, differences of two
    candidates.
    """
    found = calibration.experiments(_law(law), n, nulls=runs, seed=seed, first=first)
    return counts((found.low, found.high), found.law.mean)


def _recovery(law: str, n: int, first: int, runs: int, seed: int) -> _shards.Counts:
    """Intervals of a recovery of .99, divergences having half of their variation from the same
    contexts as the baseline.
    """

    low, high = np.empty((2, runs))
    for i in range(runs):
        rng = generator(seed, f"recovery/{law}", n, first + i)
        baseline = gamma(2.0).draw(rng, (n,))
        divergence = 0.005 * (baseline + _law(law).draw(rng, (n,)))
        found = bootstrap.recovery(divergence, baseline, seed=seed)
        assert found is not None
        low[i], high[i] = found.low, found.high
    return counts((low, high), 0.99)


def _band(law: str, n: int, first: int, runs: int, seed: int) -> _shards.Counts:
    """Bands of a curve that falls as 1 / position; half of each value is the data set's own, the
    same at all positions.
    """
    truth = 1 / np.arange(1, POSITIONS + 1)
    held = []
    for start in range(first, first + runs, STEP):
        rng = generator(seed, f"band/{law}", n, start)
        shape = (n, min(STEP, first + runs - start))
        own = _law(law).draw(rng, (*shape, 1))
        at_positions = _law(law).draw(rng, (*shape, POSITIONS))
        values = truth * (own + at_positions) / 2
        _, low, high = bootstrap.band(values, seed=seed)
        held.append((low, high))
    return counts(_joined(held), truth)


def _sequences(law: str, n: int, first: int, runs: int, seed: int) -> _shards.Counts:
    """Intervals of a mean score exp(z), z autocorrelated: sequences as data sets, and every
    position as one, as many do.
    """
    del law
    by_sequence, by_position = [], []
    for start in range(first, first + runs, STEP):
        size = min(STEP, first + runs - start)
        rng = generator(seed, "sequences", n, start)
        z = rng.standard_normal((LENGTH, n, size))
        for i in range(1, LENGTH):
            innovation = math.sqrt(1 - RHO**2) * z[i]
            z[i] = RHO * z[i - 1] + innovation
        scores = np.exp(z)
        flat = scores.reshape(-1, size)
        by_sequence.append(bootstrap.limits(scores.mean(0), seed=seed))
        by_position.append(bootstrap.limits(flat, seed=seed))
    truth = math.exp(0.5)
    positions = counts(_joined(by_position), truth)
    return {**counts(_joined(by_sequence), truth), "by_position": positions["covered"]}


def _coverage(law: str, n: int, first: int, runs: int, seed: int) -> _shards.Counts:
    """Intervals of the share of outcomes inside central regions of 50 or 90 %, and p-values of that
    share.
    """
    level = float(law.split("%")[0]) / 100
    low, high, rejected = [], [], 0
    for i in range(first, first + runs):
        place = _together(generator(seed, f"coverage/{law}", n, i), n)
        covered = summaries.coverage({"pit": place}, seed=seed)
        (region,) = (each for each in covered if each.level == level)
        low.append(region.limits.low)
        high.append(region.limits.high)
        rejected += region.p_value <= 0.05
    return {**counts((np.array(low), np.array(high)), level), "rejected": rejected}


def _together(rng: Rng, n: int) -> Array:
    """Uniform numbers (dataset, 1, query) that a data set's queries share to some extent."""
    own = rng.standard_normal((n, 1, QUERIES))
    common = rng.standard_normal((n, 1, 1))
    return np.asarray(stats.norm.cdf((own + common) / math.sqrt(2)))


def _reliability(law: str, n: int, first: int, runs: int, seed: int) -> _shards.Counts:
    """Bands that ten groups of a calibrated candidate's hits stay in, and p-values of its smooth
    calibration error.
    """
    low, high, rejected = [], [], 0
    for i in range(first, first + runs):
        rng = generator(seed, f"reliability/{law}", n, i)
        confidence = rng.dirichlet(np.ones(4), (n, 1, QUERIES)).max(-1)
        shared = law == "queries that share an outcome"
        luck = _together(rng, n) if shared else rng.random(confidence.shape)
        hit = np.where(luck < confidence, 1.0, 0.0)
        found = summaries.reliability(confidence, hit, seed=seed)
        low.append(found.low - found.hit)
        high.append(found.high - found.hit)
        rejected += found.p_value <= 0.05
    return {**counts((np.array(low), np.array(high)), 0.0), "rejected": rejected}


def _proven(law: str, n: int, first: int, runs: int, seed: int) -> _shards.Counts:
    """Lower limits of a total variation distance that a classifier proves, four-dimensional normals
    apart in one coordinate.
    """
    distance = float(law.split()[-1])
    shift = 2 * stats.norm.ppf((1 + distance) / 2)
    apart = np.array([shift, 0, 0, 0])
    low = np.empty(runs)
    for i in range(runs):
        rng = generator(seed, f"proven/{law}", n, first + i)
        x, y = rng.standard_normal((2, n, 4))
        outcome = c2st.PART.run(x, y + apart, thin=False, permutations=1, seed=first + i)
        low[i] = outcome.measured["total_variation_low"]
    return counts((low, np.full(runs, np.inf)), distance)


def counts(limits: Limits, truth: float | Array) -> _shards.Counts:
    """Runs whose limits hold the truth; whose lower limit lies above it somewhere; whose upper
    limit lies below it.
    """
    low, high = (limit.reshape(len(limit), -1) for limit in limits)
    above = (low > truth).any(-1)
    below = (high < truth).any(-1)
    return {
        "covered": int((~above & ~below).sum()),
        "above": int(above.sum()),
        "below": int(below.sum()),
    }


def _joined(parts: Sequence[Limits]) -> Limits:
    low, high = (np.concatenate(limits) for limits in zip(*parts, strict=True))
    return low, high


@dataclass(frozen=True)
class Interval:
    """A kind of interval.

    Attributes:
        counts: (law, n, first run, runs, seed) -> how many runs do what.
        laws: names of what it is measured on.
        sources: modules that it is made by.
    """

    title: str
    counts: Callable[[str, int, int, int, int], _shards.Counts]
    laws: tuple[str, ...]
    sources: tuple[ModuleType, ...] = (bootstrap, resampling, pareto, calibration)


SIGNED = signed(0.0), signed(0.2)
SKEWED = lognormal(1.0).name, gamma(0.5).name
OF_MEANS = (bootstrap, resampling, pareto)
INTERVALS: Mapping[str, Interval] = {
    "mean": Interval(
        "mean divergence",
        _mean,
        tuple(law.name for law in LAWS),
        (*OF_MEANS, calibration, decision),
    ),
    "difference": Interval("difference", _difference, tuple(law.name for law in SIGNED)),
    "recovery": Interval("recovery", _recovery, SKEWED),
    "band": Interval("simultaneous band", _band, SKEWED),
    "sequences": Interval("mean score by sequence", _sequences, (f"autocorrelation {RHO:g}",)),
    "coverage": Interval(
        "coverage", _coverage, ("50% regions", "90% regions"), (*OF_MEANS, decision, summaries)
    ),
    "reliability": Interval(
        "reliability band",
        _reliability,
        ("queries of their own", "queries that share an outcome"),
        (summaries,),
    ),
    "proven": Interval(
        "distance from c2st",
        _proven,
        ("total variation 0.2", "total variation 0.5"),
        (c2st, _classifier),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Job(_shards.Job):
    """Many intervals of one kind, each from `n` data sets of one law."""

    interval: str
    law: str

    @property
    def name(self) -> str:
        return f"interval-{self.interval}-{_shards.slug(self.law)}"

    def source(self) -> str:
        return source_digest(self.interval)

    def measure(self) -> _shards.Counts:
        kind = INTERVALS[self.interval]
        return kind.counts(self.law, self.n, self.first, self.replicates, self.seed)


def source_digest(interval: str) -> str:
    """Digest of the sources that an interval's counts depend on."""
    kind = INTERVALS[interval]
    parts: list[Any] = [kind.counts, counts, _together, *kind.sources]
    constants = repr((POSITIONS, QUERIES, LENGTH, RHO))
    texts = [*(inspect.getsource(part) for part in parts), constants]
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Measured:
    """A job and its counts."""

    job: Job
    counts: _shards.Counts

    def share(self, event: str) -> float:
        """Of the runs."""
        return self.counts[event] / self.job.replicates

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        runs = self.job.replicates
        limits = stats.binomtest(self.counts["covered"], runs).proportion_ci(0.95)
        return {
            **asdict(self.job),
            "title": INTERVALS[self.job.interval].title,
            **{event: self.share(event) for event in self.counts},
            "covered_low": float(limits.low),
            "covered_high": float(limits.high),
        }


def jobs(runs: int, seed: int, names: Sequence[str] | None = None) -> list[Job]:
    """Every interval on all its laws at three numbers of data sets."""
    todo = []
    for name in names or INTERVALS:
        for law in INTERVALS[name].laws:
            todo += [Job(n, runs, seed, interval=name, law=law) for n in SIZES]
    return todo


def run(
    todo: Sequence[Job], out: Path, progress: Callable[[int], None], *, workers: int | None = None
) -> list[Measured]:
    """Measure all jobs, in their order."""
    found = _shards.run(todo, out, progress, workers=workers)
    return [Measured(job, counts) for job, counts in zip(todo, found, strict=True)]


# of every table its first head, and by the head of a column the event that is counted
TABLES: Mapping[str, Mapping[str, str]] = {
    "interval": {"covers": "covered", "truth below it": "above", "truth above it": "below"},
    "verdict": {
        "false equivalent": "false_equivalent",
        "false different": "false_different",
        "equivalent at half": "power_at_half",
    },
    "p-value": {"true nulls rejected at .05": "rejected"},
    "what is taken for a data set": {
        "a sequence: covers": "covered",
        "each of its positions: covers": "by_position",
    },
}


def tables(found: Sequence[Measured]) -> str:
    """All intervals in Markdown; what only some of them count, each in a table of its own."""
    parts = []
    for head, events in TABLES.items():
        rows = [m for m in found if m.counts.keys() >= set(events.values())]
        parts.append(_table(rows, head, events))
    return "\n\n".join(part for part in parts if part)


def _table(found: Sequence[Measured], head: str, events: Mapping[str, str]) -> str:
    if not found:
        return ""
    heads = [head, "data", "n", *events, "runs"]
    lines = [_line(heads), "| --- " * len(heads) + "|"]
    for measured in found:
        job = measured.job
        shares = [f"{measured.share(event):.4f}" for event in events.values()]
        title = INTERVALS[job.interval].title
        lines.append(_line([title, job.law, f"{job.n}", *shares, f"{job.replicates}"]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"

"""Verdicts: equivalent, different or undecided against a tolerance; and where the candidate goes wrong.

No point null decides here: any trained network differs from Bayes at large n. The data set is the only unit of
replication. The procedure, its limits (95 %, two-sided) and its numbers are those of the decision record; what it covers
and how often it errs is measured by `calibration.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ShapeError
from veribayes.predictive import Array
from veribayes.tree import IntArray
from veribayes.validation import bootstrap

Verdict = Literal["equivalent", "different", "undecided"]
FEWEST_EQUIVALENT, FEWEST_DIFFERENT = 200, 30  # data sets from which the interval's coverage was good enough to say so
RULE_OF_THREE = 3.0  # 95 % upper limit of a rate that was never seen in n: 3 / n
DETECTABLE = 2.8  # 1.96 + 0.84 standard errors: seen with probability 80 %
LARGEST_ERROR = 1 / 3  # of the tolerance: a reference that may be wrong by more decides nothing
MOST = 10**9  # data sets; more than that settle nothing in practice


@dataclass(frozen=True)
class Decision:
    """What the primary endpoint says.

    Attributes:
        verdict: equivalent, different or undecided.
        estimate, low, high: mean over data sets with its 95 % limits; None where it is infinite (limits also for one data set).
        upper: the limit with the rule of three for tails that were never seen; what equivalence is judged by.
        tolerance: largest mean that counts as equivalent, in the metric's unit.
        minimum_detectable: 2.8 standard errors.
        datasets_needed: how many would settle it with probability 80 % if mean and spread stay as they are; None if it is
            settled, or if no number would (a finding says so).
        clusters: data sets.
        infinite_share: share of data sets with an infinite divergence.
        findings: what a reader must know, each `code: sentence`.
        statements: what this verdict does not exclude.
    """

    verdict: Verdict
    estimate: float | None
    low: float | None
    high: float | None
    upper: float | None
    tolerance: float
    minimum_detectable: float | None
    datasets_needed: int | None
    clusters: int
    infinite_share: float = 0.0
    findings: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Profile:
    """Mean score by context size or by query, with simultaneous 95 % limits.

    Attributes:
        key: context sizes or query labels, (key,), increasing.
        estimate, low, high: (key,); limits are NaN behind fewer than ten data sets.
        share: part of the primary endpoint that comes from here, (key,); sums to 1. NaN when the endpoint is infinite or zero.
        clusters: data sets behind each, (key,).
    """

    key: IntArray
    estimate: Array
    low: Array
    high: Array
    share: Array
    clusters: IntArray


@dataclass(frozen=True)
class Worst:
    """A bad data set: its row, its mean score, and its worst position and query with the score there."""

    dataset: int
    mean: float
    position: int
    query: int
    score: float


@dataclass(frozen=True)
class Where:
    """Where the candidate is worst."""

    by_context: Profile
    by_query: Profile
    worst: tuple[Worst, ...]


def decide(
    cluster_values: Array,
    *,
    tolerance: float,
    reference_error: float = 0.0,
    seed: int = 0,
    zero_mass: float | None = None,
    unheld: float = 0.0,
) -> Decision:
    """Three-way decision on the mean divergence.

    Args:
        cluster_values: one mean divergence a data set, (dataset,), Monte Carlo correction included; may be infinite.
        tolerance: in the metric's unit.
        reference_error: bound on what the reference's error can still contribute to the mean.
        zero_mass: exact mass on outcomes that the candidate calls impossible, for the finding; None where it has no such.
        unheld: what the number type of the candidate may hide of the mean: it counts against `equivalent` alone.

    Raises:
        InputError: no data set, NaN (a score that is missing is never skipped), or a tolerance that is not positive.
    """
    values = _checked(cluster_values, tolerance, reference_error)
    if np.isposinf(values).any():
        return _infinite(values, tolerance, zero_mass)
    return _finite(values, tolerance, reference_error, seed, unheld)


def verdicts(
    low: Array, upper: Array, clusters: int, tolerance: float, reference_error: float, unheld: float = 0.0
) -> npt.NDArray[Any]:
    """The verdict for each pair of limits."""
    known = reference_error <= LARGEST_ERROR * tolerance
    equivalent = known & (clusters >= FEWEST_EQUIVALENT) & (upper + reference_error + unheld < tolerance)
    different = known & (clusters >= FEWEST_DIFFERENT) & (low - reference_error > tolerance)
    return np.select([equivalent, different], ["equivalent", "different"], "undecided")


def exceeds(cluster_values: Array, *, tolerance: float, reference_error: float = 0.0, seed: int = 0) -> float:
    """One-sided p-value of the null that the mean is at most the tolerance: the interval's lower limit, inverted.

    1 where no verdict could be `different`: fewer than thirty data sets, or a reference that may be wrong by too much.
    Arguments and errors as in `decide`.
    """
    values, limit = _checked(cluster_values, tolerance, reference_error), tolerance + reference_error
    if np.isposinf(values).any():
        return 1 / (bootstrap.REPLICATES + 1)
    if values.size < FEWEST_DIFFERENT or reference_error > LARGEST_ERROR * tolerance or values.mean() <= limit:
        return 1.0
    found = bootstrap.studentised(values[:, None], seed=seed)
    gap = np.log(found.mean / limit) if found.log.all() else found.mean - limit
    return float((1 + (found.t * found.error >= gap).sum()) / (bootstrap.REPLICATES + 1))


def upper_limit(high: Array, largest: Array, clusters: int) -> Array:
    """What equivalence is judged by: the rule of three for tails that were never seen; `high` holds a third of it."""
    return high + (RULE_OF_THREE - 1) * np.maximum(largest, 0.0) / clusters


def datasets_needed(values: Array, tolerance: float, reference_error: float = 0.0) -> int | None:
    """Data sets that settle it with probability 80 % if mean, spread and maximum stay; None if no number does.

    One data set has no spread; it is taken to be as large as the mean.
    """
    if reference_error > LARGEST_ERROR * tolerance:
        return None
    mean, top = float(values.mean()), max(float(values.max()), 0.0)
    spread = float(values.std(ddof=1)) if values.size > 1 else abs(mean)
    if mean > tolerance + reference_error:
        gap = math.log(mean / (tolerance + reference_error)) * mean
        return _whole(max(FEWEST_DIFFERENT, (DETECTABLE * spread / gap) ** 2))
    return _smallest(lambda n: _planned_upper(mean, spread, top, n) + reference_error < tolerance)


def cluster_means(scores: Array) -> Array:
    """One value a data set, (dataset, position, query) -> (dataset,).

    Queries that apply (are not NaN) are averaged equally, then positions. NaN for a data set in which no query applies.
    """
    weights = _weights(scores)
    means = _weighted(scores, weights).sum((1, 2))
    return np.where(weights.any((1, 2)), means, np.nan)


def curve(scores: Array, context: IntArray, *, seed: int = 0) -> Profile:
    """Mean score by context size with a simultaneous band; whole data sets are resampled.

    Args:
        scores: (dataset, position, query), NaN where a query does not apply.
        context: number of observations, (dataset, position); it may differ between data sets.
    """
    if scores.ndim != 3 or context.shape != scores.shape[:2]:
        raise ShapeError(
            "scores (dataset, position, query) and context (dataset, position)", f"{scores.shape} and {context.shape}"
        )
    return _profile(scores, np.broadcast_to(context[..., None], scores.shape), seed)


def where(scores: Array, context: IntArray, *, label: IntArray | None = None, worst: int = 8, seed: int = 0) -> Where:
    """Mean score by context and by query with simultaneous limits and shares, and the worst data sets.

    Args:
        scores, context: as in `curve`.
        label: what a query asks for, (query,), e.g. its target; queries with one label are taken together. Default: its number.
    """
    labels = np.arange(scores.shape[-1]) if label is None else label
    by_query = _profile(scores, np.broadcast_to(labels, scores.shape), seed)
    return Where(curve(scores, context, seed=seed), by_query, _worst(scores, worst))


def _checked(values: Array, tolerance: float, reference_error: float) -> Array:
    if values.ndim != 1 or not values.size:
        raise ShapeError("one value a data set, (dataset,)", f"{values.shape}")
    if np.isnan(values).any() or np.isneginf(values).any():
        raise InputError(
            "a divergence for every data set", f"NaN or -inf in {int((~(values > -np.inf)).sum())} of {values.size}"
        )
    if not (0 < tolerance < math.inf and 0 <= reference_error < math.inf):
        raise InputError(
            "a positive tolerance and a reference error that is not negative", f"{tolerance} and {reference_error}"
        )
    return values


def _finite(values: Array, tolerance: float, reference_error: float, seed: int, unheld: float) -> Decision:
    n, mean = values.size, float(values.mean())
    low, high = _limits(values, reference_error, seed)
    upper = float(upper_limit(np.array(high), values.max(), n))
    verdict: Verdict = verdicts(np.array(low), np.array(upper), n, tolerance, reference_error, unheld).item()
    needed = _more(values, tolerance, reference_error + unheld) if verdict == "undecided" else None
    hopeless = verdict == "undecided" and needed is None
    limits: tuple[float | None, float | None, float | None] = (low, high, upper) if n > 1 else (None, None, None)
    detectable = DETECTABLE * float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else None
    findings = (_too_close(mean, tolerance, reference_error),) if hopeless and not unheld else ()
    return Decision(
        verdict, mean, *limits, tolerance, detectable, needed, n, findings=findings, statements=(_unseen(n),)
    )


def _too_close(mean: float, tolerance: float, reference_error: float) -> str:
    if reference_error > LARGEST_ERROR * tolerance:
        return (
            f"reference_error: the reference may be wrong by {reference_error:.3g}, more than a third of the tolerance "
            f"{tolerance:.3g}; no number of data sets gives a verdict"
        )
    return (
        f"reference_error: the mean {mean:.3g} is too close to the tolerance {tolerance:.3g}, given the reference's own "
        f"error {reference_error:.3g}; more data sets cannot settle it"
    )


def _limits(values: Array, reference_error: float, seed: int) -> tuple[float, float]:
    if values.size < 2:
        return -math.inf, math.inf
    if np.abs(values).max() <= reference_error:  # nothing but rounding: there is no law to resample
        return float(values.min()), float(values.max())
    found = bootstrap.interval(values, seed=seed)
    return found.low, found.high


def _infinite(values: Array, tolerance: float, zero_mass: float | None) -> Decision:
    share = float(np.isposinf(values).mean())
    finding = f"infinite_divergence: the divergence is infinite in {share:.1%} of the data sets"
    if zero_mass:  # else draws of what is impossible, or numbers so far apart that float64 does not hold their divergence
        finding = (
            f"zero_probability: the candidate calls possible outcomes impossible in {share:.1%} of the data sets; the exact "
            f"mass concerned is {zero_mass:.3g}"
        )
    n = values.size
    return Decision("different", None, None, None, None, tolerance, None, None, n, share, (finding,), (_unseen(n),))


def _unseen(n: int) -> str:
    return f"defects in fewer than {min(1.0, RULE_OF_THREE / n):.2%} of contexts (3/n) are not excluded"


def _planned_upper(mean: float, spread: float, top: float, n: int) -> float:
    step = DETECTABLE * spread / math.sqrt(n)
    return (mean * math.exp(min(step / mean, 700.0)) if mean > 0 else mean + step) + RULE_OF_THREE * top / n


def _smallest(settles: Callable[[int], bool]) -> int | None:
    """Smallest number of data sets from the floor on that settles; `settles` is monotone."""
    if not settles(MOST):
        return None
    low, high = FEWEST_EQUIVALENT - 1, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    return high


def _more(values: Array, tolerance: float, reference_error: float) -> int | None:
    """What an undecided run still needs: twice what it has, where a normal approximation would have settled it already."""
    needed = datasets_needed(values, tolerance, reference_error)
    return needed if needed is None or needed > values.size else 2 * values.size


def _whole(n: float) -> int | None:
    return math.ceil(n) if n <= MOST else None


def _weights(scores: Array) -> Array:
    """Weight of each score in its data set's mean; zero where a query does not apply."""
    if scores.ndim != 3:
        raise ShapeError("scores (dataset, position, query)", f"{scores.shape}")
    applies = ~np.isnan(scores)
    queries = applies.sum(2, keepdims=True)
    positions = (queries > 0).sum(1, keepdims=True)
    return np.asarray(applies / np.maximum(queries, 1) / np.maximum(positions, 1))


def _weighted(scores: Array, weights: Array) -> Array:
    return np.multiply(scores, weights, out=np.zeros(scores.shape), where=weights > 0)


def _profile(scores: Array, group: npt.NDArray[np.int64], seed: int) -> Profile:
    weights = _weights(scores)
    weighted, key = _weighted(scores, weights), np.unique(group[weights > 0])
    values, total = np.full((len(scores), key.size), np.nan), weighted.sum()
    share = np.full(key.size, np.nan)
    for j, name in enumerate(key):
        chosen = (group == name) & (weights > 0)
        has = chosen.any((1, 2))
        here = np.where(chosen, weighted, 0.0).sum((1, 2))
        values[has, j] = here[has] / np.where(chosen, weights, 0.0).sum((1, 2))[has]
        share[j] = here.sum() / total if math.isfinite(total) and total != 0 else np.nan
    estimate, low, high = bootstrap.band(values, seed=seed)
    return Profile(key, estimate, low, high, share, (~np.isnan(values)).sum(0))


def _worst(scores: Array, count: int) -> tuple[Worst, ...]:
    means = cluster_means(scores)
    order = np.argsort(np.where(np.isnan(means), -np.inf, means), kind="stable")[::-1][:count]
    return tuple(_worst_of(int(i), float(means[i]), scores[i]) for i in order if not np.isnan(means[i]))


def _worst_of(dataset: int, mean: float, scores: Array) -> Worst:
    position, query = divmod(int(np.nanargmax(scores)), scores.shape[1])
    return Worst(dataset, mean, position, query, float(scores[position, query]))

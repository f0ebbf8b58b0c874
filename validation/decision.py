"""Verdicts: equivalent, different or undecided; and where the candidate goes wrong.

No point null decides here: any trained network differs from Bayes at large n. The data set is the
only unit of replication. With K the divergences of n data sets, [L, H] the 95 % interval of their
mean and b what the reference's error may contribute, the candidate is

    equivalent   if n >= 400 and U + b < tolerance; U is the larger of H + 2 max K / n, the rule of
                 three for a tail that was not seen, and the 97.5 % point of sum w_i K_i + w_(n+1)
                 max(M, max K), w ~ Dirichlet(1, ..., 1): one further data set that costs what the
                 prior predictive costs on average, M, with as much weight as any other;
    different    if n >= 30 and L - b > tolerance; where some K are negative L is lowered by 2 (mean
                 - min K) / n first, the same allowance for the other tail.

A rate of 3.7 / n = ln 40 / n is absent from n data sets with probability 2.5 %: 369 data sets show
one context in a hundred. How often the interval covers and the verdicts err: docs/verdict.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ShapeError
from veribayes.predictive import Array
from veribayes.statistics import pareto
from veribayes.validation import bootstrap, resampling, stability
from veribayes.validation.clusters import cluster_means as cluster_means
from veribayes.validation.stability import DETECTABLE, MISSED, MOST
from veribayes.validation.verdict import Decision as Decision
from veribayes.validation.verdict import Verdict as Verdict

# data sets: from ln 40 / .01 = 369 on, a defect in one context in a hundred is seen with 97.5 %
FEWEST_EQUIVALENT = 400
# of an endpoint that can only veto; the share of contexts that it may miss is printed with it
FEWEST_SECONDARY = 200
FEWEST_DIFFERENT = 30  # data sets from which the interval's coverage was good enough to say so
RULE_OF_THREE = 3.0  # 95 % upper limit of a rate that was never seen in n: 3 / n
# of (mean - smallest) / n, with one that the interval has: the rule of three for debiased values
LEFT_TAIL = 2.0
# tolerances: what the prior predictive costs on average, since 1 % of that is the tolerance
PRIOR = 100.0
POWER = 0.84  # standard errors: 80 %
TWO_SIDED = 1.96
HEAVY = 0.7  # Pareto shape above which the stated coverage is not promised (arXiv 1507.02646)
LARGEST_ERROR = 1 / 3  # of the tolerance: a reference that may be wrong by more decides nothing
ROUNDING = 1e-6  # of the tolerance: a mean that lies below zero by less is rounding


@dataclass(frozen=True)
class Bounds:
    """What verdicts are made of, of one run or of many: every array (*run,).

    Attributes:
        low, high: of the 95 % interval.
        lower, upper: the same with the allowances for what was not seen; what `different` and
            `equivalent` are judged by.
    """

    low: Array
    high: Array
    lower: Array
    upper: Array


def decide(
    cluster_values: Array,
    *,
    tolerance: float,
    reference_error: float = 0.0,
    seed: int = 0,
    zero_mass: float | None = None,
    worst: float | None = None,
    fewest: int = FEWEST_EQUIVALENT,
    unheld: float = 0.0,
) -> Decision:
    """Three-way decision on the mean divergence.

    Args:
        cluster_values: one mean divergence a data set, (dataset,), Monte Carlo correction included;
            may be infinite.
        tolerance: in the metric's unit.
        reference_error: bound on what the reference's error can still contribute to the mean.
        zero_mass: exact mass on outcomes that the candidate calls impossible, for the finding; None
            where it has no such.
        worst: what a context that was not seen may cost: the mean divergence of the prior
            predictive. Default: a hundred tolerances, which it is by the tolerance's own rule.
        fewest: data sets that `equivalent` needs.
        unheld: what the number type of the candidate may hide of the mean: it counts against
            `equivalent` alone.

    Raises:
        InputError: no data set, NaN (a score that is missing is never skipped), or a tolerance that
            is not positive.
    """
    values = require(cluster_values, tolerance, reference_error)
    if np.isposinf(values).any():
        return _infinite(values, tolerance, zero_mass)
    known = worst is not None and math.isfinite(worst)
    bound = worst if worst is not None and known else PRIOR * tolerance
    return _finite(values, tolerance, reference_error, seed, bound, fewest, unheld)


def bounds(values: Array, worst: float, *, seed: int = 0) -> Bounds:
    """Limits of the mean of each column with their allowances; values finite, (dataset, *run).

    Args:
        worst: what a context that was not seen may cost.
    """
    low, high = bootstrap.limits(values, seed=seed)
    return allowed(values, low, high, worst, seed)


def verdicts(
    found: Bounds,
    clusters: int,
    tolerance: float,
    reference_error: float = 0.0,
    fewest: int = FEWEST_EQUIVALENT,
    unheld: float = 0.0,
) -> npt.NDArray[Any]:
    """The verdict of each run; one whose interval lies below zero, which cannot be, gets none."""
    known = reference_error <= LARGEST_ERROR * tolerance
    possible = known & ~below_zero(found.high, tolerance, reference_error)
    below = found.upper + reference_error + unheld < tolerance
    above = found.lower - reference_error > tolerance
    equivalent = possible & (clusters >= fewest) & below
    different = possible & (clusters >= FEWEST_DIFFERENT) & above
    return np.select([equivalent, different], ["equivalent", "different"], "undecided")


def below_zero(
    high: Array | float, tolerance: float, reference_error: float
) -> npt.NDArray[np.bool_]:
    """Whether a whole interval lies below zero by more than rounding and the reference's error
    explain.
    """
    return np.asarray(high < -(reference_error + ROUNDING * tolerance))


def exceeds(
    cluster_values: Array, *, tolerance: float, reference_error: float = 0.0, seed: int = 0
) -> float:
    """One-sided p-value of the null that the mean is at most the tolerance: the limit of
    `different`, inverted.

    1 where no verdict could be `different`: fewer than thirty data sets, or a reference that may be
    wrong by too much. Arguments and errors as in `decide`.
    """
    values = require(cluster_values, tolerance, reference_error)
    if np.isposinf(values).any():
        return 1 / (resampling.REPLICATES + 1)
    if values.size < FEWEST_DIFFERENT or reference_error > LARGEST_ERROR * tolerance:
        return 1.0
    limit = tolerance + reference_error + float(left_tail(values))
    return bootstrap.exceedance(values, limit, seed=seed)


def left_tail(values: Array) -> Array:
    """What the lower limit of each column's mean is lowered by for a tail below; 0 where no value
    is negative.
    """
    farthest = (values.mean(0) - values.min(0)) / len(values)
    return np.asarray(np.where(stability.holds_negative(values), LEFT_TAIL * farthest, 0.0))


def unseen(values: Array, worst: float, *, seed: int = 0) -> Array:
    """97.5 % point of the mean of each column with one more data set that costs the most that it
    may.

    Bayesian bootstrap (Rubin 1981, doi:10.1214/aos/1176345338) with one unseen value: sum w_i K_i +
    w_(n+1) max(M, max K), w ~ Dirichlet(1, ..., 1). Without any K it is M times the 97.5 % point of
    Beta(1, n), about 3.7 M / n.

    Args:
        values: (dataset, *run).
        worst: M.
    """
    flat = values.reshape(len(values), -1)
    most = np.maximum(flat.max(0), worst)
    return resampling.posterior_point(flat, most, seed).reshape(values.shape[1:])


def datasets_needed(
    values: Array,
    tolerance: float,
    reference_error: float = 0.0,
    *,
    worst: float | None = None,
    fewest: int = FEWEST_EQUIVALENT,
) -> int | None:
    """Data sets that settle it with probability 80 % if mean, spread and maximum stay; None if no
    number does.

    For `equivalent` about 3.7 M / (tolerance - mean), M being what an unseen context may cost. One
    data set has no spread; it is taken to be as large as the mean. A mean below zero, where no
    divergence lies, is not expected to stay.
    """
    if reference_error > LARGEST_ERROR * tolerance:
        return None
    mean = float(values.mean())
    top = max(float(values.max()), 0.0)
    signed = bool(stability.holds_negative(values))
    spread = float(values.std(ddof=1)) if values.size > 1 else abs(mean)
    if mean > tolerance + reference_error:
        least = tolerance + reference_error
        gap = mean - least if signed else math.log(mean / least) * mean
        # is lost from the lower limit, divided by the number of data sets
        tail = float(left_tail(values)) * values.size
        by_spread = (DETECTABLE * spread / gap) ** 2
        return _whole(max(FEWEST_DIFFERENT, by_spread + tail / gap))
    most = max(PRIOR * tolerance if worst is None else worst, top)
    mean = max(mean, 0.0)

    def settles(n: int) -> bool:
        limit = stability.planned(mean, spread, top, n, signed=signed)
        upper = max(limit, _unseen_planned(mean, spread, most, n))
        return upper + reference_error < tolerance

    return stability.smallest_number(settles, fewest)


def require(values: Array, tolerance: float, reference_error: float) -> Array:
    """The values, (dataset,), where a decision on their mean is possible; errors as in `decide`."""
    if values.ndim != 1 or not values.size:
        raise ShapeError("one value a data set, (dataset,)", f"{values.shape}")
    if np.isnan(values).any() or np.isneginf(values).any():
        undefined = int((~(values > -np.inf)).sum())
        got = f"NaN or -inf in {undefined} of {values.size}"
        raise InputError("a divergence for every data set", got)
    if not (0 < tolerance < math.inf and 0 <= reference_error < math.inf):
        wanted = "a positive tolerance and a reference error that is not negative"
        raise InputError(wanted, f"{tolerance} and {reference_error}")
    return values


def _finite(
    values: Array,
    tolerance: float,
    reference_error: float,
    seed: int,
    worst: float,
    fewest: int,
    unheld: float,
) -> Decision:
    n = values.size
    mean = float(values.mean())
    found = _bounds(values, reference_error, worst, seed)
    verdict: Verdict = verdicts(found, n, tolerance, reference_error, fewest, unheld).item()
    impossible = bool(below_zero(found.high, tolerance, reference_error))
    wanted = verdict == "undecided" and not impossible
    needed = _more(values, tolerance, reference_error + unheld, worst, fewest) if wanted else None
    rounding = bool(np.abs(values).max() <= reference_error)
    limits = bootstrap.Interval(mean, np.nan, np.nan)
    upper = minimum_detectable = None
    if n > 1:
        ends = (float(found.lower), float(found.high))
        limits = bootstrap.Interval(mean, *ends) if rounding else bootstrap.stated(values, *ends)
        upper = float(found.upper)
        minimum_detectable = DETECTABLE * float(values.std(ddof=1)) / math.sqrt(n)
    shown = limits.plain()
    hopeless = wanted and needed is None and not unheld
    findings = [_too_close(mean, tolerance, reference_error)] if hopeless else []
    findings += [_below_zero_text(mean, float(found.high), n)] if impossible else []
    findings += [] if rounding else _tail_findings(values, limits.reason)
    return Decision(
        verdict=verdict,
        estimate=mean,
        low=shown["low"],
        high=shown["high"],
        upper=upper,
        tolerance=tolerance,
        minimum_detectable=minimum_detectable,
        datasets_needed=needed,
        clusters=n,
        findings=tuple(findings),
        statements=(not_excluded(n),),
        reason=limits.reason,
    )


def _below_zero_text(mean: float, high: float, n: int) -> str:
    return (
        f"below_zero: the mean {mean:.3g} and its upper limit {high:.3g} lie below zero, where no "
        f"divergence can lie: the draws of the {n:,} data sets do not scatter as independent "
        "draws do, so what was taken off for that is wrong; no verdict"
    )


def _tail_findings(values: Array, reason: str | None) -> list[str]:
    """What the largest values say about the limits."""
    shape = pareto.heaviness(values)
    found = [] if reason is None else [f"no_stable_limit: {reason}"]
    if shape > HEAVY:
        law = f"the largest divergences fall off like a Pareto law of shape {shape:.2f}"
        found.append(
            f"heavy_tail: {law}; above {HEAVY} the limits may miss the mean more often than in 5 %"
        )
    return found


def _too_close(mean: float, tolerance: float, reference_error: float) -> str:
    if reference_error > LARGEST_ERROR * tolerance:
        return (
            f"reference_error: the reference may be wrong by {reference_error:.3g}, more than a "
            f"third of the tolerance {tolerance:.3g}; no number of data sets gives a verdict"
        )
    return (
        f"reference_error: the mean {mean:.3g} is too close to the tolerance {tolerance:.3g}, "
        f"given the reference's own error {reference_error:.3g}; more data sets cannot settle it"
    )


def _bounds(values: Array, reference_error: float, worst: float, seed: int) -> Bounds:
    """Of one run; of one data set, and of nothing but rounding, there is no law to resample."""
    if values.size < 2:
        low = np.asarray(-np.inf)
        high = np.asarray(np.inf)
        return Bounds(low, high, low, high)
    if np.abs(values).max() <= reference_error:
        return allowed(values, values.min(), values.max(), worst, seed)
    return bounds(values, worst, seed=seed)


def allowed(values: Array, low: Array, high: Array, worst: float, seed: int) -> Bounds:
    """The limits of each column's mean with their allowances; arguments as in `bounds`."""
    farthest = np.maximum(values.max(0), 0.0) / len(values)
    rare = high + (RULE_OF_THREE - 1) * farthest  # `high` holds a third of the rule of three
    upper = np.maximum(rare, unseen(values, worst, seed=seed))
    return Bounds(low, high, low - left_tail(values), upper)


def _infinite(values: Array, tolerance: float, zero_mass: float | None) -> Decision:
    n = values.size
    share = float(np.isposinf(values).mean())
    if zero_mass:
        wrong = (
            f"zero_probability: the candidate calls possible outcomes impossible in {share:.1%} "
            "of the data sets"
        )
        finding = f"{wrong}; the exact mass concerned is {zero_mass:.3g}"
    else:
        # draws of what is impossible, or numbers so far apart that float64 does not hold their
        # divergence
        finding = f"infinite_divergence: the divergence is infinite in {share:.1%} of the data sets"
    return Decision(
        verdict="different",
        estimate=None,
        low=None,
        high=None,
        upper=None,
        tolerance=tolerance,
        minimum_detectable=None,
        datasets_needed=None,
        clusters=n,
        infinite_share=share,
        findings=(finding,),
        statements=(not_excluded(n),),
    )


def missed_share(n: int) -> float:
    """Share of contexts that n data sets do not exclude with 97.5 %: ln 40 / n, at most 1."""
    return min(1.0, MISSED / n)


def not_excluded(n: int) -> str:
    """What n data sets do not exclude, in a sentence."""
    return (
        f"defects in fewer than {missed_share(n):.2%} of contexts (ln 40/n = 3.7/n) are not "
        "excluded"
    )


def _unseen_planned(mean: float, spread: float, most: float, n: int) -> float:
    """Where the bound for contexts that were not seen lies with probability 80 %."""
    error = spread / math.sqrt(n)
    half_width = math.hypot(TWO_SIDED * error, MISSED * most / n)
    return mean + POWER * error + half_width


def _more(
    values: Array, tolerance: float, reference_error: float, worst: float, fewest: int
) -> int | None:
    """What an undecided run still needs: twice what it has, where a normal approximation would have
    settled it already.
    """
    needed = datasets_needed(values, tolerance, reference_error, worst=worst, fewest=fewest)
    enough = needed is not None and needed <= values.size
    return 2 * values.size if enough else needed


def _whole(n: float) -> int | None:
    return math.ceil(n) if n <= MOST else None

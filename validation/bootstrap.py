"""Intervals that resample whole data sets:
bootstrap-t on the log scale, and bands that hold for a whole curve.

A mean divergence is positive and skewed, so the studentised statistic is taken of its logarithm: T*
= (log m* - log m) / (s* / (m* sqrt n)), limits m exp(-T*_.975 s / (m sqrt n)) and m exp(-T*_.025 s
/ (m sqrt n)). A quantity that may be zero or negative (debiased divergences, differences) is left
on its own scale: the rule is that the logarithm is used if and only if the mean and every one of
the 1,999 resampled means are positive. No resample holds a value larger than the largest one seen,
but the next data set does with probability 1 / (n + 1), and then lies 1 / (1 - k) times as far out
on average, k being the Pareto shape of the tail. The upper limit of an interval is raised by what
that data set would add to the mean, (max - m) / (n (1 - k)), but never above that data set itself.
On the signed scale the lower limit is moved by the other tail in the same way; a positive quantity
has no such tail below. Where some values are zero, or next to nothing, a resample may hold no
others: its mean is zero, and one such resample takes the logarithm from a quantity that is never
negative. Before logarithms are taken all values are therefore lifted by what brings the smallest to
a thousandth of the mean, and the limits come down by as much. A limit that the sample does not
support is kept for reasoning and not shown to a reader (`Interval.plain`, stability.py). Measured
coverage: docs/verdict.md. Source: Efron & Tibshirani 1993, chapter 12; Hall 1992,
doi:10.1007/978-1-4612-4384-7.

Axes: the first is always `dataset`; NaN means that a data set says nothing about a column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ShapeError
from veribayes.predictive import Array
from veribayes.statistics.pareto import mean_beyond
from veribayes.validation import stability
from veribayes.validation.resampling import LEVEL as LEVEL
from veribayes.validation.resampling import REPLICATES as REPLICATES
from veribayes.validation.resampling import order, resampled

ENOUGH = 30  # data sets of which the farthest says where others may lie
FEWEST = 10  # data sets behind a point of a curve from which a limit is stated
ROUNDING = 1e-13  # relative; the mean of 1e5 equal numbers is wrong by less
FLOOR = 1e-3  # of the mean: what is smaller counts as nothing where logarithms are taken


@dataclass(frozen=True)
class Interval:
    """A mean and its two-sided 95 % limits.

    Attributes:
        estimate, low, high: numbers to reason with; a reader is shown those of `plain`.
        supported: whether the sample supports the lower and the upper limit.
        reason: why it does not; None where it supports both.
    """

    estimate: float
    low: float
    high: float
    supported: tuple[bool, bool] = (True, True)
    reason: str | None = None

    def plain(self) -> dict[str, Any]:
        """Estimate, low and high as JSON; a limit without support is null, with the `reason` beside
        it.
        """
        below, above = self.supported
        limits = {
            "estimate": _number(self.estimate),
            "low": _number(self.low) if below else None,
            "high": _number(self.high) if above else None,
        }
        return limits if self.reason is None else {**limits, "reason": self.reason}


@dataclass(frozen=True)
class Studentised:
    """Bootstrap-t of the mean of each column.

    Attributes:
        mean: (*column,).
        lift: what was added to every value before its logarithm, (*column,); 0 on the other scale.
        error: standard error on the scale used, (*column,).
        log: whether that scale is the logarithm, (*column,).
        t: studentised statistic of each resample, (replicate, *column); 0 where a resample says
            nothing.
        clusters: data sets behind each column, (*column,).
    """

    mean: Array
    lift: Array
    error: Array
    log: npt.NDArray[np.bool_]
    t: Array
    clusters: npt.NDArray[np.int64]

    def at(self, t: Array) -> Array:
        """The limit that lies `t` standard errors below the mean, (*column,); of a constant column
        its value.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            none = (t == 0) | (self.error == 0)
            step = np.where(none, 0.0, t * self.error)
            lifted = (self.mean + self.lift) * np.exp(-step) - self.lift
            lifted = np.where(self.lift > 0, np.maximum(lifted, 0.0), lifted)
            return np.where(self.log, lifted, self.mean - step)


def interval(
    values: Array, *, seed: int = 0, within: tuple[float, float] = (-np.inf, np.inf)
) -> Interval:
    """Mean of one value a data set, with its log bootstrap-t interval (its own scale for signed
    quantities).

    Args:
        within: where the quantity can lie, as a share between 0 and 1; limits are cut there, and
            then supported.

    Raises:
        InputError: fewer than two data sets, or a value that is not finite.
    """
    column = _column(values)
    low, high = (np.clip(limit, *within) for limit in limits(column, seed=seed))
    return stated(column, float(low), float(high), within)


def stated(
    values: Array, low: float, high: float, within: tuple[float, float] = (-np.inf, np.inf)
) -> Interval:
    """The mean of some values, (dataset,), with limits that were found for it, and whether the
    values support them.
    """
    estimate = float(values.mean())
    numbers = (estimate, low, high, values.min(), values.max())
    columns = (np.asarray(number) for number in numbers)
    below, above = (bool(holds) for holds in stability.supported(*columns, within=within))
    reason = stability.reason(values, below, above)
    return Interval(estimate, low, high, (below, above), reason)


def difference(values: Array, other: Array, *, seed: int = 0) -> Interval:
    """Mean of the paired difference `values - other`, both (dataset,)."""
    return interval(_column(values) - _column(other), seed=seed)


def recovery(divergence: Array, baseline: Array, *, seed: int = 0) -> Interval | None:
    """1 - mean(divergence) / mean(baseline) over the same data sets, by the log-ratio bootstrap-t
    on pairs.

    1 is the Bayes predictor, 0 the baseline (the prior predictive), negative is worse; -inf if a
    divergence is infinite.
    None where it is undefined: the baseline itself is exact (context 0) or infinite.
    """
    missing = np.isnan(divergence).any() or np.isnan(baseline).any()
    if divergence.shape != baseline.shape or missing:
        shapes = f"shapes {divergence.shape}, {baseline.shape}, or NaN"
        raise InputError("one divergence and one baseline a data set", shapes)
    if not np.isfinite(baseline).all() or baseline.mean() <= 0:
        return None
    if not np.isfinite(divergence).all():
        return Interval(-np.inf, -np.inf, -np.inf)
    ratio, rest = _ratio(_column(divergence), _column(baseline), seed)
    low, high = _with_tails(ratio, rest - rest.mean())
    losses = divergence / baseline.mean()
    lost = stated(losses, float(low), float(high))
    above, below = lost.supported  # what limits the loss from above limits the recovery from below
    reason = stability.reason(losses, below, above)
    least = 1 - lost.high
    most = 1 - lost.low
    return Interval(1 - lost.estimate, least, most, (below, above), reason)


def limits(values: Array, *, seed: int = 0) -> tuple[Array, Array]:
    """Two-sided 95 % limits of the mean of each column; values (dataset, *column)."""
    found = studentised(values, seed=seed)
    return _with_tails(found, values - found.mean)


def band(values: Array, *, seed: int = 0) -> tuple[Array, Array, Array]:
    """Mean and simultaneous 95 % limits over the last axis, by maxT with whole data sets resampled.

    Args:
        values: (dataset, *column); NaN where a data set says nothing about a column.

    Returns:
        estimate, low, high, (*column,). A column with an infinite value has estimate and high
        infinite and low NaN; one with fewer than ten data sets has NaN limits; one that holds
        nothing but the rounding of the others' numbers has its mean. None loosens the others.
    """
    usable = _usable(values)
    infinite = np.isposinf(values).any(0)
    known = np.where(usable, values, 0.0)
    sizes = np.abs(_mean(known))
    columns = studentised(known, seed=seed, size=sizes.max(initial=0.0))
    steep = np.where(usable, np.abs(columns.t), 0.0)
    largest = order(steep.max(-1, keepdims=True), LEVEL)
    critical = np.broadcast_to(largest, columns.mean.shape)
    unusable_mean = np.where(infinite, np.inf, _mean(values))
    unusable_high = np.where(infinite, np.inf, np.nan)
    estimate = np.where(usable, columns.mean, unusable_mean)
    low = np.where(usable, columns.at(critical), np.nan)
    high = np.where(usable, columns.at(-critical), unusable_high)
    return estimate, low, high


def studentised(values: Array, *, seed: int, size: float | None = None) -> Studentised:
    """Bootstrap-t of each column's mean; values (dataset, *column), finite or NaN.

    All columns share the resamples, so their joint distribution is kept.

    Args:
        size: of numbers in the same unit, where columns are compared with each other: a column
            that holds nothing but the rounding of such numbers is constant. Else its own mean.
    """
    if values.shape[0] < 2:
        raise InputError("at least two data sets", f"{values.shape[0]}")
    flat = values.reshape(values.shape[0], -1)
    present = ~np.isnan(flat)
    clusters = present.sum(0)
    total = np.where(present, flat, 0.0).sum(0)
    mean = total / np.maximum(clusters, 1)
    smallest = np.where(present, flat, np.inf).min(0)
    lift = _lift(mean, smallest)
    deviations = np.where(present, flat, mean) - mean
    centred = _rounded_off(deviations, mean if size is None else np.maximum(size, np.abs(mean)))
    moments = np.concatenate([present, centred, centred**2], -1)
    count, first, second = np.split(resampled(moments, seed), 3, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = first / count
        squares = np.maximum(second - count * shift**2, 0.0)
        spread = np.sqrt(squares / (count - 1) / count)
        own_squares = (centred**2).sum(0)
        error = np.sqrt(own_squares / (clusters - 1) / clusters)
    return _scaled(mean, lift, mean + shift, error, spread, clusters, values.shape[1:])


def exceedance(values: Array, bound: float, *, seed: int = 0) -> float:
    """One-sided p-value of the null that the mean is at most `bound`: the lower limit of
    `interval`, inverted.

    At most .025 exactly where that limit lies above the bound; at least 1 / 2,000.
    """
    column = _column(values)
    resamples = studentised(column[:, None], seed=seed)
    on_log = bool(resamples.log.all())
    least = bound
    if not on_log:
        deviations = (column.mean() - column)[:, None]
        least = bound + float(_one_more(deviations)[0])
    lift = float(resamples.lift[0])
    mean = float(resamples.mean[0])
    if mean <= least:
        return 1.0
    gap = mean - least
    if on_log:
        gap = math.log((mean + lift) / (least + lift))
    farther = resamples.t * resamples.error >= gap
    return float((1 + farther.sum()) / (REPLICATES + 1))


def _with_tails(found: Studentised, deviations: Array) -> tuple[Array, Array]:
    """Limits of bootstrap-t, moved by what one more data set beyond the farthest adds; deviations
    (dataset, *column).

    On the log scale a few far data sets make t explode: a limit above where that data set itself
    would lie comes down to it.
    """
    low = found.at(order(found.t, 0.5 + LEVEL / 2))
    high = found.at(order(found.t, 0.5 - LEVEL / 2))
    above = _one_more(deviations)
    known = found.log & (found.clusters >= ENOUGH)
    farthest = np.where(known, found.mean + found.clusters * above, np.inf)
    below = 0.0 if found.log.all() else np.where(found.log, 0.0, _one_more(-deviations))
    return low - below, np.minimum(high + above, farthest)


def _one_more(deviations: Array) -> Array:
    """What a data set beyond the farthest adds to the mean, (*column,); deviations from the mean
    (dataset, *column), or NaN.
    """
    columns = deviations.reshape(len(deviations), -1)
    missing = np.isnan(columns)
    absent = missing.sum(0)
    added = np.zeros(columns.shape[1])
    for few in np.unique(absent):  # columns with as many values together
        same = absent == few
        ordered = np.sort(columns[:, same], axis=0)  # NaN comes last
        values = ordered[: len(columns) - few]
        if len(values):
            added[same] = values[-1] * mean_beyond(values) / len(values)
    return added.reshape(deviations.shape[1:])


def _lift(mean: Array, smallest: Array) -> Array:
    """What brings the smallest value to a thousandth of the mean; 0 where it is larger, or truly
    negative.
    """
    least = FLOOR * mean
    next_to_nothing = (mean > 0) & (np.abs(smallest) < least)
    return np.where(next_to_nothing, least - smallest, 0.0)


def _rounded_off(deviations: Array, size: Array) -> Array:
    """Zero in columns that hold nothing but the rounding of numbers of this size, which would
    studentise to noise.
    """
    real = np.abs(deviations).max(0) > ROUNDING * np.abs(size)
    return np.where(real, deviations, 0.0)


def _ratio(divergence: Array, baseline: Array, seed: int) -> tuple[Studentised, Array]:
    """Bootstrap-t of mean(divergence) / mean(baseline), and each data set's influence on it (the
    delta method).
    """
    n = divergence.size
    ratio = divergence.mean() / baseline.mean()
    b = baseline / baseline.mean()
    shares = divergence / baseline.mean()
    rest = _rounded_off(shares - ratio * b, ratio * b.max())  # what proportionality leaves
    moments = np.stack([b, rest, rest**2, rest * b, b**2], -1)
    bases, rests, rest_squares, products, base_squares = (resampled(moments, seed) / n).T
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = rests / bases
        squares = rest_squares - 2 * shift * products + shift**2 * base_squares
        spread = np.sqrt(np.maximum(squares, 0.0) / (n - 1)) / bases
    error = np.sqrt((rest**2).mean() / (n - 1))
    lift = _lift(ratio, shares.min())  # as if that share of the baseline were added
    resamples = _scaled(
        ratio[None],
        lift[None],
        ratio + shift[:, None],
        error[None],
        spread[:, None],
        np.array([n]),
        (),
    )
    return resamples, rest


def _scaled(
    mean: Array,
    lift: Array,
    means: Array,
    error: Array,
    spread: Array,
    clusters: npt.NDArray[np.int64],
    shape: tuple[int, ...],
) -> Studentised:
    """Studentise on the log scale where that is defined throughout."""
    centre = mean + lift
    lifted = means + lift
    usable = (lifted > 0) | np.isnan(lifted)
    log = (centre > 0) & np.all(usable, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        divisor = np.where(centre == 0, 1.0, centre)
        shift = np.where(log, np.log(lifted / divisor), means - mean)
        t = shift / np.where(log, spread / lifted, spread)
        scale = np.where(log, error / centre, error)
    t = np.where(np.isnan(t), 0.0, t)
    return Studentised(
        mean.reshape(shape),
        np.where(log, lift, 0.0).reshape(shape),
        scale.reshape(shape),
        log.reshape(shape),
        t.reshape(REPLICATES, *shape),
        clusters.reshape(shape),
    )


def _usable(values: Array) -> npt.NDArray[np.bool_]:
    enough = (~np.isnan(values)).sum(0) >= FEWEST
    return np.asarray(enough & ~np.isinf(values).any(0))


def _mean(values: Array) -> Array:
    present = np.isfinite(values)
    total = np.where(present, values, 0.0).sum(0)
    count = np.where(present.any(0), present.sum(0), np.nan)
    with np.errstate(invalid="ignore"):
        return total / count


def _column(values: Array) -> Array:
    if values.ndim != 1:
        raise ShapeError("one value a data set, (dataset,)", f"{values.shape}")
    if not np.isfinite(values).all():
        number = int((~np.isfinite(values)).sum())
        got = f"{number} of {values.size} that are not"
        raise InputError("finite values", got, "an infinite divergence has no interval")
    return values


def _number(value: float | None) -> float | None:
    """JSON knows no NaN and no infinity: both become null."""
    return value if value is not None and math.isfinite(value) else None

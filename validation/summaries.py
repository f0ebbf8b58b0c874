"""Calibration of a whole run: what no single prediction can show,
with intervals and nulls that keep data sets whole.

Coverage is the share of outcomes inside regions of a stated level. Reliability compares what a
candidate says of its most probable category with how often that happens. Both hold for the exact
predictive, and also for many that are far from it (the prior predictive is calibrated), so they say
where a candidate is wrong and never that it is right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.stats import norm

from veribayes.predictive import Array
from veribayes.tree import IntArray
from veribayes.validation import bootstrap, decision
from veribayes.validation.checks._null import generator, resamples

# metrics whose mean says nothing; these are made of them
INGREDIENTS = ("pit", "hpd", "confidence", "hit", "zero_limit")
LEVELS = (0.5, 0.9)
SYMMETRIC = 1e-9  # by which two levels may miss a sum of one
OUTSIDE = 20  # data sets expected outside a region from which the normal law holds in its tails
ROUNDING = 1e-9  # of that number: 200 (1 - .9) is 20 less 4e-15
REPLICATES = 499  # at least; more in a large family (`replicates`)
ALPHA = 0.05  # at which p-values reject after Holm
GRID = np.linspace(0.0, 1.0, 201)
WIDTHS = np.geomspace(1e-3, 0.5, 28)
BINS = 10


@dataclass(frozen=True)
class Coverage:
    """Share of outcomes inside the regions of one kind and level, with a 95 % interval over data
    sets.

    Attributes:
        limits: the share with its limits, none of them outside [0, 1].
        p_value: two-sided, of the studentised difference from the level (normal); 1 where fewer
            than twenty data sets are expected outside the region: with six, 8 % of the nulls are
            rejected at 5 %.
    """

    kind: Literal["central", "hpd"]
    level: float
    limits: bootstrap.Interval
    p_value: float

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "kind": self.kind,
            "level": self.level,
            **self.limits.plain(),
            "p_value": self.p_value,
        }


@dataclass(frozen=True)
class Reliability:
    """Confidence against hits.

    Attributes:
        confidence, hit: means in ten groups of equal size by confidence.
        low, high: simultaneous 95 % band of the hits of a calibrated candidate, around its
            confidence.
        miscalibration, discrimination, uncertainty: Brier score = miscalibration - discrimination +
            uncertainty (CORP; Dimitriadis, Gneiting & Jordan 2021, doi:10.1073/pnas.2016191118).
        smooth_error: smooth calibration error (Błasiok & Nakkiran 2023, arXiv 2309.12236); no bins
            to choose.
        floor: what a calibrated candidate stays below with probability 95 %.
        p_value: of the smooth calibration error.
    """

    confidence: Array
    hit: Array
    low: Array
    high: Array
    miscalibration: float
    discrimination: float
    uncertainty: float
    smooth_error: float
    floor: float
    p_value: float


def coverage(
    scores: Mapping[str, Array], *, levels: Sequence[float] | None = None, seed: int = 0
) -> tuple[Coverage, ...]:
    """Central and highest-density coverage at 50 and 90 %, from the metrics `pit` and `hpd` where a
    run has them.

    Args:
        scores: metric -> (dataset, position, query).
        levels: of a candidate that gives quantiles. It states no other interval, so the central
            ones between two of its levels that come nearest to 50 and 90 % are looked at; none
            where no two levels lie symmetrically.
    """
    nested: dict[Literal["central", "hpd"], Array] = {}
    if "pit" in scores:
        nested["central"] = np.abs(2 * scores["pit"] - 1)
    if "hpd" in scores:
        nested["hpd"] = scores["hpd"]
    stated = LEVELS if levels is None else central_levels(levels)
    found = []
    for kind, place in nested.items():
        found += [_covered(kind, place, level, seed) for level in stated]
    return tuple(found)


def central_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Levels of the central intervals between two quantiles that come nearest to those of `LEVELS`,
    each once.
    """
    central = []
    for low in levels:
        opposite = any(math.isclose(1 - low, high, abs_tol=SYMMETRIC) for high in levels)
        if low < 0.5 and opposite:
            central.append(1 - 2 * low)
    if not central:
        return ()
    nearest = [min(central, key=lambda level: abs(level - wanted)) for wanted in LEVELS]
    return tuple(dict.fromkeys(nearest))


def _covered(kind: Literal["central", "hpd"], place: Array, level: float, seed: int) -> Coverage:
    inside = np.where(np.isnan(place), np.nan, place <= level)
    share = decision.cluster_means(inside)
    limits = bootstrap.interval(share, seed=seed, within=(0.0, 1.0))
    variance = ((share - level) ** 2).mean()  # about the level, as the null has it
    error = float(variance / share.size) ** 0.5
    enough = share.size * (1 - level) >= OUTSIDE * (1 - ROUNDING)
    z = abs(limits.estimate - level) / error if error > 0 and enough else 0.0
    return Coverage(kind, level, limits, float(2 * norm.sf(z)))


def reliability(confidence: Array, hit: Array, *, seed: int = 0, family: int = 1) -> Reliability:
    """Reliability of the most probable category, (dataset, position, query) both; NaN where a query
    does not apply.

    The null multiplies the residuals hit - confidence of each data set by a common random sign, so
    that positions and queries which share an outcome stay together (wild cluster bootstrap;
    Cameron, Gelbach & Miller 2008, doi:10.1162/rest.90.3.414).

    Args:
        family: p-values among which Holm corrects this one: there are so many replicates that it
            can reject.
    """
    applies = ~np.isnan(confidence)
    dataset, *_ = np.nonzero(applies)
    stated = confidence[applies]
    happened = hit[applies]
    residual = happened - stated
    rng = generator(seed, "reliability")
    signs = rng.choice([-1.0, 1.0], (replicates(family), len(confidence)))
    own_sums, null_sums = _on_grid(stated, residual, dataset, signs)
    own = smooth_errors(own_sums)[0]
    null = smooth_errors(null_sums)
    order = np.argsort(stated, kind="stable")
    groups = np.array_split(order, min(BINS, stated.size))
    confidences = np.array([stated[group].mean() for group in groups])
    hits = np.array([happened[group].mean() for group in groups])
    half = _band(residual, dataset, signs, groups)
    miscalibration, discrimination, uncertainty = _corp(stated[order], happened[order])
    as_large = (null >= own).sum()
    p_value = float((1 + as_large) / (1 + null.size))
    floor = float(np.quantile(null, 0.95, method="higher"))
    return Reliability(
        confidence=confidences,
        hit=hits,
        low=confidences - half,
        high=confidences + half,
        miscalibration=miscalibration,
        discrimination=discrimination,
        uncertainty=uncertainty,
        smooth_error=float(own),
        floor=floor,
        p_value=p_value,
    )


def smooth_errors(residual: Array) -> Array:
    """Smooth calibration error of each row of residual sums on the grid, (row, grid point).

    At width w it is the integral of the kernel-smoothed residual's size; the width is where both
    are equal. Smoothing more never makes it larger, so that width is found by bisection.
    """
    kernels, count = _kernels(), len(WIDTHS)
    # numbers of widths: error above it, and not
    below = np.full(len(residual), -1)
    above = np.full(len(residual), count)
    size = np.zeros(len(residual))  # at `above`
    for _ in range(math.ceil(math.log2(count + 1))):
        middle = (below + above) // 2
        for k in np.unique(middle[above - below > 1]):
            here = np.flatnonzero((middle == k) & (above - below > 1))
            smoothed = residual[here] @ kernels[k]
            error = np.abs(smoothed).mean(-1)
            over = error > WIDTHS[k]
            below[here[over]] = k
            above[here[~over]] = k
            size[here[~over]] = error[~over]
    largest = np.where(below >= 0, WIDTHS[below], 0.0)
    return np.maximum(largest, size)


@lru_cache(maxsize=1)
def _kernels() -> tuple[Array, ...]:
    """Gaussian kernels of every width, reflected at 0 and 1, each row with mean one over
    the grid.
    """
    mirrored = np.stack([GRID, -GRID, 2 - GRID])
    images = mirrored[:, :, None] - GRID
    kernels = [np.exp(-0.5 * (images / width) ** 2).sum(0) for width in WIDTHS]
    return tuple(kernel / kernel.mean(-1, keepdims=True) for kernel in kernels)


def _on_grid(said: Array, residual: Array, dataset: IntArray, signs: Array) -> tuple[Array, Array]:
    """Mean residual by grid point: as it is, and with random signs, (row, grid point)."""
    point = np.rint(said * (GRID.size - 1)).astype(np.int64)
    cell = dataset * GRID.size + point
    sums = np.bincount(cell, residual, signs.shape[1] * GRID.size)
    by_dataset = (sums / said.size).reshape(-1, GRID.size)
    return by_dataset.sum(0, keepdims=True), signs @ by_dataset


def _band(residual: Array, dataset: IntArray, signs: Array, groups: list[IntArray]) -> Array:
    """Half width of the simultaneous band over the groups, from the largest studentised null
    residual.
    """
    columns = []
    for group in groups:
        sums_of_group = np.bincount(dataset[group], residual[group], signs.shape[1])
        columns.append(sums_of_group / group.size)
    sums = np.stack(columns, -1)
    error = np.sqrt((sums**2).sum(0))
    nothing = np.zeros((len(signs), error.size))
    scaled = np.divide(signs @ sums, error, out=nothing, where=error > 0)
    largest = np.abs(scaled).max(-1)
    return np.asarray(np.quantile(largest, 0.95, method="higher") * error)


def _corp(said: Array, happened: Array) -> tuple[float, float, float]:
    """Miscalibration, discrimination and uncertainty of the Brier score by isotonic regression,
    confidences in order.
    """
    ties = np.unique(said, return_inverse=True)[1]
    size = np.bincount(ties)
    shares = np.bincount(ties, happened) / size
    recalibrated = isotonic_regression(shares, weights=size).x[ties]
    constant = np.full(said.shape, happened.mean())
    plain, best, flat = (_brier(p, happened) for p in (said, recalibrated, constant))
    return plain - best, flat - best, flat


def _brier(probability: Array, happened: Array) -> float:
    return float(((probability - happened) ** 2).mean())


def p_values(covered: tuple[Coverage, ...], found: Reliability | None) -> dict[str, float]:
    """The p-value of every number of this module, by name; not corrected."""
    p = {f"{c.kind} coverage {c.level:.0%}": c.p_value for c in covered}
    return p if found is None else {**p, "reliability": found.p_value}


def replicates(family: int) -> int:
    """Replicates with which one p-value of a family of this size can be rejected by Holm."""
    return max(REPLICATES, resamples(ALPHA, family))


def least(name: str, family: int) -> float:
    """The smallest value that the p-value of that name can have: reliability is resampled, coverage
    is not.
    """
    return 1 / (replicates(family) + 1) if name == "reliability" else 0.0

"""Calibration of a whole run: what no single prediction can show, with intervals and nulls that keep data sets whole.

Coverage is the share of outcomes inside regions of a stated level. Reliability compares what a candidate says of its most
probable category with how often that happens. Both hold for the exact predictive, and also for many that are far from it
(the prior predictive is calibrated), so they say where a candidate is wrong and never that it is right.
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

INGREDIENTS = (
    "pit",
    "hpd",
    "confidence",
    "hit",
    "zero_limit",
)  # metrics whose mean says nothing; these are made of them
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
    """Share of outcomes inside the regions of one kind and level, with a 95 % interval over data sets.

    Attributes:
        limits: the share with its limits, none of them outside [0, 1].
        p_value: two-sided, of the studentised difference from the level (normal); 1 where fewer than twenty data sets are
            expected outside the region: with six, 8 % of the nulls are rejected at 5 %.
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
        low, high: simultaneous 95 % band of the hits of a calibrated candidate, around its confidence.
        miscalibration, discrimination, uncertainty: Brier score = miscalibration - discrimination + uncertainty (CORP;
            Dimitriadis, Gneiting & Jordan 2021, doi:10.1073/pnas.2016191118).
        smooth_error: smooth calibration error (Błasiok & Nakkiran 2023, arXiv 2309.12236); no bins to choose.
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
    """Central and highest-density coverage at 50 and 90 %, from the metrics `pit` and `hpd` where a run has them.

    Args:
        scores: metric -> (dataset, position, query).
        levels: of a candidate that gives quantiles. It states no other interval, so the central ones between two of its levels
            that come nearest to 50 and 90 % are looked at; none where no two levels lie symmetrically.
    """
    nested: dict[Literal["central", "hpd"], Array] = {}
    if "pit" in scores:
        nested["central"] = np.abs(2 * scores["pit"] - 1)
    if "hpd" in scores:
        nested["hpd"] = scores["hpd"]
    stated = LEVELS if levels is None else central_levels(levels)
    return tuple(
        _covered(kind, place, level, seed) for kind, place in nested.items() for level in stated
    )


def central_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Levels of the central intervals between two quantiles that come nearest to those of `LEVELS`, each once."""
    below = [level for level in levels if level < 0.5]
    central = [
        1 - 2 * low
        for low in below
        if any(math.isclose(1 - low, high, abs_tol=SYMMETRIC) for high in levels)
    ]
    if not central:
        return ()
    nearest = [central[int(np.argmin(np.abs(np.array(central) - wanted)))] for wanted in LEVELS]
    return tuple(dict.fromkeys(nearest))


def _covered(kind: Literal["central", "hpd"], place: Array, level: float, seed: int) -> Coverage:
    share = decision.cluster_means(np.where(np.isnan(place), np.nan, place <= level))
    found = bootstrap.interval(share, seed=seed, within=(0.0, 1.0))
    error = (
        float(((share - level) ** 2).mean() / share.size) ** 0.5
    )  # about the level, as the null has it
    enough = share.size * (1 - level) >= OUTSIDE * (1 - ROUNDING)
    z = abs(found.estimate - level) / error if error > 0 and enough else 0.0
    return Coverage(kind, level, found, float(2 * norm.sf(z)))


def reliability(confidence: Array, hit: Array, *, seed: int = 0, family: int = 1) -> Reliability:
    """Reliability of the most probable category, (dataset, position, query) both; NaN where a query does not apply.

    The null multiplies the residuals hit - confidence of each data set by a common random sign, so that positions and queries
    which share an outcome stay together (wild cluster bootstrap; Cameron, Gelbach & Miller 2008, doi:10.1162/rest.90.3.414).

    Args:
        family: p-values among which Holm corrects this one: there are so many replicates that it can reject.
    """
    dataset, *_ = np.nonzero(~np.isnan(confidence))
    said, happened = confidence[~np.isnan(confidence)], hit[~np.isnan(confidence)]
    residual = happened - said
    signs = generator(seed, "reliability").choice(
        [-1.0, 1.0], (replicates(family), len(confidence))
    )
    own, null = (smooth_errors(r) for r in _on_grid(said, residual, dataset, signs))
    order = np.argsort(said, kind="stable")
    groups = np.array_split(order, min(BINS, said.size))
    means = np.array([[said[g].mean(), happened[g].mean()] for g in groups])
    half = _band(residual, dataset, signs, groups)
    return Reliability(
        means[:, 0], means[:, 1], means[:, 0] - half, means[:, 0] + half, *_corp(said[order], happened[order]),
        float(own[0]), float(np.quantile(null, 0.95, method="higher")),
        float((1 + (null >= own[0]).sum()) / (1 + null.size)),
    )  # fmt: skip


def smooth_errors(residual: Array) -> Array:
    """Smooth calibration error of each row of residual sums on the grid, (row, grid point).

    At width w it is the integral of the kernel-smoothed residual's size; the width is where both are equal. Smoothing more
    never makes it larger, so that width is found by bisection.
    """
    kernels, count = _kernels(), len(WIDTHS)
    below, above = (
        np.full(len(residual), -1),
        np.full(len(residual), count),
    )  # numbers of widths: error above it, and not
    size = np.zeros(len(residual))  # at `above`
    for _ in range(math.ceil(math.log2(count + 1))):
        middle = (below + above) // 2
        for k in np.unique(middle[above - below > 1]):
            here = np.flatnonzero((middle == k) & (above - below > 1))
            error = np.abs(residual[here] @ kernels[k]).mean(-1)
            over = error > WIDTHS[k]
            below[here[over]] = k
            above[here[~over]], size[here[~over]] = k, error[~over]
    return np.maximum(np.where(below >= 0, WIDTHS[below], 0.0), size)


@lru_cache(maxsize=1)
def _kernels() -> tuple[Array, ...]:
    """Gaussian kernels of every width, reflected at 0 and 1, each row with mean one over the grid."""
    images = np.stack([GRID, -GRID, 2 - GRID])[:, :, None] - GRID
    found = [np.exp(-0.5 * (images / width) ** 2).sum(0) for width in WIDTHS]
    return tuple(kernel / kernel.mean(-1, keepdims=True) for kernel in found)


def _on_grid(said: Array, residual: Array, dataset: IntArray, signs: Array) -> tuple[Array, Array]:
    """Mean residual by grid point: as it is, and with random signs, (row, grid point)."""
    point = np.rint(said * (GRID.size - 1)).astype(np.int64)
    cells = (
        np.bincount(dataset * GRID.size + point, residual, signs.shape[1] * GRID.size) / said.size
    )
    by_dataset = cells.reshape(-1, GRID.size)
    return by_dataset.sum(0, keepdims=True), signs @ by_dataset


def _band(residual: Array, dataset: IntArray, signs: Array, groups: list[IntArray]) -> Array:
    """Half width of the simultaneous band over the groups, from the largest studentised null residual."""
    sums = np.stack(
        [np.bincount(dataset[g], residual[g], signs.shape[1]) / g.size for g in groups], -1
    )
    error = np.sqrt((sums**2).sum(0))
    scaled = np.divide(signs @ sums, error, out=np.zeros((len(signs), error.size)), where=error > 0)
    return np.asarray(np.quantile(np.abs(scaled).max(-1), 0.95, method="higher") * error)


def _corp(said: Array, happened: Array) -> tuple[float, float, float]:
    """Miscalibration, discrimination and uncertainty of the Brier score by isotonic regression, confidences in order."""
    ties = np.unique(said, return_inverse=True)[1]
    size = np.bincount(ties)
    recalibrated = isotonic_regression(np.bincount(ties, happened) / size, weights=size).x[ties]
    rate = happened.mean()
    plain, best, flat = (
        float(((p - happened) ** 2).mean()) for p in (said, recalibrated, np.full(said.shape, rate))
    )
    return plain - best, flat - best, flat


def p_values(covered: tuple[Coverage, ...], found: Reliability | None) -> dict[str, float]:
    """The p-value of every number of this module, by name; not corrected."""
    p = {f"{c.kind} coverage {c.level:.0%}": c.p_value for c in covered}
    return p if found is None else {**p, "reliability": found.p_value}


def replicates(family: int) -> int:
    """Replicates with which one p-value of a family of this size can be rejected by Holm."""
    return max(REPLICATES, resamples(ALPHA, family))


def least(name: str, family: int) -> float:
    """The smallest value that the p-value of that name can have: reliability is resampled, coverage is not."""
    return 1 / (replicates(family) + 1) if name == "reliability" else 0.0

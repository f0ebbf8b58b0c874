"""Total variation distance: the largest difference in the probability of any event,
between 0 and 1.

TV = sum |p - q| / 2. Densities: the line is cut where they cross, and between crossings TV is a
difference of the two distribution functions, so no kink is integrated. Bins: cell by cell over all
C + 2 cells.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from veribayes.predictive import Array, Normal, Predictive
from veribayes.validation.metrics._cells import discrete
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.metrics._quadrature import DENSITIES, grid, log_density

BISECTIONS = (
    30  # a border wrong by 1e-9 of a panel is wrong by 1e-18 in TV: the integrand is zero there
)


def _formula(log_q: Array, log_p: Array) -> Array:
    apart = np.abs(np.exp(log_p) - np.exp(log_q))
    return np.asarray(0.5 * apart.sum(-1))


def _normals(candidate: Normal, reference: Normal) -> Array:
    """Exactly, through the crossings of the two densities in units of the narrower one: t = 0, and
    ratio r >= 1.
    """
    swap = candidate.sd < reference.sd
    narrow = np.where(swap, candidate.sd, reference.sd)
    wide = np.where(swap, reference.sd, candidate.sd)
    shift = np.abs(candidate.mean - reference.mean) / narrow
    ratio = wide / narrow
    low, high = _crossings(shift, ratio)
    of_narrow = ndtr(high) - ndtr(low)
    upper = ndtr((high - shift) / ratio)
    lower = ndtr((low - shift) / ratio)
    return np.asarray(of_narrow - upper + lower)


def _crossings(shift: Array, ratio: Array) -> tuple[Array, Array]:
    """Roots of (r^2 - 1) t^2 + 2 d t - (d^2 + 2 r^2 log r) = 0 without cancellation; minus infinity
    where r = 1.
    """
    a = (ratio - 1) * (ratio + 1)
    log_ratio = np.log(ratio)
    root = np.sqrt(shift**2 + 2 * a * log_ratio)
    pivot = -(shift + ratio * root)
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(a > 0, pivot / a, -np.inf)
        product = -(shift**2 + 2 * ratio**2 * log_ratio)
        high = np.where(pivot < 0, product / pivot, -np.inf)  # equal laws: no crossing
    return low, high


def _densities(candidate: Predictive, reference: Predictive) -> Array:
    """F_q - F_p climbs where q > p and falls elsewhere, so TV is the sum of its maxima less that of
    its minima.
    """
    points = grid([candidate, reference])
    above = _above(candidate, reference, points)
    changes = above[:, :-1] != above[:, 1:]
    row, gap = np.nonzero(changes)
    q = candidate[row]
    p = reference[row]
    low = points[row, gap]
    high = points[row, gap + 1]
    start = above[row, gap]
    crossing = _root(q, p, low, high, start)[:, None]
    peak = (q.cdf(crossing) - p.cdf(crossing))[:, 0]
    signed = np.where(start, peak, -peak)
    return np.asarray(np.bincount(row, signed, minlength=len(points)), dtype=np.float64)


def _root(
    q: Predictive, p: Predictive, low: Array, high: Array, start: npt.NDArray[np.bool_]
) -> Array:
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        above = _above(q, p, middle[:, None])[:, 0]
        same = above == start
        low = np.where(same, middle, low)
        high = np.where(same, high, middle)
    return low


def _above(q: Predictive, p: Predictive, points: Array) -> npt.NDArray[np.bool_]:
    return log_density(q, points) > log_density(p, points)


KERNELS = {
    **discrete(_formula),
    **dict.fromkeys(DENSITIES, _densities),
    ("normal", "normal"): _normals,
}

PART = Metric(
    name="total_variation",
    symbol="TV(exact, candidate)",
    unit="1",
    ideal=0.0,
    needs="categories, or a candidate with a density",
    citation="Levin & Peres, Markov Chains and Mixing Times, ISBN 978-1-4704-2962-1",
    kernels=KERNELS,
)

"""Wasserstein distance of order one, W1 = integral of |F - G|, in the unit of the observation.

Between crossings of the two distribution functions the integral is a difference of primitives of F and G, which have closed
forms; crossings are found by bisection between sorted knots of both laws. Draws are not served: S draws of the exact law itself
are at a distance of about 1.3 sd / sqrt(S), and the divergence `crps` has no such floor.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from veribayes.predictive import (
    LOG_SQRT_2PI,
    Array,
    Bins,
    Normal,
    NormalMixture,
    Predictive,
    Quantiles,
)
from veribayes.tree import IntArray
from veribayes.validation.metrics._cells import probs
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.metrics._quadrature import grid
from veribayes.validation.metrics.kl_density import components

BISECTIONS = 30  # a crossing wrong by 1e-9 of a gap between knots is wrong by 1e-18 in W1: the integrand is zero there
REACH = np.array(
    [0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 5.0, 9.0]
)  # tail scales beyond a border; the mass farther out is 2e-19


def _kernel(candidate: Predictive, reference: Predictive) -> Array:
    points = np.sort(np.concatenate([_knots(candidate), grid([reference])], -1), -1)
    gap = candidate.cdf(points) - reference.cdf(points)
    difference = _primitive(candidate, points) - _primitive(reference, points)
    row, cell = np.nonzero(gap[:, :-1] * gap[:, 1:] < 0)
    crossing = _root(
        candidate[row], reference[row], points[row, cell], points[row, cell + 1], gap[row, cell] > 0
    )
    middle = _primitive(candidate[row], crossing) - _primitive(reference[row], crossing)
    pieces = np.abs(np.diff(difference))
    before, after = middle[:, 0] - difference[row, cell], difference[row, cell + 1] - middle[:, 0]
    pieces[row, cell] = np.abs(before) + np.abs(after)
    return np.asarray(pieces.sum(-1))


def _root(
    q: Predictive, p: Predictive, low: Array, high: Array, above: npt.NDArray[np.bool_]
) -> Array:
    """Where the distribution functions cross, (row, 1)."""
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        same = ((q.cdf(middle[:, None]) > p.cdf(middle[:, None]))[:, 0]) == above
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return low[:, None]


def _knots(law: Predictive) -> Array:
    """Points (row, point) between which the distribution function is simple, and which enclose its mass."""
    if isinstance(law, Bins):
        left, right = np.zeros(2) if law.tail_scale is None else law.tail_scale
        knots = np.concatenate(
            [law.edges[0] - left * REACH, law.edges, law.edges[-1] + right * REACH]
        )
        return np.tile(knots, (*law.shape, 1))
    return law.values if isinstance(law, Quantiles) else grid([law])


def _primitive(law: Predictive, y: Array) -> Array:
    """Integral of the distribution function up to y, (row, point)."""
    if isinstance(law, Bins):
        return _of_bins(law, y)
    if isinstance(law, Quantiles):
        ends = _positive(y - law.values[:, :1]) * law.levels[0] + _positive(
            y - law.values[:, -1:]
        ) * (1 - law.levels[-1])
        return np.asarray(ends + _of_bars(law.values, np.diff(law.levels)[None], y))
    assert isinstance(law, Normal | NormalMixture)
    weights, mean, sd = (part[:, None] for part in components(law))
    z = (y[..., None] - mean) / sd
    return np.asarray((weights * sd * (z * ndtr(z) + np.exp(-0.5 * z * z - LOG_SQRT_2PI))).sum(-1))


def _of_bins(law: Bins, y: Array) -> Array:
    mass, (first, last) = probs(law), law.edges[[0, -1]]
    total = _of_bars(law.edges[None], mass[:, 1:-1], y)
    if law.tail_scale is None:
        return total
    (left, right), below, above = law.tail_scale, np.minimum(y - first, 0.0), _positive(y - last)
    total = total + mass[:, :1] * (2 * left * _ramp(below / left) + _positive(y - first))
    return np.asarray(
        total + mass[:, -1:] * (above - 2 * right * (_ramp(0.0) - _ramp(-above / right)))
    )


def _of_bars(edges: Array, mass: Array, y: Array) -> Array:
    """Sum over uniform bars of mass times E(y - U)+; edges (row or 1, edge), mass (row or 1, bar)."""
    rows = len(y)
    edges, mass = (
        np.broadcast_to(edges, (rows, edges.shape[1])),
        np.broadcast_to(mass, (rows, mass.shape[1])),
    )
    width = np.diff(edges)
    below = np.pad(np.cumsum(mass, -1), ((0, 0), (1, 0)))  # distribution function at the edges
    area = np.pad(np.cumsum(0.5 * (below[:, 1:] + below[:, :-1]) * width, -1), ((0, 0), (1, 0)))
    cell = np.clip(_cell(edges, y), 0, mass.shape[1] - 1)
    start, size, slope, under, so_far = (
        np.take_along_axis(a, cell, -1) for a in (edges, width, mass, below, area)
    )
    step = np.clip(y - start, 0.0, size)
    share = np.divide(step, size, out=np.zeros(step.shape), where=size > 0)
    inside = so_far + under * step + 0.5 * slope * share * step
    return np.asarray(inside + _positive(y - edges[:, -1:]) * below[:, -1:])


def _cell(edges: Array, y: Array) -> IntArray:
    """Number of the last edge at or below each point, (row, point)."""
    if edges.strides[0] == 0:  # one set of edges for all rows
        return np.asarray(np.searchsorted(edges[0], y, side="right") - 1, dtype=np.int64)
    return np.asarray((y[..., None] >= edges[:, None]).sum(-1) - 1, dtype=np.int64)


def _ramp(z: Array | float) -> Array:
    """Integral of Phi up to z."""
    z = np.asarray(z, dtype=np.float64)
    return np.asarray(z * ndtr(z) + np.exp(-0.5 * z * z - LOG_SQRT_2PI))


def _positive(x: Array) -> Array:
    return np.maximum(x, 0.0)


PART = Metric(
    name="wasserstein",
    symbol="W1 = ∫|F - G|",
    unit="observation",
    ideal=0.0,
    needs="an ordered candidate other than draws, and a normal or mixture reference",
    citation="Vallender 1974, doi:10.1137/1118101",
    kernels={
        (c, r): _kernel
        for c in ("normal", "mixture", "bins", "quantiles")
        for r in ("normal", "mixture")
    },
)

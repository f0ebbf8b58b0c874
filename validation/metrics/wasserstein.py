"""Wasserstein distance of order one, W1 = integral of |F - G|, in the unit of the observation.

Between crossings of the two distribution functions the integral is a difference of primitives of F
and G, which have closed forms; crossings are found by bisection between sorted knots of both laws.
Draws are not served: S draws of the exact law itself are at a distance of about 1.3 sd / sqrt(S),
and the divergence `crps` has no such floor.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from veribayes.predictive import (
    Array,
    Bins,
    Normal,
    NormalMixture,
    Predictive,
    Quantiles,
)
from veribayes.tree import IntArray
from veribayes.validation.metrics._cells import probs
from veribayes.validation.metrics._metric import Metric, normal_density
from veribayes.validation.metrics._quadrature import grid, in_blocks
from veribayes.validation.metrics.kl_density import components

# a crossing wrong by 1e-9 of a gap between knots is wrong by 1e-18 in W1: the integrand is zero
# there
BISECTIONS = 30
# tail scales beyond a border; the mass farther out is 2e-19
REACH = np.array([0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 5.0, 9.0])


def _kernel(candidate: Predictive, reference: Predictive) -> Array:
    knots = np.concatenate([_knots(candidate), grid([reference])], -1)
    points = np.sort(knots, -1)
    gap, difference = (
        one - other
        for one, other in zip(_both(candidate, points), _both(reference, points), strict=True)
    )
    pieces = np.abs(np.diff(difference))
    crosses = gap[:, :-1] * gap[:, 1:] < 0
    row, cell = np.nonzero(crosses)
    q = candidate[row]
    p = reference[row]
    low = points[row, cell]
    high = points[row, cell + 1]
    crossing = _root(q, p, low, high, gap[row, cell] > 0)
    middle = _primitive(q, crossing) - _primitive(p, crossing)
    before = middle[:, 0] - difference[row, cell]
    after = difference[row, cell + 1] - middle[:, 0]
    pieces[row, cell] = np.abs(before) + np.abs(after)
    return np.asarray(pieces.sum(-1))


def _root(
    q: Predictive, p: Predictive, low: Array, high: Array, above: npt.NDArray[np.bool_]
) -> Array:
    """Where the distribution functions cross, (row, 1)."""
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        column = middle[:, None]
        higher = q.cdf(column) > p.cdf(column)
        same = higher[:, 0] == above
        low = np.where(same, middle, low)
        high = np.where(same, high, middle)
    return low[:, None]


def _knots(law: Predictive) -> Array:
    """Points (row, point) between which the distribution function is simple, and which enclose its
    mass.
    """
    if isinstance(law, Quantiles):
        return law.values
    if not isinstance(law, Bins):
        return grid([law])
    left, right = np.zeros(2) if law.tail_scale is None else law.tail_scale
    below = law.edges[0] - left * REACH
    above = law.edges[-1] + right * REACH
    knots = np.concatenate([below, law.edges, above])
    return np.tile(knots, (*law.shape, 1))


def _both(law: Predictive, y: Array) -> tuple[Array, Array]:
    """The distribution function and its integral up to y, (row, point) each."""
    if isinstance(law, Bins | Quantiles):
        return law.cdf(y), _primitive(law, y)
    read = in_blocks(_normals_both, law, y)
    return read[..., 0], read[..., 1]


def _primitive(law: Predictive, y: Array) -> Array:
    """Integral of the distribution function up to y, (row, point)."""
    if isinstance(law, Bins):
        return _of_bins(law, y)
    if isinstance(law, Quantiles):
        return _of_quantiles(law, y)
    return in_blocks(_normals_both, law, y)[..., 1]


def _normals_both(law: Predictive, y: Array) -> Array:
    """Distribution function and its integral of a normal or a mixture, (row, point, 2)."""
    assert isinstance(law, Normal | NormalMixture)
    weights, mean, sd = (part[:, None] for part in components(law))
    z = (y[..., None] - mean) / sd
    below = ndtr(z)
    ramps = sd * (z * below + normal_density(z))
    return np.stack([(weights * below).sum(-1), (weights * ramps).sum(-1)], -1)


def _of_quantiles(law: Quantiles, y: Array) -> Array:
    above = _positive(y - law.values[:, :1])
    first = above * law.levels[0]
    beyond = _positive(y - law.values[:, -1:])
    last = beyond * (1 - law.levels[-1])
    between = _of_bars(law.values, np.diff(law.levels)[None], y)
    return np.asarray(first + last + between)


def _of_bins(law: Bins, y: Array) -> Array:
    mass = probs(law)
    first, last = law.edges[[0, -1]]
    bars = _of_bars(law.edges[None], mass[:, 1:-1], y)
    if law.tail_scale is None:
        return bars
    left, right = law.tail_scale
    below = np.minimum(y - first, 0.0)
    above = _positive(y - last)
    tail = 2 * left * _ramp(below / left)
    lower = tail + _positive(y - first)
    inside = _ramp(0.0) - _ramp(-above / right)
    upper = above - 2 * right * inside
    with_lower = bars + mass[:, :1] * lower
    return np.asarray(with_lower + mass[:, -1:] * upper)


def _of_bars(edges: Array, mass: Array, y: Array) -> Array:
    """Sum over uniform bars of mass times E(y - U)+; edges (row or 1, edge), mass (row or
    1, bar).
    """
    rows = len(y)
    edges = np.broadcast_to(edges, (rows, edges.shape[1]))
    mass = np.broadcast_to(mass, (rows, mass.shape[1]))
    width = np.diff(edges)
    below = _from_zero(mass)  # distribution function at the edges
    sums = below[:, 1:] + below[:, :-1]
    area = _from_zero(0.5 * sums * width)
    cell = np.clip(_cell(edges, y), 0, mass.shape[1] - 1)
    columns = (edges, width, mass, below, area)
    start, size, slope, under, so_far = (np.take_along_axis(c, cell, -1) for c in columns)
    step = np.clip(y - start, 0.0, size)
    share = np.divide(step, size, out=np.zeros(step.shape), where=size > 0)
    inside = so_far + under * step + 0.5 * slope * share * step
    above = _positive(y - edges[:, -1:])
    beyond = above * below[:, -1:]
    return np.asarray(inside + beyond)


def _from_zero(terms: Array) -> Array:
    """Cumulative sums along the last axis, with nothing in front."""
    return np.pad(np.cumsum(terms, -1), ((0, 0), (1, 0)))


def _cell(edges: Array, y: Array) -> IntArray:
    """Number of the last edge at or below each point, (row, point)."""
    if edges.strides[0] == 0:  # one set of edges for all rows
        right = np.searchsorted(edges[0], y, side="right")
        return np.asarray(right - 1, dtype=np.int64)
    below = y[..., None] >= edges[:, None]
    return np.asarray(below.sum(-1) - 1, dtype=np.int64)


def _ramp(z: Array | float) -> Array:
    """Integral of Phi up to z."""
    z = np.asarray(z, dtype=np.float64)
    density = normal_density(z)
    return np.asarray(z * ndtr(z) + density)


def _positive(x: Array) -> Array:
    return np.maximum(x, 0.0)


FORMS = ("normal", "mixture", "bins", "quantiles")

PART = Metric(
    name="wasserstein",
    symbol="W1 = ∫|F - G|",
    unit="observation",
    ideal=0.0,
    needs="an ordered candidate other than draws, and a normal or mixture reference",
    citation="Vallender 1974, doi:10.1137/1118101",
    kernels={(form, law): _kernel for form in FORMS for law in ("normal", "mixture")},
)

"""Kullback-Leibler divergence between densities, in nats: the primary endpoint of bins.

For bins, KL(p || q) = sum over cells of P log(P / q), which `kl` reports, plus the price of the
bins, sum P KL(p given the cell || uniform or half-normal): about h^2 / (24 s^2) for bins of width h
and a normal of standard deviation s. Both are exact here, by truncated moments. A candidate without
tails is compared with the reference given that y lies between its borders, and minus the logarithm
of the exact mass between them, A, is added: that it says nothing of the rest costs 1 - A nats for a
small rest. Every other form has no price: equal to `kl`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp, ndtr

from veribayes.predictive import LOG_SQRT_2PI, Array, Bins, Normal, NormalMixture
from veribayes.validation.metrics import kl
from veribayes.validation.metrics._cells import (
    BINNED,
    conditioned,
    held,
    log,
    log_masses,
    log_probs,
)
from veribayes.validation.metrics._metric import Metric, normal_density
from veribayes.validation.metrics._quadrature import integrate

Law = Normal | NormalMixture | Bins


def _bins(candidate: Bins, reference: Law) -> Array:
    """E[log p] - E[log q], the expectation over the part of the line where the candidate speaks;
    and what it leaves out.
    """
    masses = log_masses(reference, candidate)
    log_mass = conditioned(masses, candidate)
    mass = np.exp(log_mass)
    log_q = held(candidate, log_probs(candidate), log_mass)
    with np.errstate(invalid="ignore"):
        terms = mass * (log_q + _log_height(candidate))
    cross = np.where(mass > 0, terms, 0.0).sum(-1)
    if candidate.tail_scale is None:
        inside = logsumexp(masses[..., 1:-1], axis=-1)
        borders = candidate.edges[[0, -1]]
        return np.asarray(_truncated(reference, borders, inside) - 2 * inside - cross)
    beyond = 0.5 * _tail_moment(candidate, reference)
    return np.asarray(_negative_entropy(reference) - cross + beyond)


def _log_height(candidate: Bins) -> Array:
    """Log density of each cell's shape at its highest point."""
    scale = np.ones(2) if candidate.tail_scale is None else candidate.tail_scale
    tails = log(2 / scale) - LOG_SQRT_2PI
    bars = -log(np.diff(candidate.edges))
    return np.concatenate([tails[:1], bars, tails[1:]])


def _negative_entropy(reference: Law) -> Array:
    if isinstance(reference, Normal):
        return -log(reference.sd) - LOG_SQRT_2PI - 0.5
    if isinstance(reference, Bins):
        return _bars_entropy(reference, -np.inf, np.inf)
    return integrate(_p_log_p, [reference])


def _bars_entropy(law: Bins, low: float, high: float) -> Array:
    """Integral of p log p of bins between two borders, (row,)."""
    starts, stops = law.cells
    a = np.clip(starts, low, high)
    b = np.clip(stops, low, high)
    between = (b > a).nonzero()[0]
    ends = np.stack([a, b], -1).ravel()
    cumulative = law.cdf(np.tile(ends, (*law.shape, 1)))
    below = cumulative.reshape(*law.shape, -1, 2)
    mass = (below[..., 1] - below[..., 0])[..., between]
    heights = _log_height(law)
    shapes = heights if law.tail_scale is not None else heights[1:-1]
    height = (log(law.probs) + shapes)[..., between]
    with np.errstate(invalid="ignore"):
        terms = mass * height
    empty = np.isneginf(height)  # the mass of an empty cell is rounding
    whole = np.where(empty, 0.0, terms).sum(-1)
    if law.tail_scale is None:
        return np.asarray(whole)
    return np.asarray(whole - 0.5 * _half_normal_squares(law, low, high))


def _half_normal_squares(law: Bins, low: float, high: float) -> Array:
    """Integral of p z^2 over both half-normal tails between the borders, z in tail scales from the
    outermost edge.
    """
    assert law.tail_scale is not None
    first = law.edges[0]
    last = law.edges[-1]
    ends = ((first - low, first - high), (high - last, low - last))  # far and near, as distances
    masses = (law.probs[..., 0], law.probs[..., -1])
    total = np.zeros(law.shape)
    for (far, near), scale, mass in zip(ends, law.tail_scale, masses, strict=True):
        z_far = max(far, 0.0) / scale
        z_near = max(near, 0.0) / scale
        total += mass * 2 * (_second_moment(z_near) - _second_moment(z_far))
    return total


def _second_moment(z: float) -> float:
    """E[Z^2; Z > z] of a standard normal."""
    inner = z * _density(z) if np.isfinite(z) else 0.0
    return float(ndtr(-z) + inner)


def _density(z: float) -> Any:
    """Of a standard normal."""
    return normal_density(z)


def _truncated(reference: Law, borders: Array, log_inside: Array) -> Array:
    """E[log p(y) given that y lies between the borders]."""
    low = float(borders[0])
    high = float(borders[1])
    if isinstance(reference, Bins):
        return _bars_entropy(reference, low, high) / np.exp(log_inside)
    if isinstance(reference, NormalMixture):
        return integrate(_p_log_p, [reference], (low, high)) / np.exp(log_inside)
    z = (borders - reference.mean[:, None]) / reference.sd[:, None]
    log_density = -0.5 * z * z - LOG_SQRT_2PI - log_inside[:, None]
    ends = z * np.exp(log_density)
    squares = 1 - ends[:, 1] + ends[:, 0]
    return np.asarray(-log(reference.sd) - LOG_SQRT_2PI - 0.5 * squares)


def _tail_moment(candidate: Bins, reference: Law) -> Array:
    """Sum over both tails of E[((y - border) / tail scale)^2; y in the tail]."""
    assert candidate.tail_scale is not None
    if isinstance(reference, Bins):
        return _bars_tail_moment(candidate, reference)
    weights, mean, sd = (part[..., None] for part in components(reference))
    first = candidate.edges[0]
    last = candidate.edges[-1]
    centre = mean[..., 0]
    gaps = np.stack([centre - first, last - centre], -1)
    beyond = gaps / sd
    density = np.exp(-0.5 * beyond**2 - LOG_SQRT_2PI)
    second = (1 + beyond**2) * ndtr(-beyond) - beyond * density
    terms = weights * (sd / candidate.tail_scale) ** 2 * second
    return np.asarray(terms.sum((-2, -1)))


def _bars_tail_moment(candidate: Bins, reference: Bins) -> Array:
    """The same for a reference that is bins: their bars and their half-normals beyond each border
    of the candidate.
    """
    assert candidate.tail_scale is not None
    left, right = candidate.tail_scale
    lower = _squares_beyond(reference, -1, float(candidate.edges[0])) / left**2
    upper = _squares_beyond(reference, 1, float(candidate.edges[-1])) / right**2
    return np.asarray(lower + upper)


def _squares_beyond(law: Bins, side: int, border: float) -> Array:
    """E[(y - border)^2; y beyond the border] under bins, (row,); side 1: above it, -1: below it."""
    edges = np.sort(side * law.edges)  # of the law mirrored where the side is the lower one
    start = side * border
    bars = law.probs if law.tail_scale is None else law.probs[..., 1:-1]
    bars = bars if side > 0 else bars[..., ::-1]
    u = np.maximum(edges[:-1], start) - start
    v = np.maximum(edges[1:], start) - start
    cubes = v**3 - u**3
    total = bars @ (cubes / (3 * np.diff(edges)))
    if law.tail_scale is None:
        return np.asarray(total)
    lower_scale, upper_scale = law.tail_scale[::side]
    lower, upper = law.probs[..., [0, -1][::side]].T
    first = float(edges[0]) - start
    last = float(edges[-1]) - start
    total = total + upper * _squares_of_tail(last, float(upper_scale))
    return np.asarray(total + lower * _squares_of_end(first, float(lower_scale)))


def _squares_of_tail(d: float, s: float) -> float:
    """E[(d + s |Z|)^2; d + s |Z| > 0]: a half-normal that starts at a distance d above the
    border.
    """
    z = max(-d / s, 0.0)
    second = s * s * _second_moment(z)
    first = 2 * s * d * float(_density(z))
    return 2 * (second + first + d * d * float(ndtr(-z)))


def _squares_of_end(d: float, s: float) -> float:
    """E[(d - s |Z|)^2; d - s |Z| > 0]: the part above the border of a half-normal that goes down
    from a distance d above it.
    """
    if d <= 0:
        return 0.0
    z = d / s
    first = float(np.exp(-LOG_SQRT_2PI) - _density(z))  # E[Z; 0 < Z < z]
    mass = d * d * float(ndtr(z) - 0.5)
    second = s * s * (0.5 - _second_moment(z))
    return 2 * (mass - 2 * d * s * first + second)


def components(law: Normal | NormalMixture) -> tuple[Array, Array, Array]:
    """Weights, means and standard deviations, (row, component) each; a normal has one component."""
    if isinstance(law, NormalMixture):
        return law.weights, law.mean, law.sd
    whole = np.ones((*law.shape, 1))
    return whole, law.mean[..., None], law.sd[..., None]


def _p_log_p(log_p: Array) -> Array:
    return np.exp(log_p) * log_p


UNPRICED = {pair: kernel for pair, kernel in kl.PART.kernels.items() if pair[0] != "bins"}

PART = Metric(
    name="kl_density",
    symbol="KL(exact‖candidate), densities",
    unit="nats",
    ideal=0.0,
    needs="categories, or a candidate with a density",
    citation="Kullback & Leibler 1951, doi:10.1214/aoms/1177729694",
    kernels={**UNPRICED, **dict.fromkeys(BINNED, _bins)},
)

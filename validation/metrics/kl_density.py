"""Kullback-Leibler divergence between densities, in nats: the primary endpoint of bins.

For bins, KL(p || q) = sum over cells of P log(P / q), which `kl` reports, plus the price of the bins,
sum P KL(p given the cell || uniform or half-normal): about h^2 / (24 s^2) for bins of width h and a normal of standard
deviation s. Both are exact here, by truncated moments. A candidate without tails is compared with the reference given
that y lies between its borders, and minus the logarithm of the exact mass between them, A, is added: that it says
nothing of the rest costs 1 - A nats for a small rest. Every other form has no price: equal to `kl`.
"""

from __future__ import annotations

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
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.metrics._quadrature import integrate

Law = Normal | NormalMixture | Bins


def _bins(candidate: Bins, reference: Law) -> Array:
    """E[log p] - E[log q], the expectation over the part of the line where the candidate speaks; and what it leaves out."""
    masses = log_masses(reference, candidate)
    log_mass = conditioned(masses, candidate)
    mass, log_q = np.exp(log_mass), held(candidate, log_probs(candidate), log_mass)
    with np.errstate(invalid="ignore"):
        cross = np.where(mass > 0, mass * (log_q + _log_height(candidate)), 0.0).sum(-1)
    if candidate.tail_scale is None:
        inside = logsumexp(masses[..., 1:-1], axis=-1)
        return np.asarray(
            _truncated(reference, candidate.edges[[0, -1]], inside) - 2 * inside - cross
        )
    return np.asarray(
        _negative_entropy(reference) - cross + 0.5 * _tail_moment(candidate, reference)
    )


def _log_height(candidate: Bins) -> Array:
    """Log density of each cell's shape at its highest point."""
    scale = np.ones(2) if candidate.tail_scale is None else candidate.tail_scale
    tails = log(2 / scale) - LOG_SQRT_2PI
    return np.concatenate([tails[:1], -log(np.diff(candidate.edges)), tails[1:]])


def _negative_entropy(reference: Law) -> Array:
    if isinstance(reference, Normal):
        return -log(reference.sd) - LOG_SQRT_2PI - 0.5
    if isinstance(reference, Bins):
        return _bars_entropy(reference, -np.inf, np.inf)
    return integrate(_p_log_p, [reference])


def _bars_entropy(law: Bins, low: float, high: float) -> Array:
    """Integral of p log p of bins between two borders, (row,)."""
    starts, stops = law.cells
    a, b = np.clip(starts, low, high), np.clip(stops, low, high)
    between = (b > a).nonzero()[0]
    below = law.cdf(np.tile(np.stack([a, b], -1).ravel(), (*law.shape, 1))).reshape(
        *law.shape, -1, 2
    )
    mass = (below[..., 1] - below[..., 0])[..., between]
    tails = law.tail_scale is not None
    height = log(law.probs) + (_log_height(law) if tails else _log_height(law)[1:-1])
    height = height[..., between]
    with np.errstate(invalid="ignore"):
        terms = mass * height
    whole = np.where(np.isneginf(height), 0.0, terms).sum(
        -1
    )  # the mass of an empty cell is rounding
    if law.tail_scale is None:
        return np.asarray(whole)
    return np.asarray(whole - 0.5 * _half_normal_squares(law, low, high))


def _half_normal_squares(law: Bins, low: float, high: float) -> Array:
    """Integral of p z^2 over both half-normal tails between the borders, z in tail scales from the outermost edge."""
    assert law.tail_scale is not None
    first, last = law.edges[0], law.edges[-1]
    ends = ((first - low, first - high), (high - last, low - last))  # far and near, as distances
    total = np.zeros(law.shape)
    for (far, near), scale, mass in zip(
        ends, law.tail_scale, (law.probs[..., 0], law.probs[..., -1]), strict=True
    ):
        z_far, z_near = max(far, 0.0) / scale, max(near, 0.0) / scale
        total += mass * 2 * (_second_moment(z_near) - _second_moment(z_far))
    return total


def _second_moment(z: float) -> float:
    """E[Z^2; Z > z] of a standard normal."""
    return float(ndtr(-z) + (z * np.exp(-0.5 * z * z - LOG_SQRT_2PI) if np.isfinite(z) else 0.0))


def _truncated(reference: Law, borders: Array, log_inside: Array) -> Array:
    """E[log p(y) given that y lies between the borders]."""
    if isinstance(reference, Bins):
        return _bars_entropy(reference, float(borders[0]), float(borders[1])) / np.exp(log_inside)
    if isinstance(reference, NormalMixture):
        return integrate(_p_log_p, [reference], (float(borders[0]), float(borders[1]))) / np.exp(
            log_inside
        )
    z = (borders - reference.mean[:, None]) / reference.sd[:, None]
    ends = z * np.exp(-0.5 * z * z - LOG_SQRT_2PI - log_inside[:, None])
    return np.asarray(-log(reference.sd) - LOG_SQRT_2PI - 0.5 * (1 - ends[:, 1] + ends[:, 0]))


def _tail_moment(candidate: Bins, reference: Law) -> Array:
    """Sum over both tails of E[((y - border) / tail scale)^2; y in the tail]."""
    assert candidate.tail_scale is not None
    if isinstance(reference, Bins):
        return _bars_tail_moment(candidate, reference)
    weights, mean, sd = components(reference)
    beyond = np.stack([mean - candidate.edges[0], candidate.edges[-1] - mean], -1) / sd[..., None]
    second = (1 + beyond**2) * ndtr(-beyond) - beyond * np.exp(-0.5 * beyond**2 - LOG_SQRT_2PI)
    return np.asarray(
        (weights[..., None] * (sd[..., None] / candidate.tail_scale) ** 2 * second).sum((-2, -1))
    )


def _bars_tail_moment(candidate: Bins, reference: Bins) -> Array:
    """The same for a reference that is bins: their bars and their half-normals beyond each border of the candidate."""
    assert candidate.tail_scale is not None
    lower = _squares_beyond(reference, -1, float(candidate.edges[0])) / candidate.tail_scale[0] ** 2
    return np.asarray(
        lower
        + _squares_beyond(reference, 1, float(candidate.edges[-1])) / candidate.tail_scale[1] ** 2
    )


def _squares_beyond(law: Bins, side: int, border: float) -> Array:
    """E[(y - border)^2; y beyond the border] under bins, (row,); side 1: above it, -1: below it."""
    edges = np.sort(side * law.edges)  # of the law mirrored where the side is the lower one
    bars = law.probs if law.tail_scale is None else law.probs[..., 1:-1]
    bars = bars if side > 0 else bars[..., ::-1]
    a, b = np.maximum(edges[:-1], side * border), np.maximum(edges[1:], side * border)
    u, v = a - side * border, b - side * border
    total = bars @ ((v**3 - u**3) / (3 * np.diff(edges)))
    if law.tail_scale is None:
        return np.asarray(total)
    tails = [
        (float(scale), law.probs[..., cell])
        for scale, cell in zip(law.tail_scale, (0, -1), strict=True)
    ]
    (lower_scale, lower), (upper_scale, upper) = tails if side > 0 else tails[::-1]
    total = total + upper * _squares_of_tail(float(edges[-1]) - side * border, upper_scale)
    return np.asarray(total + lower * _squares_of_end(float(edges[0]) - side * border, lower_scale))


def _squares_of_tail(d: float, s: float) -> float:
    """E[(d + s |Z|)^2; d + s |Z| > 0]: a half-normal that starts at a distance d above the border."""
    z = max(-d / s, 0.0)
    return 2 * (
        s * s * _second_moment(z)
        + 2 * s * d * float(np.exp(-0.5 * z * z - LOG_SQRT_2PI))
        + d * d * float(ndtr(-z))
    )


def _squares_of_end(d: float, s: float) -> float:
    """E[(d - s |Z|)^2; d - s |Z| > 0]: the part above the border of a half-normal that goes down from a distance d above it."""
    if d <= 0:
        return 0.0
    z = d / s
    first = float(np.exp(-LOG_SQRT_2PI) - np.exp(-0.5 * z * z - LOG_SQRT_2PI))  # E[Z; 0 < Z < z]
    return 2 * (
        d * d * float(ndtr(z) - 0.5) - 2 * d * s * first + s * s * (0.5 - _second_moment(z))
    )


def components(law: Normal | NormalMixture) -> tuple[Array, Array, Array]:
    """Weights, means and standard deviations, (row, component) each; a normal has one component."""
    if isinstance(law, NormalMixture):
        return law.weights, law.mean, law.sd
    return np.ones((*law.shape, 1)), law.mean[..., None], law.sd[..., None]


def _p_log_p(log_p: Array) -> Array:
    return np.exp(log_p) * log_p


PART = Metric(
    name="kl_density",
    symbol="KL(exact‖candidate), densities",
    unit="nats",
    ideal=0.0,
    needs="categories, or a candidate with a density",
    citation="Kullback & Leibler 1951, doi:10.1214/aoms/1177729694",
    kernels={k: v for k, v in kl.PART.kernels.items() if k[0] != "bins"}
    | dict.fromkeys(BINNED, _bins),
)

"""CRPS divergence: integral of (F - G)^2, in the unit of the observation;
the primary endpoint of draws of real values.

It equals E|X - Y| - E|X - X'| / 2 - E|Y - Y'| / 2 (candidate X, reference Y), and each term has a
closed form: for normals and mixtures by E|N(d, s^2)|, for bins by the second integral of it, with
Owen's T function in the half-normal tails. Draws that were asked for twice are scored by integral
of (F1 - G)(F2 - G): unbiased if the two answers are independent, whatever happens inside one, and
the plain divergence if they are equal. One answer alone has the fair estimator (pairs of different
draws only), which assumes that draws are independent. Both may be negative. Quantiles are read as
their form says: linear between levels, an atom at either end. Mixtures of more than 160 components
are integrated numerically.
"""

from __future__ import annotations

import numpy as np
from scipy.special import erf, ndtr, owens_t

from veribayes.predictive import (
    LOG_SQRT_2PI,
    Array,
    Bins,
    Draws,
    Normal,
    NormalMixture,
    Predictive,
    Quantiles,
)
from veribayes.validation.metrics._cells import probs
from veribayes.validation.metrics._metric import Metric, normal_density, slices
from veribayes.validation.metrics._quadrature import DENSITIES, distribution, integrate
from veribayes.validation.metrics.kl_density import components

MANY = 160  # components from which quadrature at some 400 points is cheaper than all pairs
# bin width / sd under which the midpoint rule is exact to 1e-15 sd, and a difference of integrals
# is not
NARROW = 1e-3
BLOCK = 1 << 16  # pairs held at once
HALF_NORMAL_MEAN = float(np.sqrt(2 / np.pi))


def _densities(candidate: Normal | NormalMixture, reference: Normal | NormalMixture) -> Array:
    sizes = [components(law)[0].shape[-1] for law in (candidate, reference)]
    if max(sizes) > MANY:
        return _integrated(candidate, reference)
    distance = _pairs(candidate, reference)
    own = _pairs(candidate, candidate)
    exact = _pairs(reference, reference)
    return distance - 0.5 * own - 0.5 * exact


def _draws(candidate: Draws, reference: Normal | NormalMixture) -> Array:
    distance = _to_reference(candidate.draws, reference)
    spread = fair_spread(candidate.draws)
    if candidate.again is not None:
        second = _to_reference(candidate.again, reference)
        distance = 0.5 * (distance + second)
        spread = gap(candidate.draws, candidate.again)
    return np.asarray(distance - 0.5 * spread - 0.5 * _spread(reference))


def _to_reference(draws: Array, reference: Normal | NormalMixture) -> Array:
    """E|X - Y|, X one of the draws."""
    weights, mean, sd = components(reference)
    distances = _absolute(draws[..., None] - mean[:, None], sd[:, None])
    terms = weights * distances.mean(1)
    return np.asarray(terms.sum(-1))


def _bins(candidate: Bins, reference: Normal | NormalMixture) -> Array:
    mass = probs(candidate)
    edges = candidate.edges[None]
    distance = _bars_to_normals(edges, mass[:, 1:-1], reference)
    spread = _bars_spread(edges, np.cumsum(mass, -1)[:, :-1])
    if candidate.tail_scale is not None:
        tails = mass[:, [0, -1]]
        from_tails = tails * _tails_to_normals(candidate, reference)
        distance = distance + from_tails.sum(-1)
        spread = spread + _tails_spread(tails, candidate.tail_scale)
    return np.asarray(distance - 0.5 * spread - 0.5 * _spread(reference))


def _quantiles(candidate: Quantiles, reference: Normal | NormalMixture) -> Array:
    weights, mean, sd = components(reference)
    ends = candidate.values[:, [0, -1]]
    distances = _absolute(ends[..., None] - mean[:, None], sd[:, None])
    atoms = distances @ weights[..., None]
    outside = np.array([candidate.levels[0], 1 - candidate.levels[-1]])
    steps = np.diff(candidate.levels)[None]
    distance = atoms[..., 0] @ outside
    distance = distance + _bars_to_normals(candidate.values, steps, reference)
    spread = _bars_spread(candidate.values, candidate.levels[None])
    return np.asarray(distance - 0.5 * spread - 0.5 * _spread(reference))


def _absolute(d: Array, s: Array) -> Array:
    """E|N(d, s^2)| = d erf(d / (s sqrt 2)) + 2 s phi(d / s)."""
    z = d / s
    inside = d * erf(z * np.sqrt(0.5))
    return np.asarray(inside + 2 * s * normal_density(z))


def _pairs(one: Normal | NormalMixture, other: Normal | NormalMixture) -> Array:
    """E|X - Y| of two independent mixtures."""
    left = components(one)
    right = components(other)
    pairs = left[0].shape[-1] * right[0].shape[-1]
    result = np.empty(len(left[0]))
    for rows in slices(len(result), max(1, BLOCK // pairs)):
        u, m, s = (part[rows, :, None] for part in left)
        v, n, t = (part[rows, None, :] for part in right)
        distance = _absolute(m - n, np.hypot(s, t))
        result[rows] = (u * v * distance).sum((-2, -1))
    return result


def _spread(law: Normal | NormalMixture) -> Array:
    """E|Y - Y'|."""
    if isinstance(law, Normal):
        return 2 * law.sd / np.sqrt(np.pi)
    if law.mean.shape[-1] <= MANY:
        return _pairs(law, law)
    return integrate(lambda below: 2 * below * (1 - below), [law], read=distribution)


def _integrated(candidate: Predictive, reference: Predictive) -> Array:
    laws = [candidate, reference]
    return integrate(lambda below, exact: (below - exact) ** 2, laws, read=distribution)


def fair_spread(draws: Array) -> Array:
    """Mean |x - x'| over pairs of different draws, (row, draw) -> (row,)."""
    n = draws.shape[-1]
    centred = draws - draws.mean(-1, keepdims=True)
    return _total(centred) * (2 / (n * (n - 1)))


def gap(draws: Array, others: Array) -> Array:
    """Mean |x - x'| over pairs of one draw from each side, (row, draw) both -> (row,)."""
    centre = draws.mean(-1, keepdims=True)
    one = draws - centre
    other = others - centre
    pooled = np.concatenate([one, other], -1)
    between = _total(pooled) - _total(one) - _total(other)
    number = draws.shape[-1] * others.shape[-1]
    return np.asarray(between / number)


def _total(draws: Array) -> Array:
    """Sum of |x - x'| over all pairs, by order statistics."""
    n = draws.shape[-1]
    weights = 2 * np.arange(1, n + 1) - n - 1.0
    return np.asarray(np.sort(draws, -1) @ weights)


def _bars_to_normals(edges: Array, mass: Array, reference: Normal | NormalMixture) -> Array:
    """Sum over bars of mass times E|U - Y|, U uniform on the bar; edges (row or 1, edge), mass (row
    or 1, bar).
    """
    weights, mean, sd = components(reference)
    z = (edges[:, None] - mean[..., None]) / sd[..., None]  # (row, component, edge)
    width = np.diff(z)
    middle = 0.5 * (z[..., 1:] + z[..., :-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        average = np.diff(_second_integral(z)) / width
    narrow = width < NARROW
    average[narrow] = _average_of_narrow(middle[narrow], width[narrow])
    scale = (weights * sd)[..., None]
    terms = scale * average * mass[:, None]
    return np.asarray(terms.sum((-2, -1)))


def _second_integral(z: Array) -> Array:
    """Antiderivative of E|z - Z|, Z standard normal: (z^2 + 1) Phi(z) + z phi(z) - z^2 / 2."""
    density = normal_density(z)
    below = (z * z + 1) * ndtr(z)
    return np.asarray(below + z * density - 0.5 * z * z)


def _average_of_narrow(z: Array, width: Array) -> Array:
    """Mean of E|z - Z| over a narrow bar around z, by its second-order expansion."""
    density = normal_density(z)
    at_middle = _absolute(z, np.ones_like(z))
    return np.asarray(at_middle + width**2 / 12 * density)


def _bars_spread(edges: Array, cumulative: Array) -> Array:
    """2 integral of F (1 - F) between the outer edges, F linear on each bar."""
    a = cumulative[:, :-1]
    b = cumulative[:, 1:]
    mean_square = (a * a + a * b + b * b) / 3
    terms = np.diff(edges) * ((a + b) / 2 - mean_square)
    return np.asarray(2 * terms.sum(-1))


def _tails_spread(tails: Array, scale: Array) -> Array:
    """2 integral of F (1 - F) over both half-normal tails, F = 2 p Phi there."""
    density = np.exp(-LOG_SQRT_2PI)
    square = 2 * tails**2 * (density - 0.5 / np.sqrt(np.pi))
    terms = 4 * scale * (tails * density - square)
    return np.asarray(terms.sum(-1))


def _tails_to_normals(candidate: Bins, reference: Normal | NormalMixture) -> Array:
    """E|X - Y| of each half-normal tail against the reference, (row, tail); the left one is
    mirrored.
    """
    assert candidate.tail_scale is not None
    weights, mean, sd = components(reference)
    first = candidate.edges[0]
    last = candidate.edges[-1]
    gaps = np.stack([mean - first, last - mean], -1)  # from Y's centre outwards to the border
    distances = _half_normal_gap(gaps, candidate.tail_scale, sd[..., None])
    terms = weights[..., None] * distances
    return np.asarray(terms.sum(-2))


def _half_normal_gap(c: Array, tau: Array, s: Array) -> Array:
    """E|c + tau |Z| - s W|: V = tau |Z| - s W is skew-normal (scale omega, shape alpha), cdf Phi(k)
    - 2 T(k, alpha).
    """
    omega = np.hypot(tau, s)
    alpha = tau / s
    k = -c / omega
    above = ndtr(-k) + 2 * owens_t(k, alpha)
    density = normal_density(k)
    normal = omega * 2 * density * ndtr(alpha * k)
    half_normal = HALF_NORMAL_MEAN * tau * ndtr(-k * np.hypot(1, alpha))
    positive = normal + half_normal + c * above
    return np.asarray(2 * positive - c - HALF_NORMAL_MEAN * tau)


PART = Metric(
    name="crps",
    symbol="∫(F - G)²",
    unit="observation",
    ideal=0.0,
    needs="an ordered candidate, and a normal or mixture reference",
    citation=(
        "Gneiting & Raftery 2007, doi:10.1198/016214506000001437; fair: Ferro 2014, "
        "doi:10.1002/qj.2270"
    ),
    kernels={
        **dict.fromkeys(DENSITIES, _densities),
        **{
            (form, r): kernel
            for form, kernel in (("bins", _bins), ("quantiles", _quantiles), ("draws", _draws))
            for r in ("normal", "mixture")
        },
    },
)

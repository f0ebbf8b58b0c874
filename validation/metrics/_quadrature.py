"""Integrals of two densities on the line by Gauss-Legendre panels between their own quantiles.

Panels are halved, row by row, until two successive answers agree and each law's mass is found; a
row that never gets there is an error, not a number. Both laws must be normal or normal mixtures, so
that the integrand is analytic and falls off beyond the outer quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from veribayes.errors import InputError
from veribayes.predictive import LOG_SQRT_2PI, Array, Normal, NormalMixture, Predictive
from veribayes.validation.metrics._cells import log
from veribayes.validation.metrics._metric import Kernel, log_sum_exp, slices

Integrand = Callable[..., Array]  # what was read off each law at the nodes -> integrand there
Reading = Callable[[Predictive, Array], Array]
NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)
# of a standard normal; the mass beyond 9 is 2e-19
QUANTILES = np.array([-9.0, -5.0, -2.5, 0.0, 2.5, 5.0, 9.0])
# borders from one law: every component of up to 128 has one; a smooth crowd needs few
KNOTS, FEW_KNOTS = 128, 24
HALVINGS = 8
# of the last step; the answer itself is better by far, measured 1e-13
ABSOLUTE, RELATIVE = 1e-9, 1e-9
MASS = 1e-6  # a law whose mass the panels miss by more has features that they have not seen
BLOCK = 1 << 17  # component evaluations held at once: 1 MiB, which stays in cache
DENSITIES = [
    ("normal", "normal"),
    ("normal", "mixture"),
    ("mixture", "normal"),
    ("mixture", "mixture"),
]


def continuous(integrand: Integrand) -> dict[tuple[str, str], Kernel]:
    """Kernels that integrate `integrand(log candidate, log reference)` over the line, for every
    pair of densities.
    """

    def kernel(candidate: Predictive, reference: Predictive) -> Array:
        return integrate(integrand, [candidate, reference])

    return dict.fromkeys(DENSITIES, kernel)


def log_density(law: Predictive, points: Array) -> Array:
    """Log density at (row, point); for mixtures about five times as fast as `log_prob`."""
    if not isinstance(law, NormalMixture):
        return law.log_prob(points)
    return in_blocks(_mixture_log_density, law, points)


def distribution(law: Predictive, points: Array) -> Array:
    """Distribution function at (row, point)."""
    return in_blocks(_cdf, law, points)


def in_blocks(read: Reading, law: Predictive, points: Array) -> Array:
    """`read(law, points)` for as many rows at a time as stay in the processor's cache."""
    terms = points.shape[-1] * _components(law)
    blocks = slices(len(points), max(1, BLOCK // terms))
    parts = [read(law[rows], points[rows]) for rows in blocks]
    return np.concatenate(parts) if parts else read(law, points)


def _mixture_log_density(law: Predictive, points: Array) -> Array:
    assert isinstance(law, NormalMixture)
    z = (points[:, None] - law.mean[..., None]) / law.sd[..., None]
    heights = log(law.weights) - np.log(law.sd) - LOG_SQRT_2PI
    return log_sum_exp(heights[..., None] - 0.5 * z * z)


def _cdf(law: Predictive, points: Array) -> Array:
    return law.cdf(points)


def integrate(
    integrand: Integrand,
    laws: Sequence[Predictive],
    borders: tuple[float, float] = (-np.inf, np.inf),
    read: Reading = log_density,
) -> Array:
    """Integral over the line (or between `borders`) of `integrand(log density of each law)`, one a
    row.

    Args:
        integrand: vanishes, to rounding, beyond nine standard deviations of every component.
        laws: normals and normal mixtures with the same rows.
        borders: range of integration.
        read: what the integrand is given of each law instead of its log density.

    Raises:
        InputError: the panels did not settle after the last halving.
    """
    knots = np.clip(_pooled(laws), *borders)
    masses = [_mass(law, borders) for law in laws] if read is log_density else []
    value = _panels(integrand, laws, knots, read)[0]
    open_rows = np.arange(value.size)
    for _ in range(HALVINGS):
        knots = _halved(knots)
        remaining = [law[open_rows] for law in laws]
        finer, *found = _panels(integrand, remaining, knots, read)
        change = np.abs(finer - value[open_rows])
        settled = change <= ABSOLUTE + RELATIVE * np.abs(finer)
        for mass, wanted in zip(found, masses, strict=False):
            missing = np.abs(mass - wanted[open_rows])
            settled &= missing <= MASS
        value[open_rows] = finer
        open_rows = open_rows[~settled]
        knots = knots[~settled]
        if not open_rows.size:
            return value
    raise InputError(
        f"densities that {knots.shape[-1]} panels resolve",
        f"{open_rows.size} that they do not",
        "a component may be far narrower than the rest; return bins or draws",
    )


def grid(laws: Sequence[Predictive]) -> Array:
    """Sorted quantiles of all laws with three halvings, (row, point): every feature of the
    densities lies between some.
    """
    knots = _pooled(laws)
    for _ in range(3):
        knots = _halved(knots)
    return knots


def _pooled(laws: Sequence[Predictive]) -> Array:
    """Sorted knots of all laws, (row, point)."""
    knots = [_knots(law) for law in laws]
    return np.sort(np.concatenate(knots, -1), -1)


def _panels(integrand: Integrand, laws: Sequence[Predictive], knots: Array, read: Reading) -> Array:
    """Integral, and mass of each law where densities are read, (1 + law, row)."""
    widest = max(_components(law) for law in laws)
    terms = NODES.size * knots.shape[-1] * widest
    blocks = []
    for rows in slices(len(knots), max(1, BLOCK // terms)):
        some = [law[rows] for law in laws]
        blocks.append(_block(integrand, some, knots[rows], read))
    return np.concatenate(blocks, -1)


def _block(integrand: Integrand, laws: Sequence[Predictive], knots: Array, read: Reading) -> Array:
    half = 0.5 * np.diff(knots)[..., None]
    nodes = knots[:, :-1, None] + half * (1 + NODES)
    points = nodes.reshape(len(knots), -1)  # (row, panel and node)
    weights = (half * WEIGHTS).reshape(points.shape)
    readings = [read(law, points) for law in laws]
    masses = [np.exp(reading) for reading in readings] if read is log_density else []
    integrals = [(values * weights).sum(-1) for values in (integrand(*readings), *masses)]
    return np.stack(integrals)


def _mass(law: Predictive, borders: tuple[float, float]) -> Array:
    below = law.cdf(np.tile(borders, (*law.shape, 1)))
    return below[..., 1] - below[..., 0]


def _knots(law: Predictive) -> Array:
    """Quantiles of the components, pooled and thinned to an even sample of their ranks, (row,
    knot).
    """
    if isinstance(law, Normal):
        return law.mean[:, None] + law.sd[:, None] * QUANTILES
    if not isinstance(law, NormalMixture):
        raise InputError("a normal or a normal mixture", f"'{law.form}'")
    quantiles = law.mean[..., None] + law.sd[..., None] * QUANTILES
    pooled = np.sort(quantiles.reshape(len(law.mean), -1), -1)
    size = pooled.shape[-1]
    places = np.linspace(0, size - 1, min(size, _number_of_knots(law, pooled)))
    return pooled[:, places.round().astype(np.int64)]


def _number_of_knots(law: NormalMixture, pooled: Array) -> int:
    """One for each component of a few, fewer if they are so wide that a knot a standard deviation
    of the narrowest one is less.
    """
    if _components(law) > KNOTS or not len(pooled):
        return FEW_KNOTS
    span = pooled[:, -1] - pooled[:, 0]
    widths = float((span / law.sd.min(-1)).max())
    return max(FEW_KNOTS, min(_components(law), math.ceil(widths)))


def _halved(knots: Array) -> Array:
    start = knots[:, :-1]
    middle = 0.5 * (start + knots[:, 1:])
    pairs = np.stack([start, middle], -1).reshape(len(knots), -1)
    return np.concatenate([pairs, knots[:, -1:]], -1)


def _components(law: Predictive) -> int:
    return law.mean.shape[-1] if isinstance(law, NormalMixture) else 1

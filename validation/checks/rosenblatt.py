"""One-sample battery against an exact reference:
the candidate's draws, whitened under it, are standard normal given x.

The reference's Rosenblatt transform (for a Gaussian: whitening) makes z ~ N(0, I), independent over
draws, coordinates and data sets. Every component below has an exact null law then; Holm puts them
together. N = data sets x draws.

    mean i            sqrt(N) mean(z_i) ~ N(0, 1)
    variance i        sum z_i^2 ~ chi2(N)
    radius            Kolmogorov-Smirnov of |z|^2 ~ chi2(d)
    correlation i, j  r sqrt((N - 2) / (1 - r^2)) ~ t(N - 2)
    mean i on x       explained sum of squares of the data sets' means ~ chi2(rank of x)
    scale on x        the same for normal scores of the data sets' sums of |z|^2

The data set is the cluster: x is constant in it, so whatever depends on x is tested on one number a
data set. Draws of a chain are not independent: thin them first.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy import special, stats

from veribayes.errors import InputError, ShapeError
from veribayes.predictive import Array
from veribayes.validation.checks._null import holm
from veribayes.validation.checks._test import Outcome, Test, axes, with_spread
from veribayes.validation.evidence import whitened

COLLINEAR = 1e-9  # relative singular value below which a combination of covariates is no covariate
EXTREME = 8.0  # normal scores end here: beyond, 1 - F has no digits left


def _kernel(z: Array, x: Array, *, seed: int) -> Outcome:
    del seed  # nothing is simulated
    n, draws, d = axes(z, "dataset draw coordinate")
    if axes(x, "dataset covariate")[1] > n - 2:
        raise InputError(f"fewer than {n - 1} covariates for {n} data sets", f"{x.shape[1]}")
    if n * draws < 4:
        raise ShapeError("at least four draws", f"{n * draws}")
    squares = np.einsum("ijk,ijk->ij", z, z)
    basis = _basis(x)
    columns = np.ascontiguousarray(z.reshape(-1, d).T)  # sums run along memory
    p = _margins(columns) | _correlations(columns) | _radius(squares.ravel(), d)
    means = np.sqrt(draws) * z.mean(1)
    for i in range(d):
        p[f"mean {i} on x"] = _explained(means[:, i], basis)
    scales = _normal_scores(squares.sum(1), draws * d)
    p["scale on x"] = _explained(scales, basis)
    adjusted = holm(p)
    smallest = max(min(p.values()), np.finfo(float).tiny)
    return Outcome(-float(np.log(smallest)), min(adjusted.values()), n, adjusted)


def _margins(z: Array) -> dict[str, float]:
    n = z.shape[1]
    sums = np.abs(z.sum(1))
    means = 2 * special.ndtr(-sums / np.sqrt(n))
    total = (z**2).sum(1)
    one_sided = np.minimum(special.chdtr(n, total), special.chdtrc(n, total))
    variances = np.minimum(1.0, 2 * one_sided)
    p = {f"mean {i}": float(v) for i, v in enumerate(means)}
    return p | {f"variance {i}": float(v) for i, v in enumerate(variances)}


def _correlations(z: Array) -> dict[str, float]:
    n = z.shape[1]
    centred = z - z.mean(1, keepdims=True)
    covariance = centred @ centred.T
    # where there is no spread the variance component rejects
    variances = np.maximum(covariance.diagonal(), np.finfo(float).tiny)
    size = np.sqrt(variances)
    r = covariance / size / size[:, None]
    p = {}
    for i, j in combinations(range(len(z)), 2):
        p[f"correlation {i}, {j}"] = _correlation_p(float(r[i, j]), n)
    return p


def _correlation_p(r: float, n: int) -> float:
    rest = max(1 - r * r, np.finfo(float).eps)
    t = -abs(r) * np.sqrt((n - 2) / rest)
    return float(2 * special.stdtr(n - 2, t))


def _radius(squares: Array, d: int) -> dict[str, float]:
    n = squares.size
    u = np.sort(special.chdtr(d, squares))
    i = np.arange(1, n + 1)
    above = i / n - u
    below = u - (i - 1) / n
    distance = max(above.max(), below.max())
    return {"radius": float(stats.kstwo.sf(distance, n))}


def _normal_scores(sums: Array, degrees: int) -> Array:
    """Exactly N(0, 1) for chi2(degrees) sums."""
    lower = special.ndtri(special.chdtr(degrees, sums))
    upper = -special.ndtri(special.chdtrc(degrees, sums))
    scores = np.where(lower < 0, lower, upper)  # each tail from its own end
    return np.clip(scores, -EXTREME, EXTREME)


def _basis(x: Array) -> Array:
    """Orthonormal columns that span the centred covariates, (dataset, rank); collinear ones add
    nothing.
    """
    u, size, _ = np.linalg.svd(with_spread(x, "x"), full_matrices=False)
    apart = size > COLLINEAR * size[0]
    return np.asarray(u[:, apart])


def _explained(values: Array, basis: Array) -> float:
    """p-value of the sum of squares that centred x explains of values that are N(0, 1) under the
    null.
    """
    squares = (basis.T @ values) ** 2
    return float(special.chdtrc(basis.shape[1], squares.sum()))


PART = Test(
    name="rosenblatt",
    needs="z (dataset, draw, d) whitened under the exact reference, x (dataset, covariate)",
    null="the candidate's draws follow the exact posterior, independently given x",
    minimum=20,
    exactness="conservative",
    citation="Rosenblatt 1952, doi:10.1214/aoms/1177729394; Holm 1979, doi:10.2307/4615733",
    kernel=_kernel,
    about="its joint draws are not those of the exact predictive",
    question="joint draws are white under the exact predictive",
    place=2,
    evidence=whitened,
)

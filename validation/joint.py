"""Scores of joint draws: several unknown values at once, where each of them alone may be right.

Draws are (..., draw, coordinate). All estimators are fair: no draw is its own partner, so that they
do not depend on the number of draws and may be negative where both laws are the same. Uncertainty:
one value a data set, `bootstrap.interval`.
"""

from __future__ import annotations

import numpy as np

from veribayes.errors import ShapeError
from veribayes.predictive import Array


def energy_score(draws: Array, outcome: Array) -> Array:
    """E|X - y| - E|X - X'| / 2, in the unit of y; smaller is better, and smallest in expectation
    for the law of y.

    In one dimension it is the CRPS. It sees location and scale better than dependence. Gneiting &
    Raftery 2007, doi:10.1198/016214506000001437; fair: Ferro 2014, doi:10.1002/qj.2270.

    Args:
        draws: (..., draw, coordinate); at least two draws.
        outcome: (..., coordinate).
    """
    _require(draws, outcome[..., None, :])
    distances = np.linalg.norm(draws - outcome[..., None, :], axis=-1)
    return distances.mean(-1) - 0.5 * _fair(draws)


def energy_divergence(draws: Array, reference: Array) -> Array:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, in the unit of y: ideal 0, unbiased, zero only for equal
    laws.

    Székely & Rizzo 2013, doi:10.1016/j.jspi.2013.03.018.
    """
    _require(draws, reference)
    pairs = draws[..., :, None, :] - reference[..., None, :, :]
    across = np.linalg.norm(pairs, axis=-1).mean((-1, -2))
    return np.asarray(2 * across - _fair(draws) - _fair(reference))


def sliced_wasserstein(
    draws: Array, reference: Array, *, directions: int = 64, seed: int = 0
) -> Array:
    """Sliced W2: root mean square over random directions of the W2 distance of projections, in the
    unit of y.

    Both sides need the same number of draws S, and two samples of one law are at a distance of
    order sd / sqrt(S): compare it with that of a second reference sample, never with zero. Bonneel
    et al. 2015, doi:10.1007/s10851-014-0506-3.
    """
    _require(draws, reference)
    if draws.shape != reference.shape:
        raise ShapeError(f"as many reference draws as draws, {draws.shape}", f"{reference.shape}")
    rng = np.random.default_rng(seed)
    axes = rng.standard_normal((draws.shape[-1], directions))
    axes /= np.linalg.norm(axes, axis=0)
    one = np.sort(draws @ axes, axis=-2)
    other = np.sort(reference @ axes, axis=-2)
    squares = (one - other) ** 2
    return np.sqrt(squares.mean((-1, -2)))


def covariance_error(draws: Array, mean: Array, covariance: Array) -> Array:
    """Frobenius norm of the candidate's covariance less the exact one, both in exact standard
    deviations, over d.

    Ideal 0, unit 1. The mean square that S draws of the exact law show is subtracted before the
    root is taken, or zero if it is larger.

    Args:
        draws: (..., draw, coordinate).
        mean, covariance: of the exact law, (..., coordinate) and (..., coordinate, coordinate).
    """
    _require(draws, mean[..., None, :])
    count, d = draws.shape[-2:]
    variances = np.diagonal(covariance, axis1=-2, axis2=-1)
    sd = np.sqrt(variances)
    row = sd[..., None, :]
    column = sd[..., None]
    z = (draws - mean[..., None, :]) / row
    exact = covariance / column / row
    error = (z.mT @ z / count - exact) / d
    correlated = (exact**2).sum((-1, -2)) / d**2
    noise = (1 + correlated) / count  # Isserlis: E of each squared entry is (1 + r^2) / S
    squares = (error**2).sum((-1, -2))
    return np.sqrt(np.maximum(squares - noise, 0.0))


def _require(draws: Array, other: Array) -> None:
    same_rows = draws.shape[:-2] == other.shape[:-2]
    same = same_rows and draws.shape[-1:] == other.shape[-1:]
    if draws.ndim < 2 or draws.shape[-2] < 2 or not same:
        wanted = "at least two draws (..., draw, coordinate), and the same other axes on both sides"
        raise ShapeError(wanted, f"{draws.shape} and {other.shape}")


def _fair(draws: Array) -> Array:
    """Mean distance of two different draws."""
    count = draws.shape[-2]
    pairs = draws[..., :, None, :] - draws[..., None, :, :]
    distances = np.linalg.norm(pairs, axis=-1)
    pairs_of_two = count * (count - 1)
    return np.asarray(distances.sum((-1, -2)) / pairs_of_two)

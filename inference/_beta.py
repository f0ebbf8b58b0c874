"""Beta integrals: over intervals in log space, and Gauss rules for Beta laws.

The literal difference of regularised incomplete beta functions loses every digit where the likelihood peaks outside the
interval (0 successes in 340 trials on [.1, .9] give .1155 instead of .1026, 500 trials give 0/0). Both ends are therefore
measured from the side of the smaller tail, and nothing is divided by the complete beta function.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.special import betaln, roots_jacobi

from veribayes.predictive import Array

MAX_DEGREE = 1_700  # 1.5^1700 = 1e299
TINY = 1e-300  # Lentz's guard against a zero denominator
MAX_TERMS = 10_000  # O(sqrt(a + b)) terms suffice on the smaller tail: 60 at 500 observations


def log_interval(a: Array, b: Array, low: float, high: float) -> tuple[Array, Array]:
    """Log of the integral of t^(a-1) (1-t)^(b-1) over [low, high], and the factor by which differencing grew its rounding.

    Args:
        a, b: positive exponents plus one, same shape.
        low, high: 0 <= low < high <= 1.
    """
    mode = a / (a + b)
    left, right = mode >= high, mode <= low
    x = np.where(left, high, np.where(right, 1 - low, low))
    y = np.where(left, low, np.where(right, 1 - high, 1 - high))
    first = _log_lower(x, np.where(right, b, a), np.where(right, a, b))
    second = _log_lower(y, np.where(left, a, b), np.where(left, b, a))
    inside = ~(left | right)
    whole = np.where(inside, betaln(a, b), first)
    lost = np.exp(second - whole) + np.where(inside, np.exp(first - whole), 0.0)
    return whole + np.log1p(-lost), (1 + lost) / (1 - lost)


def _log_lower(x: Array, a: Array, b: Array) -> Array:
    """Log of the integral over [0, x] for x at or below the mean: x^a (1-x)^b / a over a continued fraction (DLMF 8.17.22)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        front = a * np.log(x) + np.where(x < 1, b * np.log1p(-x), 0.0) - np.log(a)
    return np.where(x > 0, front, -np.inf) - np.log(_fraction(x, a, b))


def _fraction(x: Array, a: Array, b: Array) -> Array:
    """1 + d1/(1 + d2/(1 + ...)) by Lentz's method."""
    value, c, d = np.ones_like(x), np.ones_like(x), np.zeros_like(x)
    for j in range(1, MAX_TERMS):
        k = j // 2
        numerator = k * (b - k) if j % 2 == 0 else -(a + k) * (a + b + k)
        term = numerator * x / ((a + j - 1) * (a + j))
        d = 1 / _away(1 + term * d)
        c = _away(1 + term / c)
        value = value * c * d
        if np.all(np.abs(c * d - 1) < 5e-16):
            break
    return value


def _away(value: Array) -> Array:
    return np.where(np.abs(value) < TINY, TINY, value)


@cache
def beta_rule(nodes: int, a: float, b: float) -> tuple[Array, Array]:
    """Gauss rule of the Beta(a, b) law: exact for polynomials of degree 2 nodes - 1; weights sum to one.

    Golub & Welsch (1969) with weights from eigenvectors, which SciPy's `roots_jacobi` gives with nine digits at a = .1; SciPy's
    for the smallest weights, which eigenvectors give with no digit at b = 20.
    """
    k, p, q = np.arange(nodes, dtype=np.float64), b - 1, a - 1
    s = 2 * k + p + q
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # the first entries are limits of 0/0 for special a + b
        diagonal = (q * q - p * p) / (s * (s + 2))
        square = (4 * k * (k + p) * (k + q) * (k + p + q) / (s * s * (s * s - 1)))[1:]
    diagonal[0] = (q - p) / (p + q + 2)
    square[:1] = 4 * (1 + p) * (1 + q) / ((2 + p + q) ** 2 * (3 + p + q))
    at, vectors = eigh_tridiagonal((1 + diagonal) / 2, np.sqrt(square) / 2)
    weight, small = vectors[0] ** 2, roots_jacobi(nodes, p, q)[1]
    return at, np.where(weight > 1e-12, weight, small / small.sum())


def monomial_errors(
    nodes: int, degree: int, a: float, b: float, later: Array | None = None
) -> Array:
    """Largest relative error of `beta_rule` over all v^c (1 - v)^d with c + d = D, for D up to `degree`, (degree + 1,).

    A polynomial whose coefficients in these monomials are non-negative is integrated with no larger relative error. Computed
    with the rule as rounded, so that its rounding is included.

    Args:
        later: relative errors (node, d) of what (1 - v)^d stands for, a power times an integral by other rules, one a node.
    """
    v, w = beta_rule(nodes, a, b)
    k = np.arange(degree + 1.0)
    powers = (1.5 * np.stack([v, 1 - v])[:, None]) ** k[
        :, None
    ]  # 1.5 keeps all of them inside the range of floats
    up = np.cumprod(np.append(1.0, 1.5 * (a + k[:-1]) / (a + b + k[:-1])))
    rise = 1.5 * (b + k[:-1]) / (a + b + k[:, None] + k[:-1])
    exact = np.cumprod(np.column_stack([up, rise]), axis=1)
    exact[k[:, None] + k > degree] = np.inf  # not asked for
    error = np.abs((w * powers[0]) @ powers[1].T / exact - 1)
    if later is not None:
        error += (w * powers[0]) @ (powers[1] * later.T).T / exact
    return np.array([error[::-1].diagonal(d - degree).max() for d in range(degree + 1)])

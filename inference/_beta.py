"""Beta integrals: over intervals in log space, and Gauss rules for Beta laws.

The literal difference of regularised incomplete beta functions loses every digit where the
likelihood peaks outside the interval (0 successes in 340 trials on [.1, .9] give .1155 instead of
.1026, 500 trials give 0/0). Both ends are therefore measured from the side of the smaller tail,
and nothing is divided by the complete beta function.
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
    """Log of the integral of t^(a-1) (1-t)^(b-1) over [low, high],
    and the factor by which differencing grew its rounding.

    Args:
        a, b: positive exponents plus one, same shape.
        low, high: 0 <= low < high <= 1.
    """
    mode = a / (a + b)
    left = mode >= high
    right = mode <= low
    inside = ~(left | right)
    x = np.where(left, high, np.where(right, 1 - low, low))
    y = np.where(left, low, 1 - high)
    on_right = (np.where(right, b, a), np.where(right, a, b))
    on_left = (np.where(left, a, b), np.where(left, b, a))
    first = _log_lower(x, *on_right)
    second = _log_lower(y, *on_left)
    whole = np.where(inside, betaln(a, b), first)
    other_side = np.where(inside, np.exp(first - whole), 0.0)
    lost = np.exp(second - whole) + other_side
    return whole + np.log1p(-lost), (1 + lost) / (1 - lost)


def _log_lower(x: Array, a: Array, b: Array) -> Array:
    """Log of the integral over [0, x] for x at or below the mean:
    x^a (1-x)^b / a over a continued fraction (DLMF 8.17.22).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        of_rest = np.where(x < 1, b * np.log1p(-x), 0.0)
        front = a * np.log(x) + of_rest - np.log(a)
    log_front = np.where(x > 0, front, -np.inf)
    return log_front - np.log(_fraction(x, a, b))


def _fraction(x: Array, a: Array, b: Array) -> Array:
    """1 + d1/(1 + d2/(1 + ...)) by Lentz's method."""
    value = np.ones_like(x)
    c = np.ones_like(x)
    d = np.zeros_like(x)
    for j in range(1, MAX_TERMS):
        k = j // 2
        even = j % 2 == 0
        numerator = k * (b - k) if even else -(a + k) * (a + b + k)
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
    """Gauss rule of the Beta(a, b) law: exact for polynomials of degree 2 nodes - 1;
    weights sum to one.

    Golub & Welsch (1969) with weights from eigenvectors, which SciPy's `roots_jacobi` gives with
    nine digits at a = .1; SciPy's for the smallest weights,
    which eigenvectors give with no digit at b = 20.
    """
    k = np.arange(nodes, dtype=np.float64)
    p, q = b - 1, a - 1
    s = 2 * k + p + q
    # the first entries are limits of 0/0 for special a + b
    with np.errstate(divide="ignore", invalid="ignore"):
        diagonal = (q * q - p * p) / (s * (s + 2))
        product = 4 * k * (k + p) * (k + q) * (k + p + q)
        square = (product / (s * s * (s * s - 1)))[1:]
    diagonal[0] = (q - p) / (p + q + 2)
    total = 2 + p + q
    square[:1] = 4 * (1 + p) * (1 + q) / (total**2 * (3 + p + q))
    at, vectors = eigh_tridiagonal((1 + diagonal) / 2, np.sqrt(square) / 2)
    weight = vectors[0] ** 2
    _, small = roots_jacobi(nodes, p, q)
    return at, np.where(weight > 1e-12, weight, small / small.sum())


def monomial_errors(
    nodes: int, degree: int, a: float, b: float, later: Array | None = None
) -> Array:
    """Largest relative error of `beta_rule` over all v^c (1 - v)^d with c + d = D,
    for D up to `degree`, (degree + 1,).

    A polynomial whose coefficients in these monomials are non-negative is integrated with no larger
    relative error. Computed with the rule as rounded, so that its rounding is included.

    Args:
        later: relative errors (node, d) of what (1 - v)^d stands for,
            a power times an integral by other rules, one a node.
    """
    v, w = beta_rule(nodes, a, b)
    k = np.arange(degree + 1.0)
    more = k[:-1]
    # 1.5 keeps all of them inside the range of floats
    scaled = 1.5 * np.stack([v, 1 - v])
    of_v, of_rest = scaled[:, None] ** k[:, None]
    growth = 1.5 * (a + more) / (a + b + more)
    up = np.cumprod(np.append(1.0, growth))
    rise = 1.5 * (b + more) / (a + b + k[:, None] + more)
    exact = np.cumprod(np.column_stack([up, rise]), axis=1)
    exact[k[:, None] + k > degree] = np.inf  # not asked for
    weighted = w * of_v
    error = np.abs(weighted @ of_rest.T / exact - 1)
    if later is not None:
        error += weighted @ (of_rest * later.T).T / exact
    # of total degree D: an antidiagonal
    turned = error[::-1]
    by_degree = [turned.diagonal(d - degree).max() for d in range(degree + 1)]
    return np.array(by_degree)

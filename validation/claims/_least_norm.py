"""The cheapest matrix of scores that separates with a margin: a convex programme, exactly.

    minimise |M|_F  so that  a_k^T M b_k >= 1  for all k

The rows vec(a_k b_k^T) make a least distance programme, which is a non-negative least squares
problem (Lawson & Hanson 1974, chapter 23; doi:10.1137/1.9781611971217). Its residual vanishes where
no M exists, so that feasibility comes with the answer.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import linprog, nnls

from veribayes.predictive import Array

RESIDUAL = 1e-9  # below: no M; feasible programmes of unit vectors leave 1 / sqrt(1 + |M|^2)


def least_norm(left: Array, right: Array) -> float:
    """|M|_F of the cheapest M; infinite where there is none.

    Args:
        left, right: a_k and b_k, (constraint, coordinate).
    """
    rows = (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)
    span = np.linalg.qr(rows.T)[0]  # M lies in the span of the rows
    inside = rows @ span
    stacked = np.vstack([inside.T, np.ones(len(rows))])
    wanted = np.zeros(len(stacked))
    wanted[-1] = 1.0
    shares, residual = nnls(stacked, wanted)
    if residual < RESIDUAL:
        return math.inf
    gap = 1 - shares.sum()  # the last entry of the residual vector
    return float(np.linalg.norm(inside.T @ shares) / gap)


def sink_cost(sink: Array, tokens: Array) -> float:
    """Of a sink s: x_i^T M (s - x_j) >= 1 for all i and j; tokens (token, coordinate)."""
    i, j = np.indices((len(tokens), len(tokens))).reshape(2, -1)
    return least_norm(tokens[i], sink - tokens[j])


def diagonal_cost(tokens: Array) -> float:
    """Of a diagonal: x_i^T M (x_i - x_j) >= 1 for all i and all other j."""
    i, j = np.indices((len(tokens), len(tokens))).reshape(2, -1)
    i, j = i[i != j], j[i != j]
    return least_norm(tokens[i], tokens[i] - tokens[j])


def in_hull(point: Array, tokens: Array) -> bool:
    """Whether a point is a mean of tokens with weights >= 0, by a linear programme."""
    equations = np.vstack([tokens.T, np.ones(len(tokens))])
    found = linprog(np.zeros(len(tokens)), A_eq=equations, b_eq=np.append(point, 1.0))
    return bool(found.status == 0)


def on_the_sphere(rng: np.random.Generator, *shape: int) -> Array:
    """Vectors of length one, uniform over directions."""
    vectors = rng.standard_normal(shape)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))

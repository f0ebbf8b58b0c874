"""Fits to a posterior of lag weights on the sphere, lambda = s^2,
and a mixture of two fits as a proposal.

In the plane that touches the sphere at the mode, whitened by the curvature, each coordinate has
Student's t law with 4 degrees of freedom; `lag_quasi_monte_carlo` says why.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular

STEPS = 8  # Newton's, from the mode of the block before
LONGEST, NEAREST = 0.3, 1e-3  # a Newton step, and the mode to a face, on the unit sphere
MILD = 0.25  # exponent of the prior in a fit: smaller ones put the mode on a face
TINY = 1e-300  # instead of a division by zero


def fit(a: jax.Array, n: jax.Array, centre: jax.Array, alpha: float) -> tuple[jax.Array, Any]:
    """Mode and Cholesky factor of the curvature after n factors, in the tangent plane,
    by Newton's method.

    With b = 2 alpha - 1 and r_k = a_k s / sum_g a_kg s_g^2, at the mode the curvature is
    E^T (4 sum_k r_k r_k^T + 2 diag(b / s^2)) E + m I, E a basis of the plane:
    positive, so that every step is uphill.
    """
    used = (jnp.arange(len(a)) < n)[:, None]
    exponent = jnp.maximum(2 * alpha - 1, MILD)

    def curved(s: jax.Array) -> tuple[jax.Array, jax.Array]:
        likelihood = jnp.maximum(a @ s**2, TINY)
        r = jnp.where(used, a * s[None] / likelihood[:, None], 0.0)
        slope = 2 * r.sum(0) + exponent / s
        plane = _plane(s)
        on_sphere = 4 * r.T @ r + 2 * exponent * jnp.diag(s**-2)
        curvature = plane.T @ on_sphere @ plane
        positive = curvature + len(s) * jnp.eye(len(s) - 1)
        return plane.T @ slope, jnp.linalg.cholesky(positive)

    def newton(_: int, s: jax.Array) -> jax.Array:
        slope, factor = curved(s)
        step = cho_solve((factor, True), slope)
        length = jnp.maximum(jnp.linalg.norm(step), TINY)
        step = step * jnp.minimum(1.0, LONGEST / length)
        moved = jnp.maximum(jnp.abs(s + _plane(s) @ step), NEAREST)
        return moved / jnp.linalg.norm(moved)

    centre = jax.lax.fori_loop(0, STEPS, newton, centre)
    return centre, (centre, curved(centre)[1])


def _plane(s: jax.Array) -> jax.Array:
    """Orthonormal basis (lag, axis) of the plane that touches the sphere at s:
    a Householder reflection.
    """
    normal = s.at[-1].add(1.0)
    reflection = jnp.eye(len(s)) - jnp.outer(normal, normal) / normal[-1]
    return reflection[:, :-1]


def proposal(u: jax.Array, fits: Any, alpha: float) -> tuple[jax.Array, jax.Array]:
    """Weights (lag, point) from uniforms (replicate, point, axis),
    and log prior density over proposal density (point,).
    """
    replicates, points, axes = u.shape
    half = points // 2
    x = _student(u)
    drawn = []
    for centre, factor, part in zip(*fits, (x[:, :half], x[:, half:]), strict=True):
        flat = part.reshape(-1, axes).T
        moved = centre[:, None] + _plane(centre) @ solve_triangular(factor.T, flat)
        drawn.append(moved.reshape(-1, replicates, half))
    s = jnp.concatenate(drawn, axis=2).reshape(axes + 1, -1)
    inside = (s > 0).all(0)
    s = jnp.abs(s) / jnp.linalg.norm(s, axis=0, keepdims=True)
    log_q = [_log_density(s, centre, factor) for centre, factor in zip(*fits, strict=True)]
    log_prior = jnp.where(inside, (2 * alpha - 1) * jnp.log(s).sum(0), -jnp.inf)
    return s**2, log_prior - jnp.logaddexp(*log_q)


def _student(u: jax.Array) -> jax.Array:
    """Quantiles of Student's t law with 4 degrees of freedom, in closed form."""
    root = jnp.sqrt(4 * u * (1 - u))
    cosine = jnp.cos(jnp.arccos(root) / 3)
    return jnp.sign(u - 0.5) * 2 * jnp.sqrt(jnp.maximum(cosine / root - 1, 0.0))


def _log_density(s: jax.Array, centre: jax.Array, factor: jax.Array) -> jax.Array:
    """Of one fit at points s (lag, point) of the sphere, up to a constant that all fits share."""
    along = centre @ s
    back = factor.T @ (_plane(centre).T @ s) / along[None]
    log_det = jnp.log(jnp.diag(factor)).sum()
    log_tails = 2.5 * jnp.log1p(back**2 / 4).sum(0)
    return log_det - log_tails - len(s) * jnp.log(along)

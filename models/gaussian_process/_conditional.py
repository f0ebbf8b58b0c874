"""Predictives of a Gaussian process given draws of its latents."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from veribayes.errors import ShapeError
from veribayes.models.gaussian_process._hyper import Theta
from veribayes.predictive import Array
from veribayes.tree import Data

if TYPE_CHECKING:
    import jax

    from veribayes.models.gaussian_process._process import GaussianProcess

RANK_TOLERANCE = 1e-12  # eigenvalues of K below this share of the largest are rounding


def spectrum(model: GaussianProcess, x: Array) -> tuple[Array, Array]:
    """Eigenvalues (B, n), clipped at zero, and eigenvectors (B, n, n) of K for fixed
    hyperparameters.
    """
    import jax

    with jax.enable_x64(True):
        k = np.array(jax.vmap(lambda points: model.covariance(points, points, {}))(x))
    values, vectors = np.linalg.eigh(k)
    return np.maximum(values, 0.0), vectors


def given_f(
    model: GaussianProcess, draws: Mapping[str, Array], data: Data, position: int
) -> tuple[Array, Array]:
    """Mean and variance (B, Q, S), conditioned on what f carries above rounding.

    These are its leading eigencoordinates.
    """
    import jax

    (x, _), query = model.inputs(data, position)
    n = x.shape[1]
    f = np.asarray(draws["f"], dtype=np.float64)[:, :, :n]
    values, vectors = spectrum(model, x)
    with jax.enable_x64(True):
        covariance = jax.vmap(lambda points, at: model.covariance(points, at, {}))
        across = np.array(covariance(x, query))  # (B, n, Q)
        prior = np.array(jax.vmap(lambda at: model.variance(at, {}))(query))
    least = RANK_TOLERANCE * values.max(-1, keepdims=True, initial=0.0)
    nothing = np.zeros_like(values)
    inverse = np.divide(1.0, values, out=nothing, where=values > least)
    rotated = vectors.mT @ across  # (B, n, Q)
    weights = rotated * inverse[..., None]
    mean = np.einsum("bnq,bsn->bqs", weights, f @ vectors)
    variance = prior - (rotated * weights).sum(1)
    noisy = np.maximum(variance, 0.0) + model.known_noise() ** 2
    return mean, np.broadcast_to(noisy[..., None], mean.shape)


def given_theta(
    model: GaussianProcess, draws: Mapping[str, Array], data: Data, position: int
) -> tuple[Array, Array]:
    """Mean and variance (B, Q, S) given each draw of the hyperparameters.

    Raises:
        ShapeError: draws without the axes of data sets and draws.
    """
    import jax

    (x, y), query = model.inputs(data, position)
    first = np.asarray(draws[next(iter(model.priors))])
    if first.ndim != 2:
        raise ShapeError("draws (dataset, draw)", f"{first.shape}")
    values = {name: np.asarray(draws[name], dtype=np.float64) for name in model.priors}
    theta = model.with_noise(values, first.shape)
    with jax.enable_x64(True):
        mean, variance = _predictor(model)(theta, x, y, query)
    return np.array(mean).mT, np.array(variance).mT


@lru_cache(maxsize=16)
def _predictor(model: GaussianProcess) -> Any:
    """Compiled `_predict` over data sets and draws.

    It takes theta (B, S), x (B, n, d), y (B, n) and query (B, Q, d), and returns (B, S, Q) twice.
    """
    import jax

    def predict(theta: Theta, x: Any, y: Any, query: Any) -> tuple[jax.Array, jax.Array]:
        return _predict(model, theta, x, y, query)

    over_draws = jax.vmap(predict, in_axes=(0, None, None, None))
    return jax.jit(jax.vmap(over_draws))


def _predict(
    model: GaussianProcess, theta: Theta, x: jax.Array, y: jax.Array, query: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Mean and variance (Q,) of a noisy y at `query` (Q, d) given x (n, d), y (n,), by Cholesky."""
    import jax.numpy as jnp
    from jax.scipy.linalg import solve_triangular

    noise = theta["noise_sd"] ** 2
    covariance = model.covariance(x, x, theta) + noise * jnp.eye(x.shape[0])
    factor = jnp.linalg.cholesky(covariance)
    half = solve_triangular(factor, model.covariance(x, query, theta), lower=True)
    white = solve_triangular(factor, y, lower=True)
    variance = model.variance(query, theta) + noise - (half**2).sum(0)
    return half.T @ white, variance

"""Functions, points and noisy values drawn from a Gaussian process."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from veribayes.models._random import keys, normal, uniforms
from veribayes.models._task import Design
from veribayes.models.gaussian_process._hyper import Theta
from veribayes.predictive import Array
from veribayes.tree import Data, IntArray, Simulation

if TYPE_CHECKING:
    import jax

    from veribayes.models.gaussian_process._process import GaussianProcess

SPLIT = 1e-6  # share of the noise variance that keeps K's factorisation proper; see `_simulator`


def simulate(
    model: GaussianProcess, design: Design, seed: int, stream: str, index: IntArray
) -> Simulation:
    """Data sets of the longest context and of fresh queries, for every position."""
    import jax

    n = max(design.positions)
    with jax.enable_x64(True):
        simulator = _simulator(model, n, design.queries)
        theta, *drawn, normals = simulator(keys(seed, stream, index))
    x, f, y = map(np.array, drawn)
    singular = np.flatnonzero(~np.isfinite(y).all(1))
    if singular.size:
        theta_there = {name: value[singular] for name, value in theta.items()}
        z, noise = (np.array(normal_there)[singular] for normal_there in normals)
        f[singular], y[singular] = _by_spectrum(model, x[singular], theta_there, z, noise)
    positions = np.array(design.positions, dtype=np.int64)
    latents = {"f": f[:, :n]}
    for name in model.priors:
        latents[name] = np.array(theta[name])
    arrays = {"x": x[:, :n], "y": y[:, :n], "x_query": x[:, n:]}
    outcome = np.repeat(y[:, None, n:], positions.size, axis=1)
    context = np.broadcast_to(positions, (index.size, positions.size)).copy()
    return Simulation(Data(arrays, positions, index), latents, outcome, context)


def values_at(model: GaussianProcess, x: Array, seed: int, stream: str, index: IntArray) -> Array:
    """Noisy values (B, n) of a function drawn for each data set at its inputs x (B, n, d)."""
    import jax

    n = x.shape[1]
    shapes: list[tuple[int, ...]] = [(len(model.priors),), (n,), (n,)]

    def draw(key: jax.Array) -> tuple[Any, ...]:
        for_theta, for_f, for_noise = uniforms(key, *shapes)
        theta = {}
        for i, (name, prior) in enumerate(model.priors.items()):
            theta[name] = prior.sample(for_theta[i])
        return model.with_noise(theta, ()), normal(for_f), normal(for_noise)

    with jax.enable_x64(True):
        theta, z, noise = jax.vmap(draw)(keys(seed, stream, index))
    _, y = _by_spectrum(model, x, theta, np.array(z), np.array(noise))
    return y


@lru_cache(maxsize=16)
def _simulator(model: GaussianProcess, context: int, queries: int) -> Any:
    """Compiled keys (B,) -> theta, x (B, n + Q, d), f and y (B, n + Q), and the normals behind f
    and the noise.

    Where K and what is added to it have no factor either, f and y are NaN.

    K alone has no factor in floating point. A millionth of the noise variance is moved into it, so
    that y has exactly the declared law, and f differs from a draw of the process by noise of sd
    1e-3 noise_sd. Compiled in two parts: in one, XLA inverts the distribution function of x again
    for every entry of K.
    """
    import jax
    import jax.numpy as jnp

    n = context + queries
    shapes: list[tuple[int, ...]] = [(len(model.priors),), (n, model.d), (n,), (n,)]

    def draw(key: jax.Array) -> tuple[Any, ...]:
        for_theta, for_x, for_f, for_noise = uniforms(key, *shapes)
        theta = {}
        for i, (name, prior) in enumerate(model.priors.items()):
            theta[name] = prior.sample(for_theta[i])
        x = for_x if model.input_law == "uniform" else normal(for_x) / np.sqrt(model.d)
        return model.with_noise(theta, ()), x, normal(for_f), normal(for_noise)

    def process(theta: Any, x: jax.Array, z: jax.Array, noise: jax.Array) -> tuple[Any, ...]:
        variance = theta["noise_sd"] ** 2
        padded = model.covariance(x, x, theta) + SPLIT * variance * jnp.eye(n)
        f = jnp.linalg.cholesky(padded) @ z
        rest = jnp.sqrt((1 - SPLIT) * variance)
        return theta, x, f, f + rest * noise

    compiled_draw = jax.jit(jax.vmap(draw))
    compiled_process = jax.jit(jax.vmap(process))

    def simulated(keys: jax.Array) -> tuple[Any, ...]:
        theta, x, z, noise = compiled_draw(keys)
        return (*compiled_process(theta, x, z, noise), (z, noise))

    return simulated


def _by_spectrum(
    model: GaussianProcess, x: Array, theta: Theta, z: Array, noise: Array
) -> tuple[Array, Array]:
    """f and y (B, n) from normals (B, n), where K has no factor in floating point but has its
    eigenvectors.
    """
    import jax

    def covariance(points: jax.Array, values: Theta) -> jax.Array:
        return model.covariance(points, points, values)

    with jax.enable_x64(True):
        k = np.array(jax.vmap(covariance)(x, theta))
    values, vectors = np.linalg.eigh(k)
    coordinates = np.sqrt(np.maximum(values, 0.0)) * z
    f = np.einsum("bnk,bk->bn", vectors, coordinates)
    noise_sd = np.asarray(theta["noise_sd"])[:, None]
    return f, f + noise_sd * noise

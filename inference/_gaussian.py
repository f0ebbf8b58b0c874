"""What the engines of Gaussian processes share:
quadrature over hyperparameters, and branches from conditioned moments.

An engine gives, for every hyperparameter node and prefix, the moments of f at the queries and at
the context points and the two terms of the log evidence of the prefix;
what follows is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from scipy.special import softmax

from veribayes.errors import InputError, ReferenceRefused
from veribayes.inference._engine import (
    EPS,
    Engine,
    equal_chunks,
    float64,
    moments,
    name_of,
    require_served,
)
from veribayes.models._task import Task
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.predictive import Array, Normal, NormalMixture, Predictive
from veribayes.predictive.joint import Joint
from veribayes.tree import Data

LIMIT = 1e-3  # error in predictive sds: contributes 5e-7 nats to a divergence
# covariance entries at once: 8 MB stays in the cache; 64 MB took up to twice the time
CHUNK = 1_000_000


class Conditioned(NamedTuple):
    """What conditioning f on prefixes gives, for each node of the hyperparameters.

    Attributes:
        mean, variance: f at the queries, (dataset, node, position, query).
        fit: y^T (K + s^2 I)^-1 y, (dataset, node, position).
        log_det: of K + s^2 I, the same shape.
        scale: largest prior variance of f at any of the points, (dataset, node).
        f_mean, f_variance: f at the context points, (dataset, node, position, observation); None
            when not asked for.
        covariance: f at the queries together, (dataset, node, position, query, query);
            None when not asked for.
    """

    mean: Array
    variance: Array
    fit: Array
    log_det: Array
    scale: Array
    f_mean: Array | None
    f_variance: Array | None
    covariance: Array | None


Solver = Callable[..., Conditioned]


def gaussian(engine: Engine, task: Task, data: Data) -> GaussianProcess:
    """The task's model."""
    require_served(engine, task, data)
    return cast(GaussianProcess, task.model)


def fixed_gaussian(engine: Engine, task: Task, data: Data) -> tuple[GaussianProcess, float]:
    """The task's model and its noise variance,
    for engines that need to know its hyperparameters.
    """
    model = gaussian(engine, task, data)
    if isinstance(model.noise_sd, float) and model.fixed:
        return model, model.noise_sd**2
    wanted = f"fixed hyperparameters for the engine '{name_of(engine)}'"
    raise InputError(wanted, f"a prior over {', '.join(model.priors)}")


def kernels(model: GaussianProcess, data: Data) -> tuple[Array, Array, Array]:
    """k among the context points (B, N, N), from them to the queries (B, N, Q), and k(x,
    x) at the queries (B, Q).
    """
    with float64():
        of_points = _kernels(model)(data.arrays["x"], data.arrays["x_query"])
        k, across, prior = (np.asarray(values) for values in of_points)
    return k, across, prior


@lru_cache(maxsize=16)
def _kernels(model: GaussianProcess) -> Callable[..., Any]:
    """Compiled x (B, N, d), query (B, Q, d) -> K(x, x), K(x, query), k(query, query)."""

    def one(x: jax.Array, query: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        k = model.covariance(x, x, {})
        across = model.covariance(x, query, {})
        return k, across, model.variance(query, {})

    return jax.jit(jax.vmap(one))


def chebyshev_steps(low: Array, high: Array, steps: int) -> Array:
    """Step sizes (*batch, step) whose polynomial prod (1 - eta t) is the smallest on each [low,
    high]: inverse Chebyshev roots.

    In Leja order, in which the product of the first few stays small too.
    """
    roots = np.cos(np.pi * (np.arange(steps) + 0.5) / steps)
    order = [0]
    while len(order) < steps:
        apart = np.maximum(np.abs(roots[:, None] - roots[order]), 1e-300)
        farthest = np.log(apart).sum(1).argmax()
        order.append(int(farthest))
    middle = np.add(low, high)[..., None]
    width = np.subtract(high, low)[..., None]
    return np.asarray(2 / (middle + width * roots[order]))


def condition(
    engine: Engine, solve: Solver, model: GaussianProcess, data: Data, theta: Mapping[str, Array]
) -> Conditioned:
    """Run a compiled `solve(theta, x, y, query,
    positions)` of one data set and node over all of both, in chunks.

    Raises:
        ReferenceRefused: a covariance matrix that float64 does not tell from a singular one.
    """
    longest = max(int(data.positions.max()), 1)
    x = data.arrays["x"][:, :longest]
    y = data.arrays["y"][:, :longest]
    query = data.arrays["x_query"]
    entries = longest * (longest + query.shape[1] ** 2)
    size = CHUNK // (theta["noise_sd"].size * entries)
    parts = []
    with float64():
        for chunk in equal_chunks(len(y), size):
            part = solve(theta, x[chunk], y[chunk], query[chunk], data.positions)
            parts.append(jax.tree.map(np.asarray, part))

    def joined(*arrays: Array) -> Array:
        return np.concatenate(arrays)[: len(y)]

    conditioned = cast(Conditioned, jax.tree.map(joined, *parts))
    _require_regular(engine, conditioned, theta, longest)
    return conditioned


def _require_regular(
    engine: Engine, conditioned: Conditioned, theta: Mapping[str, Array], points: int
) -> None:
    """Refuse matrices whose factorisation met a pivot that is not positive:
    everything after it is NaN.
    """
    broken = np.zeros(conditioned.fit.shape[:2], dtype=bool)  # (dataset, node)
    for values in (conditioned.mean, conditioned.variance, conditioned.fit, conditioned.log_det):
        broken |= ~np.isfinite(values.reshape(*broken.shape, -1)).all(-1)
    if not broken.any():
        return
    noise = theta["noise_sd"]
    condition_number = (points * conditioned.scale / noise**2 + 1)[broken].max()
    smallest_noise = noise[broken.any(0)].min()
    share = f"{int(broken.any(1).sum())} of {len(broken)} data sets"
    numbers = f"condition number up to {condition_number:.1e}, noise sd {smallest_noise:.3g}"
    reason = f"the covariance matrix of {share} is not positive definite in float64 ({numbers})"
    remedy = "raise noise_sd, leave out points that repeat each other, or take the engine 'ball'"
    raise ReferenceRefused(name_of(engine), [f"{reason}; {remedy}"])


def predictive(
    model: GaussianProcess, conditioned: Conditioned, theta: Mapping[str, Array], prior: Array
) -> Predictive:
    """Normal for fixed hyperparameters, else a mixture with one component a node."""
    mean = np.moveaxis(conditioned.mean, 1, -1)  # (dataset, position, query, node)
    variance = np.maximum(np.moveaxis(conditioned.variance, 1, -1), 0.0)
    sd = np.sqrt(variance + theta["noise_sd"] ** 2)
    if model.fixed:
        return Normal(mean[..., 0], sd[..., 0])
    weights = np.moveaxis(node_weights(conditioned, prior), 1, -1)[:, :, None]
    return NormalMixture(np.broadcast_to(weights, mean.shape), mean, sd)


def joint(conditioned: Conditioned, theta: Mapping[str, Array], prior: Array) -> Joint | None:
    """The law of noisy observations at all queries together, one component a node."""
    if conditioned.covariance is None:
        return None
    noise = theta["noise_sd"][:, None, None] ** 2 * np.eye(conditioned.mean.shape[-1])
    weights = np.moveaxis(node_weights(conditioned, prior), 1, 2)
    mean = np.moveaxis(conditioned.mean, 1, 2)
    covariance = np.moveaxis(conditioned.covariance, 1, 2)
    return Joint(weights, mean, covariance + noise)


def posterior(
    model: GaussianProcess,
    data: Data,
    conditioned: Conditioned,
    theta: Mapping[str, Array],
    prior: Array,
) -> dict[str, dict[str, Array]]:
    """Mean and sd of f at the context points, NaN beyond a prefix;
    or of every hyperparameter that has a prior.

    Of a hyperparameter on a grid also the probabilities of its values, `probs` (dataset,
    position, value).
    """
    if not model.fixed:
        return _hyperparameters(model, theta, node_weights(conditioned, prior))
    if conditioned.f_mean is None or conditioned.f_variance is None:
        return {}
    sd = np.sqrt(np.maximum(conditioned.f_variance[:, 0], 0.0))
    return {"f": {"mean": _known(conditioned.f_mean[:, 0], data), "sd": _known(sd, data)}}


def _hyperparameters(
    model: GaussianProcess, theta: Mapping[str, Array], weights: Array
) -> dict[str, dict[str, Array]]:
    """The posterior of every hyperparameter that has a prior, from the weights of the nodes."""
    known = {}
    for name, prior in model.priors.items():
        values = theta[name]
        first = np.einsum("bhp,h->bp", weights, values)
        second = np.einsum("bhp,h->bp", weights, values**2)
        known[name] = moments(first, second)
        if prior.discrete:
            grid, _ = prior.nodes(1)
            known[name]["probs"] = np.einsum("bhp,hv->bpv", weights, values[:, None] == grid)
    return known


def _known(values: Array, data: Data) -> Array:
    """Values at the context points of each prefix, NaN at all others: (dataset, position, N)."""
    n = data.arrays["y"].shape[1]
    padded = np.pad(values, ((0, 0), (0, 0), (0, n - values.shape[-1])))
    return np.where(np.arange(n) < data.positions[:, None], padded, np.nan)


def node_weights(conditioned: Conditioned, prior: Array) -> Array:
    """Posterior weights of the nodes, (dataset, node, position)."""
    log_weights = np.log(prior)[:, None] - (conditioned.fit + conditioned.log_det) / 2
    return np.asarray(softmax(log_weights, axis=1))


def rounding_bound(data: Data, conditioned: Conditioned, theta: Mapping[str, Array]) -> float:
    """Bound on the error of means in predictive sds, and of relative sds, that rounding makes.

    The computed factor is exact for a matrix that differs from A = K + s^2 I by at most c = n (n +
    1) eps a / s^2 relative to A itself, a the largest diagonal entry (Higham, Accuracy and
    Stability, theorem 10.5, with A >= s^2). That changes a mean by at most c sqrt(k(x*, x*) y^T
    A^-1 y), and a variance by at most c k(x*, x*); both triangular solutions cost as much.
    """
    n = data.positions.astype(np.float64)
    noise = (theta["noise_sd"] ** 2)[:, None]
    scale = conditioned.scale[..., None]
    change = 3 * EPS * n * (n + 1) * (scale + noise) / noise
    variance = np.maximum(conditioned.variance.min(-1), 0.0) + noise
    per_change = np.sqrt(scale * conditioned.fit / variance) + scale / variance
    return float((change * per_change).max())

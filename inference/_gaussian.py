"""What the engines of Gaussian processes share: quadrature over hyperparameters, and branches from conditioned moments.

An engine gives, for every hyperparameter node and prefix, the moments of f at the queries and at the context points and the
two terms of the log evidence of the prefix; what follows is the same for all of them.
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
CHUNK = 1_000_000  # covariance entries at once: 8 MB stays in the cache; 64 MB took up to twice the time


class Conditioned(NamedTuple):
    """What conditioning f on prefixes gives, for each node of the hyperparameters.

    Attributes:
        mean, variance: f at the queries, (dataset, node, position, query).
        fit: y^T (K + s^2 I)^-1 y, (dataset, node, position).
        log_det: of K + s^2 I, the same shape.
        scale: largest prior variance of f at any of the points, (dataset, node).
        f_mean, f_variance: f at the context points, (dataset, node, position, observation); None when not asked for.
        covariance: f at the queries together, (dataset, node, position, query, query); None when not asked for.
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
    """The task's model and its noise variance, for engines that need to know its hyperparameters."""
    model = gaussian(engine, task, data)
    if isinstance(model.noise_sd, float) and model.fixed:
        return model, model.noise_sd**2
    wanted = f"fixed hyperparameters for the engine '{name_of(engine)}'"
    raise InputError(wanted, f"a prior over {', '.join(model.priors)}")


def kernels(model: GaussianProcess, data: Data) -> tuple[Array, Array, Array]:
    """k among the context points (B, N, N), from them to the queries (B, N, Q), and k(x, x) at the queries (B, Q)."""
    with float64():
        k, across, prior = _kernels(model)(data.arrays["x"], data.arrays["x_query"])
        return np.asarray(k), np.asarray(across), np.asarray(prior)


@lru_cache(maxsize=16)
def _kernels(model: GaussianProcess) -> Callable[..., Any]:
    """Compiled x (B, N, d), query (B, Q, d) -> K(x, x), K(x, query), k(query, query)."""

    def one(x: jax.Array, query: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        return model.covariance(x, x, {}), model.covariance(x, query, {}), model.variance(query, {})

    return jax.jit(jax.vmap(one))


def chebyshev_steps(low: Array, high: Array, steps: int) -> Array:
    """Step sizes (*batch, step) whose polynomial prod (1 - eta t) is the smallest on each [low, high]: inverse Chebyshev roots.

    In Leja order, in which the product of the first few stays small too.
    """
    roots = np.cos(np.pi * (np.arange(steps) + 0.5) / steps)
    order = [0]
    while len(order) < steps:
        apart = np.abs(roots[:, None] - roots[order])
        order.append(int(np.log(np.maximum(apart, 1e-300)).sum(1).argmax()))
    return np.asarray(
        2 / (np.add(low, high)[..., None] + np.subtract(high, low)[..., None] * roots[order])
    )


def condition(
    engine: Engine, solve: Solver, model: GaussianProcess, data: Data, theta: Mapping[str, Array]
) -> Conditioned:
    """Run a compiled `solve(theta, x, y, query, positions)` of one data set and node over all of both, in chunks.

    Raises:
        ReferenceRefused: a covariance matrix that float64 does not tell from a singular one.
    """
    longest = max(int(data.positions.max()), 1)
    x, y, query = (
        data.arrays["x"][:, :longest],
        data.arrays["y"][:, :longest],
        data.arrays["x_query"],
    )
    size = CHUNK // (theta["noise_sd"].size * longest * (longest + query.shape[1] ** 2))
    with float64():
        parts = [
            jax.tree.map(np.asarray, solve(theta, x[i], y[i], query[i], data.positions))
            for i in equal_chunks(len(y), size)
        ]
    found = cast(Conditioned, jax.tree.map(lambda *p: np.concatenate(p)[: len(y)], *parts))
    _require_regular(engine, found, theta, longest)
    return found


def _require_regular(
    engine: Engine, found: Conditioned, theta: Mapping[str, Array], points: int
) -> None:
    """Refuse matrices whose factorisation met a pivot that is not positive: everything after it is NaN."""
    each = (found.mean, found.variance, found.fit, found.log_det)
    broken = np.any(
        [~np.isfinite(a.reshape(*a.shape[:2], -1)).all(-1) for a in each], axis=0
    )  # (dataset, node)
    if broken.any():
        noise = theta["noise_sd"]
        condition_number = (points * found.scale / noise**2 + 1)[broken].max()
        reason = (
            f"the covariance matrix of {int(broken.any(1).sum())} of {len(broken)} data sets is not positive definite in "
            f"float64 (condition number up to {condition_number:.1e}, noise sd {noise[broken.any(0)].min():.3g}); raise "
            "noise_sd, leave out points that repeat each other, or take the engine 'ball'"
        )
        raise ReferenceRefused(name_of(engine), [reason])


def predictive(
    model: GaussianProcess, found: Conditioned, theta: Mapping[str, Array], prior: Array
) -> Predictive:
    """Normal for fixed hyperparameters, else a mixture with one component a node."""
    mean = np.moveaxis(found.mean, 1, -1)  # (dataset, position, query, node)
    sd = np.sqrt(np.maximum(np.moveaxis(found.variance, 1, -1), 0.0) + theta["noise_sd"] ** 2)
    if model.fixed:
        return Normal(mean[..., 0], sd[..., 0])
    weights = np.moveaxis(node_weights(found, prior), 1, -1)[:, :, None]
    return NormalMixture(np.broadcast_to(weights, mean.shape), mean, sd)


def joint(found: Conditioned, theta: Mapping[str, Array], prior: Array) -> Joint | None:
    """The law of noisy observations at all queries together, one component a node."""
    if found.covariance is None:
        return None
    noise = theta["noise_sd"][:, None, None] ** 2 * np.eye(found.mean.shape[-1])
    weights, mean, covariance = (
        np.moveaxis(a, 1, 2) for a in (node_weights(found, prior), found.mean, found.covariance)
    )
    return Joint(weights, mean, covariance + noise)


def posterior(
    model: GaussianProcess, data: Data, found: Conditioned, theta: Mapping[str, Array], prior: Array
) -> dict[str, dict[str, Array]]:
    """Mean and sd of f at the context points, NaN beyond a prefix; or of every hyperparameter that has a prior.

    Of a hyperparameter on a grid also the probabilities of its values, `probs` (dataset, position, value).
    """
    if not model.fixed:
        weights = node_weights(found, prior)
        raw = {
            name: [np.einsum("bhp,h->bp", weights, theta[name] ** k) for k in (1, 2)]
            for name in model.priors
        }
        known = {name: moments(first, second) for name, (first, second) in raw.items()}
        for name in (n for n, p in model.priors.items() if p.discrete):
            values = model.priors[name].nodes(1)[0]
            known[name]["probs"] = np.einsum("bhp,hv->bpv", weights, theta[name][:, None] == values)
        return known
    if found.f_mean is None or found.f_variance is None:
        return {}
    sd = np.sqrt(np.maximum(found.f_variance[:, 0], 0.0))
    return {"f": {"mean": _known(found.f_mean[:, 0], data), "sd": _known(sd, data)}}


def _known(values: Array, data: Data) -> Array:
    """Values at the context points of each prefix, NaN at all others: (dataset, position, N)."""
    n = data.arrays["y"].shape[1]
    padded = np.pad(values, ((0, 0), (0, 0), (0, n - values.shape[-1])))
    return np.where(np.arange(n) < data.positions[:, None], padded, np.nan)


def node_weights(found: Conditioned, prior: Array) -> Array:
    """Posterior weights of the nodes, (dataset, node, position)."""
    return np.asarray(softmax(np.log(prior)[:, None] - (found.fit + found.log_det) / 2, axis=1))


def rounding_bound(data: Data, found: Conditioned, theta: Mapping[str, Array]) -> float:
    """Bound on the error of means in predictive sds, and of relative sds, that rounding makes.

    The computed factor is exact for a matrix that differs from A = K + s^2 I by at most c = n (n + 1) eps a / s^2 relative to
    A itself, a the largest diagonal entry (Higham, Accuracy and Stability, theorem 10.5, with A >= s^2). That changes a mean
    by at most c sqrt(k(x*, x*) y^T A^-1 y), and a variance by at most c k(x*, x*); both triangular solutions cost as much.
    """
    n, noise, scale = (
        data.positions.astype(np.float64),
        (theta["noise_sd"] ** 2)[:, None],
        found.scale[..., None],
    )
    change = 3 * EPS * n * (n + 1) * (scale + noise) / noise
    variance = np.maximum(found.variance.min(-1), 0.0) + noise
    return float((change * (np.sqrt(scale * found.fit / variance) + scale / variance)).max())

"""What the engines of Gaussian processes share: quadrature over hyperparameters, and branches from conditioned moments.

An engine gives, for every hyperparameter node and prefix, the moments of f at the queries and at the context points and the
two terms of the log evidence of the prefix; what follows is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import jax
import numpy as np
from scipy.special import softmax

from veribayes.inference._engine import EPS, Engine, equal_chunks, float64, moments, require_family
from veribayes.models._task import Task
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.predictive import Array, Normal, NormalMixture, Predictive
from veribayes.tree import Data

LIMIT = 1e-3  # error in predictive sds: contributes 5e-7 nats to a divergence
CHUNK = 8_000_000  # covariance entries in memory at once: 64 MB an array


class Conditioned(NamedTuple):
    """What conditioning f on prefixes gives, for each node of the hyperparameters.

    Attributes:
        mean, variance: f at the queries, (dataset, node, position, query).
        fit: y^T (K + s^2 I)^-1 y, (dataset, node, position).
        log_det: of K + s^2 I, the same shape.
        scale: largest prior variance of f at any of the points, (dataset, node).
        f_mean, f_variance: f at the context points, (dataset, node, position, observation); None when not asked for.
    """

    mean: Array
    variance: Array
    fit: Array
    log_det: Array
    scale: Array
    f_mean: Array | None
    f_variance: Array | None


Solver = Callable[..., Conditioned]


def gaussian(engine: Engine, task: Task) -> GaussianProcess:
    """The task's model."""
    require_family(engine, task)
    return cast(GaussianProcess, task.model)


def condition(solve: Solver, model: GaussianProcess, data: Data, theta: Mapping[str, Array]) -> Conditioned:
    """Run a compiled `solve(theta, x, y, query, positions)` of one data set and node over all of both, in chunks."""
    longest = max(int(data.positions.max()), 1)
    x, y, query = data.arrays["x"][:, :longest], data.arrays["y"][:, :longest], data.arrays["x_query"]
    size = CHUNK // (theta["noise_sd"].size * longest * (longest + query.shape[1]))
    with float64():
        parts = [
            jax.tree.map(np.asarray, solve(theta, x[i], y[i], query[i], data.positions))
            for i in equal_chunks(len(y), size)
        ]
    return cast(Conditioned, jax.tree.map(lambda *p: np.concatenate(p)[: len(y)], *parts))


def predictive(model: GaussianProcess, found: Conditioned, theta: Mapping[str, Array], prior: Array) -> Predictive:
    """Normal for fixed hyperparameters, else a mixture with one component a node."""
    mean = np.moveaxis(found.mean, 1, -1)  # (dataset, position, query, node)
    sd = np.sqrt(np.maximum(np.moveaxis(found.variance, 1, -1), 0.0) + theta["noise_sd"] ** 2)
    if model.fixed:
        return Normal(mean[..., 0], sd[..., 0])
    weights = np.moveaxis(node_weights(found, prior), 1, -1)[:, :, None]
    return NormalMixture(np.broadcast_to(weights, mean.shape), mean, sd)


def posterior(
    model: GaussianProcess, data: Data, found: Conditioned, theta: Mapping[str, Array], prior: Array
) -> dict[str, dict[str, Array]]:
    """Mean and sd of f at the context points, NaN beyond a prefix; or of every hyperparameter that has a prior."""
    if not model.fixed:
        weights = node_weights(found, prior)
        raw = {name: [np.einsum("bhp,h->bp", weights, theta[name] ** k) for k in (1, 2)] for name in model.priors}
        return {name: moments(first, second) for name, (first, second) in raw.items()}
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
    n, noise, scale = data.positions.astype(np.float64), (theta["noise_sd"] ** 2)[:, None], found.scale[..., None]
    change = 3 * EPS * n * (n + 1) * (scale + noise) / noise
    variance = np.maximum(found.variance.min(-1), 0.0) + noise
    return float((change * (np.sqrt(scale * found.fit / variance) + scale / variance)).max())

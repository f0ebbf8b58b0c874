"""Exact Bayes for mixture-of-transition weights at every prefix, by Gauss-Jacobi quadrature on the simplex.

Stick-breaking turns lambda ~ Dirichlet(alpha, ..., alpha) into independent v_j ~ Beta(alpha, alpha (m - j)). The likelihood
of a prefix of n symbols is a polynomial of degree n - m in lambda, so (n - m + 3) / 2 nodes an axis integrate it and its
first two moments exactly: one grid serves every prefix, and the weight of each node is updated symbol by symbol.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from veribayes.errors import InputError, ReferenceRefused
from veribayes.inference._beta import RULE_ERROR, beta_rule
from veribayes.inference._engine import EPS, certify, equal_chunks, float64, moments, name_of, require_family
from veribayes.inference._simplex import next_symbol, terms
from veribayes.models._task import Task
from veribayes.models.mtd import MTD
from veribayes.predictive import Array
from veribayes.tree import Branch, Data, IntArray

AFFORDABLE = 20_000  # nodes of a grid that is taken because it is exact; beyond it, doubling measures the error
LARGEST = 2_000_000  # nodes of any grid: 16 MB an array and data set
CHUNK = 4_000_000  # node weights in memory at once: 32 MB an array
BLOCK = 16  # symbols between returns to log space, so that no node is lost that a later symbol could bring back


@dataclass(frozen=True)
class SimplexQuadrature:
    """Gauss-Jacobi quadrature over the lag weights.

    Attributes:
        nodes: nodes an axis; None takes the exactness bound where that grid is affordable, else 3 sqrt(n). Fewer nodes
            than the exactness bound are checked by doubling, and the certificate says `estimate`.
    """

    nodes: int | None = None
    method: ClassVar[str] = "quadrature"
    families: ClassVar[tuple[str, ...]] = ("mtd",)

    def __post_init__(self) -> None:
        if self.nodes is not None and self.nodes < 2:
            raise InputError(f"at least 2 nodes an axis for the engine '{name_of(self)}'", f"{self.nodes}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_family(self, task)
        model = cast(MTD, task.model)
        factors = terms(model, data)
        exact, nodes = self._resolution(factors.shape[1], model.m)
        first, second = self._moments(factors, model.concentration, nodes, data.positions)
        predictive, posterior = next_symbol(model, data, first), {"weights": moments(first, second)}
        if (
            nodes >= exact
        ):  # sums of positive terms: a node's weight is a product of n factors, rounded 2m + 2 times each
            bound = 4 * EPS * factors.shape[1] * (2 * model.m + 2) + model.m * RULE_ERROR
            return Branch(predictive, certify("exact", bound, nodes=nodes), posterior)
        finer, _ = self._moments(factors, model.concentration, 2 * nodes, data.positions)
        change = float(np.abs(predictive.probs - next_symbol(model, data, finer).probs).max())
        return Branch(predictive, certify(self.method, change, kind="estimate", nodes=nodes), posterior)

    def _resolution(self, length: int, lags: int) -> tuple[int, int]:
        """Nodes an axis at which the quadrature is exact, and nodes to use."""
        exact = max((length - lags + 4) // 2, 2)
        if self.nodes is not None:
            return exact, self.nodes
        return exact, exact if exact ** (lags - 1) <= AFFORDABLE else min(exact, math.ceil(3 * math.sqrt(length)))

    def _moments(self, factors: Array, alpha: float, nodes: int, positions: IntArray) -> tuple[Array, Array]:
        """First and second raw moment of the weights after each prefix, (dataset, position, lag)."""
        datasets, length, lags = factors.shape
        if nodes ** (lags - 1) > LARGEST:
            raise ReferenceRefused(
                name_of(self),
                [f"{nodes} nodes on {lags - 1} axes exceed {LARGEST:.0e} nodes; use fewer nodes or 'nuts'"],
            )
        grid, log_weight = _grid(lags, nodes, alpha)
        padded = np.pad(factors, ((0, 0), (1, -(length + 1) % BLOCK), (0, 0)), constant_values=1.0)  # in front: no data
        with float64():
            parts = [
                np.asarray(_filter(padded[i], grid, log_weight)) for i in equal_chunks(datasets, CHUNK // len(grid))
            ]
        chosen = np.concatenate(parts, axis=1)[positions, :datasets].swapaxes(0, 1)
        if not np.all(np.isfinite(chosen)):
            raise ReferenceRefused(name_of(self), ["a sequence has probability zero under every weight"])
        return chosen[..., :lags], chosen[..., lags:]


@cache
def _grid(lags: int, nodes: int, alpha: float) -> tuple[Array, Array]:
    """Nodes on the simplex (node, lag) and the logs of their weights."""
    weights, remaining, log_weight = np.ones((1, 0)), np.ones((1, 1)), np.zeros(1)
    for j in range(1, lags):
        v, w = beta_rule(nodes, alpha, alpha * (lags - j))
        weights = np.concatenate([np.repeat(weights, nodes, 0), np.outer(remaining, v).reshape(-1, 1)], axis=1)
        remaining = np.outer(remaining, 1 - v).reshape(-1, 1)
        log_weight = np.add.outer(log_weight, np.log(w)).ravel()
    return np.concatenate([weights, remaining], axis=1), log_weight


@jax.jit
def _filter(factors: jax.Array, grid: jax.Array, log_weight: jax.Array) -> jax.Array:
    """Moments of the weights after each factor, (time, dataset, 2 lag), by updating the weight of every node."""
    datasets, length, lags = factors.shape
    columns = jnp.concatenate([jnp.ones((grid.shape[0], 1)), grid, grid**2], axis=1)
    blocks = factors.swapaxes(0, 1).reshape(length // BLOCK, BLOCK, datasets, lags)

    def symbol(carry: tuple[jax.Array, jax.Array], a: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        weight, gained = carry
        likelihood = sum(a[:, g, None] * grid[None, :, g] for g in range(lags))  # fused, unlike a matrix product
        total = (weight * likelihood) @ columns
        return (weight * likelihood / total[:, :1], gained * likelihood), total[:, 1:] / total[:, :1]

    def block(log_weight: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
        start = jnp.exp(log_weight - log_weight.max(-1, keepdims=True))
        (_, gained), out = jax.lax.scan(symbol, (start, jnp.ones_like(start)), a)
        return log_weight + jnp.log(gained), out

    _, out = jax.lax.scan(block, jnp.broadcast_to(log_weight[None], (datasets, grid.shape[0])), blocks)
    return out.reshape(length, datasets, 2 * lags)


PART = SimplexQuadrature

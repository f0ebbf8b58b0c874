"""Exact Gaussian process regression at every prefix from one Cholesky factorisation.

With K + s^2 I = L L^T for the longest prefix, z = L^-1 y and V = L^-1 K(x, x*), the predictive given the first n points is
    mean_n = sum_{i <= n} V_i z_i,      log p(y_1..n) = -sum_{i <= n} (z_i^2 / 2 + log L_ii) + const,
    variance_n = k(x*, x*) - sum_{i <= n} V_i^2,
because the leading block of L factorises the leading block of the matrix. Hyperparameters with a prior are summed over a grid
or a quadrature, whose error is measured by doubling its nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from veribayes.inference._engine import certify, require_positive
from veribayes.inference._gaussian import (
    LIMIT,
    Conditioned,
    Solver,
    condition,
    gaussian,
    posterior,
    predictive,
    rounding_bound,
)
from veribayes.models._task import Task
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.predictive import Predictive
from veribayes.tree import Branch, Certificate, Data, IntArray


@dataclass(frozen=True)
class Cholesky:
    """Factorise once, read off every prefix.

    Attributes:
        nodes: quadrature nodes for each hyperparameter with a continuous prior.
        latents: also return the posterior of f or of the hyperparameters.
    """

    nodes: int = 24
    latents: bool = True
    method: ClassVar[str] = "exact"
    families: ClassVar[tuple[str, ...]] = ("gaussian_process",)

    def __post_init__(self) -> None:
        require_positive(self, nodes=self.nodes)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model = gaussian(self, task)
        theta, prior = model.hyper_nodes(self.nodes)
        found = condition(_solver(model, self.latents and model.fixed), model, data, theta)
        answer = predictive(model, found, theta, prior)
        latents = posterior(model, data, found, theta, prior) if self.latents else {}
        return Branch(answer, self._certificate(model, data, found, answer), latents)

    def _certificate(self, model: GaussianProcess, data: Data, found: Conditioned, answer: Predictive) -> Certificate:
        """Rounding is bounded, or measured where the bound is too wide; the error of a quadrature is measured."""
        theta, prior = model.hyper_nodes(self.nodes)
        bound = rounding_bound(data, found, theta)
        if all(p.discrete for p in model.priors.values()):
            if bound <= LIMIT:
                return certify(self.method, bound, limit=LIMIT)
            longest = int(np.argmax(data.positions))  # the worst conditioned
            change = _difference(answer[:, [longest]], self._backwards(model, data, data.positions[[longest]]))
            return certify(self.method, 10 * change, kind="estimate", limit=LIMIT)
        theta, prior = model.hyper_nodes(2 * self.nodes)
        finer = predictive(model, condition(_solver(model, False), model, data, theta), theta, prior)
        return certify("quadrature", _difference(answer, finer), kind="estimate", limit=LIMIT, nodes=self.nodes)

    def _backwards(self, model: GaussianProcess, data: Data, position: IntArray) -> Predictive:
        """The answer at one position from the same points in reverse order, which rounds differently."""
        points = {k: data.arrays[k][:, : position[0]][:, ::-1] for k in ("x", "y")}
        theta, prior = model.hyper_nodes(self.nodes)
        reverse = replace(data, arrays={**data.arrays, **points}, positions=position)
        return predictive(model, condition(_solver(model, False), model, reverse, theta), theta, prior)


def _difference(one: Predictive, other: Predictive) -> float:
    """Largest difference of means in sds, or of relative sds."""
    sd = other.standard_deviation()
    return float(
        (np.abs(one.expectation() - other.expectation()) / sd + np.abs(one.standard_deviation() / sd - 1)).max()
    )


@lru_cache(maxsize=16)
def _solver(model: GaussianProcess, latents: bool) -> Solver:
    """Compiled over data sets and nodes."""

    def solve(
        theta: dict[str, jax.Array], x: jax.Array, y: jax.Array, query: jax.Array, positions: jax.Array
    ) -> Conditioned:
        covariance = model.covariance(x, x, theta)
        factor = jnp.linalg.cholesky(covariance + theta["noise_sd"] ** 2 * jnp.eye(y.size))
        z = solve_triangular(factor, y, lower=True)

        def conditioned(across: jax.Array, variance: jax.Array) -> tuple[jax.Array, jax.Array]:
            half = solve_triangular(factor, across, lower=True)
            return prefix_sums(half * z[:, None])[positions], variance[None] - prefix_sums(half**2)[positions]

        fit, log_det = (prefix_sums(terms)[positions] for terms in (z**2, 2 * jnp.log(jnp.diag(factor))))
        of_query, of_context = model.variance(query, theta), jnp.diag(covariance)
        at_query = conditioned(model.covariance(x, query, theta), of_query)
        at_context = conditioned(covariance, of_context) if latents else (None, None)
        scale = jnp.maximum(of_query.max(), of_context.max())
        return Conditioned(*at_query, fit, log_det, scale, *at_context)

    over_nodes = jax.vmap(solve, in_axes=(0, None, None, None, None))
    return jax.jit(jax.vmap(over_nodes, in_axes=(None, 0, 0, 0, None)))


def prefix_sums(terms: jax.Array) -> jax.Array:
    """Sums of the first 0, 1, ..., n entries along the first axis."""
    return jnp.concatenate([jnp.zeros_like(terms[:1]), jnp.cumsum(terms, axis=0)])


PART = Cholesky

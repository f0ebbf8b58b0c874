"""Exact Gaussian process regression by observing one point after another, without a factorisation.

The joint normal of f at the context points and the queries is conditioned on y_i = f_i + noise, one
i at a time:
    gain = C_i / (C_ii + s^2),   m <- m + gain (y_i - m_i),   C <- C - gain C_i^T,
and p(y_i | before) = N(y_i; m_i, C_ii + s^2) multiplies up to the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import jax
import jax.numpy as jnp

from veribayes.inference._engine import certify, require_positive
from veribayes.inference._gaussian import (
    LIMIT,
    Conditioned,
    Solver,
    condition,
    gaussian,
    joint,
    posterior,
    predictive,
    rounding_bound,
)
from veribayes.models._task import Task
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

State = tuple[jax.Array, ...]


@dataclass(frozen=True)
class Sequential:
    """Rank-one conditioning.

    Attributes:
        nodes: quadrature nodes for each hyperparameter with a continuous prior.
        latents: also return the posterior of f or of the hyperparameters.
        joint: also return the joint predictive of all queries of a data set.
    """

    nodes: int = 24
    latents: bool = True
    joint: bool = False
    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("gaussian_process",)

    def __post_init__(self) -> None:
        require_positive(self, nodes=self.nodes)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model = gaussian(self, task, data)
        theta, prior = model.hyper_nodes(self.nodes)
        conditioned = condition(self, _solver(model, self.joint), model, data, theta)
        latents = posterior(model, data, conditioned, theta, prior) if self.latents else {}
        answer = predictive(model, conditioned, theta, prior)
        certificate = certify(self.method, rounding_bound(data, conditioned, theta), limit=LIMIT)
        return Branch(answer, certificate, latents, joint=joint(conditioned, theta, prior))


@lru_cache(maxsize=16)
def _solver(model: GaussianProcess, joint: bool) -> Solver:
    """Compiled over data sets and nodes."""

    def solve(
        theta: dict[str, jax.Array],
        x: jax.Array,
        y: jax.Array,
        query: jax.Array,
        positions: jax.Array,
    ) -> Conditioned:
        points = jnp.concatenate([x, query])
        size = y.size
        noise = theta["noise_sd"] ** 2
        zero = jnp.zeros(())

        def observe(state: State, i: jax.Array) -> tuple[State, State]:
            mean, covariance, fit, log_det = state
            spread = covariance[i, i] + noise
            surprise = y[i] - mean[i]
            gain = covariance[i] / spread
            covariance = covariance - jnp.outer(gain, covariance[i])
            mean = mean + gain * surprise
            fit = fit + surprise**2 / spread
            log_det = log_det + jnp.log(spread)
            state = (mean, covariance, fit, log_det)
            return state, shown(state)

        def shown(state: State) -> State:
            mean, covariance, fit, log_det = state
            together = covariance[size:, size:] if joint else zero
            return mean, jnp.diag(covariance), fit, log_det, together

        prior = model.covariance(points, points, theta)
        start = (jnp.zeros(len(points)), prior, zero, zero)
        _, after = jax.lax.scan(observe, start, jnp.arange(size))
        at_positions = []
        for first, others in zip(shown(start), after, strict=True):
            every_prefix = jnp.concatenate([first[None], others])
            at_positions.append(every_prefix[positions])
        mean, variance, fit, log_det, together = at_positions
        return Conditioned(
            mean=mean[:, size:],
            variance=variance[:, size:],
            fit=fit,
            log_det=log_det,
            scale=jnp.diag(prior).max(),
            f_mean=mean[:, :size],
            f_variance=variance[:, :size],
            covariance=together if joint else None,
        )

    over_nodes = jax.vmap(solve, in_axes=(0, None, None, None, None))
    return jax.jit(jax.vmap(over_nodes, in_axes=(None, 0, 0, 0, None)))


PART = Sequential

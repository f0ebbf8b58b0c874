"""Exact Gaussian process regression at every prefix from one Cholesky factorisation.

With K + s^2 I = L L^T for the longest prefix, z = L^-1 y and V = L^-1 K(x, x*), the predictive
given the first n points is
    mean_n = sum_{i <= n} V_i z_i,
    log p(y_1..n) = -sum_{i <= n} (z_i^2 / 2 + log L_ii) + const,
    variance_n = k(x*, x*) - sum_{i <= n} V_i^2,
because the leading block of L factorises the leading block of the matrix. Hyperparameters with a
prior are summed over a grid or a quadrature, whose error is measured by doubling its nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax.linalg import cholesky
from jax.scipy.linalg import solve_triangular

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
from veribayes.inference.ball import BallArithmetic
from veribayes.models._task import Task
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.predictive import Predictive
from veribayes.tree import Branch, Certificate, Data, IntArray
from veribayes.tree.method import Method


@dataclass(frozen=True)
class Cholesky:
    """Factorise once, read off every prefix.

    Attributes:
        nodes: quadrature nodes for each hyperparameter with a continuous prior.
        latents: also return the posterior of f or of the hyperparameters.
        joint: also return the joint predictive of all queries of a data set.
        enclosed: number of data sets in each call whose error is bounded rigorously by ball
            arithmetic (see `ball`). The largest of these bounds is in the certificate's
            diagnostics; the certificate's own is at least that.
    """

    nodes: int = 24
    latents: bool = True
    joint: bool = False
    enclosed: int = 0
    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("gaussian_process",)

    def __post_init__(self) -> None:
        require_positive(self, nodes=self.nodes, enclosed=self.enclosed + 1)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model = gaussian(self, task, data)
        theta, prior = model.hyper_nodes(self.nodes)
        solve = _solver(model, self.latents and model.fixed, self.joint)
        conditioned = condition(self, solve, model, data, theta)
        answer = predictive(model, conditioned, theta, prior)
        latents = posterior(model, data, conditioned, theta, prior) if self.latents else {}
        certificate = self._certificate(model, data, conditioned, answer)
        if self.enclosed:
            certificate = self._checked(certificate, task, data, answer)
        return Branch(answer, certificate, latents, joint=joint(conditioned, theta, prior))

    def _certificate(
        self, model: GaussianProcess, data: Data, conditioned: Conditioned, answer: Predictive
    ) -> Certificate:
        """Rounding is bounded, or measured where the bound is too wide;
        the error of a quadrature is measured.
        """
        theta, _ = model.hyper_nodes(self.nodes)
        bound = rounding_bound(data, conditioned, theta)
        if all(p.discrete for p in model.priors.values()):
            if bound <= LIMIT:
                return certify(self.method, bound, limit=LIMIT)
            longest = int(np.argmax(data.positions))  # the worst conditioned
            backwards = self._backwards(model, data, data.positions[[longest]])
            change = _difference(answer[:, [longest]], backwards)
            return certify(self.method, 10 * change, kind="estimate", limit=LIMIT)
        finer = self._predictive(model, data, 2 * self.nodes)
        change = _difference(answer, finer)
        return certify(Method.QUADRATURE, change, kind="estimate", limit=LIMIT, nodes=self.nodes)

    def _checked(
        self, certificate: Certificate, task: Task, data: Data, answer: Predictive
    ) -> Certificate:
        """The certificate after a comparison with enclosures of the first data sets."""
        some = slice(self.enclosed)
        exact = BallArithmetic()(task, data.select(datasets=some), seed=0)
        error = _difference(answer[some], exact.predictive) + exact.certificate.error_bound
        worst = max(error, certificate.error_bound)
        diagnostics = {**certificate.diagnostics, "enclosed_error": error}
        return certify(
            certificate.method,
            worst,
            kind=certificate.bound_kind,
            limit=LIMIT,
            reasons=certificate.reasons,
            **diagnostics,
        )

    def _backwards(self, model: GaussianProcess, data: Data, position: IntArray) -> Predictive:
        """The answer at one position from the same points in reverse order,
        which rounds differently.
        """
        reversed_points = {}
        for name in ("x", "y"):
            reversed_points[name] = data.arrays[name][:, : position[0]][:, ::-1]
        arrays = {**data.arrays, **reversed_points}
        reverse = replace(data, arrays=arrays, positions=position)
        return self._predictive(model, reverse, self.nodes)

    def _predictive(self, model: GaussianProcess, data: Data, nodes: int) -> Predictive:
        """The answer alone, with so many quadrature nodes."""
        theta, prior = model.hyper_nodes(nodes)
        conditioned = condition(self, _solver(model), model, data, theta)
        return predictive(model, conditioned, theta, prior)


def _difference(one: Predictive, other: Predictive) -> float:
    """Largest difference of means in sds, or of relative sds."""
    sd = other.standard_deviation()
    of_mean = np.abs(one.expectation() - other.expectation()) / sd
    of_sd = np.abs(one.standard_deviation() / sd - 1)
    return float((of_mean + of_sd).max())


@lru_cache(maxsize=16)
def _solver(model: GaussianProcess, latents: bool = False, joint: bool = False) -> Solver:
    """Compiled over data sets and nodes."""

    def solve(
        theta: dict[str, jax.Array],
        x: jax.Array,
        y: jax.Array,
        query: jax.Array,
        positions: jax.Array,
    ) -> Conditioned:
        covariance = model.covariance(x, x, theta)
        noise = theta["noise_sd"] ** 2 * jnp.eye(y.size)
        factor = cholesky(covariance + noise, symmetrize_input=False)
        targets = jnp.concatenate([y[:, None], model.covariance(x, query, theta)], axis=1)
        z, half = jnp.split(solve_triangular(factor, targets, lower=True), [1], axis=1)
        # (position, observation)
        before = (jnp.arange(y.size)[None] < positions[:, None]).astype(y.dtype)

        def on_prefixes(half: jax.Array, variance: jax.Array) -> tuple[jax.Array, jax.Array]:
            return before @ (half * z), variance[None] - before @ half**2

        fit = before @ z[:, 0] ** 2
        log_det = before @ (2 * jnp.log(jnp.diag(factor)))
        of_query = model.variance(query, theta)
        of_context = jnp.diag(covariance)
        f_mean, f_variance = None, None
        if latents:
            half_context = solve_triangular(factor, covariance, lower=True)
            f_mean, f_variance = on_prefixes(half_context, of_context)
        together = None
        if joint:
            products = half[:, :, None] * half[:, None, :]
            explained = jnp.tensordot(before, products, axes=1)
            together = model.covariance(query, query, theta)[None] - explained
        mean, variance = on_prefixes(half, of_query)
        scale = jnp.maximum(of_query.max(), of_context.max())
        return Conditioned(mean, variance, fit, log_det, scale, f_mean, f_variance, together)

    over_nodes = jax.vmap(solve, in_axes=(0, None, None, None, None))
    return jax.jit(jax.vmap(over_nodes, in_axes=(None, 0, 0, 0, None)))


PART = Cholesky

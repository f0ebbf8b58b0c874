"""The joint predictive of several queries of one data set: a finite mixture of multivariate
normals.

The seven forms of `predictive` say what is known of each query alone. Queries of one data set share
their unknowns, and a candidate that is right about each may be wrong about all: its joint says so.
With fixed hyperparameters there is one component.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp, ndtr, ndtri, softmax

from veribayes.errors import InputError, ShapeError
from veribayes.predictive._arrays import LOG_SQRT_2PI, Array, Mask
from veribayes.predictive._entries import MASS_TOLERANCE
from veribayes.predictive.mixture import NormalMixture


@dataclass(frozen=True, eq=False)
class Joint:
    """Mixture of multivariate normals over the queries, with a leading shape (usually dataset,
    position).

    Attributes:
        weights: (..., component), sum one.
        mean: (..., component, query).
        covariance: (..., component, query, query), of the observations themselves, noise included.

    Raises:
        ShapeError: shapes that do not belong together.
        InputError: a covariance that is not positive definite.
    """

    weights: Array
    mean: Array
    covariance: Array

    def __post_init__(self) -> None:
        components_agree = self.mean.shape[:-1] == self.weights.shape
        if components_agree and self.covariance.shape == (*self.mean.shape, self.mean.shape[-1]):
            return
        wanted = "weights (..., component), mean (..., query), covariance (..., query, query)"
        shapes = f"{self.weights.shape}, {self.mean.shape}, {self.covariance.shape}"
        raise ShapeError(wanted, shapes)

    @cached_property
    def factor(self) -> Array:
        """L with L L^T = covariance."""
        try:
            return np.asarray(np.linalg.cholesky(self.covariance), dtype=np.float64)
        except np.linalg.LinAlgError:
            remedy = "is the noise part of it?"
            wanted = "positive definite covariances"
            raise InputError(wanted, "one that is not", remedy) from None

    def proper(self) -> Mask:
        """Whether it is a law, by data set and position.

        A law is finite, its weights sum to one, and its covariances are positive definite.
        """
        finite_mean = np.isfinite(self.mean).all((-2, -1))
        finite = np.asarray(finite_mean & np.isfinite(self.covariance).all((-3, -2, -1)))
        distance_from_one = np.abs(self.weights.sum(-1) - 1)
        weighted = (self.weights >= 0).all(-1) & (distance_from_one <= MASS_TOLERANCE)
        identity = np.eye(self.mean.shape[-1])
        numbers: Array = np.where(finite[..., None, None, None], self.covariance, identity)
        smallest_eigenvalue = np.linalg.eigvalsh(numbers)[..., 0]
        definite = (smallest_eigenvalue > 0).all(-1)
        return np.asarray(finite & weighted & definite)

    @property
    def shape(self) -> tuple[int, ...]:
        """Leading shape."""
        return self.weights.shape[:-1]

    def __getitem__(self, key: Any) -> Joint:
        """Index the leading dimensions."""
        return Joint(self.weights[key], self.mean[key], self.covariance[key])

    @staticmethod
    def concatenate(parts: Sequence[Joint]) -> Joint:
        """Join along the first axis."""
        weights = np.concatenate([part.weights for part in parts])
        mean = np.concatenate([part.mean for part in parts])
        covariance = np.concatenate([part.covariance for part in parts])
        return Joint(weights, mean, covariance)

    def marginal(self) -> NormalMixture:
        """Of every query alone, leading shape (..., query)."""
        variance = np.diagonal(self.covariance, axis1=-2, axis2=-1)
        mean = np.moveaxis(self.mean, -2, -1)
        sd = np.moveaxis(np.sqrt(variance), -2, -1)
        weights = np.broadcast_to(self.weights[..., None, :], mean.shape)
        return NormalMixture(weights, mean, sd)

    def log_prob(self, y: Array) -> Array:
        """Log density (...,) at `y` (..., query), nats."""
        _, log_density = self._residuals(y)
        log_terms = np.log(self.weights) + log_density.sum(-1)
        return np.asarray(logsumexp(log_terms, axis=-1))

    def whiten(self, y: Array) -> Array:
        """Rosenblatt's transform of `y` (..., query): independent standard normals if y has this
        law.

        The normal quantile of P(Y_j <= y_j | y_1, ..., y_{j-1}); with one component, L^-1 (y -
        mean) with L L^T = covariance.
        """
        residual, log_density = self._residuals(y)
        if self.weights.shape[-1] == 1:
            return np.asarray(residual[..., 0, :])
        before = np.cumsum(log_density, axis=-1) - log_density
        log_weights = np.log(self.weights)[..., None] + before
        weights = softmax(log_weights, axis=-2)
        below = (weights * ndtr(residual)).sum(-2)
        above = (weights * ndtr(-residual)).sum(-2)
        return np.asarray(np.where(below < 0.5, ndtri(below), -ndtri(above)))

    def moments(self) -> tuple[Array, Array]:
        """Mean (..., query) and covariance (..., query, query) of the mixture."""
        mean = np.einsum("...c,...cq->...q", self.weights, self.mean)
        apart = self.mean - mean[..., None, :]
        between = apart[..., :, None] * apart[..., None, :]
        second_moments = self.covariance + between
        covariance = np.einsum("...c,...cqr->...qr", self.weights, second_moments)
        return mean, covariance

    def sample(self, rng: np.random.Generator, draws: int) -> Array:
        """Independent draws, (..., draw, query)."""
        uniforms = rng.random((*self.shape, draws, 1))
        borders = np.cumsum(self.weights, -1)[..., None, :-1]
        component = (uniforms > borders).sum(-1)
        normals = rng.standard_normal((*self.shape, draws, self.mean.shape[-1]))
        mean = np.take_along_axis(self.mean, component[..., None], -2)
        factor = np.take_along_axis(self.factor, component[..., None, None], -3)
        deviation = (factor @ normals[..., None])[..., 0]
        return np.asarray(mean + deviation)

    def kl(self, other: Joint) -> Array:
        """KL(self || other), nats, (...,): (tr(S^-1 C) + |m - m'|^2_{S^-1} - Q + log det S / det C)
        / 2.

        Raises:
            InputError: more than one component, for which there is no closed form: average log_prob
                over draws.
        """
        if self.weights.shape[-1] != 1 or other.weights.shape[-1] != 1:
            remedy = "average the difference of log_prob over draws"
            raise InputError("joints with one component", "a mixture", remedy)
        ours, theirs = self.factor[..., 0, :, :], other.factor[..., 0, :, :]
        spread = _solve(theirs, ours)
        shift = _solve(theirs, (self.mean - other.mean)[..., 0, :, None])
        log_det = np.log(np.diagonal(spread, axis1=-2, axis2=-1)).sum(-1)
        trace = (spread**2).sum((-2, -1))
        distance = (shift**2).sum((-2, -1))
        return np.asarray((trace + distance - self.mean.shape[-1]) / 2 - log_det)

    def _residuals(self, y: Array) -> tuple[Array, Array]:
        """L^-1 (y - mean) and the log densities of its coordinates, both (...,
        component, query).
        """
        shape = (*self.shape, self.mean.shape[-1])
        if y.shape != shape:
            raise ShapeError(f"outcomes of shape {shape}", f"{y.shape}")
        apart = y[..., None, :] - self.mean
        residual = _solve(self.factor, apart[..., None])[..., 0]
        scale = np.diagonal(self.factor, axis1=-2, axis2=-1)
        log_density = -0.5 * residual**2 - np.log(scale) - LOG_SQRT_2PI
        return residual, log_density


def _solve(factor: Array, right: Array) -> Array:
    return np.asarray(solve_triangular(factor, right, lower=True))

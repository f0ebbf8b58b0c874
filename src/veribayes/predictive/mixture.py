"""Finite mixtures of normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, ndtr, ndtri

from veribayes.predictive._arrays import LOG_SQRT_2PI, Array
from veribayes.predictive._entries import (
    normalised,
    require_finite,
    require_positive,
    require_same_shape,
)
from veribayes.predictive._form import Predictive, Trailing
from veribayes.predictive.categorical import Categorical

HALVINGS = 60  # of the interval that holds a quantile: beyond what float64 tells apart


@dataclass(frozen=True, eq=False)
class NormalMixture(Predictive):
    """Finite mixture of normals; the last axis is the component."""

    weights: Array
    mean: Array
    sd: Array
    form: ClassVar[str] = "mixture"
    trailing: ClassVar[Trailing] = {
        "weights": "component",
        "mean": "component",
        "sd": "component",
    }

    def _check(self) -> None:
        require_same_shape(weights=self.weights, mean=self.mean, sd=self.sd)
        require_finite("mean", self.mean, trailing=1)
        require_positive("sd", self.sd, trailing=1)
        object.__setattr__(self, "weights", normalised(self.weights, "weights"))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mean.shape[:-1]

    def expectation(self) -> Array:
        return (self.weights * self.mean).sum(-1)

    def standard_deviation(self) -> Array:
        centre = self.expectation()[..., None]
        second_moments = self.sd**2 + (self.mean - centre) ** 2
        return np.sqrt((self.weights * second_moments).sum(-1))

    def log_prob(self, y: npt.ArrayLike) -> Array:
        z = self._standardised(self._points(y))
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights)[..., None, :]
        log_sd = np.log(self.sd)[..., None, :]
        log_terms = log_weights - log_sd - 0.5 * z * z
        return np.asarray(logsumexp(log_terms, axis=-1)) - LOG_SQRT_2PI

    def cdf(self, y: npt.ArrayLike) -> Array:
        each = ndtr(self._standardised(self._points(y)))
        return np.asarray((self.weights[..., None, :] * each).sum(-1))

    def quantile(self, u: npt.ArrayLike) -> Array:
        """By bisection inside the components' own quantiles, to 60 halvings."""
        levels = self._points(u)
        standard = ndtri(levels)[..., None]
        each = self.mean[..., None, :] + self.sd[..., None, :] * standard
        low, high = each.min(-1), each.max(-1)
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            under = self.cdf(middle) < levels
            low = np.where(under, middle, low)
            high = np.where(under, high, middle)
        return 0.5 * (low + high)

    def sample(self, rng: np.random.Generator, draws: int) -> Array:
        component = Categorical(self.weights).sample(rng, draws).astype(np.int64)
        noise = rng.standard_normal(component.shape)
        mean = np.take_along_axis(self.mean, component, -1)
        sd = np.take_along_axis(self.sd, component, -1)
        return mean + sd * noise

    def _standardised(self, points: Array) -> Array:
        """(y - mean) / sd of every component, (*shape, points, component)."""
        return (points[..., None] - self.mean[..., None, :]) / self.sd[..., None, :]

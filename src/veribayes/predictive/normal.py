"""The normal distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtr, ndtri

from veribayes.predictive._arrays import LOG_SQRT_2PI, Array
from veribayes.predictive._entries import require_finite, require_positive, require_same_shape
from veribayes.predictive._form import Predictive, Trailing


@dataclass(frozen=True, eq=False)
class Normal(Predictive):
    """Normal with `mean` and standard deviation `sd` (not variance)."""

    mean: Array
    sd: Array
    form: ClassVar[str] = "normal"
    trailing: ClassVar[Trailing] = {"mean": None, "sd": None}

    def _check(self) -> None:
        require_same_shape(mean=self.mean, sd=self.sd)
        require_finite("mean", self.mean)
        require_positive("sd", self.sd)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mean.shape

    def expectation(self) -> Array:
        return self.mean

    def standard_deviation(self) -> Array:
        return self.sd

    def log_prob(self, y: npt.ArrayLike) -> Array:
        z = self._standardised(y)
        log_sd = np.log(self.sd)[..., None]
        return -0.5 * z * z - log_sd - LOG_SQRT_2PI

    def cdf(self, y: npt.ArrayLike) -> Array:
        return np.asarray(ndtr(self._standardised(y)))

    def quantile(self, u: npt.ArrayLike) -> Array:
        standard = ndtri(self._points(u))
        return np.asarray(self.mean[..., None] + self.sd[..., None] * standard)

    def _standardised(self, y: npt.ArrayLike) -> Array:
        """(y - mean) / sd, (*shape, points)."""
        return (self._points(y) - self.mean[..., None]) / self.sd[..., None]


def log_normal_interval(low: Array, high: Array) -> Array:
    """log P(low < Z < high) for a standard normal, through the smaller tail so that nothing
    cancels.
    """
    flip = low > 0
    start = np.where(flip, -high, low)
    stop = np.where(flip, -low, high)
    upper = log_ndtr(stop)
    lower = log_ndtr(start)
    ratio = np.exp(np.minimum(lower - upper, 0.0))
    with np.errstate(divide="ignore"):
        return np.asarray(upper + np.log1p(-ratio))

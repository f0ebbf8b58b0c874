"""Probabilities over categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from veribayes.errors import ShapeError
from veribayes.predictive._arrays import Array
from veribayes.predictive._form import Trailing
from veribayes.predictive._masses import Masses


@dataclass(frozen=True, eq=False)
class Categorical(Masses):
    """Probabilities over categories 0..K-1, zero-padded beyond a variable's own number of
    categories.
    """

    probs: Array  # (..., category)
    log_probs: Array | None = None  # (..., category)
    zero_limit: Array | None = None
    form: ClassVar[str] = "categorical"
    trailing: ClassVar[Trailing] = {
        "probs": "category",
        "log_probs": "category",
        "zero_limit": None,
    }

    def _check(self) -> None:
        if self.probs.ndim < 1:
            raise ShapeError("probs with a trailing axis 'category'", f"{self.probs.shape}")
        self._normalise()

    def expectation(self) -> Array:
        return self.probs @ np.arange(self.probs.shape[-1], dtype=float)

    def standard_deviation(self) -> Array:
        category = np.arange(self.probs.shape[-1], dtype=float)
        variance = self.probs @ category**2 - self.expectation() ** 2
        return np.sqrt(np.maximum(variance, 0.0))

    def log_prob(self, y: npt.ArrayLike) -> Array:
        index = self._points(y).astype(np.int64)
        return np.take_along_axis(self.log_masses, index, axis=-1)

    def quantile(self, u: npt.ArrayLike) -> Array:
        levels = self._points(u)
        below = np.cumsum(self.probs, axis=-1)[..., :-1]
        passed = levels[..., None] > below[..., None, :]
        return passed.sum(-1).astype(float)

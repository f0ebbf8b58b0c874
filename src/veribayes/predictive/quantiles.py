"""Values at probability levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from veribayes.errors import ShapeError
from veribayes.predictive._arrays import Array
from veribayes.predictive._entries import refuse, require_finite
from veribayes.predictive._form import Predictive, Trailing


@dataclass(frozen=True, eq=False)
class Quantiles(Predictive):
    """Values at increasing probability levels, shared by the batch;
    the cdf is linear between them.
    """

    levels: Array  # (level,)
    values: Array  # (..., level)
    form: ClassVar[str] = "quantiles"
    trailing: ClassVar[Trailing] = {"levels": "level", "values": "level"}
    shared: ClassVar[frozenset[str]] = frozenset({"levels"})

    def _check(self) -> None:
        self._require_levels()
        if not self.values.ndim or self.values.shape[-1] != self.levels.size:
            wanted = f"{self.levels.size} values, one a level"
            raise ShapeError(wanted, f"values of shape {self.values.shape}")
        require_finite("values", self.values, trailing=1)
        crossing = np.diff(self.values, axis=-1) < 0
        wanted = "values that do not decrease in the level"
        refuse(crossing, 1, wanted, "crossing quantiles", "sort them, or say so")

    def _require_levels(self) -> None:
        levels = self.levels
        several = levels.ndim == 1 and levels.size >= 2
        inside = several and levels[0] > 0 and levels[-1] < 1
        if not inside or not np.all(np.diff(levels) > 0):
            wanted = "levels: one axis of at least two increasing numbers inside (0, 1)"
            raise ShapeError(wanted, f"shape {levels.shape}")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape[:-1]

    def expectation(self) -> Array:
        return np.asarray(np.trapezoid(self._full_values(), self._full_levels(), axis=-1))

    def standard_deviation(self) -> Array:
        second = np.trapezoid(self._full_values() ** 2, self._full_levels(), axis=-1)
        variance = second - self.expectation() ** 2
        return np.sqrt(np.maximum(variance, 0.0))

    def _full_levels(self) -> Array:
        return np.concatenate([[0.0], self.levels, [1.0]])

    def _full_values(self) -> Array:
        lowest, highest = self.values[..., :1], self.values[..., -1:]
        return np.concatenate([lowest, self.values, highest], -1)

    def cdf(self, y: npt.ArrayLike) -> Array:
        points = self._points(y)
        out = np.empty(points.shape)
        levels, knots = self._full_levels(), self._full_values()
        for i in np.ndindex(self.shape):
            out[i] = np.interp(points[i], knots[i], levels, left=0.0, right=1.0)
        return out

    def quantile(self, u: npt.ArrayLike) -> Array:
        levels = self._points(u)
        out = np.empty(levels.shape)
        for i in np.ndindex(self.shape):
            out[i] = np.interp(levels[i], self.levels, self.values[i])
        return out

"""Independent draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ShapeError
from veribayes.predictive._arrays import Array
from veribayes.predictive._entries import require_finite
from veribayes.predictive._form import Predictive, Trailing


@dataclass(frozen=True, eq=False)
class Draws(Predictive):
    """Independent draws; their order carries no information. Categories are drawn as their index.

    `again` is the answer to a second request, where there was one: it shows how far answers
    scatter, so that no score has to assume it. Moments, quantiles and the cdf are those of the
    first answer.
    """

    draws: Array  # (..., draw)
    again: Array | None = None  # (..., draw_again); their number may differ
    form: ClassVar[str] = "draws"
    trailing: ClassVar[Trailing] = {"draws": "draw", "again": "draw_again"}

    def _check(self) -> None:
        for name, draws in self.variables().items():
            if draws.ndim < 1 or draws.shape[-1] < 2:
                raise ShapeError("at least two draws on the last axis", f"{draws.shape}")
            require_finite(name, draws, trailing=1)
        if self.again is not None and self.again.shape[:-1] != self.shape:
            wanted = f"a second answer with the leading shape {self.shape}"
            raise ShapeError(wanted, f"{self.again.shape[:-1]}")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.draws.shape[:-1]

    def expectation(self) -> Array:
        return self.draws.mean(-1)

    def standard_deviation(self) -> Array:
        return self.draws.std(-1, ddof=1)

    def cdf(self, y: npt.ArrayLike) -> Array:
        points = self._points(y)
        ordered = np.sort(self.draws, -1)
        out = np.empty(points.shape)
        for i in np.ndindex(self.shape):
            below = np.searchsorted(ordered[i], points[i], side="right")
            out[i] = below / ordered.shape[-1]
        return out

    def quantile(self, u: npt.ArrayLike) -> Array:
        levels = self._points(u)
        ordered = np.sort(self.draws, -1)
        count = ordered.shape[-1]
        place = np.ceil(levels * count).astype(np.int64) - 1
        index = np.clip(place, 0, count - 1)
        return np.take_along_axis(ordered, index, -1)

    def frequencies(self, categories: int) -> tuple[Array, int]:
        """Counts of categories 0..K-1, shape (*shape, category), and the number of draws.

        Raises:
            InputError: draws that are no categories.
        """
        return _counts(self.draws, categories), self.draws.shape[-1]

    def frequencies_again(self, categories: int) -> tuple[Array, int]:
        """The same of the second answer."""
        assert self.again is not None
        return _counts(self.again, categories), self.again.shape[-1]


def _counts(draws: Array, categories: int) -> Array:
    """How often each category was drawn, (*leading, category)."""
    index = draws.astype(np.int64)
    if index.size and not _are_categories(index, draws, categories):
        wanted = f"draws that are categories 0..{categories - 1}"
        raise InputError(wanted, "other values", "return the index of the category")
    rows = index.reshape(-1, index.shape[-1])
    row_starts = categories * np.arange(len(rows))
    cells = rows + row_starts[:, None]
    counts = np.bincount(cells.ravel(), minlength=len(rows) * categories)
    return counts.reshape(*draws.shape[:-1], categories).astype(float)


def _are_categories(index: npt.NDArray[np.int64], draws: Array, categories: int) -> bool:
    whole = not np.any(index != draws)
    return bool(whole and index.min() >= 0 and index.max() < categories)

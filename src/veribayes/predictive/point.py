"""A mean alone, as regression papers report it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NoReturn

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError
from veribayes.predictive._arrays import Array
from veribayes.predictive._entries import refuse
from veribayes.predictive._form import Predictive, Trailing

LARGEST = 1e150  # its square, and the sum of thousands of these, still are float64


@dataclass(frozen=True, eq=False)
class Point(Predictive):
    """The mean of the next observation, and nothing about its spread.

    It is no distribution: whatever asks for a spread, a quantile, a density or a draw is refused.
    """

    mean: Array
    form: ClassVar[str] = "point"
    trailing: ClassVar[Trailing] = {"mean": None}

    def _check(self) -> None:
        proper = np.isfinite(self.mean) & (np.abs(self.mean) <= LARGEST)
        wanted = f"finite mean of at most {LARGEST:g}"
        refuse(~proper, 0, wanted, self.mean)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mean.shape

    def expectation(self) -> Array:
        return self.mean

    def standard_deviation(self) -> Array:
        _refuse_spread()

    def cdf(self, y: npt.ArrayLike) -> Array:
        _refuse_spread()

    def quantile(self, u: npt.ArrayLike) -> Array:
        _refuse_spread()


def _refuse_spread() -> NoReturn:
    raise InputError("a form with a spread", f"'{Point.form}'", "return mean and sd")

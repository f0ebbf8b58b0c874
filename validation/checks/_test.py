"""The frame of a test: what it needs, from how many units on it answers, and how it fails.

A test rejects a point null and is no verdict: any trained network differs from Bayes at large n. It
fails closed: NaN, too few units and a sample without spread are errors, never a large p-value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ShapeError
from veribayes.predictive import Array

ROUNDING = 1e-12  # relative, of a p-value
CONSTANT = 1e-12  # relative spread below which a column is constant: rounding alone gives 1e-16
Exactness = Literal["exact", "conservative", "asymptotic"]


@dataclass(frozen=True)
class Outcome:
    """What a test answers.

    Attributes:
        statistic: its value; large is evidence against the null.
        p_value: of the whole test, multiplicity included.
        n: units (data sets, or draws kept) behind it.
        components: p-value of each part of the test, adjusted for their number; empty where it has
            one part.
        measured: further numbers by name, such as an accuracy and its limit; no p-values.
        least: the smallest p-value that the test could have had: 1 / (B + 1) for B resamples, times
            what the test itself corrects for; 0 where nothing is resampled. `attainable` holds it
            against the level.
    """

    statistic: float
    p_value: float
    n: int
    components: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    least: float = 0.0


@dataclass(frozen=True, eq=False)
class Test:
    """A test by name; `run(*arrays, seed=, **options)` gives an `Outcome`.

    Attributes:
        name: the part's name.
        needs: the arrays of `run`, with their axes.
        null: what is true when it rejects falsely.
        minimum: fewest units it accepts.
        exactness: `exact` has its nominal size, `conservative` at most that, `asymptotic` nearly.
        citation: source.
        kernel: `(*arrays, seed=, **options) -> Outcome` on checked float64 arrays.
        paired: whether all arrays have the data sets of the first axis in common.
        infinite: whether infinite entries mean something.
        about: what a rejection says of a candidate, a clause; empty where no run asks.
        question: what is true of a candidate that is not rejected, a clause for readers.
        evidence: the arrays of `run` that a comparison (a `Case`) holds, or None where it cannot be
            asked. Without this function no run asks; whoever has the arrays does.
        level: `standard`: every run asks; `all`: only where all is wanted, because it is dear.
        place: order among the checks that a run asks.
    """

    __test__: ClassVar[bool] = False  # pytest collects classes of this name

    name: str
    needs: str
    null: str
    minimum: int
    exactness: Exactness
    citation: str
    kernel: Callable[..., Outcome] = field(repr=False)
    paired: bool = True
    infinite: bool = False
    about: str = ""
    question: str = ""
    evidence: Callable[[Any], tuple[Array, ...] | None] | None = field(default=None, repr=False)
    level: Literal["standard", "all"] = "standard"
    place: int = 100

    def run(self, *arrays: npt.ArrayLike, seed: int = 0, **options: Any) -> Outcome:
        """Test the arrays that `needs` describes.

        Args:
            seed: of the simulated null, the permutations or the reference points.
            options: of the part, by name.

        Raises:
            InputError: NaN, infinite entries, fewer than `minimum` units, or what the part refuses.
            ShapeError: wrong axes.
            ArithmeticError: the p-value came out as NaN; it is never passed on.
        """
        checked = [self._checked(np.asarray(a, dtype=np.float64)) for a in arrays]
        if self.paired and len({len(a) for a in checked}) > 1:
            lengths = [len(array) for array in checked]
            raise ShapeError(f"{self.needs}, with one first axis", f"lengths {lengths}")
        found = self.kernel(*checked, seed=seed, **options)
        if not found.least * (1 - ROUNDING) <= found.p_value <= 1:
            raise ArithmeticError(
                f"{self.name} has the p-value {found.p_value}, its smallest being {found.least}"
            )
        return found

    def _checked(self, array: Array) -> Array:
        if array.ndim == 0:
            raise ShapeError(self.needs, "a number")
        usable = ~np.isnan(array) if self.infinite else np.isfinite(array)
        if not usable.all():
            got = f"{int((~usable).sum())} of {array.size} NaN or infinite"
            raise InputError(f"numbers for {self.name}", got)
        at_least(self.minimum, len(array), self.name)
        return array


def at_least(minimum: int, n: int, name: str) -> None:
    """Refuse a sample that is too small to be tested."""
    if n < minimum:
        raise InputError(
            f"at least {minimum} units for {name}", f"{n}", "simulate more data sets or draws"
        )


def axes(array: Array, names: str) -> tuple[int, ...]:
    """The shape of an array that must have the axes `names`, e.g. "dataset draw coordinate"."""
    if array.ndim != len(names.split()) or not array.size:
        raise ShapeError(f"({names.replace(' ', ', ')})", f"{array.shape}")
    return array.shape


def with_spread(array: Array, name: str) -> Array:
    """Standardise the last axis' columns over all others; a column without spread is refused.

    The result does not depend on the order of the rows, so it may be used before they are permuted.
    """
    columns = np.ascontiguousarray(array.reshape(-1, array.shape[-1]).T)  # sums run along memory
    centred = columns - columns.mean(1, keepdims=True)
    sd = centred.std(1)
    constant = sd <= CONSTANT * np.abs(columns).max(1)
    if constant.any():
        got = f"{int(constant.sum())} constant of {sd.size}"
        raise InputError(f"columns of {name} that vary", got)
    return np.asarray((centred.T / sd).reshape(array.shape))

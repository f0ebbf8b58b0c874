"""What every predictive form answers, and how parts of one form are joined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ShapeError
from veribayes.predictive._arrays import Array, to_float64

Trailing = Mapping[str, str | None]  # variable -> its trailing dimension; None: one number


@dataclass(frozen=True, eq=False)
class Predictive(ABC):
    """A batch of predictive distributions with a common form and leading `shape`."""

    form: ClassVar[str]
    trailing: ClassVar[Trailing]
    shared: ClassVar[frozenset[str]] = frozenset()  # variables without the leading shape

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                object.__setattr__(self, field.name, to_float64(value, field.name))
        self._check()

    @classmethod
    def is_meant_by(cls, names: frozenset[str]) -> bool:
        """Whether a dict with these variables is of this form."""
        return names == cls.required()

    @classmethod
    def required(cls) -> frozenset[str]:
        """The variables without which there is no such form."""
        return frozenset(field.name for field in fields(cls) if field.default is MISSING)

    @abstractmethod
    def _check(self) -> None: ...

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Leading shape."""

    @abstractmethod
    def expectation(self) -> Array:
        """Expectation; for categories, the probability-weighted index. Shape: the leading shape."""

    @abstractmethod
    def standard_deviation(self) -> Array:
        """Standard deviation. Shape: the leading shape."""

    def log_prob(self, y: npt.ArrayLike) -> Array:
        """Log density (or log mass) at `y` of shape (*shape, points), nats."""
        remedy = "score it by CRPS, or return probabilities, bins or a mixture"
        raise InputError("a form with a density", f"'{self.form}'", remedy)

    def cdf(self, y: npt.ArrayLike) -> Array:
        """Distribution function at `y` of shape (*shape, points)."""
        remedy = "categories have no order; compare their probabilities"
        raise InputError("an ordered form", f"'{self.form}'", remedy)

    @abstractmethod
    def quantile(self, u: npt.ArrayLike) -> Array:
        """Quantiles at levels `u` of shape (*shape, points)."""

    def sample(self, rng: np.random.Generator, draws: int) -> Array:
        """`draws` independent draws by inversion; shape (*shape, draws)."""
        return self.quantile(rng.random((*self.shape, draws)))

    def total_mass(self) -> Array:
        """Mass of the distribution; 1 up to rounding for every valid form."""
        return np.ones(self.shape)

    def variables(self) -> dict[str, Array]:
        """Field name -> array, without absent ones: the names under which the form is stored."""
        present = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                present[field.name] = value
        return present

    def variable(self, name: str) -> Array:
        """A variable, or what it would be where another part of the same form has it."""
        return self.variables()[name]

    def __getitem__(self, key: Any) -> Predictive:
        """Index the leading dimensions."""
        part = {}
        for name, value in self.variables().items():
            part[name] = value if name in self.shared else value[key]
        return type(self)(**part)

    def _points(self, y: npt.ArrayLike) -> Array:
        points = to_float64(y)
        if points.ndim == len(self.shape) + 1 and points.shape[:-1] == self.shape:
            return points
        wanted = f"points of shape {(*self.shape, 'points')}"
        raise ShapeError(wanted, f"{points.shape}", "add a trailing axis of points")


def stack(parts: Sequence[Predictive], axis: int) -> Predictive:
    """Join predictives of one form along a new leading axis (positions become one branch)."""
    return _joined(parts, lambda arrays: np.stack(arrays, axis))


def concatenate(parts: Sequence[Predictive], axis: int = 0) -> Predictive:
    """Join predictives of one form along an existing leading axis (shards become one branch)."""
    return _joined(parts, lambda arrays: np.concatenate(arrays, axis))


def _joined(parts: Sequence[Predictive], join: Callable[[list[Array]], Array]) -> Predictive:
    _require_one_form(parts)
    first = parts[0]
    for name in first.shared:
        _require_one_value(parts, name)
    names: dict[str, None] = {}
    for part in parts:
        names |= dict.fromkeys(part.variables())
    joined = {}
    for name in names:
        if name not in first.shared:
            joined[name] = join([part.variable(name) for part in parts])
    shared = {name: array for name, array in first.variables().items() if name in first.shared}
    return type(first)(**joined, **shared)


def _require_one_form(parts: Sequence[Predictive]) -> None:
    forms = {part.form for part in parts}
    if len(forms) != 1:
        wanted = "one predictive form throughout a run"
        raise InputError(wanted, f"{sorted(forms)}", "return the same form at every position")


def _require_one_value(parts: Sequence[Predictive], name: str) -> None:
    """Refuse parts that differ in a variable without the leading shape; absent is one value too."""
    first = parts[0].variables().get(name, 0.0)
    for part in parts:
        value = part.variables().get(name, 0.0)
        if not np.array_equal(value, first):
            raise InputError(f"the same '{name}' throughout a run", "different ones")

"""Hyperparameters: positive numbers, or laws of them.

Values are asked for by name: `lengthscale` of a single kernel, `0.lengthscale` inside a sum or
product.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from veribayes.errors import InputError, ModelError
from veribayes.models._check import choice, mapping, number, sequence, shown
from veribayes.models._random import integers, normal
from veribayes.predictive import Array

if TYPE_CHECKING:
    import jax

Theta = Mapping[str, Any]  # hyperparameter name -> number or JAX scalar


class HyperPrior(ABC):
    """Law of one positive hyperparameter."""

    kind: ClassVar[str]
    discrete: ClassVar[bool] = False

    @abstractmethod
    def sample(self, level: jax.Array) -> jax.Array:
        """Draws by inversion of uniforms."""

    @abstractmethod
    def nodes(self, n: int) -> tuple[Array, Array]:
        """Nodes and weights (sum one) of a quadrature: all values of a grid, or n Gauss nodes in
        the logarithm.
        """

    def distribution(self) -> Any:
        """The NumPyro distribution."""
        remedy = "a grid has an exact answer: use the engine cholesky"
        raise InputError("a continuous hyperprior", f"'{self.kind}'", remedy)

    def spec(self) -> dict[str, Any]:
        spec = {"kind": self.kind}
        for field in fields(self):  # type: ignore[arg-type]
            spec[field.name] = plain(getattr(self, field.name))
        return spec


@dataclass(frozen=True)
class Grid(HyperPrior):
    """Uniform over finitely many values."""

    values: tuple[float, ...]
    kind: ClassVar[str] = "grid"
    discrete: ClassVar[bool] = True

    def __post_init__(self) -> None:
        values = tuple(number("values", v, above=0) for v in sequence("values", self.values))
        if not values or len(set(values)) < len(values):
            raise ModelError("different values of a grid, at least one", shown(list(values)))
        object.__setattr__(self, "values", values)

    def sample(self, level: jax.Array) -> jax.Array:
        import jax.numpy as jnp

        return jnp.asarray(self.values)[integers(level, len(self.values))]

    def nodes(self, n: int) -> tuple[Array, Array]:
        del n  # a grid is summed exactly
        count = len(self.values)
        return np.array(self.values), np.full(count, 1 / count)


@dataclass(frozen=True)
class LogUniform(HyperPrior):
    """log theta ~ U(log low, log high)."""

    low: float
    high: float
    kind: ClassVar[str] = "log_uniform"

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", number("low", self.low, above=0))
        object.__setattr__(self, "high", number("high", self.high, above=self.low))

    def sample(self, level: jax.Array) -> jax.Array:
        return self.low * (self.high / self.low) ** level

    def nodes(self, n: int) -> tuple[Array, Array]:
        """Gauss-Legendre."""
        at, weight = np.polynomial.legendre.leggauss(n)
        middle = np.log(self.low * self.high) / 2
        half_width = np.log(self.high / self.low) / 2
        return np.exp(middle + half_width * at), weight / 2

    def distribution(self) -> Any:
        from numpyro import distributions as dist

        return dist.LogUniform(self.low, self.high)


@dataclass(frozen=True)
class LogNormal(HyperPrior):
    """log theta ~ N(location, scale^2)."""

    location: float
    scale: float
    kind: ClassVar[str] = "log_normal"

    def __post_init__(self) -> None:
        object.__setattr__(self, "location", number("location", self.location))
        object.__setattr__(self, "scale", number("scale", self.scale, above=0))

    def sample(self, level: jax.Array) -> jax.Array:
        import jax.numpy as jnp

        return jnp.exp(self.location + self.scale * normal(level))

    def nodes(self, n: int) -> tuple[Array, Array]:
        """Gauss-Hermite."""
        at, weight = np.polynomial.hermite_e.hermegauss(n)
        return np.exp(self.location + self.scale * at), weight / weight.sum()

    def distribution(self) -> Any:
        from numpyro import distributions as dist

        return dist.LogNormal(self.location, self.scale)


Hyper = float | HyperPrior
HYPERPRIORS: Mapping[str, type[HyperPrior]] = {
    law.kind: law for law in (Grid, LogUniform, LogNormal)
}


def hyper(name: str, value: Any) -> Hyper:
    """A positive number or a hyperprior, from itself or from its specification."""
    if isinstance(value, HyperPrior):
        return value
    if isinstance(value, Mapping):
        prior: HyperPrior = value_from_spec("hyperprior", HYPERPRIORS, value)
        return prior
    return number(name, value, above=0)


def plain(value: Any) -> Any:
    """Plain data of a hyperparameter."""
    if isinstance(value, HyperPrior):
        return value.spec()
    return list(value) if isinstance(value, tuple) else value


def value_from_spec(what: str, table: Mapping[str, Any], spec: Any) -> Any:
    """The value of one of the classes of a table that a specification describes.

    Raises:
        ModelError: no mapping, an unknown kind, or other fields than the kind has.
    """
    if not isinstance(spec, Mapping):
        raise ModelError(f"a mapping with 'kind' for a {what}", shown(spec))
    cls = table[choice(f"kind of the {what}", spec.get("kind"), list(table))]
    where = f"the {what} '{cls.kind}'"
    names = [field.name for field in fields(cls)]
    given = mapping(where, spec, allowed=["kind", *names])
    del given["kind"]
    try:
        return cls(**given)
    except TypeError:
        raise ModelError(f"{', '.join(names)} in {where}", f"{sorted(given)}") from None


def below(prefix: str, theta: Theta) -> dict[str, Any]:
    """The entries whose name starts with the prefix, without it."""
    return {n.removeprefix(prefix): v for n, v in theta.items() if n.startswith(prefix)}

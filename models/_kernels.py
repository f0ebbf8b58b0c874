"""Covariance functions: small frozen values whose call is the formula in their docstring.

A hyperparameter is a number, or a hyperprior (`Grid`, `LogUniform`, `LogNormal`). Calls take the values of those that have
a prior in `theta`, by name: `lengthscale` for a single kernel, `0.lengthscale`, `1.amplitude` inside sums and products.
Shapes: x (n, d), z (k, d) -> covariance (n, k); every call is pure JAX and works under vmap.
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
        """Nodes and weights (sum one) of a quadrature: all values of a grid, or n Gauss nodes in the logarithm."""

    def distribution(self) -> Any:
        """The NumPyro distribution."""
        raise InputError(
            "a continuous hyperprior",
            f"'{self.kind}'",
            "a grid has an exact answer: use the engine cholesky",
        )

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind, **{f.name: plain(getattr(self, f.name)) for f in fields(self)}}  # type: ignore[arg-type]


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
        return np.array(self.values), np.full(len(self.values), 1 / len(self.values))


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
        middle, half = np.log(self.low * self.high) / 2, np.log(self.high / self.low) / 2
        return np.exp(middle + half * at), weight / 2

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


class Kernel(ABC):
    """A positive semidefinite function of two points; kernels add and multiply."""

    kind: ClassVar[str]

    @abstractmethod
    def __call__(self, x: jax.Array, z: jax.Array, theta: Theta) -> jax.Array:
        """Covariance (n, k) of f(x), f(z)."""

    @abstractmethod
    def priors(self) -> dict[str, HyperPrior]:
        """The hyperparameters that have a prior, by name."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Plain data that `kernel_from_spec` reads back."""

    def check(self, d: int) -> None:  # noqa: B027 - a hook: most kernels fit every dimension
        """Raise `ModelError` when points of dimension d do not fit."""

    def variance(self, x: jax.Array, theta: Theta) -> jax.Array:
        """k(x, x), (n, d) -> (n,)."""
        import jax

        return jax.vmap(lambda point: self(point[None], point[None], theta)[0, 0])(x)

    def __add__(self, other: Kernel) -> Sum:
        return Sum((*_terms(self, Sum), *_terms(other, Sum)))

    def __mul__(self, other: Kernel) -> Product:
        return Product((*_terms(self, Product), *_terms(other, Product)))


class _Leaf(Kernel):
    """A kernel with hyperparameters of its own; every field is one."""

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, f.name, hyper(f.name, getattr(self, f.name)))

    def priors(self) -> dict[str, HyperPrior]:
        return {n: v for n, v in self._own().items() if isinstance(v, HyperPrior)}

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind, **{n: plain(v) for n, v in self._own().items()}}

    def _own(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    def _values(self, theta: Theta) -> dict[str, Any]:
        return {**self._own(), **theta}


@dataclass(frozen=True)
class Linear(_Leaf):
    """k(x, z) = sum_i diagonal_i x_i z_i: Bayesian linear regression with prior variances `diagonal` of the slopes."""

    diagonal: Hyper | tuple[float, ...] = 1.0  # one number for all dimensions, or one for each
    kind: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        if isinstance(self.diagonal, int | float | HyperPrior | Mapping):
            super().__post_init__()
        else:
            values = tuple(
                number("diagonal", v, above=0) for v in sequence("diagonal", self.diagonal)
            )
            object.__setattr__(self, "diagonal", values)

    def check(self, d: int) -> None:
        if isinstance(self.diagonal, tuple) and len(self.diagonal) != d:
            raise ModelError(f"{d} entries of 'diagonal', one a dimension", f"{len(self.diagonal)}")

    def __call__(self, x: jax.Array, z: jax.Array, theta: Theta) -> jax.Array:
        import jax.numpy as jnp

        scale = jnp.broadcast_to(jnp.asarray(self._values(theta)["diagonal"]), (x.shape[1],))
        return (x * scale[None]) @ z.T


@dataclass(frozen=True)
class RBF(_Leaf):
    """k(x, z) = amplitude^2 exp(-|x - z|^2 / (2 lengthscale^2))."""

    amplitude: Hyper = 1.0
    lengthscale: Hyper = 1.0
    kind: ClassVar[str] = "rbf"

    def __call__(self, x: jax.Array, z: jax.Array, theta: Theta) -> jax.Array:
        import jax.numpy as jnp

        p = self._values(theta)
        return p["amplitude"] ** 2 * jnp.exp(-0.5 * _squared_distance(x, z) / p["lengthscale"] ** 2)


class _Matern(_Leaf):
    amplitude: Hyper
    lengthscale: Hyper

    def __call__(self, x: jax.Array, z: jax.Array, theta: Theta) -> jax.Array:
        import jax.numpy as jnp

        p = self._values(theta)
        return p["amplitude"] ** 2 * self._correlation(
            jnp.sqrt(_squared_distance(x, z)) / p["lengthscale"]
        )

    @abstractmethod
    def _correlation(self, r: jax.Array) -> jax.Array: ...


@dataclass(frozen=True)
class Matern12(_Matern):
    """k = amplitude^2 exp(-r), r = |x - z| / lengthscale."""

    amplitude: Hyper = 1.0
    lengthscale: Hyper = 1.0
    kind: ClassVar[str] = "matern12"

    def _correlation(self, r: jax.Array) -> jax.Array:
        import jax.numpy as jnp

        return jnp.exp(-r)


@dataclass(frozen=True)
class Matern32(_Matern):
    """k = amplitude^2 (1 + s) exp(-s), s = sqrt(3) |x - z| / lengthscale."""

    amplitude: Hyper = 1.0
    lengthscale: Hyper = 1.0
    kind: ClassVar[str] = "matern32"

    def _correlation(self, r: jax.Array) -> jax.Array:
        import jax.numpy as jnp

        s = 3**0.5 * r
        return (1 + s) * jnp.exp(-s)


@dataclass(frozen=True)
class Matern52(_Matern):
    """k = amplitude^2 (1 + s + s^2 / 3) exp(-s), s = sqrt(5) |x - z| / lengthscale."""

    amplitude: Hyper = 1.0
    lengthscale: Hyper = 1.0
    kind: ClassVar[str] = "matern52"

    def _correlation(self, r: jax.Array) -> jax.Array:
        import jax.numpy as jnp

        s = 5**0.5 * r
        return (1 + s + s**2 / 3) * jnp.exp(-s)


@dataclass(frozen=True)
class Periodic(_Leaf):
    """k(x, z) = amplitude^2 exp(-2 sum_i sin^2(pi (x_i - z_i) / period) / lengthscale^2)."""

    amplitude: Hyper = 1.0
    lengthscale: Hyper = 1.0
    period: Hyper = 1.0
    kind: ClassVar[str] = "periodic"

    def __call__(self, x: jax.Array, z: jax.Array, theta: Theta) -> jax.Array:
        import jax.numpy as jnp

        p = self._values(theta)
        wave = jnp.sin(jnp.pi * (x[:, None] - z[None]) / p["period"])
        return p["amplitude"] ** 2 * jnp.exp(-2 * (wave**2).sum(-1) / p["lengthscale"] ** 2)


class _Composite(Kernel):
    terms: tuple[Kernel, ...]

    def __post_init__(self) -> None:
        terms = tuple(
            t if isinstance(t, Kernel) else kernel_from_spec(t)
            for t in sequence("terms", self.terms)
        )
        if len(terms) < 2:
            raise ModelError(f"two or more terms of a {self.kind}", f"{len(terms)}")
        object.__setattr__(self, "terms", terms)

    def check(self, d: int) -> None:
        for term in self.terms:
            term.check(d)

    def priors(self) -> dict[str, HyperPrior]:
        return {
            f"{i}.{n}": p for i, term in enumerate(self.terms) for n, p in term.priors().items()
        }

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "terms": [t.spec() for t in self.terms]}

    def _each(self, x: jax.Array, z: jax.Array, theta: Theta) -> list[jax.Array]:
        return [term(x, z, below(f"{i}.", theta)) for i, term in enumerate(self.terms)]


@dataclass(frozen=True)
class Sum(_Composite):
    """k = sum of the terms."""

    terms: tuple[Kernel, ...]
    kind: ClassVar[str] = "sum"

    def __call__(self, x: jax.Array, z: jax.Array, theta: Theta) -> jax.Array:
        first, *rest = self._each(x, z, theta)
        return sum(rest, start=first)


@dataclass(frozen=True)
class Product(_Composite):
    """k = product of the terms."""

    terms: tuple[Kernel, ...]
    kind: ClassVar[str] = "product"

    def __call__(self, x: jax.Array, z: jax.Array, theta: Theta) -> jax.Array:
        first, *rest = self._each(x, z, theta)
        for term in rest:
            first = first * term
        return first


KERNELS: Mapping[str, type[Kernel]] = {
    c.kind: c for c in (Linear, RBF, Matern12, Matern32, Matern52, Periodic, Sum, Product)
}
HYPERPRIORS: Mapping[str, type[HyperPrior]] = {c.kind: c for c in (Grid, LogUniform, LogNormal)}


def kernel_from_spec(spec: Any) -> Kernel:
    """The kernel that `Kernel.spec` describes."""
    kernel: Kernel = _from_spec("kernel", KERNELS, spec)
    return kernel


def below(prefix: str, theta: Theta) -> dict[str, Any]:
    """The entries whose name starts with the prefix, without it."""
    return {n.removeprefix(prefix): v for n, v in theta.items() if n.startswith(prefix)}


def _from_spec(what: str, table: Mapping[str, Any], spec: Any) -> Any:
    if not isinstance(spec, Mapping):
        raise ModelError(f"a mapping with 'kind' for a {what}", shown(spec))
    cls = table[choice(f"kind of the {what}", spec.get("kind"), list(table))]
    names = [f.name for f in fields(cls)]
    given = mapping(f"the {what} '{cls.kind}'", spec, allowed=["kind", *names])
    del given["kind"]
    try:
        return cls(**given)
    except TypeError:
        raise ModelError(
            f"{', '.join(names)} in the {what} '{cls.kind}'", f"{sorted(given)}"
        ) from None


def hyper(name: str, value: Any) -> Hyper:
    """A positive number or a hyperprior, from itself or from its specification."""
    if isinstance(value, HyperPrior):
        return value
    if isinstance(value, Mapping):
        prior: HyperPrior = _from_spec("hyperprior", HYPERPRIORS, value)
        return prior
    return number(name, value, above=0)


def plain(value: Any) -> Any:
    """Plain data of a hyperparameter."""
    return (
        value.spec()
        if isinstance(value, HyperPrior)
        else list(value)
        if isinstance(value, tuple)
        else value
    )


def _terms(kernel: Kernel, cls: type[_Composite]) -> tuple[Kernel, ...]:
    return kernel.terms if isinstance(kernel, cls) else (kernel,)


def _squared_distance(x: jax.Array, z: jax.Array) -> jax.Array:
    """By differences, not by expanding the square: close points keep their digits."""
    return ((x[:, None] - z[None]) ** 2).sum(-1)

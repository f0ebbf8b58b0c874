"""Covariance functions: small frozen values whose call is the formula in their docstring.

A hyperparameter is a number, or a hyperprior (`Grid`, `LogUniform`, `LogNormal`). Calls take the
values of those that have a prior in `theta`, by name: `lengthscale` for a single kernel,
`0.lengthscale`, `1.amplitude` inside sums and products. Shapes: x (n, d), z (k, d) -> covariance
(n, k); every call is pure JAX and works under vmap.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from veribayes.errors import ModelError
from veribayes.models._check import number, sequence
from veribayes.models.gaussian_process._hyper import (
    Hyper,
    HyperPrior,
    Theta,
    below,
    hyper,
    plain,
    value_from_spec,
)

if TYPE_CHECKING:
    import jax


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
        own = self._own()
        return {name: value for name, value in own.items() if isinstance(value, HyperPrior)}

    def spec(self) -> dict[str, Any]:
        own = {name: plain(value) for name, value in self._own().items()}
        return {"kind": self.kind, **own}

    def _own(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    def _values(self, theta: Theta) -> dict[str, Any]:
        return {**self._own(), **theta}


@dataclass(frozen=True)
class Linear(_Leaf):
    """k(x, z) = sum_i diagonal_i x_i z_i: Bayesian linear regression with prior variances
    `diagonal` of the slopes.
    """

    diagonal: Hyper | tuple[float, ...] = 1.0  # one number for all dimensions, or one for each
    kind: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        if isinstance(self.diagonal, int | float | HyperPrior | Mapping):
            super().__post_init__()
        else:
            listed = sequence("diagonal", self.diagonal)
            values = tuple(number("diagonal", value, above=0) for value in listed)
            object.__setattr__(self, "diagonal", values)

    def check(self, d: int) -> None:
        if isinstance(self.diagonal, tuple) and len(self.diagonal) != d:
            raise ModelError(f"{d} entries of 'diagonal', one a dimension", f"{len(self.diagonal)}")

    def __call__(self, x: jax.Array, z: jax.Array, theta: Theta) -> jax.Array:
        import jax.numpy as jnp

        diagonal = jnp.asarray(self._values(theta)["diagonal"])
        scale = jnp.broadcast_to(diagonal, (x.shape[1],))
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
        exponent = -0.5 * _squared_distance(x, z) / p["lengthscale"] ** 2
        return p["amplitude"] ** 2 * jnp.exp(exponent)


class _Matern(_Leaf):
    amplitude: Hyper
    lengthscale: Hyper

    def __call__(self, x: jax.Array, z: jax.Array, theta: Theta) -> jax.Array:
        import jax.numpy as jnp

        p = self._values(theta)
        distance = jnp.sqrt(_squared_distance(x, z)) / p["lengthscale"]
        return p["amplitude"] ** 2 * self._correlation(distance)

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
        exponent = -2 * (wave**2).sum(-1) / p["lengthscale"] ** 2
        return p["amplitude"] ** 2 * jnp.exp(exponent)


class _Composite(Kernel):
    terms: tuple[Kernel, ...]

    def __post_init__(self) -> None:
        terms = tuple(map(_term, sequence("terms", self.terms)))
        if len(terms) < 2:
            raise ModelError(f"two or more terms of a {self.kind}", f"{len(terms)}")
        object.__setattr__(self, "terms", terms)

    def check(self, d: int) -> None:
        for term in self.terms:
            term.check(d)

    def priors(self) -> dict[str, HyperPrior]:
        priors = {}
        for i, term in enumerate(self.terms):
            for name, prior in term.priors().items():
                priors[f"{i}.{name}"] = prior
        return priors

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
    kernel.kind: kernel
    for kernel in (Linear, RBF, Matern12, Matern32, Matern52, Periodic, Sum, Product)
}


def kernel_from_spec(spec: Any) -> Kernel:
    """The kernel that `Kernel.spec` describes."""
    kernel: Kernel = value_from_spec("kernel", KERNELS, spec)
    return kernel


def _term(given: Any) -> Kernel:
    return given if isinstance(given, Kernel) else kernel_from_spec(given)


def _terms(kernel: Kernel, cls: type[_Composite]) -> tuple[Kernel, ...]:
    return kernel.terms if isinstance(kernel, cls) else (kernel,)


def _squared_distance(x: jax.Array, z: jax.Array) -> jax.Array:
    """By differences, not by expanding the square: close points keep their digits."""
    return ((x[:, None] - z[None]) ** 2).sum(-1)

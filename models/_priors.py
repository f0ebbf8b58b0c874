"""Priors over the rows of conditional probability tables; all rows of a network are independent and
share one prior.

dirichlet         a row of K states ~ Dirichlet(c, …, c); for two states this is Beta(c, c)
uniform           two states: P(second state) ~ U(low, high)
uniform_mixture   two states: P(second state) ~ sum_j w_j U(low_j, high_j)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from veribayes.errors import ModelError
from veribayes.models._check import choice, mapping, number, sequence
from veribayes.models._random import log_gamma
from veribayes.tree import IntArray

if TYPE_CHECKING:
    import jax


class RowPrior(ABC):
    """Prior of one row; `states` holds the number of states of each of R rows, `width` the largest
    of them.
    """

    kind: ClassVar[str]

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Plain data that `prior_from_spec` reads back."""

    @abstractmethod
    def sample(self, key: jax.Array, level: jax.Array, states: IntArray) -> jax.Array:
        """One draw of all rows (R, K), zero beyond a row's own states, from uniforms `level` (R, K)
        or a key of its own.
        """

    @abstractmethod
    def program(self, states: IntArray, width: int) -> jax.Array:
        """NumPyro statements that draw all rows; returns (R, width), zero beyond a row's own
        states.
        """

    def check(self, states: IntArray) -> None:  # noqa: B027 - a hook: most priors fit every row
        """Raise `ModelError` when rows with these numbers of states cannot have this prior."""


@dataclass(frozen=True)
class Dirichlet(RowPrior):
    """Symmetric Dirichlet with pseudo-count `concentration` for each state."""

    concentration: float = 1.0
    kind: ClassVar[str] = "dirichlet"

    def __post_init__(self) -> None:
        concentration = number("concentration", self.concentration, above=0)
        object.__setattr__(self, "concentration", concentration)

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "concentration": self.concentration}

    def sample(self, key: jax.Array, level: jax.Array, states: IntArray) -> jax.Array:
        import jax
        import jax.numpy as jnp

        inside = np.arange(level.shape[1]) < states[:, None]
        log_gammas = log_gamma(key, level, self.concentration)
        return jax.nn.softmax(jnp.where(inside, log_gammas, -jnp.inf), axis=-1)

    def program(self, states: IntArray, width: int) -> jax.Array:
        import jax.numpy as jnp
        import numpyro
        from numpyro import distributions as dist

        theta = jnp.zeros((states.size, width))
        for k in np.unique(states):
            rows = np.flatnonzero(states == k)
            counts = jnp.full((rows.size, k), self.concentration)
            law = dist.Dirichlet(counts).to_event(1)
            drawn = numpyro.sample(f"rows_of_{k}", law)
            theta = theta.at[rows, :k].set(drawn)
        return theta


class _Intervals(RowPrior):
    """Two states; the probability of the second is a mixture of uniform laws on intervals."""

    @property
    @abstractmethod
    def components(self) -> tuple[tuple[float, float, float], ...]:
        """(weight, low, high) of each component; weights sum to one."""

    def check(self, states: IntArray) -> None:
        if np.any(states != 2):
            wanted = f"two states in every variable under a '{self.kind}' prior"
            raise ModelError(wanted, f"{int(states.max())} states", "use a Dirichlet prior")

    def sample(self, key: jax.Array, level: jax.Array, states: IntArray) -> jax.Array:
        return self._rows(level[:, 0])

    def program(self, states: IntArray, width: int) -> jax.Array:
        import jax.numpy as jnp
        import numpyro
        from numpyro import distributions as dist

        law = dist.Uniform(0.0, jnp.ones(states.size)).to_event(1)
        return self._rows(numpyro.sample("level", law))

    def _rows(self, level: jax.Array) -> jax.Array:
        """Rows (R, 2) from uniform levels (R,): the level picks the component and the place inside
        it.
        """
        import jax.numpy as jnp

        weight, low, high = map(jnp.asarray, zip(*self.components, strict=True))
        start = jnp.cumsum(weight) - weight
        part = (level[:, None] >= start[None, 1:]).sum(-1)
        width = (high - low)[part]
        inside = level - start[part]
        p = low[part] + width * inside / weight[part]
        return jnp.stack([1 - p, p], axis=-1)


@dataclass(frozen=True)
class UniformInterval(_Intervals):
    """P(second state) ~ U(low, high)."""

    low: float
    high: float
    kind: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        low, high = _interval(self.low, self.high)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @property
    def components(self) -> tuple[tuple[float, float, float], ...]:
        return ((1.0, self.low, self.high),)

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class UniformMixture(_Intervals):
    """P(second state) ~ sum_j weights_j U(intervals_j); equal weights unless given."""

    intervals: tuple[tuple[float, float], ...]
    weights: tuple[float, ...] = ()
    kind: ClassVar[str] = "uniform_mixture"

    def __post_init__(self) -> None:
        pairs = [sequence("intervals", pair) for pair in sequence("intervals", self.intervals)]
        if not pairs or any(len(pair) != 2 for pair in pairs):
            raise ModelError("intervals [low, high]", f"{pairs}")
        weights = sequence("weights", self.weights) or (1 / len(pairs),) * len(pairs)
        weights = tuple(number("weights", w, above=0) for w in weights)
        if len(weights) != len(pairs) or abs(sum(weights) - 1) > 1e-9:
            got = f"{weights} for {len(pairs)} intervals"
            raise ModelError("one weight an interval, summing to one", got)
        intervals = tuple(_interval(*pair) for pair in pairs)
        object.__setattr__(self, "intervals", intervals)
        object.__setattr__(self, "weights", weights)

    @property
    def components(self) -> tuple[tuple[float, float, float], ...]:
        pairs = zip(self.weights, self.intervals, strict=True)
        return tuple((weight, low, high) for weight, (low, high) in pairs)

    def spec(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "intervals": [list(pair) for pair in self.intervals],
            "weights": list(self.weights),
        }


PRIORS: Mapping[str, type[RowPrior]] = {
    law.kind: law for law in (Dirichlet, UniformInterval, UniformMixture)
}


def prior_from_spec(spec: Any) -> RowPrior:
    """The prior that `RowPrior.spec` describes."""
    kind = spec.get("kind") if isinstance(spec, Mapping) else None
    cls: Any = PRIORS[choice("kind of the prior", kind, list(PRIORS))]
    names = [f.name for f in fields(cls)]
    given = mapping(f"the {kind} prior", spec, allowed=["kind", *names], required=["kind"])
    del given["kind"]
    try:
        prior: RowPrior = cls(**given)
    except TypeError:
        raise ModelError(f"{', '.join(names)} in the {kind} prior", f"{sorted(given)}") from None
    return prior


def _interval(low: Any, high: Any) -> tuple[float, float]:
    low, high = number("low", low), number("high", high)
    if not 0 <= low < high <= 1:
        raise ModelError("0 <= low < high <= 1", f"low={low:g}, high={high:g}")
    return low, high


BIMODAL = UniformMixture(((0.15, 0.3), (0.7, 0.85)))  # the bimodal setting of arXiv 2501.02547

"""Laws of single entries of a predicted site: what a program says of entry t, given its latents.

    site                              law of an entry
    Bernoulli, Categorical, Binomial  probabilities of 0, 1, …
    counts without an end             the same, and a last cell for all that is at least that large
    Normal                            mean and sd
    MultivariateNormal over entries   the normal law given the entries that are seen

A law is a mapping of arrays, so that JAX can map over it; `Kind` says what the arrays are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from veribayes.errors import ModelError

Law = Mapping[str, Any]
MOST_CELLS = 200  # of counts: beyond, a program had better be asked for something else
LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Kind:
    """What the law of an entry is.

    Attributes:
        categories: number of cells; None for real values.
        has_tail: whether the last cell holds every larger count too.
        together: whether the entries are one multivariate normal.
    """

    categories: int | None
    has_tail: bool = False
    together: bool = False


def kind_of(name: str, law: Any, draws: Any) -> Kind:
    """The kind of a site's entries.

    Args:
        name: of the site.
        law: its distribution.
        draws: of its entries from the prior, which say how far counts go.

    Raises:
        ModelError: a law that none of the predictive forms states.
    """
    from numpyro import distributions as dist

    base = elementwise(law)
    if isinstance(base, dist.MultivariateNormal):
        return Kind(None, together=True)
    if isinstance(base, dist.Normal):
        return Kind(None)
    if base.support is not None and base.support.is_discrete and not base.event_dim:
        return _discrete(name, base, draws)
    family = type(base).__name__
    remedy = "take logarithms or another transformation after which it is normal, or count it"
    raise ModelError(f"'{name}' that is discrete or normal", f"{family}", remedy)


def _discrete(name: str, law: Any, draws: Any) -> Kind:
    least = int(np.min(draws))
    if least < 0:
        raise ModelError(f"counts 0, 1, … in '{name}'", f"{least}", "subtract the least value")
    if law.has_enumerate_support:
        values = np.asarray(law.enumerate_support(expand=False)).ravel()
        if values.size > MOST_CELLS:
            wanted = f"at most {MOST_CELLS} values of '{name}'"
            raise ModelError(wanted, f"{values.size}", "bin them in the program")
        return Kind(int(values.max()) + 1)
    cells = int(np.quantile(draws, 0.999)) + 2
    return Kind(min(cells, MOST_CELLS), has_tail=True)


def elementwise(law: Any) -> Any:
    """The law of one entry, what only repeats or groups it taken off."""
    from numpyro import distributions as dist

    while isinstance(law, dist.Independent | dist.ExpandedDistribution):
        law = law.base_dist
    return law


def log_densities(law: Any, values: Any) -> Any:
    """Log density of every entry, in the shape of the values but for axes that a law takes
    whole.
    """
    import jax.numpy as jnp

    base = elementwise(law)
    shape = jnp.shape(values)
    wanted = shape[: len(shape) - base.event_dim]
    return jnp.broadcast_to(base.log_prob(values), wanted)


def law_at(kind: Kind, law: Any, values: Any, seen: Any, entry: Any) -> Law:
    """Law of one entry.

    Args:
        kind: of the entries.
        law: of the site, all latents being given.
        values: of the site (T,), those that are not seen being anything.
        seen: which entries are seen, (T,).
        entry: the number of the one that is asked for.
    """
    import jax
    import jax.numpy as jnp

    base = elementwise(law)
    shape = jnp.shape(values)
    if kind.together:
        return _conditioned(base, values, seen)[1](entry)
    if kind.categories is None:
        mean = jnp.broadcast_to(base.loc, shape).reshape(-1)
        sd = jnp.broadcast_to(base.scale, shape).reshape(-1)
        return {"mean": mean[entry], "sd": sd[entry]}

    def of_cell(cell: Any) -> Any:
        same = jnp.full(shape, cell, dtype=jnp.asarray(values).dtype)
        return jnp.broadcast_to(base.log_prob(same), shape).reshape(-1)[entry]

    cells = kind.categories - kind.has_tail
    probs = jnp.exp(jax.vmap(of_cell)(jnp.arange(cells)))
    if kind.has_tail:
        rest = jnp.maximum(1 - probs.sum(keepdims=True), 0.0)
        probs = jnp.concatenate([probs, rest])
    return {"probs": probs}


def log_seen(kind: Kind, law: Any, values: Any, seen: Any) -> Any:
    """Log density of each entry that is seen (T,), zero elsewhere; of a multivariate normal the
    first holds all of it.
    """
    import jax.numpy as jnp

    if kind.together:
        total, _ = _conditioned(elementwise(law), values, seen)
        return jnp.zeros(jnp.shape(seen)).at[0].set(total)
    return jnp.where(seen, log_densities(law, values).reshape(-1), 0.0)


def _conditioned(law: Any, values: Any, seen: Any) -> tuple[Any, Any]:
    """Log density of the entries of a multivariate normal that are seen, and the law of another."""
    import jax.numpy as jnp
    from jax.scipy.linalg import solve_triangular

    values, mean = jnp.ravel(values), jnp.broadcast_to(law.loc, jnp.shape(values)).reshape(-1)
    covariance = law.covariance_matrix
    both = seen[:, None] & seen[None]
    factor = jnp.linalg.cholesky(jnp.where(both, covariance, jnp.eye(len(values))))
    residual = solve_triangular(factor, jnp.where(seen, values - mean, 0.0), lower=True)
    log_scale = jnp.log(jnp.diagonal(factor)).sum()
    total = -0.5 * (residual @ residual + LOG_2PI * seen.sum()) - log_scale

    def of_entry(entry: Any) -> Law:
        column = jnp.where(seen, covariance[:, entry], 0.0)
        gain = solve_triangular(factor, column, lower=True)
        variance = covariance[entry, entry] - gain @ gain
        return {"mean": mean[entry] + gain @ residual, "sd": jnp.sqrt(variance)}

    return total, of_entry

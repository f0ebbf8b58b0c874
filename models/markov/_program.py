"""The NumPyro program of a sequence whose rows are unknown, and what it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from veribayes.models.markov import _chains
from veribayes.models.markov._fields import STATIONARY
from veribayes.tree import Data

if TYPE_CHECKING:
    import jax

    from veribayes.models.markov import Markov


def program(model: Markov, counts: jax.Array, begun: jax.Array) -> None:
    """Rows ~ Dirichlet(concentration), and the likelihood of counts and start."""
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist

    shape = (model.histories, model.symbols)
    law = dist.Dirichlet(jnp.full(shape, model.concentration)).to_event(1)
    rows = numpyro.sample("rows", law)
    log_likelihood = (counts * jnp.log(rows)).sum()
    if model.start == STATIONARY:
        log_likelihood += jnp.log(stationary(rows, max(model.orders)) @ begun)
    numpyro.factor("symbols", log_likelihood)


def arrays(model: Markov, data: Data, position: int) -> dict[str, npt.NDArray[Any]]:
    """Keyword arguments of the program: `counts`, and which histories the prefix can begin with."""
    n, y, order = int(data.positions[position]), data.arrays["y"], max(model.orders)
    first = 0 if model.start == "first" else order
    counts = _chains.counts(y, model.symbols, order, first, n)
    seen = min(n, order)
    code = _chains.prefix_codes(y, model.symbols, seen)
    leading = np.arange(model.histories) // model.symbols ** (order - seen)
    return {"counts": counts, "begun": (leading == code[:, None]).astype(np.float64)}


def stationary(rows: jax.Array, order: int) -> jax.Array:
    """The long-run law of the histories, (history,), by a system of linear equations."""
    import jax.numpy as jnp

    size, symbols = rows.shape
    before = np.repeat(np.arange(size), symbols)
    symbol = np.tile(np.arange(symbols), size)
    following = (before * symbols + symbol) % size
    moves = jnp.zeros((size, size)).at[before, following].add(rows.ravel())
    balance = (jnp.eye(size) - moves).T + 1.0  # every row of ones adds the sum of the law
    return jnp.linalg.solve(balance, jnp.ones(size))

"""Sequences of a Markov chain, each a function of (seed, stream, its number)."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from veribayes.models._random import keys, log_gamma, uniforms
from veribayes.models.markov import _program
from veribayes.models.markov._fields import DIRICHLET, STATIONARY
from veribayes.tree import IntArray

if TYPE_CHECKING:
    import jax

    from veribayes.models.markov import Markov


def drawn(
    model: Markov, length: int, seed: int, stream: str, index: IntArray
) -> tuple[IntArray, dict[str, npt.NDArray[Any]]]:
    """Symbols (dataset, length), and by name `rows` (dataset, history, symbol) and `order`
    (dataset,).
    """
    import jax

    with jax.enable_x64(True):
        tables, log_weights = (np.zeros((1, 1, 1)), np.zeros(1))
        if model.rows != DIRICHLET:
            tables, log_weights = model.members
        arrays = _simulator(model, length)(
            keys(seed, stream, index), tables, np.cumsum(np.exp(log_weights))
        )
        y, rows, order = map(np.array, arrays)
    return y.astype(np.int64), {"rows": rows, "order": order}


@lru_cache(maxsize=16)
def _simulator(model: Markov, length: int) -> Any:
    """Compiled keys (B,), pool, cumulative weights -> symbols, rows, order."""
    import jax
    import jax.numpy as jnp

    shape = (model.histories, model.symbols)
    weights = np.exp(model.log_order_weights)
    chains = [partial(_chain, model, order) for order in model.orders]

    def one(key: jax.Array, pool: jax.Array, above: jax.Array) -> Any:
        for_symbols, for_rows, for_member = uniforms(key, (length,), shape, (2,))
        if model.rows == DIRICHLET:
            rows = jax.nn.softmax(log_gamma(key, for_rows, model.concentration), axis=-1)
        else:
            rows = pool[_inverted(above, for_member[0])]
        which = _inverted(jnp.cumsum(weights), for_member[1])
        y = jax.lax.switch(which, chains, rows, for_symbols)
        return y, rows, jnp.array(model.orders)[which]

    return jax.jit(jax.vmap(one, in_axes=(0, None, None)))


def _chain(model: Markov, order: int, rows: jax.Array, level: jax.Array) -> jax.Array:
    """Symbols of a chain of this order, (time,); its rows are the first ones of the table."""
    import jax
    import jax.numpy as jnp

    symbols, size = model.symbols, model.symbols**order
    begins = jnp.zeros((), dtype=np.int64)
    started = 0
    start = jnp.zeros(0, dtype=np.int64)
    if model.start != "first" and order:
        law = jnp.full(size, 1 / size)
        if model.start == STATIONARY:
            law = _program.stationary(rows, order)
        started = min(order, level.size)
        begins = _inverted(jnp.cumsum(law), level[0])
        powers = symbols ** np.arange(order - 1, -1, -1)
        start = (begins // powers % symbols)[:started]

    def step(history: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
        symbol = _inverted(jnp.cumsum(rows[history]), u)
        return (history * symbols + symbol) % size, symbol

    _, rest = jax.lax.scan(step, begins, level[started:])
    return jnp.concatenate([start, rest])


def _inverted(above: jax.Array, u: jax.Array) -> jax.Array:
    """The category whose part of the unit interval holds u, from cumulative weights."""
    import jax.numpy as jnp

    if above.size > 64:  # a pool: by bisection
        return jnp.minimum(jnp.searchsorted(above / above[-1], u, side="right"), above.size - 1)
    return (u >= above[:-1] / above[-1]).sum()

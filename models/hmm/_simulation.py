"""Sequences of a hidden Markov model, each a function of (seed, stream, its number)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from veribayes.models._random import keys, normal, uniforms
from veribayes.models.hmm._parameters import DIRICHLET, KNOWN, TABLES, in_order, random_rows, shapes
from veribayes.predictive import Array
from veribayes.tree import IntArray

if TYPE_CHECKING:
    import jax

    from veribayes.models.hmm import HMM
    from veribayes.models.hmm._parameters import Tables


def drawn(
    model: HMM, length: int, seed: int, stream: str, index: IntArray
) -> dict[str, npt.NDArray[Any]]:
    """`y` and `state`, (dataset, length) each,
    and the tables of models whose sequences have their own.
    """
    import jax

    with jax.enable_x64(True):
        arrays = _simulator(model, length)(keys(seed, stream, index))
        return {name: np.array(values) for name, values in arrays.items()}


def of_tables(tables: Tables, length: int, seed: int, index: IntArray) -> IntArray:
    """Sequences of symbols, (dataset, length), each from the tables that it has."""
    import jax

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        for_states, for_y = uniforms(key, (length,), (length,))
        return for_states, for_y

    with jax.enable_x64(True):
        for_states, for_y = map(np.array, jax.vmap(one)(keys(seed, "replicate", index)))
    rows = np.arange(len(index))
    y = np.zeros((len(index), length), dtype=np.int64)
    law = tables.initial
    for t in range(length):
        state = _states(law, for_states[:, t])
        y[:, t] = _states(tables.emission[rows, state], for_y[:, t])
        law = tables.transition[rows, state]
    return y


def _states(law: Array, level: Array) -> IntArray:
    """The state whose part of the unit interval holds each level, (dataset,)."""
    above = np.cumsum(law, axis=-1)
    passed = level[:, None] >= above[:, :-1] / above[:, -1:]
    return np.asarray(passed.sum(-1))


@lru_cache(maxsize=16)
def _simulator(model: HMM, length: int) -> Any:
    """Compiled keys (B,) -> arrays by name."""
    import jax

    own_tables = model.parameters != KNOWN
    sizes = shapes(model.states, model.symbols)

    def one(key: jax.Array) -> dict[str, jax.Array]:
        for_states, for_y, *for_tables = uniforms(key, (length,), (length,), *sizes.values())
        tables = {name: getattr(model.tables, name) for name in TABLES} if not own_tables else {}
        if own_tables:
            levels = dict(zip(TABLES, for_tables, strict=True))
            tables = random_rows(key, levels, model.concentration)
        if model.parameters == DIRICHLET:
            tables = in_order(tables)
        state = _path(tables, for_states)
        y = _emitted(model, tables, state, for_y)
        return {"y": y, "state": state, **(tables if own_tables else {})}

    return jax.jit(jax.vmap(one))


def _path(tables: dict[str, Any], level: jax.Array) -> jax.Array:
    """States by inversion of uniforms, (time,)."""
    import jax
    import jax.numpy as jnp

    first = _inverted(jnp.asarray(tables["initial"]), level[0])
    above = jnp.asarray(tables["transition"])

    def step(state: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
        following = _inverted(above[state], u)
        return following, following

    _, rest = jax.lax.scan(step, first, level[1:])
    return jnp.concatenate([first[None], rest])


def _emitted(model: HMM, tables: dict[str, Any], state: jax.Array, level: jax.Array) -> jax.Array:
    """What the states emit, (time,)."""
    import jax
    import jax.numpy as jnp

    if model.symbols:
        rows = jnp.asarray(tables["emission"])[state]
        return jax.vmap(_inverted)(rows, level)
    mean, sd = jnp.array(model.means)[state], jnp.array(model.sds)[state]
    return mean + sd * normal(level)


def _inverted(probabilities: jax.Array, u: jax.Array) -> jax.Array:
    """The category whose part of the unit interval holds u."""
    import jax.numpy as jnp

    above = jnp.cumsum(probabilities)
    return (u >= above[:-1] / above[-1]).sum()

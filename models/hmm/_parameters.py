"""The tables of a hidden Markov model: checked where they are given, drawn from a seed,
or from the Dirichlet prior.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from veribayes.errors import ModelError
from veribayes.models._check import shown
from veribayes.models._random import log_gamma
from veribayes.predictive import Array

if TYPE_CHECKING:
    import jax

ROW_SUM_TOLERANCE = 1e-9  # tables are written for this model, so there is no rounding to forgive
KNOWN, HEADER, DIRICHLET = "known", "header", "dirichlet"
PARAMETERS = (KNOWN, HEADER, DIRICHLET)
TABLES = ("initial", "transition", "emission")
NORMALS = ("means", "sds")


@dataclass(frozen=True, eq=False)
class Tables:
    """Rows of probabilities, of all data sets or with an axis (dataset,) in front.

    Attributes:
        initial: P(x_1), (state,).
        transition: P(x_{t+1} | x_t), (state, next state).
        emission: P(y_t | x_t), (state, symbol).
    """

    initial: Array
    transition: Array
    emission: Array


def shapes(states: int, symbols: int) -> dict[str, tuple[int, ...]]:
    """Shape of each table."""
    return {
        "initial": (states,),
        "transition": (states, states),
        "emission": (states, symbols),
    }


def drawn(seed: int, states: int, symbols: int) -> dict[str, Array]:
    """Rows from Dirichlet(1), a function of the seed.

    They are normalised exponentials by hand:
    NumPy may change how it draws a Dirichlet, but not its uniforms.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    tables = {}
    for name, shape in shapes(states, symbols).items():
        exponentials = -np.log1p(-rng.random(shape))
        tables[name] = exponentials / exponentials.sum(-1, keepdims=True)
    return tables


def checked_rows(name: str, value: Any, shape: tuple[int, ...]) -> Any:
    """Nested tuples of rows that are distributions.

    Raises:
        ModelError: other shapes, or rows that are none.
    """
    table = numbers(name, value, shape)
    total = table.sum(-1)
    if (table < 0).any() or np.any(np.abs(total - 1) > ROW_SUM_TOLERANCE):
        sums = f"sums from {total.min():g} to {total.max():g}"
        raise ModelError(f"rows of '{name}' that are >= 0 and sum to one", sums)
    return nested(table)


def numbers(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    """An array of finite numbers.

    Raises:
        ModelError: no numbers, or another shape.
    """
    try:
        table = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ModelError(f"numbers for '{name}'", shown(value)) from None
    if table.shape != shape:
        raise ModelError(f"'{name}' of shape {shape}", f"{table.shape}")
    if not np.isfinite(table).all():
        raise ModelError(f"finite numbers for '{name}'", shown(value))
    return table


def nested(table: Array) -> Any:
    """Nested tuples: hashable, and equal exactly when the numbers are."""
    return tuple(nested(row) for row in table) if table.ndim > 1 else tuple(table.tolist())


def random_rows(
    key: jax.Array, levels: Mapping[str, jax.Array], concentration: float
) -> dict[str, jax.Array]:
    """Rows of all tables from Dirichlet(concentration), from uniforms of their shapes,
    or a key of its own.
    """
    import jax
    import jax.numpy as jnp

    # all at once, since a rejection sampler takes long to compile
    flat = jnp.concatenate([levels[name].ravel() for name in TABLES])
    log_gammas = log_gamma(key, flat, concentration)
    ends = np.cumsum([levels[name].size for name in TABLES])[:-1]
    tables = {}
    for name, part in zip(TABLES, jnp.split(log_gammas, ends), strict=True):
        tables[name] = jax.nn.softmax(part.reshape(levels[name].shape), axis=-1)
    return tables


def in_order(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables with the states in the order of their probabilities of the first symbol.

    A relabelling of the states changes no law of symbols,
    so that exchangeable states have no names but such ones.
    """
    order = tables["emission"][:, 0].argsort()
    return {
        "initial": tables["initial"][order],
        "transition": tables["transition"][order][:, order],
        "emission": tables["emission"][order],
    }

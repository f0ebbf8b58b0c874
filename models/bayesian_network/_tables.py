"""Conditional probability tables as a user writes them, checked and renormalised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.errors import ModelError
from veribayes.models._check import mapping, sequence, shown
from veribayes.models.bayesian_network._graph import text_of
from veribayes.predictive import Array

ROW_SUM_TOLERANCE = 1e-4  # published networks are rounded: by 1e-7 (alarm) to 3.5e-5 (insurance)
ROUNDING = 1e-12  # rows this close to one are left alone: storing and reading changes no digit
MAX_ENTRIES = 2**21  # four times the largest published network

Table = tuple[tuple[float, ...], ...]
Tables = Mapping[str, npt.ArrayLike] | Sequence[npt.ArrayLike]


def tables_in_order(names: tuple[str, ...], cpts: Any, order: Sequence[int]) -> list[Any]:
    """The tables as they were given, in the order of the nodes.

    Raises:
        ModelError: tables of other nodes.
    """
    if isinstance(cpts, Mapping):
        named = {text_of("node", node): table for node, table in cpts.items()}
        given = mapping("cpts", named, allowed=dict.fromkeys(names), required=names)
        return [given[names[i]] for i in order]
    tables = sequence("cpts", cpts)
    if len(tables) != len(names):
        raise ModelError(f"tables of {len(names)} nodes", f"{len(tables)}")
    return [tables[i] for i in order]


def checked_table(node: str, given: Any, configurations: int, states: int) -> tuple[Array, float]:
    """A table with rows that sum to one, and by how much they were off before.

    Returns:
        (configurations, states), and the largest distance of a row's sum from one.

    Raises:
        ModelError: a table of another size, or rows that are no distributions.
    """
    where = f"the table of {shown(node)}"
    table = _shaped(where, given, configurations, states)
    total = table.sum(1)
    farthest = max(abs(total.min() - 1), abs(total.max() - 1))
    if table.min() >= 0 and farthest <= ROUNDING:  # most tables; no NaN is
        return table, float(farthest)
    improper = ~np.isfinite(table) | (table < 0)
    if improper.any():
        raise ModelError(f"finite probabilities >= 0 in {where}", f"{table[improper][0]:g}")
    off = np.abs(total - 1)
    worst = off.argmax()
    if off[worst] > ROW_SUM_TOLERANCE:
        raise ModelError(f"rows that sum to one in {where}", f"{total[worst]:g} in row {worst + 1}")
    normalised = np.where(off[:, None] > ROUNDING, table / total[:, None], table)
    return normalised, float(off.max())


def _shaped(where: str, given: Any, configurations: int, states: int) -> Array:
    """The numbers of a table, (configurations, states)."""
    try:
        table = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise ModelError(f"numbers in {where}", shown(given)) from None
    right_size = table.size == configurations * states and table.ndim > 0
    right_rows = table.ndim == 1 or (table.ndim > 1 and table.shape[-1] == states)
    if not right_size or not right_rows:
        wanted = f"{configurations} rows of {states} probabilities in {where}"
        raise ModelError(wanted, f"shape {table.shape}")
    return table.reshape(configurations, states)

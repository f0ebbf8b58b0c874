"""A chain as a reader meets it: in a sentence, in an example, in the groups and distances of its
contexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from veribayes.models._layout import Column, Layout
from veribayes.models._model import Distance, Groups, Table
from veribayes.tree import Data
from veribayes.tree.shown import Example, Shown

if TYPE_CHECKING:
    from veribayes.models.mtd import MTD

SYMBOLS_SHOWN = 24
SYMBOLS_GROUPED = 60  # a group for each last symbol up to this number
SYMBOLS = Layout(
    (Column("y", "observation", ("time",), "category"),),
    order="sequence",
    one="symbol read",
    several="symbols read",
    tokens="symbols",
)


def sentence(model: MTD) -> str:
    """What is known and what is not."""
    size = f"mixture of transition distributions over {model.q} symbols and {model.m} lags"
    lags = "each lag" if model.per_lag else "all lags"
    matrices = f"one known transition matrix for {lags}"
    weights = f"lag weights unknown, with the prior Dirichlet({model.concentration:g})"
    return f"{size}; {matrices}; {weights}"


def example(seen: Example) -> Shown:
    """The last symbols of the prefix."""
    symbols = seen.arrays["y"][: seen.context].astype(int).tolist()
    tail = " ".join(map(str, symbols[-SYMBOLS_SHOWN:]))
    dots = "… " if len(symbols) > SYMBOLS_SHOWN else ""
    return Shown(f"{dots}{tail} ?")


def groups(model: MTD, data: Data) -> Groups:
    """The last symbol, and whether the last two are equal."""
    y, positions = data.arrays["y"], data.positions
    last = y[:, np.maximum(positions - 1, 0)][..., None]
    before = y[:, np.maximum(positions - 2, 0)][..., None]
    groups = {}
    if model.q <= SYMBOLS_GROUPED:
        groups = {f"last symbol {symbol}": last == symbol for symbol in range(model.q)}
    return {**groups, "last two symbols equal": last == before}


def distance(model: MTD, context: Any) -> Distance:
    """Symbols back from the one that is asked for."""
    length = context.shape[1]
    most = min(2 * model.m + 2, length)
    back = np.minimum(np.arange(length)[::-1], most - 1)
    labels = [*map(str, range(most - 1)), f"{most - 1}+"]
    return Distance("symbols back", labels, back[None, None])


def tables(model: MTD, length: int) -> Sequence[Table]:
    """The transition matrix: after equal symbols a every lag points at a, and the answer is pi(a,
    .).

    There is none to ask for where each lag has its own.
    """
    if model.per_lag:
        return ()
    constant = np.repeat(np.arange(model.q)[:, None], length, axis=1)
    rows = [str(symbol) for symbol in range(model.q)]
    only_query = np.zeros(model.q, dtype=np.int64)
    matrix = model.matrices[0]
    return [Table("transition matrix", rows, matrix, constant, None, only_query)]

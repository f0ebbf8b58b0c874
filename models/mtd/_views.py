"""A chain as a reader meets it: in a sentence, in an example, in the groups and distances of its contexts."""

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
    matrices = (
        "one known transition matrix for each lag"
        if model.per_lag
        else "one known transition matrix for all lags"
    )
    weights = f"lag weights unknown, with the prior Dirichlet({model.concentration:g})"
    return f"mixture of transition distributions over {model.q} symbols and {model.m} lags; {matrices}; {weights}"


def example(seen: Example) -> Shown:
    """The last symbols of the prefix."""
    symbols = seen.arrays["y"][: seen.context].astype(int).tolist()
    tail = " ".join(map(str, symbols[-SYMBOLS_SHOWN:]))
    return Shown(f"{'… ' if len(symbols) > SYMBOLS_SHOWN else ''}{tail} ?")


def groups(model: MTD, data: Data) -> Groups:
    """The last symbol, and whether the last two are equal."""
    y, positions = data.arrays["y"], data.positions
    last, before = (y[:, np.maximum(positions - back, 0)][..., None] for back in (1, 2))
    symbols = (
        {f"last symbol {s}": last == s for s in range(model.q)}
        if model.q <= SYMBOLS_GROUPED
        else {}
    )
    return {**symbols, "last two symbols equal": last == before}


def distance(model: MTD, context: Any) -> Distance:
    """Symbols back from the one that is asked for."""
    length = context.shape[1]
    most = min(2 * model.m + 2, length)
    back = np.minimum(np.arange(length)[::-1], most - 1)
    return Distance("symbols back", [*map(str, range(most - 1)), f"{most - 1}+"], back[None, None])


def tables(model: MTD, length: int) -> Sequence[Table]:
    """The transition matrix: after equal symbols a every lag points at a, and the answer is pi(a, .). None by lag."""
    if model.per_lag:
        return ()
    constant = np.repeat(np.arange(model.q)[:, None], length, axis=1)
    rows = [str(symbol) for symbol in range(model.q)]
    return [
        Table(
            "transition matrix",
            rows,
            model.matrices[0],
            constant,
            None,
            np.zeros(model.q, dtype=np.int64),
        )
    ]

"""A Markov chain as a reader meets it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from veribayes.models._layout import Column, Layout
from veribayes.models._model import Groups, Table
from veribayes.models.markov._fields import DIRICHLET, KNOWN
from veribayes.tree import Data
from veribayes.tree.shown import Example, Shown

if TYPE_CHECKING:
    from veribayes.models.markov import Markov

SYMBOLS_SHOWN = 24
SYMBOLS_GROUPED = 60  # a group for each last symbol up to this number
SYMBOLS = Layout(
    (Column("y", "observation", ("time",), "category"),),
    order="sequence",
    one="symbol read",
    several="symbols read",
    tokens="symbols",
)
URN = replace(SYMBOLS, order="set", one="symbol drawn", several="symbols drawn")
STARTS = {
    "uniform": "the first symbols uniform",
    "first": "zeros read before",
    "stationary": "a start in the long-run law",
}


def sentence(model: Markov) -> str:
    """What a symbol depends on, and who knows the rows."""
    orders = " or ".join(map(str, model.orders))
    what = "urn" if model.orders == (0,) else f"Markov chain of order {orders}"
    rows = f"rows of its own for each sequence, Dirichlet({model.concentration:g})"
    if model.rows == KNOWN:
        rows = "known rows"
    elif model.rows != DIRICHLET:
        rows = f"the rows of one of {len(model.members[0])} known tables for each sequence"
    start = "" if model.orders == (0,) else f"; {STARTS[model.start]}"
    return f"{what} over {model.symbols} symbols; {rows}{start}"


def example(seen: Example) -> Shown:
    """The last symbols of the prefix."""
    symbols = seen.arrays["y"][: seen.context].astype(int).tolist()
    tail = " ".join(map(str, symbols[-SYMBOLS_SHOWN:]))
    dots = "… " if len(symbols) > SYMBOLS_SHOWN else ""
    return Shown(f"{dots}{tail} ?")


def groups(model: Markov, data: Data) -> Groups:
    """The last symbol read."""
    if model.symbols > SYMBOLS_GROUPED:
        return {}
    y, positions = data.arrays["y"], data.positions
    last = y[:, np.maximum(positions - 1, 0)][..., None]
    some = (positions > 0)[None, :, None]
    return {f"last symbol {symbol}": (last == symbol) & some for symbol in range(model.symbols)}


def tables(model: Markov, length: int) -> Sequence[Table]:
    """Known rows: each is asked for behind zeros and its history."""
    order = max(model.orders)
    if model.rows != KNOWN or length < order:
        return ()
    codes = np.arange(model.histories)
    contexts = np.zeros((model.histories, length), dtype=np.int64)
    for back in range(order):
        contexts[:, length - 1 - back] = codes // model.symbols**back % model.symbols
    last = contexts[:, length - order :].tolist()
    labels = [" ".join(map(str, row)) or "any" for row in last]
    only_query = np.zeros(model.histories, dtype=np.int64)
    return [Table("rows", labels, model.members[0][0], contexts, None, only_query)]

"""A hidden Markov model as a reader meets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from veribayes.models._layout import Column, Layout
from veribayes.models._model import Groups
from veribayes.tree import Data
from veribayes.tree.shown import Example, Shown

if TYPE_CHECKING:
    from veribayes.models.hmm import HMM

SYMBOLS_SHOWN, NUMBERS_SHOWN = 24, 8
SYMBOLS_GROUPED = 60  # a group for each last symbol up to this number
READ = Column("y", "observation", ("time",), "category")
WORDS: dict[str, Any] = {"one": "symbol read", "several": "symbols read"}
HEADER = (
    Column("initial", "given", ("state",)),
    Column("transition", "given", ("state", "next_state")),
    Column("emission", "given", ("state", "symbol")),
)
SYMBOLS = Layout((READ,), order="sequence", tokens="symbols", **WORDS)
HEADED = Layout((READ, *HEADER), order="sequence", tokens="header", **WORDS)
NUMBERS = Layout(
    (Column("y", "observation", ("time",)),),
    order="sequence",
    one="number read",
    several="numbers read",
    tokens="series",
)
KNOWLEDGE = {
    "known": "all parameters known",
    "header": (
        "parameters of their own for each sequence, which stand before it; rows ~ Dirichlet({:g})"
    ),
    "dirichlet": (
        "parameters of their own for each sequence, which nobody sees; rows ~ Dirichlet({:g})"
    ),
}


def sentence(model: HMM) -> str:
    """What is emitted, and who knows the parameters."""
    emitted = f"{model.symbols} symbols" if model.symbols else "normal numbers"
    size = f"hidden Markov model of {model.states} states that emit {emitted}"
    return f"{size}; {KNOWLEDGE[model.parameters].format(model.concentration)}"


def example(model: HMM, seen: Example) -> Shown:
    """The last observations of the prefix; of a header the emission table."""
    y = seen.arrays["y"][: seen.context]
    if model.symbols:
        shown = [str(symbol) for symbol in y.astype(int).tolist()][-SYMBOLS_SHOWN:]
    else:
        shown = [f"{value:.3g}" for value in y.tolist()][-NUMBERS_SHOWN:]
    dots = "… " if len(y) > len(shown) else ""
    text = f"{dots}{' '.join(shown)} ?"
    if "emission" not in seen.arrays:
        return Shown(text)
    head = ("state", "begins", *(f"emits {k}" for k in range(model.symbols)))
    rows = []
    for state in range(model.states):
        numbers = [seen.arrays["initial"][state], *seen.arrays["emission"][state]]
        rows.append([str(state), *(f"{number:.3f}" for number in numbers)])
    return Shown(text, head, rows)


def groups(model: HMM, data: Data) -> Groups:
    """The last symbol read."""
    if not model.symbols or model.symbols > SYMBOLS_GROUPED:
        return {}
    y, positions = data.arrays["y"], data.positions
    last = y[:, np.maximum(positions - 1, 0)][..., None]
    some = (positions > 0)[None, :, None]
    return {f"last symbol {symbol}": (last == symbol) & some for symbol in range(model.symbols)}

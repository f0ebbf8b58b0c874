"""Batches of data sets as the arrays that a predicted program takes: full in shape, whatever is
seen of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from veribayes.models._layout import Column, Layout
from veribayes.tree import Data

if TYPE_CHECKING:
    from veribayes.models.numpyro_model._prediction import PredictedProgram

ENTRY = "entry"  # the array of the entries that are queries
Arrays = dict[str, npt.NDArray[Any]]


def asked_name(name: str) -> str:
    """The array of an input's rows at the queries."""
    return f"{name} asked"


def layout_of(model: PredictedProgram, order: Any) -> Layout:
    """The columns of a program's data; with queries where entries are named."""
    values: Any = "real" if model.n_categories is None else "category"
    inputs = model.outline.inputs
    columns = [Column(model.predict, "observation", ("entry",), values)]
    columns += [Column(name, "observation", ("entry",)) for name in inputs]
    if model.ask:
        columns += [Column(asked_name(name), "query", ("query",)) for name in inputs]
        columns.append(Column(ENTRY, "query", ("query",), "category", shared=True))
    return Layout(tuple(columns), order, "entry of the prefix", "entries of the prefix")


def full_values(model: PredictedProgram, data: Data, size: int) -> Arrays:
    """Arrays of `PredictedProgram.program` behind a prefix of this size, first axis `dataset`.

    What is not seen is a value of no data set (`PredictedProgram.filler`), so that nothing can
    leak.
    """
    entries = model.outline.entries
    seen = np.arange(entries) < size
    shown = seen.copy()
    shown[list(model.entries_at(size))] = True
    rows = {name: _placed(model, data, name, shown) for name in model.outline.inputs}
    values = _padded(data.arrays[model.predict], model.filler[model.predict].reshape(-1))
    values = np.where(seen, values, model.filler[model.predict].reshape(-1))
    every = (data.index.size, entries)
    return {
        **rows,
        model.predict: values,
        "seen": np.broadcast_to(seen, every).copy(),
        "shown": np.broadcast_to(shown, every).copy(),
    }


def shown_inputs(model: PredictedProgram, data: Data) -> Arrays:
    """Rows of all inputs (B, T, …), those of queries in their places."""
    everything = np.ones(model.outline.entries, dtype=bool)
    rows = {name: _placed(model, data, name, everything) for name in model.outline.inputs}
    for name, values in model.arrays_in.items():
        rows[name] = np.broadcast_to(values, (data.index.size, *values.shape))
    return rows


def _placed(
    model: PredictedProgram, data: Data, name: str, shown: npt.NDArray[np.bool_]
) -> npt.NDArray[Any]:
    """An input's rows where they are shown, (B, T, …)."""
    filler = model.filler[name]
    values = _padded(data.arrays[name], filler)
    if model.ask:
        values = values.copy()
        values[:, list(model.ask)] = data.arrays[asked_name(name)]
    mask = shown.reshape(-1, *[1] * (filler.ndim - 1))
    return np.where(mask, values, filler)


def _padded(values: npt.NDArray[Any], filler: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows (B, n, …) with the filler's behind them, T in all."""
    missing = len(filler) - values.shape[1]
    if missing <= 0:
        return values[:, : len(filler)]
    rest = np.broadcast_to(filler[-missing:], (len(values), missing, *filler.shape[1:]))
    return np.concatenate([values, rest], axis=1)

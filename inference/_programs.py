"""What exact engines of predicted programs share:
functions of one data set, mapped over a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from veribayes.errors import InputError, ReferenceRefused
from veribayes.inference._engine import Engine, float64, name_of, require_served
from veribayes.models._task import Task
from veribayes.models.numpyro_model import PredictedProgram
from veribayes.tree import Data

CLOSE = 1e-8  # of a form that a density must have, relative: it is that form, or far from it
Latents = Mapping[str, jax.Array]
OfDataSet = Callable[[Any, jax.Array], Any]  # (what is seen, entries that are asked about)


def predicted_program(engine: Engine, task: Task, data: Data) -> PredictedProgram:
    """The model of the task.

    Raises:
        InputError: it is no program whose next entry is predicted.
    """
    require_served(engine, task, data)
    model = task.model
    if isinstance(model, PredictedProgram):
        return model
    wanted = f"a program with 'predict' for the engine '{name_of(engine)}'"
    raise InputError(wanted, f"the task '{task.name}'", "name the site that is predicted")


def at_positions(model: PredictedProgram, data: Data, function: Any) -> list[Any]:
    """A compiled function (arrays of the batch, entries) at each position, as NumPy arrays."""
    parts = []
    with float64(), jax.numpy_rank_promotion("allow"):
        for position, size in enumerate(data.positions.tolist()):
            arrays = model.program_data(data, position)
            entries = np.array(model.entries_at(size))
            parts.append(jax.tree.map(np.asarray, function(arrays, entries)))
    return parts


def mapped(model: PredictedProgram, of_data_set: OfDataSet) -> Any:
    """The function of one data set, compiled for batches: data sets one after the other."""

    def of_batch(arrays: Mapping[str, jax.Array], entries: jax.Array) -> Any:
        return jax.lax.map(lambda one: of_data_set(model.seen_of(one), entries), arrays)

    return jax.jit(of_batch)


def refuse_unless_close(engine: Engine, residual: Sequence[Any], form: str) -> float:
    """The largest residual, where it is rounding.

    Raises:
        ReferenceRefused: the program's density has another form.
    """
    worst = max(float(np.max(each)) for each in residual)
    if worst <= CLOSE:
        return worst
    reason = f"the program is not {form}: its density is off by {worst:.2g}; use hmc"
    raise ReferenceRefused(name_of(engine), [reason])

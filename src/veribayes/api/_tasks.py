"""A task from whatever somebody has: a name, a file, a model, a program."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.models._callable import is_program
from veribayes.models._pgmpy import from_pgmpy, is_pgmpy_network
from veribayes.models._task import Task
from veribayes.models.numpyro_model import NumPyroModel, PredictedProgram


def task(
    what: str | Path | Any,
    *,
    data: Mapping[str, Any] | None = None,
    simulated: bool = False,
    predict: str | None = None,
    axis: int = 0,
    inputs: Sequence[str] | None = None,
    ask: Sequence[int | str] = (),
    **design: Any,
) -> Task:
    """A task by shipped name, from a file, from `package.module:object`, or around a model.

    Args:
        what: `gp-rbf-1d`, `asia.bif`, `mine.yaml`, `package.module:object`, a model (pgmpy's too),
            a NumPyro program, a Task.
        data: arguments of a NumPyro program by name.
        simulated: draw the outcomes of a program from its prior even where `data` holds them.
        predict: of a NumPyro program the site whose next entry is predicted behind the prefixes of
            `positions` entries, instead of the posterior of its latents.
        axis: of that site's values, along which entries are counted.
        inputs: observed sites that are drawn with each data set and seen with each entry; None:
            those whose argument defaults to None.
        ask: entries of that site that are queries at every position, and never seen; without
            `predict` names of the latents and deterministic sites that are asked for, by default
            all.
        design: for a model: `positions`, `queries`, `shard`, `budget` instead of its family's
            default design.

    Raises:
        InputError: nothing of that name, a file that does not describe a model, or a design for
            what is a task already.
    """
    predicted: dict[str, Any] = {"predict": predict, "axis": axis, "inputs": inputs, "ask": ask}
    if isinstance(what, str | Path):
        meant = _named(str(what))
        if not _is_program(meant):
            return task(meant, data=data, **predicted, **design)
        return _of_program(_program(meant, data, str(what), simulated, **predicted), design)
    if _is_program(what):
        return _of_program(_program(what, data, "", simulated, **predicted), design)
    if predict is not None:
        given = f"'{getattr(what, 'name', type(what).__name__)}'"
        raise InputError("a NumPyro program for 'predict'", given)
    if data:
        given = f"{', '.join(data)} for '{getattr(what, 'name', what)}'"
        raise InputError("data for a NumPyro program", given)
    if is_pgmpy_network(what):
        what = from_pgmpy(what)
    if hasattr(what, "default_design"):
        return _spec.task_of(what, **design)
    if not isinstance(what, Task):
        raise InputError("a task, a model, or the name or file of one", type(what).__name__)
    if design:
        given = f"{', '.join(design)} for the task '{what.name}'"
        raise InputError("a design for a model", given, "give task.model")
    return what


def _is_program(what: Any) -> bool:
    """What can be called and is no task, model or network is a NumPyro program."""
    known = isinstance(what, Task) or hasattr(what, "default_design") or is_pgmpy_network(what)
    return not known and is_program(what)


def _program(
    function: Any,
    data: Mapping[str, Any] | None,
    name: str,
    simulated: bool,
    *,
    predict: str | None,
    axis: int,
    inputs: Sequence[str] | None,
    ask: Sequence[int | str],
) -> NumPyroModel:
    """A program that is asked for its latents, or for the next entry of a site."""
    if predict is None:
        if axis or inputs is not None:
            raise InputError("the name of a site in 'predict' beside axis or inputs", "none")
        return NumPyroModel(function, data or {}, name, simulated, cast(Any, ask))
    drawn = None if inputs is None else tuple(inputs)
    return PredictedProgram(
        function,
        data or {},
        name,
        predict=predict,
        axis=axis,
        inputs_drawn=drawn,
        ask=cast(Any, tuple(ask)),  # whole numbers, or it says so
    )


def _of_program(program: NumPyroModel, design: Mapping[str, Any]) -> Task:
    """The task around a program, under the program's name where the design has none."""
    return task(program, **{"name": _program_name(program), **design})


def _program_name(program: NumPyroModel) -> str:
    """The name of its task: what follows the module, in the letters that a task's name may have."""
    last = program.shown.rpartition(":")[2]
    allowed = re.sub(r"[^A-Za-z0-9._+-]+", "-", last).strip("-._+")
    return allowed[-64:].lstrip("-._+") or "program"


def _named(text: str) -> Any:
    """The task of that name or in that file, or whatever is behind `package.module:object`."""
    if ":" in text and not Path(text).exists():
        from veribayes.candidates import import_object

        return import_object(text)
    return _spec.load_task(text)


def load(path: str | Path) -> Task:
    """A task from a model file: `.bif` (inference in the known network) or a veribayes `.yaml`."""
    if not Path(path).is_file():
        raise InputError("a model file", f"no file '{Path(path).name}'", "check the path")
    return _spec.load_task(str(path))

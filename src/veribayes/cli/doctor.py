"""What `veribayes doctor` looks at: versions, devices, parts, and whether a run would work here."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from veribayes import registry
from veribayes.errors import InputError, ReferenceRefused
from veribayes.storage import store

REQUIRED = (
    "numpy",
    "scipy",
    "jax",
    "numpyro",
    "torch",
    "pgmpy",
    "xarray",
    "h5netcdf",
    "h5py",
    "safetensors",
    "yaml",
    "typer",
    "rich",
    "jinja2",
    "markupsafe",
    "matplotlib",
    "sklearn",
    "threadpoolctl",
)
OPTIONAL = {"flint": "the ball engine", "tensorboard": "train --tensorboard"}
KINDS = ("task", "engine", "metric", "check", "construction", "checkpoint")
ENGINES: dict[str, tuple[str, dict[str, str]]] = {  # one engine a library that does the work
    "exact engine (SciPy)": ("row_quadrature", {}),
    "exact engine (JAX)": ("sequential", {}),
    "sampler (NumPyro)": ("nuts", {"warmup": "20", "draws": "20"}),
    "second route (pgmpy)": ("pgmpy", {}),
}

Action = Callable[[], None]


def examine() -> dict[str, Any]:
    """Import every library once, do once what a run does, and list devices and parts.

    Returns:
        A JSON object; its `problems` hold a sentence for everything that failed.
    """
    errors = {}
    for name in (*REQUIRED, *OPTIONAL):
        errors[name] = _error_of(partial(importlib.import_module, name))
    failed = {name: error for name, error in errors.items() if error and name in REQUIRED}
    missing = {name: purpose for name, purpose in OPTIONAL.items() if errors[name]}
    action_errors = {name: _error_of(action) for name, action in actions().items()}
    problems = [f"{name}: {error}" for name, error in failed.items()]
    problems += [f"{name}: {error}" for name, error in action_errors.items() if error]
    problems += [str(fault) for fault in registry.faults()]
    return {
        "versions": store.provenance()["packages"],
        "cores": os.cpu_count(),
        "devices": _devices(failed),
        "parts": {kind: registry.names(kind) for kind in KINDS},
        "missing_optional": missing,
        "tried": {name: error is None for name, error in action_errors.items()},
        "problems": problems,
    }


def text(examination: Mapping[str, Any]) -> str:
    """The same for a person."""
    lines = []
    for name, version in examination["versions"].items():
        lines.append(f"{name:<14}{version or 'not installed'}")
    devices = ", ".join(examination["devices"]) or "none"
    lines += [f"{'cores':<14}{examination['cores']}", f"{'devices':<14}{devices}"]
    for kind, names in examination["parts"].items():
        lines.append(f"{kind + 's':<14}{len(names)}")
    for name, purpose in examination["missing_optional"].items():
        lines.append(f"missing: {name}, used for {purpose}")
    problems = [f"problem: {problem}" for problem in examination["problems"]]
    return "\n".join([*lines, *(problems or ["no problems found"])])


def actions() -> dict[str, Action]:
    """What is tried, by name; what this tree has no part or task for is not among it."""
    tried: dict[str, Action] = {"write and read netCDF": _write_and_read}
    for label, (engine, options) in ENGINES.items():
        if engine in registry.names("engine"):
            tried[label] = partial(_answer_some_task, engine, options)
    for family, name in cheapest_of_family().items():
        tried[f"reference of {family}"] = partial(_answer_reference, name)
    if tasks_by_cost():
        tried["network (torch)"] = partial(_ask_checkpoint, tasks_by_cost()[0])
    tried["figure (matplotlib)"] = _draw
    return tried


def tasks_by_cost() -> list[str]:
    """Shipped tasks that have a checkpoint, the one with the smallest file of weights first.

    A network is as large as its task is hard, so that this is also the order of their engines'
    cost; equal ones stand in the order of their names.
    """
    sizes = {}
    for name in registry.names("task"):
        folder = registry.checkpoint_path(name)
        if registry.is_shipped("task", name) and folder is not None:
            sizes[name] = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return sorted(sizes, key=lambda name: (sizes[name], name))


def cheapest_of_family() -> dict[str, str]:
    """The kind of every family that has a shipped task with a checkpoint -> the first by cost."""
    cheapest: dict[str, str] = {}
    for name in tasks_by_cost():
        cheapest.setdefault(_task(name).model.kind, name)
    return cheapest


@cache
def _task(name: str) -> Any:
    from veribayes import api

    return api.task(name)


def _error_of(action: Callable[[], object]) -> str | None:
    try:
        action()
    except Exception as error:  # a broken installation may raise anything
        return " ".join(f"{type(error).__name__}: {error}".split())
    return None


def _write_and_read() -> None:
    """A file of a run, as every run writes it."""
    import numpy as np
    import xarray as xr

    values = np.arange(3.0)
    written = xr.Dataset({"values": (("dataset",), values)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.nc"
        store.write_tree(xr.DataTree(written), path)
        if not np.array_equal(store.read_tree(path)["values"].to_numpy(), values):
            raise OSError("what was written is not what is read")


def _answer_some_task(engine: str, options: Mapping[str, str]) -> None:
    """The engine's answer on the cheapest task that it does not refuse as not its own."""
    refusals = []
    for name in tasks_by_cost():
        try:
            _answer(engine, name, options)
            return
        except InputError as refusal:
            refusals.append(refusal)
    if refusals:
        raise refusals[0]


def _answer_reference(name: str) -> None:
    _answer(_task(name).reference, name, {})


def _answer(engine: str, name: str, options: Mapping[str, str]) -> None:
    """The posterior of two small data sets.

    A certificate that is refused for few draws is no fault of the installation.
    """
    from dataclasses import replace

    task = _task(name)
    design = replace(task.design, positions=task.design.positions[:1])
    small = replace(task, design=design)
    data = small.simulate(range(2), seed=0).data
    try:
        registry.engine(engine, options)(small, data, seed=0)
    except ReferenceRefused:
        return


def _ask_checkpoint(name: str) -> None:
    """A shipped network on two data sets."""
    from veribayes.candidates import resolve

    task = _task(name)
    data = task.simulate(range(2), seed=0).data
    resolve(None, task).infer(task, data, 0)


def _draw() -> None:
    """A figure as the report has it."""
    from matplotlib.figure import Figure

    from veribayes.report import calibration

    calibration.svg(Figure())


def _devices(failed: Mapping[str, str]) -> list[str]:
    devices = []
    if "jax" not in failed:
        devices += [f"jax {device}" for device in importlib.import_module("jax").devices()]
    if "torch" not in failed:
        torch = importlib.import_module("torch")
        devices.append(f"torch cpu ({torch.get_num_threads()} threads)")
        devices += [f"torch cuda:{i}" for i in range(torch.cuda.device_count())]
    return devices

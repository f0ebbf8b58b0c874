"""What `veribayes doctor` looks at: versions, devices, parts, plug-ins, and whether each thing that a run does works here."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from veribayes import registry
from veribayes.errors import ReferenceRefused
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
KINDS = ("task", "engine", "metric", "test", "construction", "checkpoint")
NETWORK = "bn-general5"  # the smallest task that is shipped with a checkpoint


def examine() -> dict[str, Any]:
    """Import every library once, do once what a run does, and say what failed; list devices and parts."""
    imports = {
        name: _error_of(partial(importlib.import_module, name)) for name in (*REQUIRED, *OPTIONAL)
    }
    failed = {name: error for name, error in imports.items() if error and name in REQUIRED}
    missing = {
        name: OPTIONAL[name] for name, error in imports.items() if error and name in OPTIONAL
    }
    actions = {name: _error_of(action) for name, action in ACTIONS.items()}
    return {
        "versions": store.provenance()["packages"],
        "cores": os.cpu_count(),
        "devices": _devices(failed),
        "parts": {kind: registry.names(kind) for kind in KINDS},
        "missing_optional": missing,
        "tried": {name: error is None for name, error in actions.items()},
        "problems": [
            *(f"{name}: {error}" for name, error in failed.items()),
            *(f"{name}: {error}" for name, error in actions.items() if error),
            *map(str, registry.faults()),
        ],
    }


def text(found: dict[str, Any]) -> str:
    """The same for a person."""
    lines = [
        f"{name:<14}{version or 'not installed'}" for name, version in found["versions"].items()
    ]
    lines += [
        f"{'cores':<14}{found['cores']}",
        f"{'devices':<14}{', '.join(found['devices']) or 'none'}",
    ]
    lines += [f"{kind + 's':<14}{len(names)}" for kind, names in found["parts"].items()]
    lines += [
        f"missing: {name}, used for {purpose}"
        for name, purpose in found["missing_optional"].items()
    ]
    return "\n".join(
        lines
        + [f"problem: {p}" for p in found["problems"]]
        + ([] if found["problems"] else ["no problems found"])
    )


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
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.nc"
        store.write_tree(xr.DataTree(xr.Dataset({"values": (("dataset",), values)})), path)
        if not np.array_equal(store.read_tree(path)["values"].to_numpy(), values):
            raise OSError("what was written is not what is read")


def _answer(engine: str, task: str = NETWORK, **options: str) -> None:
    """The posterior of two small data sets; a certificate that is refused for few draws is no fault of the installation."""
    from dataclasses import replace

    from veribayes.models import _spec

    found = _spec.load_task(task)
    small = replace(found, design=replace(found.design, positions=found.design.positions[:1]))
    data = small.simulate(range(2), seed=0).data
    try:
        registry.engine(engine, options)(small, data, seed=0)
    except ReferenceRefused:
        return


def _ask_checkpoint() -> None:
    """A shipped network on two data sets."""
    from veribayes.candidates import resolve
    from veribayes.models import _spec

    task = _spec.load_task(NETWORK)
    resolve(None, task).infer(task, task.simulate(range(2), seed=0).data, 0)


def _draw() -> None:
    """A figure as the report has it."""
    from matplotlib.figure import Figure

    from veribayes.report import calibration

    calibration.svg(Figure())


ACTIONS: dict[str, Callable[[], None]] = {
    "write and read netCDF": _write_and_read,
    "exact engine (SciPy)": lambda: _answer("row_quadrature"),
    "exact engine (JAX)": lambda: _answer("sequential", "gp-rbf-1d"),
    "sampler (NumPyro)": lambda: _answer("nuts", warmup="20", draws="20"),
    "network (torch)": _ask_checkpoint,
    "second route (pgmpy)": lambda: _answer("pgmpy", "bn-asia-inference"),
    "figure (matplotlib)": _draw,
}


def _devices(failed: dict[str, str]) -> list[str]:
    out = []
    if "jax" not in failed:
        out += [f"jax {d}" for d in importlib.import_module("jax").devices()]
    if "torch" not in failed:
        torch = importlib.import_module("torch")
        out += [f"torch cpu ({torch.get_num_threads()} threads)"] + [
            f"torch cuda:{i}" for i in range(torch.cuda.device_count())
        ]
    return out

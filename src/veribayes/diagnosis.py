"""What `veribayes doctor` looks at: versions, devices, shipped parts, and what is missing."""

from __future__ import annotations

import importlib
import os
from typing import Any

from veribayes import registry, store

REQUIRED = (
    "numpy",
    "scipy",
    "jax",
    "numpyro",
    "torch",
    "xarray",
    "h5netcdf",
    "safetensors",
    "yaml",
    "typer",
    "rich",
    "jinja2",
    "matplotlib",
)
OPTIONAL = {"pgmpy": "the cross-check engine", "tensorboard": "train --tensorboard"}


def examine() -> dict[str, Any]:
    """Import every library once and say what failed; list devices and shipped parts."""
    failed = {name: error for name in REQUIRED if (error := _import_error(name))}
    missing = {name: purpose for name, purpose in OPTIONAL.items() if _import_error(name)}
    return {
        "versions": store.provenance()["packages"],
        "cores": os.cpu_count(),
        "devices": _devices(failed),
        "parts": {kind: registry.names(kind) for kind in ("task", "engine", "metric", "test", "construction", "checkpoint")},
        "missing_optional": missing,
        "problems": [f"{name}: {error}" for name, error in failed.items()],
    }


def text(found: dict[str, Any]) -> str:
    """The same for a person."""
    lines = [f"{name:<14}{version or 'not installed'}" for name, version in found["versions"].items()]
    lines += [f"{'cores':<14}{found['cores']}", f"{'devices':<14}{', '.join(found['devices']) or 'none'}"]
    lines += [f"{kind + 's':<14}{len(names)}" for kind, names in found["parts"].items()]
    lines += [f"missing: {name}, used for {purpose}" for name, purpose in found["missing_optional"].items()]
    return "\n".join(
        lines + [f"problem: {p}" for p in found["problems"]] + ([] if found["problems"] else ["no problems found"])
    )


def _import_error(name: str) -> str | None:
    try:
        importlib.import_module(name)
    except Exception as error:  # a broken installation may raise anything
        return f"{type(error).__name__}: {error}"
    return None


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

"""Who a folder of results belongs to: the task, the candidate and the options of a request, each as
it was named.

More data sets continue a run, since the shards that are there are part of it; fewer would throw
some away and are refused.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import xarray as xr

from veribayes import candidates, registry
from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.run.options import Options
from veribayes.storage import folders, store
from veribayes.storage.folders import Request

LETTERS = 32  # of a candidate's name in the name of a folder
RUN = "run.nc"


def request_of(task: Task, candidate: object, options: Options) -> dict[str, Any]:
    """What a folder is for, as plain data; options at their defaults and the number of data sets
    are left out.
    """
    chosen = _chosen(options)
    if "reference" in chosen:
        chosen["reference"] = chosen["reference"].replace("-", "_")
    request = {
        "task": task_of(task),
        "candidate": name_of(candidate, task),
        "tolerance": _own_tolerance(task),
        "options": chosen,
    }
    if task.contexts is not None:
        request["contexts"] = task.contexts.digest
    return request


def task_of(task: Task) -> dict[str, Any]:
    """What a task is for a folder."""
    return {"name": task.name, "model": task.model_hash, "design": asdict(task.design)}


def name_of(candidate: object, task: Task) -> str:
    """A candidate as it is named: a part or a checkpoint, a file or a folder by its whole path,
    else where it is defined.
    """
    if candidate is None:
        return task.name
    if isinstance(candidate, str | Path):
        return _canonical(str(candidate))
    if isinstance(candidate, candidates.Candidate):
        return candidate.name
    if isinstance(candidate, xr.DataTree):
        return f"predictions {candidates.recorded(candidate, 'predictions').identity}"
    if hasattr(candidate, "__dataclass_fields__"):
        return repr(candidate)
    is_defined = inspect.isclass(candidate) or hasattr(candidate, "__qualname__")
    thing = candidate if is_defined else type(candidate)
    module, name = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", repr(thing))
    return f"{module}:{name}"


@contextmanager
def claimed(folder: Path, task: Task, candidate: object, options: Options) -> Iterator[None]:
    """Be the only writer of the folder of this run.

    Raises:
        InputError: the folder holds another run or more data sets of this one, has a writer, or
            cannot be written.
    """
    request = request_of(task, candidate, options)
    _require_like(folder, request, options.datasets)
    with folders.owned(folder, request):
        yield


@contextmanager
def saved(folder: Path, tree: xr.DataTree) -> Iterator[None]:
    """Be the only writer of a folder that a finished run is written to; it may hold this run
    already.

    Raises:
        InputError: the folder holds another run, has a writer, or cannot be written.
    """
    entry = json.loads(tree.attrs["result"])
    provenance = json.loads(tree.attrs["provenance"])
    about = {
        "task": entry["task"],
        "model": provenance["model_hash"],
        "candidate": entry["candidate"],
    }
    request = {"saved": {**about, **provenance["options"]}}
    is_there = _finished(folder / RUN) == entry
    with folders.locked(folder) if is_there else folders.owned(folder, request):
        yield


def default_folder(base: Path, usual: bool, named: str, request: Mapping[str, Any]) -> Path:
    """Where a request goes that names no folder: `base` for the usual one, a folder of its own for
    any other.

    Args:
        usual: the task's own checkpoint, and nothing chosen.
        named: shown in the name of the folder.
        request: plain data that tells this request from others.
    """
    if usual:
        return base
    letters = re.sub(r"[^A-Za-z0-9_]+", "-", named)[-LETTERS:].strip("-") or "run"
    return base.with_name(f"{base.name}-{letters}-{store.digest_of(request)[:8]}")


def folder_of_command(
    base: Path,
    candidate: str | None,
    options: Options,
    tolerance: float | None,
    given: Mapping[str, str],
) -> Path:
    """The default folder of `verify`; fewer data sets than by default have one of their own, more
    continue the run.
    """
    chosen = _chosen(options)
    if options.datasets < Options().datasets:
        chosen["datasets"] = options.datasets
    named = None if candidate is None else _canonical(candidate)
    request = {"candidate": named, "tolerance": tolerance, "given": dict(given), "options": chosen}
    usual = not any(request.values())
    return default_folder(base, usual, candidate or "shipped", request)


def _canonical(name: str) -> str:
    part = name.replace("-", "_")
    if part in registry.names("engine") or part in registry.names("construction"):
        return part
    if registry.checkpoint_path(name) is not None:
        return name
    return str(Path(name).resolve()) if Path(name).exists() else name


def _chosen(options: Options) -> dict[str, Any]:
    """Options that are not at their defaults, without the number of data sets."""
    defaults = asdict(Options())
    given = asdict(options)
    return {k: v for k, v in given.items() if k != "datasets" and v != defaults[k]}


def _own_tolerance(task: Task) -> dict[str, Any] | None:
    """The tolerance where it is not the shipped task's own."""
    is_shipped = registry.task_path(task.name) is not None
    shipped = _spec.load_task(task.name).tolerance if is_shipped else None
    if task.tolerance == shipped:
        return None
    return asdict(task.tolerance) if task.tolerance else {}


def _require_like(folder: Path, request: Request, datasets: int) -> None:
    """Refuse a folder whose finished run is another one, or has more data sets.

    A run of an older version has no request; its name of the candidate and its options tell it
    apart.
    """
    stored = _finished(folder / RUN)
    if stored is None:
        return
    folders.require_own(folder, request)
    remedy = "choose another --out, or remove that folder"
    path = Path(request["candidate"])
    names = (request["candidate"], path.name, path.stem)
    if not (folder / folders.REQUEST).exists() and stored["candidate"] not in names:
        wanted = f"a folder of this candidate for '{folder}'"
        raise InputError(wanted, f"a run of '{stored['candidate']}'", remedy)
    if stored["datasets"] > datasets:
        wanted = f"at least the {stored['datasets']} data sets that '{folder}' holds"
        raise InputError(wanted, f"--datasets {datasets}", f"ask for as many, {remedy}")


def _finished(path: Path) -> Mapping[str, Any] | None:
    """The entry of a stored run; None where there is none that can be read."""
    try:
        if not path.is_file():
            return None
        with xr.open_dataset(path, engine="h5netcdf") as root:
            entry = json.loads(root.attrs["result"])
        return entry if {"candidate", "datasets"} <= set(entry) else None
    except (OSError, ValueError, LookupError, TypeError, RuntimeError):
        return None  # damaged: it is computed again


def folder_name(given: str, task: Task) -> str:
    """A folder for a task: its name when that was given and is shipped, else letters of it and a
    hash: no name is a path.
    """
    if registry.task_path(given) is not None:
        return given
    letters = re.sub(r"[^A-Za-z0-9]+", "-", task.name)[:32].strip("-") or "task"
    return f"{letters}-{store.digest_of([task.model_hash, asdict(task.design)])[:10]}"

"""Parts by file name, listed without importing them.

A plain module in a part folder, or in a room of it, is a part and its name is the part's name; an underscored module is
frame. Hyphens and underscores are the same in a name. Other distributions add parts through the entry point groups
`veribayes.task`, `veribayes.engine`, `veribayes.construction`, `veribayes.metric`, `veribayes.test`; a shipped part wins over
a plug-in of the same name, with a warning.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from veribayes.errors import InputError

HERE = Path(__file__).resolve().parent
FOLDERS = {
    "engine": ("veribayes.inference", HERE / "inference"),
    "metric": ("veribayes.validation.metrics", HERE / "validation" / "metrics"),
    "test": ("veribayes.validation.tests", HERE / "validation" / "tests"),
    "construction": ("veribayes.transformer.constructions", HERE / "transformer" / "constructions"),
}


def names(kind: str) -> list[str]:
    """Names of all parts of a kind (a key of `FOLDERS`, `task`, `checkpoint`), shipped and plugged in, sorted."""
    return sorted({*_shipped(kind), *_plugged(kind)})


def summary(kind: str, name: str) -> str:
    """First line of a part's docstring, read from the file without running it."""
    path = _shipped(kind).get(name)
    if path is None or path.suffix != ".py":
        return ""
    first = path.read_text(encoding="utf-8").lstrip().splitlines()[0]
    return first.strip().strip('"').strip()


def load(kind: str, name: str) -> Any:
    """Import a part and return its `PART`.

    Raises:
        InputError: no part of this kind has this name.
    """
    wanted = name if kind == "task" else name.replace("-", "_")
    shipped, plugged = _shipped(kind), _plugged(kind)
    if wanted in shipped:
        if wanted in plugged:
            warnings.warn(f"the plug-in {kind} '{name}' is hidden by the shipped one", stacklevel=2)
        package, folder = FOLDERS[kind]
        inside = shipped[wanted].relative_to(folder).with_suffix("").parts
        return importlib.import_module(".".join([package, *inside])).PART
    if wanted in plugged:
        return plugged[wanted].load()
    raise InputError(f"one of the {kind}s {', '.join(names(kind))}", f"'{name}'", f"see 'veribayes list {kind}s'")


def engine(name: str, options: Mapping[str, str] | None = None) -> Any:
    """An engine by name with its options; see `configured`."""
    return configured("engine", name, options)


def configured(kind: str, name: str, options: Mapping[str, str] | None = None) -> Any:
    """A part that is a frozen dataclass, its options given as text and read as the type of the field they set.

    Raises:
        InputError: unknown part, unknown option, or text that is not of the option's type.
    """
    part = load(kind, name)
    known = {f.name: f for f in fields(part)}
    values = {}
    for key, text in (options or {}).items():
        if key not in known:
            raise InputError(f"an option of '{name}': {', '.join(known) or 'it has none'}", f"'{key}'")
        values[key] = _typed(text, getattr(part(), key), f"{name}.{key}")
    return part(**values)


def task_path(name: str) -> Path | None:
    """The YAML file of a shipped task."""
    return _shipped("task").get(name)


def checkpoint_path(name: str) -> Path | None:
    """The folder of a shipped checkpoint."""
    return _shipped("checkpoint").get(name)


def _shipped(kind: str) -> dict[str, Path]:
    if kind == "task":
        return {p.stem: p for p in (HERE / "models" / "tasks").glob("*.yaml")}
    if kind == "checkpoint":
        return {p.parent.name: p.parent for p in (HERE / "transformer" / "checkpoints").glob("*/card.json")}
    return {p.stem: p for p in FOLDERS[kind][1].rglob("*.py") if not p.name.startswith("_")}


@cache  # it reads the metadata of every installed distribution
def _plugged(kind: str) -> dict[str, EntryPoint]:
    if kind == "checkpoint":
        return {}
    return {e.name.replace("-", "_") if kind != "task" else e.name: e for e in entry_points(group=f"veribayes.{kind}")}


def _typed(text: object, default: object, where: str) -> object:
    """Option text as the type of the option's default."""
    if not isinstance(text, str):
        return text
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(default, int):
            return int(text)
        if isinstance(default, float):
            return float(text)
    except (ValueError, KeyError):
        raise InputError(f"{type(default).__name__} for {where}", f"'{text}'") from None
    return _number_or_text(text) if default is None else text


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text

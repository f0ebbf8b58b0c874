"""Parts by file name, listed without importing them.

A plain module in a part folder, or in a room of it, is a part and its name is the part's name; an
underscored module is frame. Hyphens and underscores are the same in a name. Other distributions add
parts through entry points of the group `veribayes.KIND`, KIND being a key of `FOLDERS`, or `task`.
A plug-in that cannot be used is a `Fault`, which names its distribution: nothing else fails because
of it, and asking for it by name says why.
A check was called a test: `test` and `veribayes.test` mean the same (`ALIASES`).
"""

from __future__ import annotations

import ast
import importlib
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from pathlib import Path
from typing import Any, TypeVar

from veribayes.errors import InputError, PluginWarning
from veribayes.registry._options import typed

HERE = Path(__file__).resolve().parents[1]
FOLDERS = {
    "family": ("veribayes.models", HERE / "models"),
    "reader": ("veribayes.models.readers", HERE / "models" / "readers"),
    "engine": ("veribayes.inference", HERE / "inference"),
    "metric": ("veribayes.validation.metrics", HERE / "validation" / "metrics"),
    "check": ("veribayes.validation.checks", HERE / "validation" / "checks"),
    "endpoint": ("veribayes.validation.endpoints", HERE / "validation" / "endpoints"),
    "probe": ("veribayes.validation.probes", HERE / "validation" / "probes"),
    "claim": ("veribayes.validation.claims", HERE / "validation" / "claims"),
    "construction": ("veribayes.transformer.constructions", HERE / "transformer" / "constructions"),
    "candidate": ("veribayes.candidates", HERE / "candidates"),
    "section": ("veribayes.report.sections", HERE / "report" / "sections"),
    "tokens": ("veribayes.transformer.tokens", HERE / "transformer" / "tokens"),
    "head": ("veribayes.transformer.heads", HERE / "transformer" / "heads"),
    "architecture": (
        "veribayes.transformer.architectures",
        HERE / "transformer" / "architectures",
    ),
}
ALIASES = {"test": "check"}  # what a kind was called before: a word that is still understood
PLUGGED = ("task", *FOLDERS)  # kinds that other distributions may add
ROOMS = {"family": ("readers",)}  # folders among the parts of a kind that hold another kind
ATTRIBUTES = {  # what a part of each kind has to offer
    "family": ("kind", "layout", "simulate", "defaults"),
    "reader": ("suffixes", "read"),
    "engine": ("method", "families", "__call__"),
    "construction": ("families", "__call__"),
    "tokens": ("sizes", "check", "embedding", "arrays"),
    "head": ("values", "outputs", "targets", "labels", "divergence", "form"),
    "architecture": ("config", "network", "own"),
    "metric": ("applies", "score", "unit"),
    "check": ("run", "exactness"),
    "endpoint": ("level", "place", "about", "ask"),
    "probe": ("place", "label", "ask"),
    "claim": ("source", "title", "claims"),
    "candidate": ("accepts", "candidate"),
    "section": ("order", "template", "prepare"),
    "task": ("model", "design", "reference", "to_dict"),
}
PACKAGES = ("family",)  # kinds whose parts may be folders
CONFIGURED = ("engine", "construction")  # classes whose fields are the options
T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """A plug-in that cannot be used.

    Attributes:
        kind: of the part that it would add.
        name: of the part.
        distribution: that brought it.
        reason: why it cannot be used, a clause.
    """

    kind: str
    name: str
    distribution: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the {self.kind} '{self.name}' of the distribution '{self.distribution}' cannot be "
            f"used: {self.reason}"
        )


def names(kind: str) -> list[str]:
    """Names of all parts of a kind (a key of `FOLDERS`, `task`, `checkpoint`),
    shipped and plugged in, sorted.

    Nothing is imported: a name among these may belong to a plug-in with a fault.
    """
    return sorted({*_shipped(kind), *_plugged(kind)})


def usable(kind: str) -> list[str]:
    """The names whose parts can be loaded. Plug-ins are imported to know it;
    one warning is given for each with a fault.
    """
    return [n for n in names(kind) if n in _shipped(kind) or not _warned(_part(kind, n))]


def is_shipped(kind: str, name: str) -> bool:
    """Whether this part belongs to veribayes itself."""
    return name in _shipped(kind)


def faults() -> list[Fault]:
    """Every plug-in that cannot be used, each imported to know it."""
    parts = [
        _part(kind, name)
        for kind in PLUGGED
        for name in _plugged(kind)
        if name not in _shipped(kind)
    ]
    broken = [part for part in parts if isinstance(part, Fault)]
    return [*_unreadable()[1], *(fault for kind in PLUGGED for fault in _hidden(kind)), *broken]


def plug_in_versions() -> dict[str, str]:
    """Distribution -> version of all that plug in something: a run may depend on them."""
    entries = [e for kind in PLUGGED if kind != "section" for e in _entries(kind)]
    return {_distribution(e): e.dist.version if e.dist else "" for e in entries}


def attempted(kind: str, name: str, use: Callable[[], T]) -> T | None:
    """What `use` returns; None, with a warning, where a plug-in fails in it.
    A shipped part's failure is raised.
    """
    if is_shipped(kind, name):
        return use()
    try:
        return use()
    except Exception as error:  # a stranger's code may raise anything
        entry = _plugged(kind)[name]
        _warned(Fault(kind, name, _distribution(entry), f"{type(error).__name__}: {error}"))
        return None


def summary(kind: str, name: str) -> str:
    """First paragraph of a part's docstring, read from the file without running it."""
    path = _shipped(kind).get(name)
    if path is None or path.suffix != ".py":
        return ""
    text = path.read_text(encoding="utf-8").lstrip().removeprefix('"""')
    first = text.partition('"""')[0].partition("\n\n")[0]
    return " ".join(first.split())


@cache
def words(kind: str, name: str) -> tuple[str, str]:
    """The `label` and `about` that a part's class gives as literals, empty where it gives none;
    its file is not run.
    """
    given = {"label": "", "about": ""}
    path = _shipped(kind).get(name)
    if path is not None:
        for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) in given:
                given[ast.unparse(statement.target)] = ast.literal_eval(statement.value or "''")
    return given["label"], given["about"]


def load(kind: str, name: str) -> Any:
    """Import a part and return its `PART`.

    Raises:
        InputError: no part of this kind has this name, or it is a plug-in that cannot be used.
    """
    kind = ALIASES.get(kind, kind)
    wanted = name if kind == "task" else name.replace("-", "_")
    shipped = _shipped(kind)
    if wanted in shipped:
        package, folder = FOLDERS[kind]
        inside = shipped[wanted].relative_to(folder).with_suffix("").parts
        inside = inside[:-1] if inside[-1] == "__init__" else inside
        return importlib.import_module(".".join([package, *inside])).PART
    if wanted not in _plugged(kind):
        raise InputError(
            f"one of the {kind}s {', '.join(names(kind))}",
            f"'{name}'",
            f"see 'veribayes list {kind}s'",
        )
    part = _part(kind, wanted)
    if isinstance(part, Fault):
        remedy = (
            f"mend or uninstall '{part.distribution}'; 'veribayes doctor' lists what else cannot "
            "be used"
        )
        raise InputError(f"{_article(kind)} that can be loaded", str(part), remedy)
    return part


def engine(name: str, options: Mapping[str, str] | None = None) -> Any:
    """An engine by name with its options; see `configured`."""
    return configured("engine", name, options)


def configured(kind: str, name: str, options: Mapping[str, str] | None = None) -> Any:
    """A part that is a frozen dataclass, its options given as text and read as the type of the
    field they set.

    Raises:
        InputError: unknown part, unknown option, or text that is not of the option's type.
    """
    part = load(kind, name)
    known = {f.name: f for f in fields(part)}
    values = {}
    for key, text in (options or {}).items():
        if key not in known:
            raise InputError(
                f"an option of '{name}': {', '.join(known) or 'it has none'}", f"'{key}'"
            )
        values[key] = typed(text, known[key].type, f"{name}.{key}")
    return part(**values)


def task_path(name: str) -> Path | None:
    """The YAML file of a shipped task."""
    return _shipped("task").get(name)


def checkpoint_path(name: str) -> Path | None:
    """The folder of a shipped checkpoint."""
    return _shipped("checkpoint").get(name)


def _shipped(kind: str) -> dict[str, Path]:
    kind = ALIASES.get(kind, kind)
    if kind == "task":
        return {p.stem: p for p in (HERE / "models" / "tasks").glob("*.yaml")}
    if kind == "checkpoint":
        return {
            p.parent.name: p.parent
            for p in (HERE / "transformer" / "checkpoints").glob("*/card.json")
        }
    folder = FOLDERS[kind][1]
    if kind in PACKAGES:
        return {
            **_modules(folder.glob("*.py")),
            **_packages(folder.glob("*/__init__.py"), ROOMS[kind]),
        }
    return _modules(folder.rglob("*.py"))


def _modules(paths: Iterable[Path]) -> dict[str, Path]:
    return {path.stem: path for path in paths if not path.name.startswith("_")}


def _packages(paths: Iterable[Path], rooms: Sequence[str]) -> dict[str, Path]:
    """Folders that are one part, by their names."""
    names = {path.parent.name: path for path in paths if path.parent.name not in rooms}
    return {name: path for name, path in names.items() if not name.startswith("_")}


def _plugged(kind: str) -> dict[str, EntryPoint]:
    """Plugged in by name; the first distribution by name wins."""
    return {_key(kind, e): e for e in reversed(_entries(kind))}


def _key(kind: str, entry: EntryPoint) -> str:
    return entry.name if kind == "task" else entry.name.replace("-", "_")


@cache  # it reads the metadata of every installed distribution
def _entries(kind: str) -> tuple[EntryPoint, ...]:
    """What other distributions add of a kind, by any of its words, sorted by distribution."""
    kind = ALIASES.get(kind, kind)
    if kind not in PLUGGED:
        return ()
    words = (kind, *(before for before, now in ALIASES.items() if now == kind))
    found = [entry for word in words for entry in _of_group(f"veribayes.{word}")]
    return tuple(sorted(found, key=_distribution))


def _of_group(group: str) -> Iterable[EntryPoint]:
    try:
        return entry_points(group=group)
    except Exception:  # the metadata of one distribution cannot be read, and it may be anybody's
        return [e for d in _unreadable()[0] for e in d.entry_points if e.group == group]


@cache
def _unreadable() -> tuple[tuple[Distribution, ...], tuple[Fault, ...]]:
    """Distributions whose entry points can be read, and a fault for every other one."""
    readable, broken = [], []
    for distribution in distributions():
        try:
            _ = distribution.entry_points
            readable.append(distribution)
        except Exception as error:  # whatever a parser raises on a damaged file
            name = str(distribution.metadata["Name"])
            broken.append(
                Fault(
                    "list of entry points",
                    "entry_points.txt",
                    name,
                    f"{type(error).__name__}: {error}",
                )
            )
    return tuple(readable), tuple(broken)


def _distribution(entry: EntryPoint) -> str:
    return str(entry.dist.name) if entry.dist else "unknown"


def _hidden(kind: str) -> list[Fault]:
    """Plug-ins whose name is taken, by a shipped part or by another distribution."""
    out, shipped, winners = [], _shipped(kind), _plugged(kind)
    for entry in _entries(kind):
        name = _key(kind, entry)
        if name in shipped:
            out.append(
                Fault(
                    kind,
                    entry.name,
                    _distribution(entry),
                    f"veribayes ships {_article(kind)} of this name",
                )
            )
        elif winners[name] is not entry:
            other = _distribution(winners[name])
            out.append(
                Fault(
                    kind,
                    entry.name,
                    _distribution(entry),
                    f"'{other}' adds {_article(kind)} of this name",
                )
            )
    return out


@cache
def _part(kind: str, name: str) -> Any:
    """The part that is plugged in under this name, or its fault."""
    kind = ALIASES.get(kind, kind)
    entry = _plugged(kind)[name]
    try:
        with redirect_stdout(sys.stderr):  # a module may greet its importer
            part = entry.load()
        reason = _misfit(kind, part)
    except (Exception, SystemExit) as error:  # whatever a stranger's module raises on import
        reason = f"its import ended in {type(error).__name__}: {error}"
    return (
        Fault(kind, entry.name, _distribution(entry), " ".join(reason.split())) if reason else part
    )


def _misfit(kind: str, part: object) -> str:
    """Why an object is no part of this kind; empty where it is one."""
    if kind in CONFIGURED and not (isinstance(part, type) and is_dataclass(part)):
        return f"expected a dataclass of its options, got {_described(part)}"
    missing = [name for name in ATTRIBUTES[kind] if not hasattr(part, name)]
    return (
        f"expected {_article(kind)} with {', '.join(missing)}, got {_described(part)} without"
        if missing
        else ""
    )


def _described(part: object) -> str:
    return (
        f"the class {part.__name__}"
        if isinstance(part, type)
        else f"an object of type {type(part).__name__}"
    )


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _warned(part: object) -> bool:
    """Whether this is a fault; it is then said."""
    if isinstance(part, Fault):
        warnings.warn(f"{part}; going on without it", PluginWarning, stacklevel=4)
    return isinstance(part, Fault)

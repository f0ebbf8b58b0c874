"""`veribayes list`: the names of tasks and parts, found without heavy imports."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from veribayes import registry
from veribayes.cli.options import Json
from veribayes.errors import InputError

ORDER = 10
SCHEMA = "veribayes.list/1"
KINDS = (
    "tasks",
    "families",
    "engines",
    "candidates",
    "metrics",
    "tests",
    "endpoints",
    "probes",
    "claims",
)
ALSO = ("checks",)  # were called tests, and are so in the listing of everything
WHAT_HELP = f"One of {', '.join(KINDS)}; without it all are listed."
CANDIDATES = ("construction", "engine")  # kinds of parts that can be judged, beside checkpoints
DESCRIPTION = "description:"

Row = tuple[str, str]  # name, summary


def command(
    what: Annotated[str, typer.Argument(help=WHAT_HELP)] = "all", as_json: Json = False
) -> None:
    """List what there is, by name."""
    if what not in (*KINDS, *ALSO, "all"):
        raise InputError(f"one of {', '.join(KINDS)}", f"'{what}'")
    kinds = KINDS if what == "all" else (what,)
    rows_of_kind = {kind: rows(kind) for kind in kinds}
    print(_document(rows_of_kind) if as_json else _text(rows_of_kind))


def rows(kind: str) -> list[Row]:
    """Names with what each is; a plug-in that cannot be used is said, and is not among them."""
    if kind == "tasks":
        return [(name, _description(name)) for name in registry.usable("task")]
    if kind == "candidates":
        return _candidates()
    part = "family" if kind == "families" else kind.removesuffix("s")
    return [(name, registry.summary(part, name)) for name in registry.usable(part)]


def _candidates() -> list[Row]:
    listed = [(name, "shipped checkpoint") for name in registry.names("checkpoint")]
    for kind in CANDIDATES:
        names = registry.usable(kind)
        listed += [(name, f"{kind}: {registry.summary(kind, name)}") for name in names]
    return listed


def _description(name: str) -> str:
    """The description line of a task's YAML, without reading the rest."""
    path = registry.task_path(name)
    lines = path.read_text(encoding="utf-8").splitlines() if path else []
    for line in lines:
        if line.startswith(DESCRIPTION):
            return line.removeprefix(DESCRIPTION).strip().strip("\"'")
    return ""


def _document(rows_of_kind: dict[str, list[Row]]) -> str:
    document: dict[str, object] = {"schema": SCHEMA}
    for kind, listed in rows_of_kind.items():
        document[kind] = [{"name": name, "summary": summary} for name, summary in listed]
    return json.dumps(document, indent=1)


def _text(rows_of_kind: dict[str, list[Row]]) -> str:
    lines = []
    for kind, listed in rows_of_kind.items():
        lines.append(f"{kind}:")
        width = max((len(name) for name, _ in listed), default=0)
        for name, summary in listed:
            lines.append(f"  {name:<{width}}  {summary}".rstrip())
    return "\n".join(lines)

"""Options as they are typed, `NAME=VALUE`, by what they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veribayes.errors import InputError
from veribayes.models._arguments import parse_argument, read_arguments

OF_TASK = (
    "predict",
    "axis",
    "inputs",
    "ask",
    "positions",
    "budget",
)  # what --set says of a program


def split_program(options: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What `task` takes of a program, and the other options.

    `data=FILE` and `data.NAME=VALUE` are its arguments; `predict=SITE`, `positions=0,1,2`, `axis`,
    `inputs`, `ask` (entries, or names of latents) and `budget` say what is asked of it.
    """
    arguments: dict[str, Any] = {}
    of_task: dict[str, Any] = {"data": arguments}
    others: dict[str, str] = {}
    if "data" in options:
        arguments.update(read_arguments(options["data"]))
    for key, value in options.items():
        if key.startswith("data."):
            arguments[key.removeprefix("data.")] = parse_argument(value)
        elif key in OF_TASK:
            of_task[key] = _of_task(key, value)
        elif key != "data":
            others[key] = value
    return of_task, others


def _of_task(key: str, value: str) -> Any:
    """A name, a whole number, or a list of them between commas."""
    if key == "predict":
        return value
    if key in ("axis", "budget"):
        return parse_argument(value)
    parts = [part.strip() for part in value.strip("[] ").split(",") if part.strip()]
    if key == "inputs" or (key == "ask" and not all(map(_is_whole, parts))):
        return tuple(parts)
    return tuple(parse_argument(part) for part in parts)


def _is_whole(part: str) -> bool:
    return part.removeprefix("-").isdigit()


def split_options(options: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """`reference.draws=20` -> {"reference": {"draws": "20"}}."""
    of_role: dict[str, dict[str, str]] = {"reference": {}, "candidate": {}, "audit": {}}
    for key, value in options.items():
        role, _, name = key.partition(".")
        if role not in of_role or not name:
            wanted = "ROLE.OPTION with the role reference, candidate or audit"
            raise InputError(wanted, f"'{key}'", "for example reference.draws=20")
        of_role[role][name] = value
    return of_role

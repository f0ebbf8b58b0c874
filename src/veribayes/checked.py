"""Checks of arguments: each returns the value in its canonical type or raises `InputError`, which
names the argument.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from veribayes.errors import InputError
from veribayes.errors import shown as shown


def number(name: str, value: Any, *, above: float = -math.inf, below: float = math.inf) -> float:
    """A finite float strictly inside (above, below); truth values and text are refused."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise InputError(f"a number for '{name}'", shown(value))
    if not (math.isfinite(value) and above < value < below):
        limits = []
        if math.isfinite(above):
            limits.append(f"above {above:g}")
        if math.isfinite(below):
            limits.append(f"below {below:g}")
        wanted = f"a finite '{name}' {' and '.join(limits)}"
        raise InputError(wanted.strip(), shown(value))
    return float(value)


def integer(name: str, value: Any, *, at_least: int, at_most: int = 2**32 - 1) -> int:
    """An integer in [at_least, at_most]."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputError(f"an integer '{name}'", shown(value))
    if not at_least <= value <= at_most:
        raise InputError(f"'{name}' between {at_least} and {at_most}", shown(value))
    return int(value)


def text(name: str, value: Any) -> str:
    """Words."""
    if not isinstance(value, str):
        raise InputError(f"text for '{name}'", shown(value), "put it in quotes")
    return value


def sequence(name: str, value: Any) -> tuple[Any, ...]:
    """The items of a list, a tuple or an array; text and mappings are refused."""
    is_listed = hasattr(value, "__len__") and hasattr(value, "__iter__")
    if not is_listed or isinstance(value, str | bytes | Mapping):
        raise InputError(f"a list for '{name}'", shown(value))
    return tuple(value)


def mapping(
    where: str, value: Any, *, allowed: Collection[str], required: Collection[str] = ()
) -> dict[str, Any]:
    """A mapping with known keys only."""
    if not isinstance(value, Mapping):
        raise InputError(f"a mapping for {where}", shown(value))
    for key in value:
        if key not in allowed:
            close = get_close_matches(str(key), list(allowed), n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(allowed)}"
            raise InputError(f"known keys in {where}", shown(key), hint)
    for key in required:
        if key not in value:
            present = ", ".join(map(str, value)) or "an empty mapping"
            raise InputError(f"the key '{key}' in {where}", f"only {present}")
    return dict(value)


def choice(name: str, value: Any, options: Collection[str]) -> str:
    """One of a few words."""
    if not isinstance(value, str) or value not in options:
        raise InputError(f"'{name}' to be one of {', '.join(options)}", shown(value))
    return value

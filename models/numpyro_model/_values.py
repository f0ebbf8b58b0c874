"""Values of a program's arguments: which can be outcomes, and what identifies them."""

from __future__ import annotations

import hashlib
import inspect
from typing import Any

import numpy as np

from veribayes.checked import shown
from veribayes.errors import InputError

NUMBERS = "iufb"  # kinds of arrays that hold numbers or truth values
SHORT = 1000  # entries of an array that a task file may hold


def is_numeric(value: Any) -> bool:
    """Whether a value can be an outcome: numbers with or without axes."""
    if value is None or isinstance(value, str):
        return False
    return np.asarray(value).dtype.kind in NUMBERS


def changed(value: Any) -> Any:
    """Another value of the same shape, of the same numbers where they differ from each other."""
    array = np.asarray(value)
    if array.size and (array != array.flat[0]).any():
        return np.roll(array, 1)
    return ~array if array.dtype.kind == "b" else array + 1


def digest(value: Any) -> Any:
    """Numbers and text as they are, arrays by their bytes."""
    if not isinstance(value, np.ndarray):
        return value
    described = f"{value.dtype.str}{value.shape}".encode()
    return hashlib.sha256(described + value.tobytes()).hexdigest()


def described(value: Any) -> Any:
    """Numbers, text and short lists as they are, so that they can be read back; else a digest."""
    if not isinstance(value, np.ndarray):
        return value
    if value.size <= SHORT:
        return value.tolist()
    return {"digest": digest(value)}


def require_no_text(name: str, value: Any, parameter: inspect.Parameter | None) -> None:
    """Refuse text for an argument that does not say, by default or annotation, that it takes text.

    Raises:
        InputError: text for such an argument.
    """
    if not isinstance(value, str):
        return
    if parameter is not None:
        has_text = isinstance(parameter.default, str)
        if has_text or parameter.annotation in (str, "str"):
            return
    remedy = f"--set data.{name}=VALUE takes a JSON number, truth value or list"
    raise InputError(f"numbers for the argument '{name}'", f"the text {shown(value)}", remedy)

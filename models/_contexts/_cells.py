"""What a cell says: a key, a number, a state."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError
from veribayes.models._check import shown

# a column of whole numbers with a gap is written with a point by some programs
WHOLE = re.compile(r"[-+]?([0-9]+)(\.0*)?", re.ASCII)
NUMBER = re.compile(
    r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII | re.IGNORECASE
)
LONGEST = 20  # characters of a whole number
EXACT = 2**53  # up to which a float holds whole numbers
MISSING = -1  # code of what is not observed


def key_of(cell: Any, where: str) -> str:
    """A key as text: 3, 3.0 and "3" are the same.

    Raises:
        InputError: nothing, a list, or a number that is not whole.
    """
    if isinstance(cell, str) and not WHOLE.fullmatch(cell):
        return cell
    number = _whole(cell)
    if number is None:
        remedy = "a key is a whole number or a word"
        raise InputError(f"a key {where}", shown(cell), remedy)
    return str(number)


def whole_of(cell: Any, where: str) -> int:
    """A whole number.

    Raises:
        InputError: something else.
    """
    number = _whole(cell)
    if number is None:
        raise InputError(f"a whole number {where}", shown(cell))
    return number


def number_of(cell: Any, where: str) -> float:
    """A finite number.

    Raises:
        InputError: nothing, a word, NaN or infinity.
    """
    value = cell
    if isinstance(cell, str):
        value = float(cell) if NUMBER.fullmatch(cell) else None
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        remedy = "every cell of an observation is filled in" if cell is None else ""
        raise InputError(f"a number {where}", _got(cell), remedy)
    if not np.isfinite(float(value)):
        raise InputError(f"a finite number {where}", shown(value))
    return float(value)


def code_of(cell: Any, states: Sequence[str], most: int | None, missing: bool, where: str) -> int:
    """The code of a state: its place among the names, or the number that is written.

    Args:
        states: names; empty where states have none.
        most: number of states; None where it is not known here.
        missing: whether nothing, or -1, stands for what is not observed.

    Raises:
        InputError: no state.
    """
    if isinstance(cell, str) and cell in states:
        return states.index(cell)
    if cell is None and missing:
        return MISSING
    code = _whole(cell)
    if code is not None and missing and code == MISSING:
        return MISSING
    outside = code is None or code < 0 or (most is not None and code >= most)
    if outside:
        raise InputError(f"{_wanted(states, most)} {where}", _got(cell), _remedy(cell, missing))
    assert code is not None
    return code


def _wanted(states: Sequence[str], most: int | None) -> str:
    if states:
        some = ", ".join(shown(state) for state in states[:8])
        return f"one of the states {some}{', …' if len(states) > 8 else ''}"
    return "a state's code" if most is None else f"a code from 0 to {most - 1}"


def _remedy(cell: Any, missing: bool) -> str:
    if missing:
        return "an empty cell or -1 stands for what is not observed"
    return "every cell of an observation is filled in" if cell is None else ""


def _got(cell: Any) -> str:
    return "an empty cell" if cell is None else shown(cell)


def _whole(cell: Any) -> int | None:
    """The whole number in a cell; None where there is none."""
    if isinstance(cell, str):
        is_whole = WHOLE.fullmatch(cell) and len(cell) < LONGEST
        return int(cell.partition(".")[0]) if is_whole else None
    if isinstance(cell, bool | np.bool_):
        return None
    if isinstance(cell, int | np.integer):
        return int(cell)
    if isinstance(cell, float | np.floating):
        number = float(cell)
        return int(number) if number.is_integer() and abs(number) < EXACT else None
    return None


def array_of(cell: Any, where: str) -> npt.NDArray[Any]:
    """A list of any depth as an array of numbers or of objects.

    Raises:
        InputError: rows of several lengths.
    """
    try:
        array = np.asarray(_plain(cell))
    except ValueError:
        raise InputError(f"lists of one length {where}", "ragged lists") from None
    return array if array.dtype.kind in "iufO" else array.astype(object)


def _plain(cell: Any) -> Any:
    """Lists within lists, where a library has arrays of arrays."""
    if isinstance(cell, np.ndarray) and cell.dtype.kind == "O":
        return [_plain(entry) for entry in cell]
    return cell

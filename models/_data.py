"""Checks of the arrays that enter an engine: their axes, whether codes are states, whether numbers
are finite.

Engines look up tables by what the arrays hold, and an array index below zero or beyond a table's
end often finds a number all the same. Each check takes a pass over an array, some microseconds for
a thousand data sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ShapeError
from veribayes.tree import Data

Values = npt.NDArray[Any]


def array_of(data: Data, name: str, axes: Sequence[int | str]) -> Values:
    """An array of the batch with these axes: a number is the axis' length, a text only its name.

    Raises:
        ShapeError: no such array, or other axes.
    """
    shown = f"'{name}' with the axes ({', '.join(map(str, axes))})"
    if name not in data.arrays:
        raise ShapeError(shown, f"arrays {', '.join(data.arrays) or 'without names'}")
    values = np.asarray(data.arrays[name])
    fits = values.ndim == len(axes)
    if not fits or any(
        isinstance(n, int) and n != have for n, have in zip(axes, values.shape, strict=True)
    ):
        raise ShapeError(shown, f"{values.shape}")
    return values


def require_length(data: Data, name: str, length: int) -> int:
    """The longest context that is asked for, which an array must hold."""
    positions = np.asarray(data.positions)
    least, most = int(positions.min(initial=0)), int(positions.max(initial=0))
    if least < 0 or most > length:
        wrong = most if most > length else least
        raise InputError(
            f"positions between 0 and {length}, the observations in '{name}'", f"{wrong}"
        )
    return most


def require_codes(
    name: str,
    values: Values,
    sizes: npt.ArrayLike,
    *,
    missing: bool = False,
    data: Data | None = None,
) -> None:
    """Refuse what is no code of a state.

    Args:
        name: of the array.
        values: integers, (dataset, ...).
        sizes: number of states, broadcasting against values.
        missing: whether -1 stands for what is not observed.
        data: the batch, whose data sets are numbered in the message.

    Raises:
        InputError: numbers that are no integers, or out of range.
    """
    least = -1 if missing else 0
    if values.dtype.kind not in "iu":
        raise InputError(
            f"whole numbers in '{name}'",
            f"values of type {values.dtype.name}",
            "codes of states are 0, 1, …",
        )
    limits = np.asarray(sizes)
    if not values.size or (values.min() >= least and values.max() < limits.min()):
        return
    wrong = (values < least) | (values >= limits)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        most = int(np.broadcast_to(limits, values.shape)[place]) - 1
        remedy = "what is not observed cannot be given here"
        if missing:
            remedy = "-1 stands for what is not observed"
        wanted = f"codes from {least} to {most} in '{name}' at {_at(place, data)}"
        raise InputError(wanted, f"{int(values[place])}", remedy)


def require_finite(name: str, values: Values, data: Data) -> None:
    """Refuse what is no finite number."""
    if values.dtype.kind not in "iuf":
        raise InputError(f"real numbers in '{name}'", f"values of type {values.dtype.name}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise InputError(f"finite numbers in '{name}' at {_at(place, data)}", f"{values[place]}")


def _at(place: tuple[int, ...], data: Data | None) -> str:
    if data is None:
        return f"{place}"
    inside = place[1:] if len(place) > 2 else place[-1]
    return f"data set {int(data.index[place[0]])}, place {inside}"

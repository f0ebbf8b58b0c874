"""Numbers from anywhere as NumPy float64, and what a zero among them may stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.errors import ShapeError

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
LOG_SQRT_2PI = 0.5 * float(np.log(2 * np.pi))
FLOAT64_LIMIT = 2.0**-53
ZERO_LIMITS = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}  # half an ulp of one
NOT_REAL = "cSUMm"  # kinds of arrays that NumPy would convert in silence


def to_float64(value: object, name: str = "") -> Array:
    """NumPy float64 from a NumPy, JAX or torch array (detached, copied to the host) or nested
    lists.

    Masked entries become NaN, so that no form takes them for numbers. Complex numbers, text and
    times are refused.

    Raises:
        ShapeError: no array of real numbers, or lists of unequal lengths.
    """
    owner = f" for '{name}'" if name else ""
    try:
        return _real(value)
    except (TypeError, ValueError) as error:
        wanted = f"an array of numbers{owner}"
        raise ShapeError(wanted, type(value).__name__, str(error)) from None


def zero_limit_of(value: object) -> float:
    """The largest mass that a zero in this array may stand for.

    It is half the distance of 1 to its neighbour in the array's type.
    """
    dtype = getattr(value, "dtype", "") or np.asarray(value).dtype
    type_name = str(dtype).removeprefix("torch.")
    return ZERO_LIMITS.get(type_name, FLOAT64_LIMIT)


def _real(value: Any) -> Array:
    if callable(getattr(value, "detach", None)):
        value = _from_torch(value)
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(np.float64), np.nan)
    array = np.asarray(value)
    if array.dtype.kind in NOT_REAL:
        raise TypeError(f"{array.dtype} is not real")
    if array.dtype.kind == "O" and _holds_text(array):
        raise TypeError("an array of objects that are not numbers")
    return np.asarray(array, dtype=np.float64)


def _from_torch(tensor: Any) -> Any:
    is_complex = getattr(tensor, "is_complex", bool)
    if is_complex():
        raise TypeError(f"{tensor.dtype} is not real")
    return tensor.detach().cpu().double().numpy()


def _holds_text(objects: npt.NDArray[Any]) -> bool:
    return any(isinstance(entry, str | bytes | np.datetime64) for entry in objects.flat)

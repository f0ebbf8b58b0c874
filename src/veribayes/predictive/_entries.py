"""Checks of the variables of a form: each names how many distributions cannot be, and the first."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from veribayes.errors import EntryError, ShapeError
from veribayes.predictive._arrays import Array, Mask

# float32 softmax over thousands of bins is off by 1e-6; three decades more is a different object
MASS_TOLERANCE = 1e-3
LARGEST_LOG = 700.0  # its exponential still is a float64


def require_same_shape(**arrays: Array) -> None:
    """Raise `ShapeError` unless all arrays have one shape."""
    shapes = [array.shape for array in arrays.values()]
    if len(set(shapes)) == 1:
        return
    raise ShapeError(
        "equal shapes of " + ", ".join(arrays),
        ", ".join(map(str, shapes)),
        "an extra axis is an error, never a broadcast",
    )


def require_finite(name: str, array: Array, trailing: int = 0) -> None:
    """Raise `EntryError` where an entry is no number; `trailing` axes belong to the form."""
    refuse(~np.isfinite(array), trailing, f"finite {name}", array)


def require_positive(name: str, array: Array, trailing: int = 0) -> None:
    """Raise `EntryError` where an entry is not above zero, or no number."""
    remedy = ""
    if name == "sd":
        remedy = "an sd below what the type of the numbers holds becomes 0: compute in float64"
    proper = np.isfinite(array) & (array > 0)
    refuse(~proper, trailing, f"positive finite {name}", array, remedy)


def normalised(probs: Array, name: str, limits: Array | float = 0.0) -> Array:
    """The probabilities over their sum, which may be off by what the type of the numbers rounds.

    Args:
        probs: (..., cell).
        name: of the variable, for the message.
        limits: the largest mass that a zero may stand for, (...,).
    """
    proper = np.isfinite(probs) & (probs >= 0)
    wanted = f"{name} that are finite and not negative"
    refuse(~proper, 1, wanted, probs, "return probabilities, not logits")
    total = probs.sum(-1, keepdims=True)
    allowed = np.maximum(MASS_TOLERANCE, np.asarray(limits)[..., None])
    off = np.abs(total - 1) > allowed
    remedy = "apply a softmax, or check which axis is the category"
    refuse(off, 1, f"{name} that sum to 1", total, remedy)
    return np.asarray(probs / total)


def log_normalised(logs: Array) -> Array:
    """Log probabilities (..., cell), less the logarithm of their sum."""
    improper = np.isnan(logs) | np.isposinf(logs)
    wanted = "log_probs that are numbers or minus infinity"
    refuse(improper, 1, wanted, logs, "minus infinity stands for an impossible outcome")
    total = np.zeros((*logs.shape[:-1], 1))
    if logs.size:
        total = np.asarray(logsumexp(logs, axis=-1, keepdims=True))
    distance = np.abs(np.expm1(np.minimum(total, 1.0)))
    off = ~(distance <= MASS_TOLERANCE)
    shown_sum = np.exp(np.minimum(total, LARGEST_LOG))
    wanted = "log_probs whose exponentials sum to 1"
    refuse(off, 1, wanted, shown_sum, "apply a log-softmax")
    return np.asarray(logs - total)


def refuse(bad: Mask, trailing: int, expected: str, problem: str | Array, remedy: str = "") -> None:
    """Raise an `EntryError` where anything is bad.

    Args:
        bad: which entries, with `trailing` axes behind the leading shape.
        trailing: number of axes that belong to the form.
        expected: what an entry should be.
        problem: what is wrong, or the values, of which the first bad one is shown.
        remedy: what to do about it.
    """
    if not bad.any():
        return
    leading = bad.ndim - trailing
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    shown = problem if isinstance(problem, str) else _number(float(problem[first]))
    bad_rows = bad.any(axis=tuple(range(leading, bad.ndim)))
    count = int(bad_rows.sum())
    raise EntryError(expected, shown, remedy, first[:leading], count, bad_rows.size)


def _number(value: float) -> str:
    return "NaN" if np.isnan(value) else f"{value:.6g}"

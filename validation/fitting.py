"""The value of one free number that brings a predictor nearest to a candidate:
a grid, and a parabola through its best.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from veribayes.errors import InputError
from veribayes.predictive import Array


def lowest(loss: Callable[[float | None], float], grid: Array) -> tuple[float | None, bool]:
    """The value with the smallest loss, and whether any loss is finite; no value where the default
    has a smaller loss.

    Args:
        loss: of a value; of None, the default.
        grid: values that are tried, evenly spaced on the log scale.
    """
    losses = np.array([loss(float(value)) for value in grid])
    default = loss(None)
    if not np.isfinite(losses).any():
        return None, bool(np.isfinite(default))
    value = vertex(grid, losses)
    nearer = loss(value) < default
    return value if nearer else None, True


def vertex(values: Array, losses: Array) -> float:
    """Where the parabola through the best value and its neighbours, on the log scale, is lowest.

    Raises:
        InputError: no loss is finite, so that none is the smallest.
    """
    finite = np.isfinite(losses)
    if not finite.any():
        wanted = "a finite loss for one of the values"
        raise InputError(wanted, f"{losses.size} that are not", "compare by another divergence")
    best = int(np.argmin(np.where(finite, losses, np.inf)))
    x = np.log(values)
    inside = 0 < best < len(x) - 1
    if not inside or not np.all(finite[best - 1 : best + 2]):
        return float(values[best])
    left, middle, right = losses[best - 1 : best + 2]
    curvature = left - 2 * middle + right
    if curvature <= 0:
        return float(values[best])
    half_step = (x[1] - x[0]) / 2
    return float(np.exp(x[best] + half_step * (left - right) / curvature))

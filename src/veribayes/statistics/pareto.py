"""How heavy a tail is: the shape of a generalised Pareto law fitted to the largest values.

Vehtari et al., arXiv 1507.02646: the variance of an average, and so its error bar, is finite for k below .5, the average itself
below 1. Fit by Zhang & Stephens (2009), doi 10.1198/tech.2009.08017.
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from veribayes.predictive import Array

FEWEST = 5  # values from which a shape is fitted
HEAVIEST = 0.95  # shape beyond which no mean is extrapolated


def tail_size(points: int) -> int:
    """How many of the largest values belong to the tail."""
    return int(min(points / 5, 3 * np.sqrt(points)))


def mean_beyond(ordered: Array) -> Array:
    """How many times as far out as the farthest value the next one beyond it lies on average: 1 / (1 - k), at least 1.

    A Pareto tail with shape k starts anew at every point: the mean of what lies beyond x is x / (1 - k) there. Shapes above .95
    count as .95; 1 where there are fewer than 25 values.

    Args:
        ordered: (point, *column), increasing along the points; any location and scale.

    Returns:
        (*column,).
    """
    size = tail_size(len(ordered))
    if size < FEWEST:
        return np.ones(ordered.shape[1:])
    largest = np.moveaxis(ordered[: -size - 2 : -1], 0, -1)
    return np.asarray(1 / (1 - np.clip(tail_shape(largest), 0.0, HEAVIEST)))


def heaviness(values: Array) -> float:
    """Pareto's k of the largest of some values, (value,); -inf where they are fewer than 25 or the tail is flat."""
    size = tail_size(values.size)
    return float(tail_shape(np.sort(values)[: -size - 2 : -1])) if size >= FEWEST else -np.inf


def tail_shape(largest: Array) -> Array:
    """Pareto's k of the values above a threshold; location and scale do not matter.

    Args:
        largest: (..., tail + 1), in decreasing order; the last is the threshold.

    Returns:
        k (...), regularised towards .5 as if by ten more observations; -inf where the tail is flat. Values that equal the
        threshold are not above it: shares and other discrete values would otherwise look as heavy as a tail can be.
    """
    above = largest[..., -2::-1] - largest[..., -1:]  # increasing
    size, tied = above.shape[-1], above <= 1e-12 * np.abs(largest[..., :1])
    flat = tied[..., -1]
    above = np.where(flat[..., None], np.arange(1.0, size + 1), np.where(tied, 0.0, above))
    excess, few = (
        above / above[..., -1:],
        np.where(flat, size, (~tied).sum(-1)),
    )  # few: how many are above the threshold
    count = 30 + int(np.sqrt(size))
    j = np.arange(1, count + 1)
    first = size - few + np.maximum((few / 4 + 0.5).astype(np.int64) - 1, 0)
    quartile = np.maximum(np.take_along_axis(excess, first[..., None], axis=-1), 1e-300)
    theta = 1 / excess[..., -1:] + (1 - np.sqrt(count / (j - 0.5))) / (3 * quartile)
    theta = np.where(theta == 0, 1e-12, theta)  # exactly exponential: the limit, not 0 / 0
    k = np.log1p(-theta[..., None] * excess[..., None, :]).sum(-1) / few[..., None]
    weight_of = softmax(few[..., None] * (np.log(-theta / k) - k - 1), axis=-1)
    best = (weight_of * theta).sum(-1)
    shape = np.log1p(-best[..., None] * excess).sum(-1) / few
    return np.where(flat, -np.inf, (few * shape + 5) / (few + 10))

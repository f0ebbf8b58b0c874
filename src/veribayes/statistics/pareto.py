"""How heavy a tail is: the shape of a generalised Pareto law fitted to the largest values.

Vehtari et al., arXiv 1507.02646: the variance of an average, and so its error bar, is finite for k
below .5, the average itself below 1. Fit by Zhang & Stephens (2009), doi 10.1198/tech.2009.08017.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from veribayes.statistics.arrays import Array, Mask

Counts = npt.NDArray[np.int64]

FEWEST = 5  # values from which a shape is fitted
HEAVIEST = 0.95  # shape beyond which no mean is extrapolated
TIED = 1e-12  # share of the largest value, below which an excess is rounding
PRIOR_SIZE, PRIOR_SHAPE = 10, 0.5  # the fit is drawn towards .5 as if by ten more observations


def tail_size(points: int) -> int:
    """How many of the largest values belong to the tail."""
    return int(min(points / 5, 3 * np.sqrt(points)))


def mean_beyond(ordered: Array) -> Array:
    """How many times as far out as the farthest value the next one beyond it lies on average: 1 /
    (1 - k), at least 1.

    A Pareto tail with shape k starts anew at every point: the mean of what lies beyond x is
    x / (1 - k) there. Shapes above .95 count as .95; 1 where there are fewer than 25 values.

    Args:
        ordered: (point, *column), increasing along the points; any location and scale.

    Returns:
        (*column,).
    """
    size = tail_size(len(ordered))
    if size < FEWEST:
        return np.ones(ordered.shape[1:])
    largest = np.moveaxis(ordered[: -size - 2 : -1], 0, -1)
    shape = np.clip(tail_shape(largest), 0.0, HEAVIEST)
    return np.asarray(1 / (1 - shape))


def heaviness(values: Array) -> float:
    """Pareto's k of the largest of some values, (value,); -inf where they are fewer than 25 or the
    tail is flat.
    """
    size = tail_size(values.size)
    if size < FEWEST:
        return -np.inf
    largest = np.sort(values)[: -size - 2 : -1]
    return float(tail_shape(largest))


def tail_shape(largest: Array) -> Array:
    """Pareto's k of the values above a threshold; location and scale do not matter.

    Args:
        largest: (..., tail + 1), in decreasing order; the last is the threshold.

    Returns:
        k (...), regularised towards .5 as if by ten more observations; -inf where the tail is flat.
        Values that equal the threshold are not above it: shares and other discrete values would
        otherwise look as heavy as a tail can be.
    """
    excess, count, flat = _excesses(largest)
    theta = _candidates(excess, count)
    log_ratios = np.log1p(-theta[..., None] * excess[..., None, :])
    k = log_ratios.sum(-1) / count[..., None]
    mean_log_density = np.log(-theta / k) - k - 1
    log_likelihood = count[..., None] * mean_log_density
    weights = softmax(log_likelihood, axis=-1)
    best = (weights * theta).sum(-1)
    log_ratios = np.log1p(-best[..., None] * excess)
    shape = log_ratios.sum(-1) / count
    regularised = (count * shape + PRIOR_SIZE * PRIOR_SHAPE) / (count + PRIOR_SIZE)
    return np.where(flat, -np.inf, regularised)


def _excesses(largest: Array) -> tuple[Array, Counts, Mask]:
    """Excesses over the threshold and which of them count.

    Returns:
        excess (..., tail), increasing, over the largest; how many are above the threshold (...);
        whether none is (...), where excess and number are those of an arbitrary tail.
    """
    increasing = largest[..., ::-1]
    above = increasing[..., 1:] - increasing[..., :1]
    size = above.shape[-1]
    tied = above <= TIED * np.abs(largest[..., :1])
    flat = tied[..., -1]
    distinct = np.where(tied, 0.0, above)
    arbitrary = np.arange(1.0, size + 1)
    above = np.where(flat[..., None], arbitrary, distinct)
    count = np.where(flat, size, (~tied).sum(-1))
    return above / above[..., -1:], count, flat


def _candidates(excess: Array, count: Counts) -> Array:
    """Values of theta = k / scale over which Zhang and Stephens average, (..., candidate)."""
    size = excess.shape[-1]
    number = 30 + int(np.sqrt(size))
    j = np.arange(1, number + 1)
    quarter = (count / 4 + 0.5).astype(np.int64) - 1
    first = size - count + np.maximum(quarter, 0)
    quartile = np.take_along_axis(excess, first[..., None], axis=-1)
    quartile = np.maximum(quartile, 1e-300)
    spread = (1 - np.sqrt(number / (j - 0.5))) / (3 * quartile)
    theta = 1 / excess[..., -1:] + spread
    return np.where(theta == 0, 1e-12, theta)  # exactly exponential: the limit, not 0 / 0

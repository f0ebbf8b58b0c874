"""How heavy the tail of importance weights is: the shape of a generalised Pareto law fitted to the largest ones.

Vehtari et al., arXiv 1507.02646: the variance of an average, and so its error bar, is finite for k below .5. Fit by Zhang &
Stephens (2009), doi 10.1198/tech.2009.08017.
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from veribayes.predictive import Array

TAIL_LIMIT = 0.5


def tail_size(points: int) -> int:
    """How many of the largest weights belong to the tail."""
    return int(min(points / 5, 3 * np.sqrt(points)))


def tail_shape(log_weight: Array) -> Array:
    """Pareto's k from the logs of the largest weights, in decreasing order.

    Args:
        log_weight: (..., tail + 1); the last is the threshold.

    Returns:
        k (...), regularised towards .5 as if by ten more observations; -inf where the tail is flat.
    """
    weight = np.exp(log_weight - log_weight[..., :1])
    excess = weight[..., -2::-1] - weight[..., -1:]  # increasing
    size, flat = excess.shape[-1], excess[..., -1] <= 1e-12
    excess = np.where(flat[..., None], np.arange(1.0, size + 1), excess)
    count = 30 + int(np.sqrt(size))
    j = np.arange(1, count + 1)
    quartile = np.maximum(excess[..., int(size / 4 + 0.5) - 1, None], 1e-300)
    theta = 1 / excess[..., -1:] + (1 - np.sqrt(count / (j - 0.5))) / (3 * quartile)
    k = np.log1p(-theta[..., None] * excess[..., None, :]).mean(-1)
    weight_of = softmax(size * (np.log(-theta / k) - k - 1), axis=-1)
    best = (weight_of * theta).sum(-1)
    shape = np.log1p(-best[..., None] * excess).mean(-1)
    return np.where(flat, -np.inf, (size * shape + 5) / (size + 10))

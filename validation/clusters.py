"""One value a data set, the unit of replication:
means over the queries and positions that apply.
"""

from __future__ import annotations

import numpy as np

from veribayes.errors import ShapeError
from veribayes.predictive import Array


def cluster_means(scores: Array) -> Array:
    """One value a data set, (dataset, position, query) -> (dataset,).

    Queries that apply (are not NaN) are averaged equally, then positions. NaN for a data set in
    which no query applies.
    """
    weights = weights_of(scores)
    means = weighted(scores, weights).sum((1, 2))
    return np.where(weights.any((1, 2)), means, np.nan)


def weights_of(scores: Array) -> Array:
    """Weight of each score in its data set's mean; zero where a query does not apply."""
    if scores.ndim != 3:
        raise ShapeError("scores (dataset, position, query)", f"{scores.shape}")
    applies = ~np.isnan(scores)
    queries = applies.sum(2, keepdims=True)
    positions = (queries > 0).sum(1, keepdims=True)
    shares = applies / np.maximum(queries, 1)
    return np.asarray(shares / np.maximum(positions, 1))


def weighted(scores: Array, weights: Array) -> Array:
    return np.multiply(scores, weights, out=np.zeros(scores.shape), where=weights > 0)

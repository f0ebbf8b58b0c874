"""Resamples of whole data sets: the same for every number of a run that has as many data sets
and one seed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from veribayes.predictive import Array

REPLICATES = 1999  # (B + 1) p is an integer for every level used, so quantiles are order statistics
LEVEL = 0.95
CHUNK = 1 << 22  # resampling weights held at once: 32 MiB


def resampled(columns: Array, seed: int) -> Array:
    """Sums of each column over 1,999 resamples of the rows, (replicate, column); a function of
    (seed, rows) alone.
    """
    n = columns.shape[0]
    weights = _kept_weights(n, seed) if n * REPLICATES <= CHUNK else _weights(n, seed)
    return np.concatenate([some @ columns for some in weights])


@lru_cache(maxsize=2)
def _kept_weights(n: int, seed: int) -> tuple[Array, ...]:
    """Few enough to be kept: a run asks for those of its data sets again for every number it
    reports.
    """
    return tuple(_weights(n, seed))


def _weights(n: int, seed: int) -> Iterator[Array]:
    """How often each row occurs in each resample, (some replicates, row); one generator for all of
    them.
    """
    rng = np.random.default_rng([seed, zlib.crc32(b"bootstrap")])
    step = max(1, CHUNK // n)
    for start in range(0, REPLICATES, step):
        size = min(step, REPLICATES - start)
        rows = rng.integers(0, n, (size, n))
        cells = rows + n * np.arange(size)[:, None]
        counts = np.bincount(cells.ravel(), minlength=size * n)
        yield counts.reshape(size, n).astype(float)


def posterior_point(
    values: Array, further: Array, seed: int, level: float = 0.5 + LEVEL / 2
) -> Array:
    """The `level` point of each column's mean with one further value, under weights Dirichlet(1,
    ..., 1), (*column,).

    The further value's weight is Beta(1, n) and independent of how the others share the rest: it
    runs through the middles of 1,999 equal parts of that law, and the others' weights are
    exponential numbers over their sum. All columns share the weights.

    Args:
        values: (dataset, *column).
        further: (*column,).
    """
    n = len(values)
    rng = np.random.default_rng([seed, zlib.crc32(b"weights")])
    middles = (np.arange(REPLICATES) + 0.5) / REPLICATES
    part = (1 - middles ** (1 / n))[:, None]
    step = max(1, CHUNK // n)
    means = []
    for start in range(0, REPLICATES, step):
        size = min(step, REPLICATES - start)
        weights = rng.standard_exponential((size, n))
        means.append(weights @ values / weights.sum(1, keepdims=True))
    with_further = (1 - part) * np.concatenate(means) + part * further
    return order(with_further, level)


def order(t: Array, level: float) -> Array:
    """Order statistic (B + 1) level along the replicates."""
    rank = round((REPLICATES + 1) * level) - 1
    return np.asarray(np.partition(t, rank, axis=0)[rank])

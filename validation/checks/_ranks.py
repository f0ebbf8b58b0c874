"""Ranks among draws, and the null law of any statistic of them:
n independent uniform ranks on 0, …, L.

Ranks are integers. Compared with a continuous uniform law, exact ranks are rejected in up to 99 %
of the runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from veribayes.errors import InputError
from veribayes.predictive import Array
from veribayes.tree import IntArray
from veribayes.validation.checks._null import REPLICATES, generator, p_value

MOST = 10**6 - 1  # simulated sets of ranks: reaches .005 by Holm over 5,000 quantities
BLOCK = 1 << 20  # simulated counts held at once
Statistic = Callable[[Array, int], Array]  # (cumulative counts (…, L), n) -> (…)


def ranks(truth: Array, draws: Array, seed: int = 0) -> IntArray:
    """Rank of the truth among L draws, 0, …, L; ties are broken at random, which keeps the law
    uniform.

    Args:
        truth: (dataset, quantity). draws: (dataset, draw, quantity).
    """
    columns = np.ascontiguousarray(draws.swapaxes(1, 2))  # sums run along memory
    wanted = truth[..., None]
    below = (columns < wanted).sum(-1)
    equal = (columns == wanted).sum(-1)
    if not equal.any():
        return np.asarray(below)
    rng = generator(seed, "ties", len(truth))
    return np.asarray(below + rng.integers(0, equal, endpoint=True))


def cumulative(found: Array, draws: int) -> Array:
    """How many data sets have a rank of at most k = 0, …, L - 1, (quantity, L).

    Raises:
        InputError: a rank that is no integer in 0, …, `draws`.
    """
    if draws < 1 or (found != np.floor(found)).any() or found.min() < 0 or found.max() > draws:
        got = f"values from {found.min():g} to {found.max():g}"
        raise InputError(f"integer ranks from 0 to {draws}", got)
    columns = found.T.astype(np.int64)
    counts = [np.bincount(column, minlength=draws + 1) for column in columns]
    at_most = np.cumsum(counts, axis=-1)
    return at_most[:, :-1].astype(np.float64)


def tested(statistic: Statistic, counts: Array, n: int, seed: int) -> tuple[Array, Array]:
    """Statistic and p-value of each quantity, both (quantity,)."""
    values = statistic(counts, n)
    quantities, draws = counts.shape
    null = simulated(statistic, n, draws, seed, _replicates(quantities))
    p_values = [p_value(float(value), null) for value in values]
    return values, np.array(p_values)


def least(quantities: int) -> float:
    """Smallest p-value of a family of that many quantities after Holm."""
    return quantities / (_replicates(quantities) + 1)


def _replicates(quantities: int) -> int:
    """So many that Holm over the quantities leaves a smallest p-value of .001; at most `MOST`."""
    return max(REPLICATES, min(1000 * quantities - 1, MOST))


@lru_cache(maxsize=32)
def simulated(
    statistic: Statistic, n: int, draws: int, seed: int, replicates: int = REPLICATES
) -> Array:
    """Sorted statistics of many sets of n uniform ranks; kept, because runs of one size
    share them.
    """
    rng = generator(seed, "ranks", n, draws)
    even = np.full(draws + 1, 1 / (draws + 1))
    step = max(1, BLOCK // draws)
    blocks = []
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        at_most = rng.multinomial(n, even, size).cumsum(-1)
        counts = at_most[:, :-1].astype(np.float64)
        blocks.append(statistic(counts, n))
    return np.sort(np.concatenate(blocks))


def anderson_darling(counts: Array, n: int) -> Array:
    """Discrete A^2 = sum over k of Z_k^2 / (H_k (1 - H_k)) / (n (L + 1)), Z_k = counts - n H_k, H_k
    = (k + 1) / (L + 1).
    """
    cells = counts.shape[-1] + 1
    h = np.arange(1, cells) / cells
    weights = 1 / (h * (1 - h))
    squares = (counts - n * h) ** 2
    return np.asarray(squares @ weights / (n * cells))

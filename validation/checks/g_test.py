"""Multinomial likelihood-ratio test of counts against known probabilities,
each data set with its own.

G = 2 sum over data sets and categories of c log(c / (N p)), N the data set's total. Counts are
drawn from the known
probabilities, data set by data set, for a Monte Carlo null: exact however few there are of them. A
count where the probability is zero gives an infinite G. Draws within a data set must be
independent.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from veribayes.errors import InputError, ShapeError
from veribayes.predictive import Array
from veribayes.validation.checks._null import generator, p_value
from veribayes.validation.checks._test import Outcome, Test, axes

BLOCK = 1 << 20  # simulated counts held at once


def statistic(counts: Array, probs: Array) -> Array:
    """G of counts (…, dataset, category)."""
    with np.errstate(
        invalid="ignore"
    ):  # 0 log 0 = 0, and infinite where a zero probability was seen
        expected = counts.sum(-1, keepdims=True) * probs
        terms = special.rel_entr(counts, expected)
        return np.asarray(2 * terms.sum((-2, -1)))


def _kernel(counts: Array, probs: Array, *, replicates: int = 999, seed: int) -> Outcome:
    n, categories = axes(counts, "dataset category")
    _check(counts, probs)
    rng = generator(seed, "g_test", n, categories)
    totals = counts.sum(-1).astype(np.int64)
    p = probs / probs.sum(-1, keepdims=True)
    step = max(1, BLOCK // counts.size)
    blocks = []
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        drawn = rng.multinomial(totals, p, (size, n))
        blocks.append(statistic(drawn.astype(np.float64), p))
    null = np.concatenate(blocks)
    value = float(statistic(counts, p))
    return Outcome(value, p_value(value, np.sort(null)), n, least=1 / (replicates + 1))


def _check(counts: Array, probs: Array) -> None:
    if counts.shape != probs.shape:
        raise ShapeError(f"probabilities of shape {counts.shape}", f"{probs.shape}")
    if counts.min() < 0 or (counts != np.floor(counts)).any() or not counts.sum(-1).all():
        raise InputError("whole counts, at least one draw a data set", "others")
    if probs.min() < 0 or np.abs(probs.sum(-1) - 1).max() > 1e-9:
        error = np.abs(probs.sum(-1) - 1).max()
        raise InputError("probabilities that sum to one", f"sums off by {error:.2g}")


PART = Test(
    name="g_test",
    needs="counts (dataset, category), probs (dataset, category)",
    null="counts are multinomial with the known probabilities",
    minimum=1,
    exactness="exact",
    citation=(
        "Wilks 1938, doi:10.1214/aoms/1177732360; simulated: Hope 1968, "
        "doi:10.1111/j.2517-6161.1968.tb00759.x"
    ),
    kernel=_kernel,
)

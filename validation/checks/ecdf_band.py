"""Simultaneous band of the ECDF of ranks:
rejects where the ECDF leaves a band that holds it whole in 95 % of exact runs.

The statistic is -log gamma, gamma = 2 min over k of min(P(C <= c_k), P(C >= c_k)) with C
binomial(n, (k + 1) / (L + 1)); its null is simulated with discrete ranks. `band` gives the limits
to draw.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import special

from veribayes.predictive import Array
from veribayes.validation.checks._ranks import cumulative, least, simulated, tested
from veribayes.validation.checks._test import Outcome, Test, axes


def band(n: int, draws: int, *, level: float = 0.95, seed: int = 0) -> tuple[Array, Array]:
    """Lowest and highest number of ranks <= k that lie in the simultaneous band, k = 0, …, L - 1,
    both (L,).
    """
    null = simulated(surprise, n, draws, seed)
    limit = null[math.ceil(level * (null.size + 1)) - 1]
    inside = _surprises(n, draws) <= limit
    lowest = inside.argmax(0)
    highest = n - inside[::-1].argmax(0)
    return lowest.astype(np.float64), highest.astype(np.float64)


def surprise(counts: Array, n: int) -> Array:
    """-log gamma of cumulative counts (…, L)."""
    draws = counts.shape[-1]
    table = _surprises(n, draws)
    surprises = table[counts.astype(np.int64), np.arange(draws)]
    return np.asarray(surprises.max(-1))


@lru_cache(maxsize=32)
def _surprises(n: int, draws: int) -> Array:
    """-log of the two-sided pointwise tail probability, (count 0, …, n; k)."""
    c = np.arange(n + 1)[:, None]
    h = np.arange(1, draws + 1) / (draws + 1)
    at_least = special.bdtrc(np.maximum(c - 1, 0), n, h)
    above = np.where(c == 0, 1.0, at_least)
    two_sided = 2 * np.minimum(special.bdtr(c, n, h), above)
    tail = np.maximum(two_sided, np.finfo(float).tiny)
    return np.asarray(-np.log(np.minimum(tail, 1.0)))


def _kernel(ranks: Array, *, draws: int, seed: int) -> Outcome:
    (n,) = axes(ranks, "dataset")
    counts = cumulative(ranks[:, None], draws)
    (value,), (p,) = tested(surprise, counts, n, seed)
    return Outcome(float(value), float(p), n, least=least(1))


PART = Test(
    name="ecdf_band",
    needs="ranks (dataset,) in 0, …, draws; draws=L",
    null="truth and draws are exchangeable given the data",
    minimum=10,
    exactness="exact",
    citation="Säilynoja, Bürkner & Vehtari 2022, doi:10.1007/s11222-022-10090-6, arXiv:2103.10522",
    kernel=_kernel,
)

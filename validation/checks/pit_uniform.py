"""Uniformity of one PIT value a data set:
Kolmogorov-Smirnov, Cramér-von Mises and Anderson-Darling in one exact p-value.

The three statistics are ranked in a pool of simulated uniform samples that contains the observed
one; the smallest rank is compared with the smallest ranks of the pool. Observed and simulated
samples are exchangeable, so the test is exact. Pass one PIT value a data set: several of one data
set are dependent.

Where the candidate's law has atoms, pass F(y-) and F(y): u = F(y-) + V (F(y) - F(y-)) with V
uniform is uniform; F(y) alone is not. V is a function of `spread`, by default of `seed`: samples
that share a simulated null must not share V, or the size is that of one V.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from veribayes.errors import InputError
from veribayes.predictive import Array
from veribayes.tree import IntArray
from veribayes.validation.checks._null import REPLICATES, generator
from veribayes.validation.checks._test import Outcome, Test, axes
from veribayes.validation.evidence import outcomes_placed

BLOCK = 1 << 20  # simulated values held at once


def statistics(u: Array) -> Array:
    """D, W^2 and A^2 of increasing values u (…, n) against the uniform law, (…, 3)."""
    n = u.shape[-1]
    i = np.arange(1, n + 1)
    above = i / n - u
    below = u - (i - 1) / n
    ks = np.maximum(above, below).max(-1)
    squares = (u - (2 * i - 1) / (2 * n)) ** 2
    cvm = squares.sum(-1) + 1 / (12 * n)
    with np.errstate(divide="ignore"):  # a value of exactly 0 or 1 is infinitely surprising
        above = np.log1p(-u[..., ::-1])
        logs = np.log(u) + above
    weighted = logs @ (2 * i - 1)
    ad = -n - weighted / n
    return np.stack([ks, cvm, ad], -1)


@lru_cache(maxsize=16)
def _null(n: int, seed: int) -> tuple[Array, IntArray]:
    """Statistics of simulated samples (replicate, 3), and how many of them are at or above each."""
    rng = generator(seed, "pit", n)
    step = max(1, BLOCK // n)
    blocks = []
    for start in range(0, REPLICATES, step):
        sample = _ordered(rng, min(step, REPLICATES - start), n)
        blocks.append(statistics(sample))
    null = np.concatenate(blocks)
    below = null.argsort(0).argsort(0)
    return null, np.asarray(len(null) - below)


def _ordered(rng: np.random.Generator, size: int, n: int) -> Array:
    """Ordered uniform samples (size, n) as ratios of sums of exponentials; no sorting."""
    sums = rng.standard_exponential((size, n + 1)).cumsum(-1)
    total = sums[:, -1:]
    return np.asarray(sums[:, :-1] / total)


def _kernel(
    pit: Array, upto: Array | None = None, *, spread: int | None = None, seed: int
) -> Outcome:
    (n,) = axes(pit, "dataset")
    if upto is not None:
        pit = within_atoms(pit, upto, seed if spread is None else spread)
    if pit.min() < 0 or pit.max() > 1:
        got = f"values from {pit.min():g} to {pit.max():g}"
        raise InputError("PIT values in [0, 1]", got)
    own = statistics(np.sort(pit))
    null, above = _null(n, seed)
    mine = 1 + (null >= own).sum(0)
    theirs = (above + (own >= null)).min(-1)  # ranks in the pool of both
    pool = 1 + len(null)
    as_small = (theirs <= mine.min()).sum()
    p = float((1 + as_small) / pool)
    shares = (mine / pool).tolist()
    alone = dict(zip(("KS", "CvM", "AD"), shares, strict=True))
    return Outcome(float(own[2]), p, n, alone, least=1 / pool)


def within_atoms(below: Array, upto: Array, seed: int) -> Array:
    """Randomised PIT values from F(y-) and F(y), both (dataset,); Brockwell 2007,
    doi:10.1016/j.spl.2007.02.008.
    """
    if below.shape != upto.shape or (upto < below).any():
        raise InputError(
            "F(y-) <= F(y) for each data set", f"shapes {below.shape} and {upto.shape}, or less"
        )
    n = len(below)
    v = generator(seed, "atoms", n).random(n)
    return np.asarray(below + v * (upto - below))


PART = Test(
    name="pit_uniform",
    needs="pit (dataset,); with atoms F(y-) (dataset,), F(y) (dataset,)",
    null="outcomes follow the candidate's predictive",
    minimum=5,
    exactness="exact",
    citation="Dawid 1984, doi:10.2307/2981683; Stephens 1974, doi:10.1080/01621459.1974.10480196",
    kernel=_kernel,
    about="outcomes do not fall where it says",
    question="outcomes fall where the candidate says (uniform PIT)",
    place=0,
    evidence=outcomes_placed,
)

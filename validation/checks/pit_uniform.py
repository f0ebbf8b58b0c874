"""Uniformity of one PIT value a data set: Kolmogorov-Smirnov, Cramér-von Mises and Anderson-Darling in one exact p-value.

The three statistics are ranked in a pool of simulated uniform samples that contains the observed one; the smallest rank is
compared with the smallest ranks of the pool. Observed and simulated samples are exchangeable, so the test is exact. Pass
one PIT value a data set: several of one data set are dependent.

Where the candidate's law has atoms, pass F(y-) and F(y): u = F(y-) + V (F(y) - F(y-)) with V uniform is uniform; F(y) alone
is not. V is a function of `spread`, by default of `seed`: samples that share a simulated null must not share V, or the size is
that of one V.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from veribayes.errors import InputError
from veribayes.predictive import Array
from veribayes.tree import IntArray
from veribayes.validation.checks._null import REPLICATES, generator
from veribayes.validation.checks._test import Outcome, Test, axes

BLOCK = 1 << 20  # simulated values held at once


def statistics(u: Array) -> Array:
    """D, W^2 and A^2 of increasing values u (…, n) against the uniform law, (…, 3)."""
    n = u.shape[-1]
    i = np.arange(1, n + 1)
    ks = np.maximum(i / n - u, u - (i - 1) / n).max(-1)
    cvm = ((u - (2 * i - 1) / (2 * n)) ** 2).sum(-1) + 1 / (12 * n)
    with np.errstate(divide="ignore"):  # a value of exactly 0 or 1 is infinitely surprising
        logs = np.log(u) + np.log1p(-u[..., ::-1])
    ad = -n - (logs @ (2 * i - 1)) / n
    return np.stack([ks, cvm, ad], -1)


@lru_cache(maxsize=16)
def _null(n: int, seed: int) -> tuple[Array, IntArray]:
    """Statistics of simulated samples (replicate, 3), and how many of them are at or above each."""
    rng, step = generator(seed, "pit", n), max(1, BLOCK // n)
    blocks = [min(step, REPLICATES - start) for start in range(0, REPLICATES, step)]
    found = np.concatenate([statistics(_ordered(rng, size, n)) for size in blocks])
    return found, np.asarray(len(found) - found.argsort(0).argsort(0))


def _ordered(rng: np.random.Generator, size: int, n: int) -> Array:
    """Ordered uniform samples (size, n) as ratios of sums of exponentials; no sorting."""
    sums = rng.standard_exponential((size, n + 1)).cumsum(-1)
    return np.asarray(sums[:, :-1] / sums[:, -1:])


def _kernel(
    pit: Array, upto: Array | None = None, *, spread: int | None = None, seed: int
) -> Outcome:
    (n,) = axes(pit, "dataset")
    if upto is not None:
        pit = within_atoms(pit, upto, seed if spread is None else spread)
    if pit.min() < 0 or pit.max() > 1:
        raise InputError("PIT values in [0, 1]", f"values from {pit.min():g} to {pit.max():g}")
    own, (null, above) = statistics(np.sort(pit)), _null(n, seed)
    mine = 1 + (null >= own).sum(0)
    theirs = (above + (own >= null)).min(-1)  # ranks in the pool of both
    p = (1 + (theirs <= mine.min()).sum()) / (1 + len(null))
    alone = dict(zip(("KS", "CvM", "AD"), (mine / (1 + len(null))).tolist(), strict=True))
    return Outcome(float(own[2]), float(p), n, alone, least=1 / (1 + len(null)))


def within_atoms(below: Array, upto: Array, seed: int) -> Array:
    """Randomised PIT values from F(y-) and F(y), both (dataset,); Brockwell 2007, doi:10.1016/j.spl.2007.02.008."""
    if below.shape != upto.shape or (upto < below).any():
        raise InputError(
            "F(y-) <= F(y) for each data set", f"shapes {below.shape} and {upto.shape}, or less"
        )
    return np.asarray(
        below + generator(seed, "atoms", len(below)).random(len(below)) * (upto - below)
    )


PART = Test(
    name="pit_uniform",
    needs="pit (dataset,); with atoms F(y-) (dataset,), F(y) (dataset,)",
    null="outcomes follow the candidate's predictive",
    minimum=5,
    exactness="exact",
    citation="Dawid 1984, doi:10.2307/2981683; Stephens 1974, doi:10.1080/01621459.1974.10480196",
    kernel=_kernel,
    about="outcomes do not fall where it says",
)

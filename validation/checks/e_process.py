"""Anytime-valid comparison: the exact predictor bets against the candidate,
wealth = prod exact(y) / candidate(y).

If outcomes follow the candidate, wealth is a martingale that starts at 1 and exceeds 1 / alpha with
probability at most alpha, whenever one stops (Ville). It grows by KL(exact || candidate) a data set
if outcomes follow the exact law. It tests the point null that outcomes follow the candidate, and is
no equivalence test. Each entry is the log density of everything that one data set showed; -inf for
the candidate is a proof.
"""

from __future__ import annotations

import numpy as np

from veribayes.errors import InputError
from veribayes.predictive import Array
from veribayes.validation.checks._test import Outcome, Test, axes
from veribayes.validation.evidence import bets


def log_wealth(log_exact: Array, log_candidate: Array) -> Array:
    """log wealth after each data set, (dataset,); -inf from the first outcome on that the exact
    predictor excluded.
    """
    if np.isposinf(log_exact).any() or np.isposinf(log_candidate).any():
        raise InputError("log densities below infinity", "+inf")
    excluded = np.isneginf(log_exact)
    if (excluded & np.isneginf(log_candidate)).any():
        raise InputError("outcomes that one of the two calls possible", "-inf from both")
    gains = np.where(excluded, 0.0, log_exact) - log_candidate
    return np.where(np.logical_or.accumulate(excluded), -np.inf, np.cumsum(gains))


def _kernel(log_exact: Array, log_candidate: Array, *, seed: int) -> Outcome:
    del seed  # nothing is simulated
    (n,) = axes(log_exact, "dataset")
    best = max(0.0, float(log_wealth(log_exact, log_candidate).max()))
    return Outcome(best, float(np.exp(-best)), n)


PART = Test(
    name="e_process",
    needs="log_exact (dataset,), log_candidate (dataset,)",
    null="outcomes follow the candidate's predictive",
    minimum=1,
    exactness="conservative",
    citation=(
        "Ville 1939; Grünwald, de Heide & Koolen 2024, doi:10.1093/jrsssb/qkae011; Shafer 2021, "
        "doi:10.1111/rssa.12647"
    ),
    kernel=_kernel,
    about="a bettor who knows the exact predictive wins against it",
    question="a bettor who knows the exact predictive does not win against it",
    place=1,
    evidence=bets,
    infinite=True,
)

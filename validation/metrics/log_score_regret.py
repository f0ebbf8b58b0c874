"""Log-score regret at the outcome: log exact(y) - log candidate(y), in nats.

Its expectation over outcomes drawn from the exact predictive is KL(exact || candidate), between
densities for bins; use it where only realised values are known, at about four times the standard
error. Infinite where the candidate calls what happened impossible.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from veribayes.errors import InputError
from veribayes.predictive import Array, Bins, Masses, Predictive
from veribayes.validation.metrics._cells import masses, rounded_away
from veribayes.validation.metrics._metric import Metric

DENSITIES = ("normal", "mixture", "bins")


def _kernel(candidate: Predictive, reference: Predictive, outcome: Array, v: Array) -> Array:
    del v  # nothing is randomised
    exact = reference.log_prob(outcome[:, None])[:, 0]
    if np.isneginf(exact).any():
        raise InputError(
            "outcomes that are possible under the reference",
            f"{int(np.isneginf(exact).sum())} impossible ones",
            "the simulator is not the declared model",
        )
    return exact - _of_candidate(candidate, reference, outcome, exact)


def _of_candidate(
    candidate: Predictive, reference: Predictive, outcome: Array, exact: Array
) -> Array:
    """Its log score; the exact one where its zero may be nothing but the rounding of its number
    type.
    """
    own = candidate.log_prob(outcome[:, None])[:, 0]
    zero = np.flatnonzero(np.isneginf(own))
    if not zero.size or not isinstance(candidate, Masses):
        return own
    answers = cast(Masses, candidate[zero])
    log_q, log_p = masses(answers, reference[zero])
    cell = outcome[zero].astype(np.int64)
    if isinstance(candidate, Bins):
        cell = np.searchsorted(
            candidate.edges, outcome[zero], side="right"
        )  # 0 and C + 1 are the half-lines
    every = rounded_away(answers, log_q, log_p)
    rounded = every[np.arange(zero.size), cell]
    own[zero[rounded]] = exact[zero[rounded]]
    return own


PAIRS = [("categorical", "categorical"), *((c, r) for c in DENSITIES for r in DENSITIES)]

PART = Metric(
    name="log_score_regret",
    symbol="log exact(y) - log candidate(y)",
    unit="nats",
    ideal=0.0,
    needs="categories, or densities on both sides",
    citation="Good 1952, doi:10.1111/j.2517-6161.1952.tb00104.x",
    kernels=dict.fromkeys(PAIRS, _kernel),
    sees_outcome=True,
)

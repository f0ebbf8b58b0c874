"""Squared error of the predictive mean, (E_q y - E_p y)^2, in the squared unit of y;
the primary endpoint of points.

Averaged over outcomes y of the exact predictive it is what the candidate's mean squared prediction
error exceeds the exact mean's by: E (y - E_q y)^2 - E (y - E_p y)^2. It sees the mean alone: a
candidate with the right mean and any spread, skewness or number of modes has 0. Draws have an error
of variance / S even when they are right; draws that were asked for twice are scored by the product
of both answers' errors, which has none and may be negative.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array, Draws, Predictive
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.metrics._moments import EXACT, ordered


def _kernel(candidate: Predictive, reference: Predictive) -> Array:
    apart = candidate.expectation() - reference.expectation()
    return np.asarray(apart * apart)


def _draws(candidate: Draws, reference: Predictive) -> Array:
    exact = reference.expectation()
    apart = candidate.draws.mean(-1) - exact
    again = apart if candidate.again is None else candidate.again.mean(-1) - exact
    return np.asarray(apart * again)


PART = Metric(
    name="squared_error",
    symbol="(E_q y - E_p y)²",
    unit="observation squared",
    ideal=0.0,
    needs="an ordered candidate or a point, and a normal or mixture reference",
    citation="Gneiting 2011, doi:10.1198/jasa.2011.r10138",
    kernels={
        **ordered(_kernel),
        **{("draws", law): _draws for law in EXACT},
        **{("point", law): _kernel for law in EXACT},
    },
)

"""Symmetrised Kullback-Leibler divergence of Jeffreys, KL(exact || candidate) + KL(candidate ||
exact), in nats.

Some papers print half of it. It does not see which way a candidate errs: one that is too sure and
one that is too vague, or one that calls possible things impossible and one that calls impossible
things possible, may have the same score, infinite in the last two; `kl` and `kl_reverse` tell them
apart. To second order it is twice `kl`. The noise of a Monte Carlo reference is not taken off. Bins
are compared as in these two.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array, Predictive
from veribayes.validation.metrics import kl, kl_reverse
from veribayes.validation.metrics._cells import CELLED
from veribayes.validation.metrics._metric import Kernel, Metric
from veribayes.validation.metrics._quadrature import continuous

CLOSED = [*CELLED, ("normal", "normal")]  # pairs of forms whose divergences are no integrals


def _sum(forward: Kernel, reverse: Kernel) -> Kernel:
    def kernel(candidate: Predictive, reference: Predictive) -> Array:
        both = forward(candidate, reference) + reverse(candidate, reference)
        return np.asarray(both)

    return kernel


def _integrand(log_q: Array, log_p: Array) -> Array:
    somewhere = np.isfinite(log_p) | np.isfinite(log_q)
    ratio = np.subtract(log_p, log_q, out=np.zeros(log_p.shape), where=somewhere)
    return (np.exp(log_p) - np.exp(log_q)) * ratio


PART = Metric(
    name="jeffreys",
    symbol="KL(exact‖candidate) + KL(candidate‖exact)",
    unit="nats",
    ideal=0.0,
    needs="categories, or a candidate with a density",
    citation="Jeffreys 1946, doi:10.1098/rspa.1946.0056",
    kernels={
        **continuous(_integrand),
        **{pair: _sum(kl.KERNELS[pair], kl_reverse.KERNELS[pair]) for pair in CLOSED},
    },
)

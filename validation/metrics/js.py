"""Jensen-Shannon divergence, in nats: finite (at most log 2) where KL is not.

JS = (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2. Bins are compared with the whole reference,
tails included. For S draws of categories the plug-in is too large by sum p (1 - q) / (4 S (p + q))
to first order; that is subtracted, summed over the categories seen, so the estimate may be
negative.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array, Categorical, Draws
from veribayes.validation.metrics._cells import discrete, log
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.metrics._quadrature import continuous

LOG_2 = float(np.log(2.0))


def _terms(log_q: Array, log_p: Array) -> Array:
    middle = np.logaddexp(log_q, log_p) - LOG_2
    return 0.5 * (_weighted(log_p, middle) + _weighted(log_q, middle))


def _weighted(log_p: Array, middle: Array) -> Array:
    p = np.exp(log_p)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(p > 0, p * (log_p - middle), 0.0))


def _formula(log_q: Array, log_p: Array) -> Array:
    return np.asarray(_terms(log_q, log_p).sum(-1))


def _draws(candidate: Draws, reference: Categorical) -> Array:
    counts, draws = candidate.frequencies(reference.probs.shape[-1])
    q, p = counts / draws, reference.probs
    variance = p * (1 - q)
    scale = 4 * draws * (p + q)
    bias = np.divide(variance, scale, out=np.zeros(p.shape), where=counts > 0)
    return _formula(log(q), reference.log_masses) - bias.sum(-1)


KERNELS = {**discrete(_formula), **continuous(_terms), ("draws", "categorical"): _draws}

PART = Metric(
    name="js",
    symbol="JS(exact, candidate)",
    unit="nats",
    ideal=0.0,
    needs="categories (also as draws), or a candidate with a density",
    citation="Lin 1991, doi:10.1109/18.61115",
    kernels=KERNELS,
)

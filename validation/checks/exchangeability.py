"""Whether the order of the context matters by less than a tolerance:
here a rejection is the good news.

`probs[prompt, order, category]` is the predictive given the context as it came (order 0) and given
permutations of it; bins serve for a continuous outcome. A prompt's order dependence is the mean of
KL(p_0 || p_k) over its permutations, in nats: 0 for a Bayes predictor of an exchangeable family
(rows of a Bayesian network, pairs of a Gaussian process; not MTD, where exact Bayes itself depends
on the order). No trained network gives 0, so the null is that the mean over prompts is *at least*
`tolerance`:

    t = (log m - log(tolerance - 3 K_max / n)) m sqrt(n) / s,   p = P(T_{n-1} <= t)

m, s, K_max: mean, sd and largest of n prompts; 3 K_max / n stands for tails that n prompts may have
missed (rule of three).
"""

from __future__ import annotations

import numpy as np
from scipy import special

from veribayes.errors import InputError
from veribayes.predictive import Array
from veribayes.validation.checks._test import Outcome, Test, axes

UNSEEN = 3.0  # 3 / n: 95 % limit of a rate that n prompts did not show
MASS = 1e-6  # by which probabilities may miss one
LEAST = 1e-300  # p-value of no order dependence at all


def _kernel(probs: Array, *, tolerance: float, seed: int) -> Outcome:
    del seed  # nothing is simulated
    n, orders, _ = axes(probs, "prompt order category")
    if orders < 2 or not 0 < tolerance < np.inf:
        raise InputError(
            "two orders and a positive tolerance in nats",
            f"{orders} orders, tolerance {tolerance:g}",
        )
    if probs.min() < 0 or np.abs(probs.sum(-1) - 1).max() > MASS:
        error = np.abs(probs.sum(-1) - 1).max()
        raise InputError("probabilities that sum to one", f"sums off by {error:.2g}")
    found = order_dependence(probs)
    mean = float(found.mean())
    return Outcome(mean, _p_value(found, tolerance), n, measured={"nats": mean})


def order_dependence(probs: Array) -> Array:
    """Mean KL(p_0 || p_k) over permutations k >= 1, (prompt,) nats; infinite where some p_k misses
    mass of p_0.
    """
    given = np.broadcast_to(probs[:, :1], probs[:, 1:].shape)
    divergences = special.rel_entr(given, probs[:, 1:]).sum(-1)
    return np.asarray(np.maximum(divergences, 0.0).mean(-1))


def _p_value(found: Array, tolerance: float) -> float:
    n = len(found)
    room = tolerance - UNSEEN * found.max() / n
    if not room > 0:
        return 1.0
    mean = found.mean()
    sd = found.std(ddof=1)
    if mean == 0 or sd == 0:
        return LEAST if mean < room else 1.0
    gap = np.log(mean) - np.log(room)
    t = gap * mean * np.sqrt(n) / sd
    return float(max(special.stdtr(n - 1, t), LEAST))


PART = Test(
    name="exchangeability",
    needs="probs (prompt, order, category), order 0 the context as it came; tolerance=nats",
    null=(
        "the order of the context changes the predictive by the tolerance or more: rejecting it "
        "shows equivalence"
    ),
    minimum=30,
    exactness="asymptotic",
    citation=(
        "de Finetti 1937; equivalence: Schuirmann 1987, doi:10.1007/BF01068419; order in context: "
        "Ye & Namkoong 2024, arXiv:2408.03307"
    ),
    kernel=_kernel,
)

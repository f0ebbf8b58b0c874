"""Whether a predictor's own future leaves its predictions where they are:
E[p_{n+k} | context] = p_n.

A Bayes predictor of an exchangeable family that draws the next observations from itself has
predictives that are a martingale, also under a wrong prior. `values[prompt, path, step, event]` is
g(p), linear in the predictive (an event's probability, a raw moment), after `step` self-generated
observations; step 0 is the prompt itself and the same on all its paths. Two means over prompts are
zero under the null at every step and event:

    drift     of the gain g(p_{n+k}) - g(p_n), averaged over paths
    scatter   of products of gains on two paths, sum over i != j of G_i G_j / (m (m - 1)): its mean
              is E[E[gain | prompt]^2]

Drift sees a predictor that leans one way, scatter one that leans differently at different prompts.
Each mean is studentised over prompts, signs of whole prompts are flipped for the null, and the
largest counts. Nothing of the kind holds for chains with lags (MTD), whose symbols are not
exchangeable; there only the expectation of a lag's weight is a martingale.
"""

from __future__ import annotations

import numpy as np

from veribayes.errors import InputError
from veribayes.predictive import Array
from veribayes.validation.checks._null import generator, p_value
from veribayes.validation.checks._test import Outcome, Test, axes
from veribayes.validation.continuations import continued

SAME = 1e-9  # step 0 may differ between paths by rounding, relative to the largest value


def _kernel(values: Array, *, flips: int = 999, seed: int) -> Outcome:
    n, paths, _, _ = axes(values, "prompt path step event")
    if paths < 2 or values.shape[2] < 2:
        got = f"{paths} paths, {values.shape[2] - 1} steps"
        raise InputError("at least two paths and one step", got)
    if np.ptp(values[:, :, 0], axis=1).max() > SAME * np.abs(values).max():
        raise InputError("one prediction a prompt at step 0", "paths that start apart")
    gains = values[:, :, 1:] - values[:, :, :1]
    drift, scatter = _means(gains)
    heads = generator(seed, "martingale", n).random((flips + 1, n)) < 0.5
    signs = np.where(heads, 1.0, -1.0)
    signs[0] = 1.0
    drifts = np.abs(_studentised(drift, signs))
    scatters = _studentised(scatter, signs)
    worst = {"drift": drifts.max(1), "scatter": scatters.max(1)}
    largest = np.maximum(worst["drift"], worst["scatter"])
    null = np.sort(largest[1:])
    p = {name: p_value(float(t[0]), null) for name, t in worst.items()}
    statistic = float(largest[0])
    return Outcome(statistic, min(p.values()), n, p, least=1 / (flips + 1))


def _means(gains: Array) -> tuple[Array, Array]:
    """Drift and scatter of each prompt, both (prompt, step and event)."""
    n, paths = gains.shape[:2]
    flat = gains.reshape(n, paths, -1)
    total = flat.sum(1)
    of_pairs = total**2 - (flat**2).sum(1)
    scatter = of_pairs / (paths * (paths - 1))
    if not flat.any():
        raise InputError("predictions that move", "the same at every step")
    moving = flat.any((0, 1))
    return total[:, moving] / paths, scatter[:, moving]


def _studentised(columns: Array, signs: Array) -> Array:
    """t of each column's mean: of the values for the first row of signs, of flipped deviations for
    the others.
    """
    n, means = len(columns), columns.mean(0)
    shift = signs @ (columns - means) / n
    shift[0] = means
    square = (columns**2).sum(0) - n * means**2
    flipped = square - n * shift[1:] ** 2
    spread = np.concatenate([square[None], flipped])
    positive = np.maximum(spread, np.finfo(float).tiny)
    return np.asarray(shift * np.sqrt(n * (n - 1) / positive))


PART = Test(
    name="martingale",
    needs="values (prompt, path, step, event), step 0 the prompt itself",
    null="predictions on self-generated continuations have the expectation they start from",
    minimum=30,
    exactness="asymptotic",
    citation=(
        "Falck, Wang & Holmes 2024, arXiv:2406.00793; Fong, Holmes & Walker 2023, "
        "doi:10.1093/jrsssb/qkad005"
    ),
    kernel=_kernel,
    about="its answers drift on continuations that it draws itself: no prior explains them",
    question="predictions stay, on average, on continuations that it draws itself",
    place=3,
    evidence=continued,
    level="all",  # it is asked again about every data set, several times
)

"""Classifier two-sample test: cross-fitted accuracy on held-out rows,
refitted for every relabelling.

Folds hold equal shares of both samples and labels are permuted within folds, so the observed
accuracy and those of the relabellings have one law under the null, whatever the learner. Each row
is judged once, by a learner that saw none of its fold; nothing is tuned or stopped on a fold that
scores. Accuracy is the mean over the two samples of the share judged right, and may be below one
half. `measured` has its lower limit a (95 %, one-sided) and the total variation distance that this
proves, TV >= 2 a - 1.

With `pairs=True` row i of x and row i of y share their conditioning; folds hold whole pairs and
partners are exchanged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from veribayes.errors import InputError, ShapeError
from veribayes.predictive import Array
from veribayes.tree import IntArray
from veribayes.validation.checks._classifier import Rng, features, predicted, shuffled, swapped
from veribayes.validation.checks._null import generator, p_value
from veribayes.validation.checks._test import Outcome, Test, at_least, axes
from veribayes.validation.checks._two_sample import thinning

MINIMUM = 20  # rows a side: two a fold
LEVEL = 0.95


def _kernel(
    x: Array,
    y: Array,
    *,
    pairs: bool = False,
    thin: bool = True,
    folds: int = 5,
    degree: int = 2,
    learner: Any = None,
    permutations: int = 199,
    seed: int,
) -> Outcome:
    if axes(x, "draw coordinate")[1] != axes(y, "draw coordinate")[1] or (
        pairs and len(x) != len(y)
    ):
        raise ShapeError(
            "samples with the same coordinates, pairs of equal number", f"{x.shape} and {y.shape}"
        )
    if thin and not pairs:
        x = x[:: thinning(x)]
        y = y[:: thinning(y)]
    m, n = len(x), len(y)
    rng = generator(seed, "c2st", m, n)
    at_least(MINIMUM, min(m, n), "c2st")
    if not 2 <= folds <= MINIMUM // 2:
        raise InputError(f"2 to {MINIMUM // 2} folds", f"{folds}")
    fold = _folds(rng, m, n, folds, pairs)
    sides = np.repeat([-1.0, 1.0], [m, n])
    labels = swapped(rng, m, permutations) if pairs else shuffled(rng, sides, fold, permutations)
    rows = features(np.concatenate([x, y]), degree, x.shape[1])
    accuracies = _accuracies(rows, labels, fold, learner)
    accuracy = float(accuracies[0])
    low = _lower_limit(accuracy, 4 / (1 / m + 1 / n))
    measured = {"accuracy_low": low, "total_variation_low": max(0.0, 2 * low - 1)}
    p = p_value(accuracy, np.sort(accuracies[1:]))
    return Outcome(accuracy, p, min(m, n), measured=measured, least=1 / (permutations + 1))


def _folds(rng: Rng, m: int, n: int, folds: int, pairs: bool) -> IntArray:
    """Fold of each row of x, then of y; equal shares of both, and partners together."""
    first = rng.permutation(np.arange(m) % folds)
    second = first if pairs else rng.permutation(np.arange(n) % folds)
    return np.concatenate([first, second])


def _accuracies(rows: Array, labels: Array, fold: IntArray, learner: Any) -> Array:
    """Held-out accuracy of each labelling, the two classes having equal weight: the mean label
    divides them.
    """
    guessed = np.empty_like(labels)
    for k in np.unique(fold):
        out = fold == k
        train = rows[~out]
        known = labels[:, ~out]
        guessed[:, out] = predicted(learner, train, known, rows[out])
    right = (guessed > labels[0].mean()) == (labels > 0)
    first = (labels[0] > 0).sum()
    second = (labels[0] < 0).sum()
    weight = np.where(labels > 0, 0.5 / first, 0.5 / second)
    return np.asarray((right * weight).sum(1))


def _lower_limit(share: float, trials: float) -> float:
    """One-sided limit of Clopper and Pearson, doi:10.1093/biomet/26.4.404; held-out rows count as
    independent.
    """
    if share <= 0:
        return 0.0
    right = share * trials
    wrong = (1 - share) * trials
    return float(special.betaincinv(right, wrong + 1, 1 - LEVEL))


PART = Test(
    name="c2st",
    needs="x (draw, d), y (draw, d)",
    null="both samples have one law; with pairs, partners are exchangeable",
    minimum=MINIMUM,
    exactness="conservative",
    citation=(
        "Lopez-Paz & Oquab 2017, arXiv:1610.06545; refitted: Kim, Ramdas, Singh & Wasserman 2021, "
        "doi:10.1214/20-AOS1962"
    ),
    kernel=_kernel,
    paired=False,
)

"""Classifiers whose null is exact because they are fitted again for every relabelling,
all relabellings in one fit.

Labels are -1 and +1, and the sign of a prediction is the class. The default is least squares with a
ridge, scikit-learn's `RidgeClassifier` in closed form, on polynomials and absolute values: it sees
means, scales, correlations and tails. Any other learner is a scikit-learn regressor of several
columns at once, such as `KNeighborsRegressor` or `MLPRegressor`.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from scipy import linalg

from veribayes.predictive import Array
from veribayes.tree import IntArray
from veribayes.validation.checks._test import CONSTANT, with_spread

RIDGE = 0.1  # of the number of rows: shrinks each standardised feature by a tenth
Rng = np.random.Generator


def features(rows: Array, degree: int, about: int) -> Array:
    """Monomials of standardised rows (row, coordinate) and absolute values, standardised: (row,
    feature).

    Only what involves one of the first `about` coordinates is kept. Rows enter without their
    labels.
    """
    z = with_spread(rows, "both samples").T
    products = []
    for k in range(1, degree + 1):
        sets = [s for s in combinations_with_replacement(range(len(z)), k) if s[0] < about]
        products += [np.prod(z[list(factors)], axis=0) for factors in sets]
    found = np.stack([*products, *np.abs(z[:about])])
    centred = found - found.mean(1, keepdims=True)
    sd = centred.std(1)
    moving = sd > CONSTANT * np.abs(found).max(1)  # the square of a coin does not vary
    scaled = centred[moving] / sd[moving, None]
    return np.asarray(scaled.T)


def predicted(learner: Any, train: Array, labels: Array, rows: Array) -> Array:
    """Predictions for `rows` of a fresh fit to `train` (row, feature) with `labels` (labelling,
    row): (labelling, row).
    """
    if learner is None:
        return _ridge(train, labels, rows)
    from sklearn.base import clone

    fitted = clone(learner).fit(train, labels.T)
    guesses = np.asarray(fitted.predict(rows))
    return guesses.reshape(len(rows), len(labels)).T


def _ridge(train: Array, labels: Array, rows: Array) -> Array:
    """Least squares with an unpenalised constant and the penalty `RIDGE` n |w|^2."""
    centre = train.mean(0)
    level = labels.mean(1, keepdims=True)
    x = train - centre
    ridge = RIDGE * len(x) * np.eye(x.shape[1])
    gram = x.T @ x + ridge
    moments = (labels - level) @ x
    weights = linalg.solve(gram, moments.T, assume_a="pos")
    guesses = (rows - centre) @ weights
    return np.asarray(guesses.T + level)


def shuffled(rng: Rng, labels: Array, fold: IntArray, permutations: int) -> Array:
    """The labels (row,), and them permuted within each fold: (1 + permutations, row)."""
    found = np.repeat(labels[None], permutations + 1, axis=0)
    for k in np.unique(fold):
        here = fold == k
        found[1:, here] = rng.permuted(found[1:, here], axis=1)
    return found


def swapped(rng: Rng, pairs: int, permutations: int) -> Array:
    """Labels of `pairs` first members, then of their partners, exchanged at random: (1 +
    permutations, 2 pairs).
    """
    heads = rng.random((permutations + 1, pairs)) < 0.5
    first = np.where(heads, 1.0, -1.0)
    first[0] = -1.0
    return np.concatenate([first, -first], 1)

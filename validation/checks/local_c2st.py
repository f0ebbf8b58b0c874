"""Local classifier test: at which data sets can draws of the candidate be told from the truth,
given the same x?

A learner is fitted to pairs that share x: the truth with its x, and one draw of the candidate *with
that same x*. Its squared prediction, averaged over the candidate's other draws at a data set, says
how far the two laws differ there. Partners are the only rows that are exchangeable, so the null
exchanges them pair by pair and fits again. Holm puts together the average over all data sets and
the largest of their standardised values; `components` has each data set, corrected for the search.

The null is global: a rejection says that the candidate is wrong somewhere, and its components point
to where. A p-value of the hypothesis that the candidate is right at one x alone would need draws of
the exact posterior there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from veribayes.errors import ShapeError
from veribayes.predictive import Array
from veribayes.validation.checks._classifier import features, predicted, swapped
from veribayes.validation.checks._null import generator, holm, max_statistic, p_value
from veribayes.validation.checks._test import Outcome, Test, axes


def _kernel(
    truth: Array,
    draws: Array,
    x: Array,
    *,
    degree: int = 3,
    learner: Any = None,
    permutations: int = 199,
    seed: int,
) -> Outcome:
    n, count, d = axes(draws, "dataset draw coordinate")
    if truth.shape != (n, d) or count < 2:
        wanted = f"truth of shape {(n, d)} and at least two draws"
        raise ShapeError(wanted, f"{truth.shape} and {count}")
    axes(x, "dataset covariate")
    theta = np.concatenate([truth[:, None], draws], 1)
    beside = np.repeat(x[:, None], 1 + count, axis=1)
    joint = np.concatenate([theta, beside], -1)
    flat = features(joint.reshape(n * (1 + count), -1), degree, about=d)
    rows = flat.reshape(n, 1 + count, -1)
    labels = swapped(generator(seed, "local_c2st", n, count), n, permutations)
    train = np.concatenate([rows[:, 0], rows[:, 1]])
    rest = rows[:, 2:].reshape(n * (count - 1), -1)
    squares = predicted(learner, train, labels, rest) ** 2
    local = squares.reshape(permutations + 1, n, count - 1).mean(-1)
    average = local.mean(1)
    largest, adjusted = max_statistic(local)
    p_average = p_value(float(average[0]), np.sort(average[1:]))
    parts = holm({"average": p_average, "largest": float(adjusted.min())})
    places = {f"dataset {i}": min(1.0, 2 * p) for i, p in enumerate(adjusted.tolist())}
    smallest = min(parts.values())
    return Outcome(largest, smallest, n, parts | places, least=2 / (permutations + 1))


PART = Test(
    name="local_c2st",
    needs="truth (dataset, d), draws (dataset, draw, d), x (dataset, covariate)",
    null="truth and draws are exchangeable given x, at every x",
    minimum=20,
    exactness="conservative",
    citation=(
        "Linhart, Gramfort & Rodrigues 2023, arXiv:2306.03580; swaps within pairs and the search: "
        "this package"
    ),
    kernel=_kernel,
)

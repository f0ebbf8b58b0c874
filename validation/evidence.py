"""Arrays that checks are given, read off a comparison; None where it does not hold them.

Places and densities of outcomes come from the scores of the whole run, joints from the data sets
that are asked about again.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array
from veribayes.validation.case import Case
from veribayes.validation.checks._null import generator
from veribayes.validation.joint_pairs import proper_joints

DRAWS = 50  # of a joint
Arrays = tuple[Array, ...]


def outcomes_placed(case: Case) -> Arrays | None:
    """PIT of one outcome a data set."""
    places = _single(case, "pit")
    return None if places is None else (places,)


def bets(case: Case) -> Arrays | None:
    """Log densities of one outcome a data set, as gains of the exact predictive over the
    candidate.
    """
    regrets = _single(case, "log_score_regret")
    if regrets is None:
        return None
    return np.zeros(len(regrets)), -regrets


def _single(case: Case, metric: str) -> Array | None:
    """One score a data set, of contexts and queries in turn: several of one data set share its
    unknowns.
    """
    if metric not in case.scores or case.task.model.moments:
        return None
    scores = case.scores[metric]
    chosen = []
    for number, row in enumerate(scores.reshape(len(scores), -1)):
        places = np.flatnonzero(~np.isnan(row))
        if len(places):
            chosen.append(row[places[number % len(places)]])
    return np.array(chosen)


def whitened(case: Case) -> Arrays | None:
    """Joint draws of the candidate, white under the exact joint, and the exact means; at the middle
    context size.
    """
    pair = proper_joints(case)
    if pair is None:
        return None
    middle = len(case.simulation.data.positions) // 2
    exact, mine = (joint[:, middle] for joint in pair)
    draws = mine.sample(generator(case.seed, "rosenblatt"), DRAWS)
    white = [exact.whiten(draws[:, i]) for i in range(DRAWS)]
    return np.stack(white, axis=1), exact.marginal().expectation()

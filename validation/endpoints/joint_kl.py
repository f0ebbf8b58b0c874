"""KL(exact || candidate) between the joint predictives of all queries of a data set, nats a query.

Closed between normals, else the mean difference of log densities over exact draws. Infinite where
the candidate's joint is not finite, or no law.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array
from veribayes.predictive.joint import Joint
from veribayes.validation.case import Case
from veribayes.validation.checks._null import generator
from veribayes.validation.endpoints._endpoint import Endpoint
from veribayes.validation.joint_pairs import both_joints

DRAWS = 50  # exact draws that a divergence without closed form is a mean over


def _measure(case: Case) -> Array | None:
    pair = both_joints(case)
    if pair is None:
        return None
    exact, mine = pair
    proper = mine.proper()
    divergence = np.full(exact.shape, np.inf)
    if proper.any():
        divergence[proper] = _divergence(exact[proper], mine[proper], case.seed)
    queries = exact.mean.shape[-1]
    return np.asarray(divergence.mean(-1) / queries)


def _divergence(exact: Joint, mine: Joint, seed: int) -> Array:
    """KL of each joint, all of them laws, (joint,)."""
    if exact.weights.shape[-1] == mine.weights.shape[-1] == 1:
        return exact.kl(mine)
    draws = exact.sample(generator(seed, "joint"), DRAWS)
    differences = []
    for i in range(DRAWS):
        drawn = draws[..., i, :]
        differences.append(exact.log_prob(drawn) - mine.log_prob(drawn))
    return np.asarray(np.mean(differences, axis=0))


def _tolerance(case: Case) -> float:
    """The task's tolerance of KL, whatever form the predictions of single queries have."""
    assert case.task.tolerance is not None  # a run freezes it before anything is asked
    return case.task.tolerance.kl


PART = Endpoint(
    name="joint_kl",
    label="KL between the joint predictives of all queries",
    about="the queries of a data set are wrong together, whatever each is alone",
    needs=("joint",),
    measure=_measure,
    unit="nats a query",
    tolerance=_tolerance,
    place=10,
)

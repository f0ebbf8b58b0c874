"""The exact joint predictive of a data set's queries beside the candidate's,
where both are known.
"""

from __future__ import annotations

from veribayes.errors import ShapeError
from veribayes.predictive.joint import Joint
from veribayes.validation.case import Case


def both_joints(case: Case) -> tuple[Joint, Joint] | None:
    """The exact joint and the candidate's, (dataset, position) each; None where one side has none.

    Raises:
        ShapeError: the candidate's is about other queries, or other data sets and positions.
    """
    if not case.judged.exposes or case.said.joint is None:
        return None
    if case.truth is None or case.truth.joint is None:
        return None
    exact = case.truth.joint
    mine = case.said.joint
    queries = exact.mean.shape[-1]
    answered = mine.mean.shape[-1]
    if mine.shape != exact.shape or answered != queries:
        wanted = f"a joint of {queries} queries for (dataset, position) {exact.shape}"
        raise ShapeError(wanted, f"{answered} queries for {mine.shape}")
    return exact, mine


def proper_joints(case: Case) -> tuple[Joint, Joint] | None:
    """The same, where the candidate's is a law everywhere; else `joint_kl` is infinite, and draws
    of it mean nothing.
    """
    pair = both_joints(case)
    if pair is None or not pair[1].proper().all():
        return None
    return pair

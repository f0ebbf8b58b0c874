"""Half the divergence of two answers to one request;
and what is lost against the truth since the answer was scored.

`validation.again` says how the candidate is asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from veribayes.predictive import Array
from veribayes.validation.case import Case
from veribayes.validation.endpoints._divergence import defined, from_truth, lost
from veribayes.validation.endpoints._endpoint import Endpoint


def _measure(case: Case) -> Mapping[str, Array]:
    assert case.measured is not None  # it is askable
    _, answers, changes = case.measured
    ways = {"asked twice": defined(changes.repeat)}
    metric = case.primary.metric
    before = case.scores.get(f"{metric}_raw", case.scores.get(metric))
    later = None if answers.scored is None else from_truth(case, answers.scored)
    if before is not None and later is not None:
        scored = before[: len(later), case.asked_positions]
        ways["since it was scored"] = defined(lost(later, scored))
    return ways


PART = Endpoint(
    name="repeatability",
    label="half the divergence of two answers to the same request",
    about="asked the same again, it gives another answer",
    needs=("askable",),
    measure=_measure,
    place=40,
)

"""What another batch changes beyond the candidate's noise;
and what answers to one data set alone lose against the truth.

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
    ways = {way: defined(values) for way, values in changes.batch.items()}
    alone = from_truth(case, answers.alone)
    together = from_truth(case, answers.first)
    if alone is not None and together is not None:
        ways["alone, against the truth"] = defined(lost(alone, together[: len(alone)]))
    return ways


PART = Endpoint(
    name="batch_dependence",
    label="what its answers change in another batch, or alone, beyond its noise",
    about="its answer to a data set depends on what else is in the batch",
    needs=("askable",),
    measure=_measure,
    place=50,
)

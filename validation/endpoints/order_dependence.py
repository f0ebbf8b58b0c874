"""What a permutation of the context changes beyond the candidate's noise,
at the middle and the largest size.

`validation.again` says how the candidate is asked.
"""

from __future__ import annotations

from veribayes.predictive import Array
from veribayes.validation.case import Case
from veribayes.validation.endpoints._divergence import defined
from veribayes.validation.endpoints._endpoint import Endpoint


def _measure(case: Case) -> Array | None:
    assert case.measured is not None  # a list is only there where it is askable
    order = case.measured[2].order
    return None if order is None else defined(order)


PART = Endpoint(
    name="order_dependence",
    label="what its answers change with the order of the context, beyond its noise",
    about="its answers depend on the order of the context, which exact Bayes ignores",
    needs=("list",),
    measure=_measure,
    place=60,
)

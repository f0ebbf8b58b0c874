"""Whether a divergence is larger in some group of predictions than elsewhere;
the search over groups is paid for by maxT.

`veribayes.validation.search` says what a group is and what is compared. Groups come as zeros and
ones.
"""

from __future__ import annotations

from veribayes.errors import InputError
from veribayes.predictive import Array
from veribayes.validation import resampling, search
from veribayes.validation.checks._test import Outcome, Test, axes


def _kernel(scores: Array, groups: Array, *, seed: int) -> Outcome:
    n, _, _ = axes(scores, "dataset position query")
    axes(groups, "group dataset position query")
    masks = {str(i): group > 0 for i, group in enumerate(groups)}
    found = search.concentration(scores, masks, seed=seed)
    if not found:
        raise InputError(f"a group with {search.FEWEST} data sets inside and outside", "none")
    least = 1 / (resampling.REPLICATES + 1)
    p_values = {group.name: group.p_value for group in found}
    first = found[0]
    return Outcome(first.ratio, first.p_value, n, p_values, least=least)


PART = Test(
    name="concentration",
    needs="scores (dataset, position, query), groups (group, dataset, position, query)",
    null="the mean is the same inside and outside every group",
    minimum=1,
    exactness="asymptotic",
    citation="Westfall & Young 1993, ISBN 978-0-471-55761-6",
    kernel=_kernel,
    paired=False,
)

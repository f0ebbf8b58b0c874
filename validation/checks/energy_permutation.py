"""Energy distance between two samples, 2 E|x - y| - E|x - x'| - E|y - y'|,
by permutation of whole units.

Coordinates are standardised by both samples together. Rows are taken for a chain and thinned by
their autocorrelation time: exact for `thin=False` and independent draws, nearly so for chains. If
`units` labels the rows of x and of y, whole units are permuted and nothing is thinned.
"""

from __future__ import annotations

from veribayes.predictive import Array
from veribayes.validation.checks._test import Outcome, Test
from veribayes.validation.checks._two_sample import MINIMUM, Units, distances, permuted


def _kernel(
    x: Array,
    y: Array,
    *,
    units: Units | None = None,
    thin: bool = True,
    permutations: int = 199,
    seed: int,
) -> Outcome:
    distance, m = distances(x, y, thin and units is None)
    return permuted(
        -distance[None], m, units, permutations=permutations, seed=seed, name="energy_permutation"
    )


PART = Test(
    name="energy_permutation",
    needs="x (draw, d), y (draw, d)",
    null="both samples have one law, and units are exchangeable",
    minimum=MINIMUM,
    exactness="exact",
    citation=(
        "Székely & Rizzo 2013, doi:10.1016/j.jspi.2013.03.018; p-value: Phipson & Smyth 2010, "
        "doi:10.2202/1544-6115.1585"
    ),
    kernel=_kernel,
    paired=False,
)

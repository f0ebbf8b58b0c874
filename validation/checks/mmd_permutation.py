"""Maximum mean discrepancy between two samples, aggregated over seven Gaussian bandwidths,
by permutation of whole units.

k(x, y) = exp(-|x - y|^2 / (2 h^2)), h = the median distance times 1/8, 1/4, …, 8. The squared
discrepancy is the U-statistic: no draw is its own partner. Each bandwidth's statistic is
standardised over the permutations and the largest counts. Samples are standardised and thinned as
in `energy_permutation`.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array
from veribayes.validation.checks._test import Outcome, Test
from veribayes.validation.checks._two_sample import MINIMUM, Units, distances, permuted

BANDWIDTHS = 2.0 ** np.arange(-3, 4)  # of the median distance; no single one sees every defect


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
    middle = np.median(distance[distance > 0])
    kernels = gaussian(distance, middle * BANDWIDTHS)
    return permuted(kernels, m, units, permutations=permutations, seed=seed, name="mmd_permutation")


def gaussian(distance: Array, bandwidths: Array) -> Array:
    """Kernel matrices (bandwidth, row, row)."""
    scaled = distance / bandwidths[:, None, None]
    return np.asarray(np.exp(-0.5 * scaled**2))


PART = Test(
    name="mmd_permutation",
    needs="x (draw, d), y (draw, d)",
    null="both samples have one law, and units are exchangeable",
    minimum=MINIMUM,
    exactness="exact",
    citation="Gretton et al. 2012, JMLR 13:723; aggregated: Schrab et al. 2023, arXiv:2110.15073",
    kernel=_kernel,
    paired=False,
)

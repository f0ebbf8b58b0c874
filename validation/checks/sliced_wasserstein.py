"""Sliced Wasserstein-2 distance between two samples of equal number, by permutation.

SW^2 is the mean over random directions of the squared Wasserstein-2 distance of the projections,
which between n and n draws on a line is the mean squared difference of their order statistics.
Samples are standardised and thinned as in `energy_permutation`; a longer sample is cut to the
length of the other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from veribayes.errors import ShapeError
from veribayes.predictive import Array
from veribayes.validation.checks._null import generator, p_value
from veribayes.validation.checks._test import Outcome, Test, at_least, axes, with_spread
from veribayes.validation.checks._two_sample import MINIMUM, thinning


def _kernel(
    x: Array,
    y: Array,
    *,
    thin: bool = True,
    directions: int = 25,
    permutations: int = 199,
    seed: int,
) -> Outcome:
    if axes(x, "draw coordinate")[1] != axes(y, "draw coordinate")[1]:
        raise ShapeError("samples with the same coordinates", f"{x.shape} and {y.shape}")
    if thin:
        x = x[:: thinning(x)]
        y = y[:: thinning(y)]
    n = min(len(x), len(y))
    at_least(MINIMUM, n, "sliced_wasserstein")
    rng = generator(seed, "sliced_wasserstein", n)
    first = np.zeros((permutations + 1, 2 * n), dtype=bool)
    first[:, :n] = True
    first[1:] = rng.permuted(first[1:], axis=1)
    pooled = np.concatenate([x[:n], y[:n]])
    rows = with_spread(pooled, "both samples")
    towards = rng.standard_normal((rows.shape[1], directions))
    unit = towards / np.sqrt((towards**2).sum(0))
    values = _squared(rows @ unit, first)
    statistic = float(values[0])
    p = p_value(statistic, np.sort(values[1:]))
    return Outcome(statistic, p, n, least=1 / (permutations + 1))


def _squared(projected: Array, first: npt.NDArray[np.bool_]) -> Array:
    """Mean over directions of the squared W2 of projections (row, direction), for each labelling
    (permutation, row).
    """
    n = first.shape[1] // 2
    found = np.zeros(len(first))
    for line in projected.T:
        order = line.argsort()
        ranked = np.broadcast_to(line[order], first.shape)
        mine = first[:, order]
        one, other = (ranked[side].reshape(-1, n) for side in (mine, ~mine))
        squares = (one - other) ** 2
        found += squares.mean(1)
    return found / projected.shape[1]


PART = Test(
    name="sliced_wasserstein",
    needs="x (draw, d), y (draw, d)",
    null="both samples have one law, and draws are exchangeable",
    minimum=MINIMUM,
    exactness="exact",
    citation="Bonneel et al. 2015, doi:10.1007/s10851-014-0506-3",
    kernel=_kernel,
    paired=False,
)

"""Coverage of balls around random points that depend on the data:
TARP, with ranks and their discrete null.

Reference points r = W x + e have a random matrix W and noise e, so they know the data but neither
truth nor draws. The rank of |truth - r| among |draw - r| is then uniform on 0, …, L. Points that
ignore x cannot see a posterior that is the prior. Coordinates are standardised by truth and draws
together, which leaves them exchangeable. Ranks are tested as in `sbc_rank`, with Holm over
`references` independent points a data set.
"""

from __future__ import annotations

import numpy as np

from veribayes.errors import ShapeError
from veribayes.predictive import Array
from veribayes.validation.checks._null import generator, holm
from veribayes.validation.checks._ranks import anderson_darling, cumulative, least, ranks, tested
from veribayes.validation.checks._test import Outcome, Test, axes, with_spread


def _kernel(truth: Array, draws: Array, x: Array, *, references: int = 4, seed: int) -> Outcome:
    n, count, d = axes(draws, "dataset draw coordinate")
    axes(x, "dataset covariate")
    if truth.shape != (n, d):
        raise ShapeError(f"truth of shape {(n, d)}", f"{truth.shape}")
    pooled = np.concatenate([truth[:, None], draws], 1)
    both = with_spread(pooled, "draws")
    points = _points(with_spread(x, "x"), d, references, seed)
    gaps = both[:, :, None] - points[:, None]
    distance = np.einsum("ijkl,ijkl->ijk", gaps, gaps)
    places = ranks(distance[:, 0], distance[:, 1:], seed)
    counts = cumulative(places.astype(np.float64), count)
    values, p = tested(anderson_darling, counts, n, seed)
    adjusted = holm({f"reference {i}": float(v) for i, v in enumerate(p)})
    smallest = min(adjusted.values())
    return Outcome(float(values.max()), smallest, n, adjusted, least=least(len(p)))


def _points(x: Array, d: int, references: int, seed: int) -> Array:
    """Reference points (dataset, reference, d) of about the spread of the truth; half of the
    variance comes from x.
    """
    rng = generator(seed, "tarp", *x.shape)
    covariates = x.shape[-1]
    w = rng.standard_normal((covariates, references * d)) / np.sqrt(covariates)
    noise = rng.standard_normal((len(x), references, d))
    return np.asarray((x @ w).reshape(noise.shape) + noise)


PART = Test(
    name="tarp",
    needs="truth (dataset, d), draws (dataset, draw, d), x (dataset, covariate)",
    null="truth and draws are exchangeable given x",
    minimum=10,
    exactness="conservative",
    citation="Lemos et al. 2023, arXiv:2302.03026",
    kernel=_kernel,
)

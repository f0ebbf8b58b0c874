"""Mass of the candidate's highest-density region that just excludes the outcome:
uniform on (0, 1) for the exact predictive.

u = Q(q(Y) > q(y)), and for categories and bins, where densities tie, a random share of the mass at
that density on top. A region of level c covers the outcome if and only if u <= c. Normals: |2 F(y)
- 1|. Mixtures: the density's crossings of the outcome's are found by bisection.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from veribayes.predictive import (
    LOG_SQRT_2PI,
    Array,
    Bins,
    Categorical,
    Normal,
    NormalMixture,
    Predictive,
)
from veribayes.validation.metrics._cells import log
from veribayes.validation.metrics._metric import TIED, Kernel, Metric
from veribayes.validation.metrics._quadrature import grid, log_density

BISECTIONS = 30
# in standard deviations: a mode beside the outcome hides between coarse knots
NEAR = np.outer([-1, 1], np.geomspace(1e-4, 0.3, 8)).ravel()


def _categories(candidate: Categorical, reference: Predictive, outcome: Array, v: Array) -> Array:
    del reference  # the outcome is the judge
    category = outcome.astype(np.int64)[:, None]
    level = candidate.log_masses
    own = np.take_along_axis(level, category, -1)
    return _above(level, candidate.probs, own, v)


def _normal(candidate: Normal, reference: Predictive, outcome: Array, v: Array) -> Array:
    del reference, v  # and there are no ties
    below = candidate.cdf(outcome[:, None])[:, 0]
    return np.asarray(np.abs(2 * below - 1))


def _mixture(candidate: NormalMixture, reference: Predictive, outcome: Array, v: Array) -> Array:
    """The distribution function where the density falls through the outcome's, less that where it
    rises through it.
    """
    del reference, v
    own = log_density(candidate, outcome[:, None])[:, 0]
    narrowest = candidate.sd.min(-1, keepdims=True)
    near = outcome[:, None] + narrowest * NEAR
    far = grid([candidate])[:, ::4]
    points = np.sort(np.concatenate([far, near], -1), -1)
    above = log_density(candidate, points) > own[:, None]
    changes = above[:, :-1] != above[:, 1:]
    row, gap = np.nonzero(changes)
    low = points[row, gap]
    high = points[row, gap + 1]
    falls = above[row, gap]
    law = candidate[row]
    level = own[row]
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        higher = log_density(law, middle[:, None])[:, 0] > level
        same = higher == falls
        low = np.where(same, middle, low)
        high = np.where(same, high, middle)
    mass = law.cdf(low[:, None])[:, 0]
    signed = np.where(falls, mass, -mass)
    return np.asarray(np.bincount(row, signed, minlength=len(own)), dtype=np.float64)


def _bins(candidate: Bins, reference: Predictive, outcome: Array, v: Array) -> Array:
    del reference
    own = candidate.log_prob(outcome[:, None])
    inner = candidate.probs
    if candidate.tail_scale is not None:
        inner = inner[:, 1:-1]
    level = log(inner) - np.log(np.diff(candidate.edges))
    if candidate.tail_scale is None:
        return _above(level, inner, own, v)
    first = candidate.edges[0]
    last = candidate.edges[-1]
    outside = (outcome < first) | (outcome > last)  # no cell ties with a point of a tail
    tied = np.where(outside, 0.0, v)
    return _above(level, inner, own, tied) + _above_in_tails(candidate, own)


def _above_in_tails(candidate: Bins, own: Array) -> Array:
    """Mass of the tails at a higher density than the outcome's: from each border to where it has
    fallen that low.
    """
    assert candidate.tail_scale is not None
    tails = candidate.probs[:, [0, -1]]
    top = log(tails) + np.log(2 / candidate.tail_scale) - LOG_SQRT_2PI
    drop = np.maximum(top - own, 0.0)
    inside = 2 * ndtr(np.sqrt(2 * drop)) - 1
    return np.asarray((tails * inside).sum(-1))


def _above(level: Array, mass: Array, own: Array, v: Array) -> Array:
    """Mass at a higher density than the outcome's, and a share v of the mass at the same.

    Args:
        level, own: logarithms of densities, which are the same where they differ by no more than
            rounding.
    """
    same = np.isclose(level, own, rtol=0.0, atol=TIED)
    higher = (level > own) & ~same
    above = (mass * higher).sum(-1)
    return np.asarray(above + v * (mass * same).sum(-1))


CANDIDATES: dict[str, Kernel] = {
    "categorical": _categories,
    "normal": _normal,
    "mixture": _mixture,
    "bins": _bins,
}

REFERENCES = ("categorical", "normal", "mixture")
KERNELS = {(form, law): kernel for form, kernel in CANDIDATES.items() for law in REFERENCES}

PART = Metric(
    name="hpd",
    symbol="Q(q(Y) > q(y))",
    unit="1",
    ideal=0.5,
    needs="categories, or a candidate with a density; the reference is not looked at",
    citation="Hyndman 1996, doi:10.1080/00031305.1996.10474359",
    kernels=KERNELS,
    sees_outcome=True,
)

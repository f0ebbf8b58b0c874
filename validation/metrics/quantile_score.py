"""Quantile divergence: what the candidate's quantiles lose against the exact ones,
at its own levels, in the unit of y.

The quantile (pinball) loss of a value v at level t has its least expectation under the exact
predictive G at the exact quantile Q(t); the excess there is the integral of G - t from Q(t) to v.
The score is twice its mean over the levels: zero if and only if every value is an exact quantile,
however few the levels are, and the CRPS divergence in the limit of many equidistant ones. What lies
between and beyond the levels is not judged. Closed form for normals and mixtures, by the integral
of the normal distribution function, z Phi(z) + phi(z).
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from veribayes.predictive import Array, Normal, NormalMixture, Quantiles
from veribayes.validation.metrics._metric import Metric, normal_density
from veribayes.validation.metrics.kl_density import components


def _kernel(candidate: Quantiles, reference: Normal | NormalMixture) -> Array:
    levels = np.broadcast_to(candidate.levels, candidate.values.shape)
    exact = reference.quantile(levels)
    below = _below(reference, candidate.values) - _below(reference, exact)
    excess = below - levels * (candidate.values - exact)
    return np.asarray(2 * excess.mean(-1))


def _below(law: Normal | NormalMixture, points: Array) -> Array:
    """Integral of the distribution function up to each point, E max(point - Y, 0)."""
    weights, mean, sd = components(law)
    z = (points[..., None] - mean[:, None]) / sd[:, None]
    density = normal_density(z)
    each = z * ndtr(z) + density
    scale = (weights * sd)[:, None]
    return np.asarray((scale * each).sum(-1))


PART = Metric(
    name="quantile_score",
    symbol="2 mean ∫(G - τ)",
    unit="observation",
    ideal=0.0,
    needs="quantiles, and a normal or mixture reference",
    citation=(
        "Koenker & Bassett 1978, doi:10.2307/1913643; Gneiting & Raftery 2007, "
        "doi:10.1198/016214506000001437"
    ),
    kernels={("quantiles", "normal"): _kernel, ("quantiles", "mixture"): _kernel},
)

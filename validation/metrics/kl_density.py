"""Kullback-Leibler divergence between densities, in nats: what bins cost on top of their masses.

For bins, KL(p || q) = sum over cells of P log(P / q), which `kl` reports, plus the floor within the cells,
sum P KL(p given the cell || uniform or half-normal): about h^2 / (24 s^2) for bins of width h and a normal of standard
deviation s. Both are exact here, by truncated moments. A candidate without tails is compared with the reference given
that y lies between its borders. Every other form has no floor: equal to `kl`.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp, ndtr

from veribayes.predictive import LOG_SQRT_2PI, Array, Bins, Normal, NormalMixture
from veribayes.validation.metrics import kl
from veribayes.validation.metrics._cells import conditioned, held, log, log_masses, log_probs
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.metrics._quadrature import integrate


def _bins(candidate: Bins, reference: Normal | NormalMixture) -> Array:
    """E[log p] - E[log q], the expectation over the part of the line where the candidate speaks."""
    masses = log_masses(reference, candidate)
    log_mass = conditioned(masses, candidate)
    mass, log_q = np.exp(log_mass), held(candidate, log_probs(candidate), log_mass)
    with np.errstate(invalid="ignore"):
        cross = np.where(mass > 0, mass * (log_q + _log_height(candidate)), 0.0).sum(-1)
    if candidate.tail_scale is None:
        inside = logsumexp(masses[..., 1:-1], axis=-1)
        return np.asarray(_truncated(reference, candidate.edges[[0, -1]], inside) - inside - cross)
    return np.asarray(_negative_entropy(reference) - cross + 0.5 * _tail_moment(candidate, reference))


def _log_height(candidate: Bins) -> Array:
    """Log density of each cell's shape at its highest point."""
    scale = np.ones(2) if candidate.tail_scale is None else candidate.tail_scale
    tails = log(2 / scale) - LOG_SQRT_2PI
    return np.concatenate([tails[:1], -log(np.diff(candidate.edges)), tails[1:]])


def _negative_entropy(reference: Normal | NormalMixture) -> Array:
    if isinstance(reference, Normal):
        return -log(reference.sd) - LOG_SQRT_2PI - 0.5
    return integrate(_p_log_p, [reference])


def _truncated(reference: Normal | NormalMixture, borders: Array, log_inside: Array) -> Array:
    """E[log p(y) given that y lies between the borders]."""
    if isinstance(reference, NormalMixture):
        return integrate(_p_log_p, [reference], (float(borders[0]), float(borders[1]))) / np.exp(log_inside)
    z = (borders - reference.mean[:, None]) / reference.sd[:, None]
    ends = z * np.exp(-0.5 * z * z - LOG_SQRT_2PI - log_inside[:, None])
    return np.asarray(-log(reference.sd) - LOG_SQRT_2PI - 0.5 * (1 - ends[:, 1] + ends[:, 0]))


def _tail_moment(candidate: Bins, reference: Normal | NormalMixture) -> Array:
    """Sum over both tails of E[((y - border) / tail scale)^2; y in the tail]."""
    assert candidate.tail_scale is not None
    weights, mean, sd = components(reference)
    beyond = np.stack([mean - candidate.edges[0], candidate.edges[-1] - mean], -1) / sd[..., None]
    second = (1 + beyond**2) * ndtr(-beyond) - beyond * np.exp(-0.5 * beyond**2 - LOG_SQRT_2PI)
    return np.asarray((weights[..., None] * (sd[..., None] / candidate.tail_scale) ** 2 * second).sum((-2, -1)))


def components(law: Normal | NormalMixture) -> tuple[Array, Array, Array]:
    """Weights, means and standard deviations, (row, component) each; a normal has one component."""
    if isinstance(law, NormalMixture):
        return law.weights, law.mean, law.sd
    return np.ones((*law.shape, 1)), law.mean[..., None], law.sd[..., None]


def _p_log_p(log_p: Array) -> Array:
    return np.exp(log_p) * log_p


PART = Metric(
    name="kl_density",
    symbol="KL(exact‖candidate), densities",
    unit="nats",
    ideal=0.0,
    needs="categories, or a candidate with a density",
    citation="Kullback & Leibler 1951, doi:10.1214/aoms/1177729694",
    kernels={k: v for k, v in kl.PART.kernels.items() if k[0] != "bins"}
    | {("bins", "normal"): _bins, ("bins", "mixture"): _bins},
)

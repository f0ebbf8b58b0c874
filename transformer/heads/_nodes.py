"""Nodes: an expectation under an exact law as a weighted sum over a few points, by which heads of normals are trained.

The log density of one normal is a square, for which few nodes are exact, tails included. A mixture would learn to be narrow
at nodes that always lie in the same places; its nodes are equidistant and shifted at random, which makes the loss unbiased.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from veribayes.errors import InputError
from veribayes.predictive import Array, Normal, NormalMixture, Predictive

NODES = 7  # of Gauss and Hermite for each component: exact for polynomials up to the degree 13
SHIFTED = 64  # equidistant nodes: a fifth of a standard deviation apart for one normal
REACH = 6.0  # standard deviations of the outermost components; beyond lies 2e-9 of the mass
LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Nodes:
    """An expectation under the exact law as a weighted sum, (B, Q, J) each.

    Attributes:
        points: where the density of the network is asked for.
        weights: of the points; they sum to one, or do so on average.
        log_density: of the exact law at the points; zero for a drawn outcome, whose loss is then the cross-entropy.
    """

    points: Tensor
    weights: Tensor
    log_density: Tensor

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, rows: slice) -> Nodes:
        return Nodes(self.points[rows], self.weights[rows], self.log_density[rows])

    def to(self, device: torch.device) -> Nodes:
        return Nodes(self.points.to(device), self.weights.to(device), self.log_density.to(device))


def nodes_of(law: Predictive) -> Nodes:
    """Nodes of the quadrature of Gauss and Hermite in every component of a law of leading shape (B, Q).

    Exact for the log density of one normal; a mixture of several could be narrow at every node and look right.

    Raises:
        InputError: a law that is neither a normal nor a mixture of normals.
    """
    weights, mean, sd = _components(law)
    at, share = np.polynomial.hermite_e.hermegauss(NODES)
    points = mean[..., None] + sd[..., None] * at  # (B, Q, G, 7)
    flat = points.reshape(*law.shape, -1)
    joint = (weights[..., None] * share / share.sum()).reshape(flat.shape)
    return _as_nodes(flat, joint, law.log_prob(flat))


def shifted_nodes(law: Predictive, rng: np.random.Generator) -> Nodes:
    """Equidistant nodes over the law's range, shifted by a random part of their distance at every (B, Q).

    The expectation over the shift is the integral itself, for every density of the network (Cranley & Patterson 1976,
    doi:10.1137/0713071).

    Raises:
        InputError: a law that is neither a normal nor a mixture of normals.
    """
    _, mean, sd = _components(law)
    low, high = (mean - REACH * sd).min(-1), (mean + REACH * sd).max(-1)
    step = (high - low) / SHIFTED
    place = np.arange(SHIFTED) + rng.random((*law.shape, 1))
    points = low[..., None] + step[..., None] * place
    log_density = law.log_prob(points)
    return _as_nodes(points, step[..., None] * np.exp(log_density), log_density)


def nodes_at(outcome: Array) -> Nodes:
    """Drawn outcomes (B, Q) as the only nodes."""
    points = outcome[..., None]
    return _as_nodes(points, np.ones_like(points), np.zeros_like(points))


def divergence_at(raw: Tensor, nodes: Nodes) -> Tensor:
    """KL(exact || network) at every query, (B, Q), of the normals that the outputs (B, Q, 3 G) describe; nats."""
    gap = nodes.log_density - log_density(raw, nodes.points)
    return (nodes.weights * gap).sum(-1)


def log_density(raw: Tensor, points: Tensor) -> Tensor:
    """Log density at points (..., J) of the mixture that the outputs (..., 3 G) describe."""
    log_weights, mean, sd = (part[..., None, :] for part in components(raw))
    z = (points[..., None] - mean) / sd  # (..., J, G)
    return (log_weights - sd.log() - z**2 / 2).logsumexp(-1) - LOG_SQRT_2PI


def components(raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (..., 3 G) -> log weights, means and sds of G normals, (..., G) each."""
    logits, mean, log_sd = raw.chunk(3, dim=-1)
    return logits.log_softmax(-1), mean, log_sd.exp()


def _components(law: Predictive) -> tuple[Array, Array, Array]:
    """Weights, means and sds of the components, (B, Q, G) each."""
    if isinstance(law, NormalMixture):
        return law.weights, law.mean, law.sd
    if isinstance(law, Normal):
        return np.ones((*law.shape, 1)), law.mean[..., None], law.sd[..., None]
    raise InputError(
        "a normal or a mixture of normals as target", f"'{law.form}'", "use the head bins"
    )


def _as_nodes(points: Array, weights: Array, log_density: Array) -> Nodes:
    single = (
        torch.from_numpy(array.astype(np.float32)) for array in (points, weights, log_density)
    )
    return Nodes(*single)

"""Heads for real outcomes: what comes out of a network, and the loss that it is trained by.

    bins      a logit for each cell; the loss is measured in the masses of the cells
    normal    mean and log sd (and an idle logit): a mixture of one
    mixture   logit, mean and log sd of each component

Normals and mixtures are trained by their log density at the nodes of the exact law, with no cells between. Between normals
that loss is the closed form of the divergence, tails included.
Cells are equal bins on [-reach, reach] between two half-normal tails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from veribayes.errors import InputError
from veribayes.predictive import Array, Normal, NormalMixture, Predictive

HEADS = ("bins", "normal", "mixture")
NODES = 7  # of Gauss and Hermite for each component: exact for polynomials up to the degree 13, out to 3.75 sd
LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Nodes:
    """An expectation under the exact law as a weighted sum, (B, Q, J) each.

    Attributes:
        points: where the density of the network is asked for.
        weights: of the points; they sum to one.
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

    Raises:
        InputError: a law that is neither a normal nor a mixture of normals.
    """
    weights, mean, sd = _components(law)
    at, share = np.polynomial.hermite_e.hermegauss(NODES)
    points = mean[..., None] + sd[..., None] * at  # (B, Q, G, 7)
    flat = points.reshape(*law.shape, -1)
    joint = (weights[..., None] * share / share.sum()).reshape(flat.shape)
    return _as_nodes(flat, joint, law.log_prob(flat))


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


def log_masses(mean: Tensor, sd: Tensor, edges: Tensor) -> Tensor:
    """Log masses of the lower tail, the cells and the upper tail under normals, (..., C + 2), up to a constant.

    Those of cells come from the density at their midpoints, those of tails from the distribution function.
    """
    width, mean, sd = edges[1] - edges[0], mean[..., None], sd[..., None]
    z = ((edges[:-1] + edges[1:]) / 2 - mean) / sd  # (..., C)
    inside = math.log(width.item() / math.sqrt(2 * math.pi)) - sd.log() - z**2 / 2
    ends = torch.special.log_ndtr(torch.cat([edges[:1] - mean, mean - edges[-1:]], -1) / sd)
    return torch.cat([ends[..., :1], inside, ends[..., 1:]], dim=-1)


def edges_for(config: Any, like: Tensor) -> Tensor:
    """Borders of the cells, (C + 1,), where `like` lies."""
    return torch.linspace(-config.reach, config.reach, config.cells + 1, device=like.device)


def _components(law: Predictive) -> tuple[Array, Array, Array]:
    """Weights, means and sds of the components, (B, Q, G) each."""
    if isinstance(law, NormalMixture):
        return law.weights, law.mean, law.sd
    if isinstance(law, Normal):
        return np.ones((*law.shape, 1)), law.mean[..., None], law.sd[..., None]
    raise InputError("a normal or a mixture of normals as target", f"'{law.form}'", "use the head bins")


def _as_nodes(points: Array, weights: Array, log_density: Array) -> Nodes:
    single = (torch.from_numpy(array.astype(np.float32)) for array in (points, weights, log_density))
    return Nodes(*single)

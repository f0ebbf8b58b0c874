"""Heads for real outcomes: what comes out of a network -> log masses of cells, in which every loss is measured.

    bins      a logit for each cell; what a candidate returns is the same bar distribution
    normal    mean and log sd (and an idle logit): a mixture of one
    mixture   logit, mean and log sd of each component

Cells are equal bins on [-reach, reach] between two half-normal tails.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

HEADS = ("bins", "normal", "mixture")


def components(raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (..., 3 G) -> log weights, means and sds of G normals, (..., G) each."""
    logits, mean, log_sd = raw.chunk(3, dim=-1)
    return logits.log_softmax(-1), mean, log_sd.exp()


def mixture_masses(raw: Tensor, edges: Tensor) -> Tensor:
    """Log masses of the cells under the mixture that the outputs (..., 3 G) describe, (..., C + 2)."""
    log_weights, mean, sd = components(raw)
    return (log_weights[..., None] + log_masses(mean, sd, edges)).logsumexp(-2)


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

"""A bar distribution: a logit for each of `cells` equal bins between two half-normal tails.

It is that of arXiv 2112.10510. The loss is measured in the masses of the cells. Borders lie on
[-reach, reach] in the unit of the outcome.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from veribayes.checked import integer, number
from veribayes.predictive import Array, Normal, Predictive
from veribayes.transformer._config import LARGEST
from veribayes.transformer.heads._masses import MassHead, softmax


class Bins(MassHead):
    """Outputs are the lower tail, the cells and the upper tail, K = C + 2."""

    values: ClassVar[Literal["category", "real"]] = "real"
    settings: ClassVar[tuple[str, ...]] = ("cells", "reach", "tail_scale")

    def check(self, config: Any) -> None:
        integer("cells", config.cells, at_least=1, at_most=LARGEST)
        number("reach", config.reach, above=0)
        number("tail_scale", config.tail_scale, above=0)

    def outputs(self, config: Any) -> int:
        return int(config.cells) + 2

    def masses(self, config: Any, law: Predictive) -> Array:
        below = _below(law, edges_of(config))
        mass = np.empty((*law.shape, below.shape[-1] + 1))
        mass[..., 0] = below[..., 0]
        mass[..., -1] = 1 - below[..., -1]
        np.subtract(below[..., 1:], below[..., :-1], out=mass[..., 1:-1])
        return np.maximum(mass, 0.0, out=mass)

    def numbers(self, config: Any, outcome: Array) -> Array:
        return np.asarray(np.searchsorted(edges_of(config), outcome))

    def form(self, config: Any, outputs: Array) -> dict[str, Array]:
        _, spread = config.unit
        return {
            "probs": softmax(outputs),
            "edges": edges_of(config),
            "tail_scale": np.full(2, config.tail_scale * spread),
        }


def edges_of(config: Any) -> Array:
    """Borders of the cells, (cells + 1,)."""
    centre, spread = config.unit
    edges = np.linspace(-config.reach, config.reach, config.cells + 1)
    return np.asarray(centre + spread * edges)


def edges_for(config: Any, like: Tensor) -> Tensor:
    """Borders of the cells, (C + 1,), where `like` lies, of a config whose unit is one."""
    return torch.linspace(-config.reach, config.reach, config.cells + 1, device=like.device)


def log_masses(mean: Tensor, sd: Tensor, edges: Tensor) -> Tensor:
    """Log masses of the lower tail, the cells and the upper tail under normals, (..., C + 2), up to
    a constant.

    Those of cells come from the density at their midpoints, those of tails from the distribution
    function.
    """
    mean, sd = mean[..., None], sd[..., None]
    width = (edges[1] - edges[0]).item()
    log_width = math.log(width / math.sqrt(2 * math.pi))
    z = ((edges[:-1] + edges[1:]) / 2 - mean) / sd  # (..., C)
    inside = log_width - sd.log() - z**2 / 2
    beyond = torch.cat([edges[:1] - mean, mean - edges[-1:]], -1)
    ends = torch.special.log_ndtr(beyond / sd)
    return torch.cat([ends[..., :1], inside, ends[..., 1:]], dim=-1)


def _below(law: Predictive, edges: Array) -> Array:
    """Exact mass below every border, (..., border); torch's normal distribution function is faster
    than SciPy's.
    """
    if isinstance(law, Normal):
        z = (edges - law.mean[..., None]) / law.sd[..., None]
        return np.asarray(torch.special.ndtr(torch.from_numpy(z)).numpy())
    return law.cdf(np.broadcast_to(edges, (*law.shape, edges.size)))


PART = Bins()

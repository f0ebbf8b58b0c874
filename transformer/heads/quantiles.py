"""Quantiles at `levels` equidistant levels (k + 1/2) / K, increasing by construction.

They serve outcomes without a known density. The loss is the mean pinball loss, twice over, less
that of the law's own quantiles, in standard deviations of the outcome under the prior: as K grows
it becomes the divergence of the continuous ranked probability score (Gneiting & Raftery 2007,
doi:10.1198/016214506000001437). From a label it is the score itself. Any law that knows its
quantiles can be a target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import ndtri
from torch import Tensor

from veribayes.checked import integer
from veribayes.predictive import Array, Normal, Predictive
from veribayes.transformer._config import LARGEST
from veribayes.transformer.heads._head import Head
from veribayes.transformer.heads._masses import single

POINTS = 64  # outcomes that stand for a law, one in each of so many equally probable strata


@dataclass(frozen=True)
class Outcomes:
    """A law as equally probable outcomes, (B, Q, J).

    Attributes:
        points: the outcomes.
        least: pinball loss of the law's own quantiles at these points, (B, Q); zero for a drawn
            outcome.
        spread: (B,), the standard deviation in which losses are measured.
    """

    points: Tensor
    least: Tensor
    spread: Tensor

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, rows: slice) -> Outcomes:
        return Outcomes(self.points[rows], self.least[rows], self.spread[rows])

    def to(self, device: torch.device) -> Outcomes:
        return Outcomes(self.points.to(device), self.least.to(device), self.spread.to(device))


class QuantilesHead(Head):
    """The lowest value, and what each further one lies above the one before."""

    values: ClassVar[Literal["category", "real"]] = "real"
    settings: ClassVar[tuple[str, ...]] = ("levels",)

    def check(self, config: Any) -> None:
        integer("levels", config.levels, at_least=2, at_most=LARGEST)

    def outputs(self, config: Any) -> int:
        return int(config.levels)

    def targets(self, config: Any, law: Predictive, rng: np.random.Generator) -> Outcomes:
        strata = (np.arange(POINTS) + rng.random((*law.shape, 1))) / POINTS
        points = _quantiles(law, np.clip(strata, 1e-6, 1 - 1e-6))
        levels = np.broadcast_to(levels_of(config.levels), (*law.shape, config.levels))
        own = single(_quantiles(law, levels))
        outcomes = single(points)
        return _outcomes(config, outcomes, pinball(own, outcomes))

    def labels(self, config: Any, outcome: Array) -> Outcomes:
        points = single(outcome[..., None])
        return _outcomes(config, points, torch.zeros(points.shape[:2]))

    def divergence(self, outputs: Tensor, target: Any) -> Tensor:
        """Divergence of quantiles, in standard deviations of the outcome."""
        excess = pinball(outputs, target.points) - target.least
        return excess / target.spread[:, None]

    def form(self, config: Any, outputs: Array) -> dict[str, Array]:
        values = np.maximum.accumulate(outputs, axis=-1)  # float32 may round a small step away
        return {"levels": levels_of(config.levels), "values": values}

    def finished(self, config: Any, raw: Tensor) -> Tensor:
        centre, spread = config.unit
        steps = F.softplus(raw[..., 1:])
        values = torch.cat([raw[..., :1], steps], dim=-1).cumsum(-1)
        return centre + spread * values

    def start(self, config: Any, bias: Tensor) -> None:
        """The quantiles of a standard normal, in the unit of the outcome."""
        values = ndtri(levels_of(config.levels))
        steps = np.diff(values)
        before_softplus = np.log(np.expm1(steps))
        bias.copy_(single(np.concatenate([values[:1], before_softplus])))


def levels_of(count: int) -> Array:
    """(k + 1/2) / K, (K,)."""
    return (np.arange(count) + 0.5) / count


def pinball(values: Tensor, points: Tensor) -> Tensor:
    """Twice the pinball loss of quantiles (B, Q, K), a mean over their levels and over outcomes (B,
    Q, J); (B, Q).
    """
    levels = (torch.arange(values.shape[-1], device=values.device) + 0.5) / values.shape[-1]
    above = points[..., None, :] - values[..., None]  # (B, Q, K, J)
    loss = torch.maximum(levels[:, None] * above, (levels[:, None] - 1) * above)
    return 2 * loss.mean((-2, -1))


def _outcomes(config: Any, points: Tensor, least: Tensor) -> Outcomes:
    _, spread = config.unit
    return Outcomes(points, least, torch.full((len(points),), float(spread)))


def _quantiles(law: Predictive, levels: Array) -> Array:
    """Quantiles at levels (B, Q, points)."""
    if isinstance(law, Normal):
        return np.asarray(law.mean[..., None] + law.sd[..., None] * ndtri(levels))
    return law.quantile(levels)


PART = QuantilesHead()

"""What layouts of sets share: the sink, and the features of real numbers.

Softmax averages cannot count; the share of attention that stays on the sink can, and the sink is told log(1 + n).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# radians per unit of x: wavelengths from 12 to 1.6, the scales of inputs near [-3, 3]
FREQUENCIES = (0.5, 1.0, 2.0, 4.0)
FEATURES = 2 + 2 * len(FREQUENCIES)  # of each coordinate


class Sink(nn.Module):
    """The token every other one may read: a learned vector plus log(1 + n) times another."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.zeros(2, width))

    def forward(self, context: Tensor) -> Tensor:
        """(B, n, D) -> (B, 1 + n, D)."""
        sink = self.vectors[0] + math.log1p(context.shape[1]) * self.vectors[1]
        return torch.cat([sink.expand(context.shape[0], 1, -1), context], dim=1)


def features(x: Tensor) -> Tensor:
    """x, its square, sines and cosines, in which a stationary kernel is a bilinear form: (B, T, d) -> (B, T, 10 d)."""
    angle = (x[..., None] * torch.tensor(FREQUENCIES, device=x.device)).flatten(2)
    return torch.cat([x, x * x / 2, angle.sin(), angle.cos()], dim=-1)

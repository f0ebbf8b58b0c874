"""Parts of a network that a stranger adds:
a head, a token layout and an architecture, each as the recipes of the docs say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from veribayes.checked import integer, mapping
from veribayes.predictive import Array, Predictive
from veribayes.transformer._config import InContext, frozen, plain
from veribayes.transformer.architectures._architecture import Architecture
from veribayes.transformer.heads._head import Head
from veribayes.transformer.heads._nodes import Nodes, divergence_at, nodes_at, shifted_nodes
from veribayes.transformer.tokens._sink import Sink
from veribayes.transformer.tokens.vectors import Vectors


class TwoHumps(Head):
    """Two normals of equal weight and one sd: their means, and the log of the sd."""

    values = "real"

    def outputs(self, config: Any) -> int:
        return 3

    def targets(self, config: Any, law: Predictive, rng: np.random.Generator) -> Nodes:
        return shifted_nodes(law, rng)

    def labels(self, config: Any, outcome: Array) -> Nodes:
        return nodes_at(outcome)

    def divergence(self, outputs: Tensor, target: Any) -> Tensor:
        first, second, log_sd = outputs.unbind(-1)
        logit = torch.zeros_like(first)
        six = [logit, logit, first, second, log_sd, log_sd]
        return divergence_at(torch.stack(six, dim=-1), target)

    def form(self, config: Any, outputs: Array) -> dict[str, Array]:
        sd = np.exp(outputs[..., 2:])
        return {
            "weights": np.full_like(outputs[..., :2], 0.5),
            "mean": outputs[..., :2],
            "sd": np.repeat(sd, 2, axis=-1),
        }


class Plain(Vectors):
    """Vectors as they are: no squares, sines and cosines."""

    def embedding(self, config: Any) -> nn.Module:
        return PlainTokens(config)


class PlainTokens(nn.Module):
    """A linear map of each vector, behind the sink; one learned query."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.sink = Sink(config.width)
        self.context = nn.Linear(config.inputs, config.width)
        self.query = nn.Parameter(torch.zeros(1, config.width))

    def forward(self, observations: Tensor) -> tuple[Tensor, int]:
        context = self.sink(self.context(observations))
        query = self.query.expand(len(context), 1, -1)
        return torch.cat([context, query], dim=1), context.shape[1]


@dataclass(frozen=True)
class PooledConfig:
    """Deep Sets (arXiv 1703.06114): the sum of a function of each observation,
    and a function of the sum.
    """

    family: str
    inputs: int
    unit: tuple[float, float]
    options: Mapping[str, Any]
    hidden: int = 32
    architecture: str = "pooled"
    head: ClassVar[str] = "normal"
    components: ClassVar[int] = 1
    states: ClassVar[tuple[int, ...]] = ()
    latents: ClassVar[Mapping[str, tuple[float, ...]]] = {}

    def __post_init__(self) -> None:
        integer("hidden", self.hidden, at_least=1, at_most=4096)
        for name in ("unit", "options"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    def to_dict(self) -> dict[str, Any]:
        settings: dict[str, Any] = plain(asdict(self))
        return settings

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> PooledConfig:
        return cls(**mapping("a network", settings, allowed=[f.name for f in fields(cls)]))


class Pooled(InContext):
    """Observations (B, n, d) -> outputs of a normal (B, 1, 3)."""

    def __init__(self, config: PooledConfig) -> None:
        super().__init__()
        self.config = config
        self.each = nn.Linear(config.inputs, config.hidden)
        self.hidden = nn.Linear(config.hidden + 1, config.hidden)
        self.out = nn.Linear(config.hidden, 3)

    def forward(self, *arrays: Tensor) -> Tensor:
        (observations,) = arrays
        count = observations.shape[1]
        total = self.each(observations).sum(1) / (1 + count)
        size = total.new_full((len(total), 1), 1 / (1 + count))
        hidden = torch.relu(self.hidden(torch.cat([total, size], dim=-1)))
        return self.out(hidden)[:, None]

    def initialise(self, seed: int) -> Pooled:
        generator = torch.Generator().manual_seed(seed)
        for weight in self.parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5, generator=generator)
            else:
                nn.init.zeros_(weight)
        return self


TWO_HUMPS = TwoHumps()
PLAIN = Plain()
POOLED = Architecture(PooledConfig.from_dict, Pooled)

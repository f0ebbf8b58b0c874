"""The disentangled transformer: attention without feed-forward layers, whose stream keeps everything apart (arXiv 2604.10848).

    DisentangledConfig   every choice that shapes the tensors
    Disentangled         symbols -> layers -> log probabilities of the next symbol
    DisentangledAttention

One head a layer, causal, with tables indexed by the distance i - j; the residual stream is a concatenation, so that each
coordinate has a name for ever:

    e_ij = h_i^T W_A h_j + h_i^T R_A[i - j],   h_i <- Concat(h_i, sum_j softmax_j(e_ij) Concat(h_j, R_V[i - j]))

The last layer's attended symbol block, times a stochastic matrix P, is the answer: sum_j A_ij P[y_j, .]. The construction of
one step of mirror descent is such a network with weights that theory writes down; here they are learned.

Shapes: B sequences, T positions, D coordinates of the stream, V coordinates of R_V, q symbols.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from veribayes.errors import InputError
from veribayes.models._check import choice, integer, mapping, sequence

LARGEST = 4096  # of any size in a config: a card must not be able to ask for all memory
START = 3.0  # scores of the nearest distances at the start: attention begins as a moving average, not as a mean of everything


@dataclass(frozen=True)
class DisentangledConfig:
    """Shape of a network.

    Attributes:
        states: (q,).
        length: longest sequence; the tables have one row a distance.
        layers: three for one step of mirror descent.
        values: V, coordinates that R_V writes; at least the number of lags.
        near: distances 1..near that are preferred at the start.
    """

    states: tuple[int, ...]
    length: int
    layers: int = 3
    values: int = 4
    near: int = 4
    family: str = "symbols"
    architecture: str = "disentangled"

    def __post_init__(self) -> None:
        choice("family", self.family, ("symbols",))
        choice("architecture", self.architecture, ("disentangled",))
        states = tuple(integer("states", k, at_least=2, at_most=LARGEST) for k in sequence("states", self.states))
        object.__setattr__(self, "states", states)
        for name, most in (("length", LARGEST), ("layers", 8), ("values", 64), ("near", 64)):
            integer(name, getattr(self, name), at_least=1, at_most=most)
        if len(states) != 1 or self.width(self.layers) > LARGEST:
            raise InputError(f"one alphabet and a stream of at most {LARGEST} coordinates", f"{states}, {self.layers} layers")

    def width(self, layer: int) -> int:
        """Coordinates of the stream after so many layers; each doubles it and adds V."""
        return (self.states[0] + self.values) * 2**layer - self.values

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "states": list(self.states)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> DisentangledConfig:
        return cls(**mapping("a network", plain, allowed=[f.name for f in fields(cls)], required=["states", "length"]))


class Disentangled(nn.Module):
    """Log probabilities of the next symbol after every prefix of a sequence."""

    def __init__(self, config: DisentangledConfig) -> None:
        super().__init__()
        self.config, self.symbols = config, config.states[0]
        self.layers = nn.ModuleList(
            DisentangledAttention(config.width(i), config.length, config.values) for i in range(config.layers)
        )
        self.output = nn.Parameter(torch.zeros(self.symbols, self.symbols))  # log P, rows up to a constant

    def forward(self, symbols: Tensor) -> Tensor:
        """Symbols (B, T) -> (B, T + 1, q), uniform after the empty prefix."""
        h = F.one_hot(symbols, self.symbols).to(self.output.dtype)  # (B, T, q)
        before = self.config.width(self.config.layers - 1)  # what the last layer writes begins with the attended symbol
        for layer in self.layers:
            h = layer(h)
        probs = h[..., before : before + self.symbols] @ self.output.softmax(-1)  # (B, T, q)
        return F.pad(probs, (0, 0, 1, 0), value=1 / self.symbols).clamp_min(torch.finfo(probs.dtype).tiny).log()

    def attention(self, symbols: Tensor) -> list[Tensor]:
        """Attention of every layer, (B, T, T) each."""
        h, maps = F.one_hot(symbols, self.symbols).to(self.output.dtype), []
        for layer in self._layers:
            maps.append(layer.attention(h))
            h = layer(h)
        return maps

    @property
    def _layers(self) -> list[DisentangledAttention]:
        return [cast(DisentangledAttention, layer) for layer in self.layers]

    def initialise(self, seed: int) -> Disentangled:
        """Small random weights as a function of the seed; the tables prefer near distances."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in self.parameters():
                nn.init.normal_(weight, std=0.1 / math.sqrt(weight.shape[-1]), generator=generator)
            first, *_, last = self._layers
            for layer, near in ((first, slice(1, self.config.near + 1)), (last, slice(self.config.near))):
                layer.distance_score[near, : self.symbols] += START
            written = min(self.config.near, self.config.values)
            first.distance_value[1 : written + 1, :written] += torch.eye(written)
        return self


class DisentangledAttention(nn.Module):
    """One causal head with relative positions; its output is concatenated to its input. D coordinates in, 2 D + V out."""

    def __init__(self, width: int, length: int, values: int = 0) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.zeros(width, width))  # W_A
        self.distance_score = nn.Parameter(torch.zeros(length, width))  # R_A
        self.distance_value = nn.Parameter(torch.zeros(length, values))  # R_V

    def forward(self, h: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, 2 D + V)."""
        attention = self.attention(h)
        values = torch.einsum("bij,ijv->biv", attention, self.distance_value[distances(h.shape[1]).clamp_min(0)])
        return torch.cat([h, attention @ h, values], dim=-1)

    def attention(self, h: Tensor) -> Tensor:
        """(B, T, T), rows sum to one."""
        distance = distances(h.shape[1])
        relative = (h @ self.distance_score.T).gather(2, distance.clamp_min(0).expand(len(h), -1, -1))
        scores = h @ self.score @ h.mT + relative
        return scores.masked_fill(distance < 0, -torch.inf).softmax(-1)


def distances(length: int) -> Tensor:
    """i - j, (T, T)."""
    position = torch.arange(length)
    return position[:, None] - position

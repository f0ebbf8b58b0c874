"""The disentangled transformer: attention alone, whose stream keeps everything apart.

It is that of arXiv 2604.10848, without feed-forward layers.

    DisentangledConfig   every choice that shapes the tensors
    Disentangled         symbols -> layers -> log probabilities of the next symbol
    DisentangledAttention

One head a layer, causal, with tables indexed by the distance i - j; the residual stream is a
concatenation, so that each coordinate has a name for ever:

    e_ij = h_i^T W_A h_j + h_i^T R_A[i - j],
    h_i <- Concat(h_i, sum_j softmax_j(e_ij) Concat(h_j, R_V[i - j]))

The last layer's attended symbol block, times a stochastic matrix P, is the answer: sum_j A_ij
P[y_j, .]. The construction of one step of mirror descent is such a network with weights that theory
writes down; here they are learned.

A softmax gives averages, but i observations must move the answer less the fewer they are: the
construction needs other weights for every length. With a start token one network serves all
lengths: beside a token of weight C the others have the attention 1 / (C + i) each, and an average
becomes the sum over C + i, the same shrinkage as by C observations that the prior stands for.

Shapes: B sequences, T positions, D coordinates of the stream, V coordinates of R_V, q symbols.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from veribayes.checked import choice, integer, mapping, sequence
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.transformer._config import LARGEST, UNIT, InContext
from veribayes.transformer.architectures._architecture import Architecture

# scores of the nearest distances at the start: attention begins as a moving average, not as a mean
# of everything
NEAR = 5.0


@dataclass(frozen=True)
class DisentangledConfig:
    """Shape of a network.

    Attributes:
        states: (q,).
        length: longest sequence; the tables have one row a distance.
        layers: at least the three of one step of mirror descent.
        values: V, coordinates that R_V writes; at least the number of lags.
        near: distances 1..near that are preferred at the start.
        start: whether a token of its own comes before the symbols.
    """

    states: tuple[int, ...]
    length: int
    layers: int = 3
    values: int = 4
    near: int = 4
    start: bool = False
    family: str = "symbols"
    architecture: str = "disentangled"
    head: ClassVar[str] = "categories"
    latents: ClassVar[Mapping[str, tuple[float, ...]]] = {}
    unit: ClassVar[tuple[float, float]] = UNIT

    def __post_init__(self) -> None:
        choice("family", self.family, ("symbols",))
        choice("architecture", self.architecture, ("disentangled",))
        states = tuple(
            integer("states", k, at_least=2, at_most=LARGEST)
            for k in sequence("states", self.states)
        )
        object.__setattr__(self, "states", states)
        for name, least, most in (
            ("length", 1, LARGEST),
            ("layers", 3, 8),
            ("values", 1, 64),
            ("near", 1, 64),
        ):
            integer(name, getattr(self, name), at_least=least, at_most=most)
        if not isinstance(self.start, bool):
            raise InputError("start: true or false", repr(self.start))
        if len(states) != 1 or self.width(self.layers) > LARGEST:
            raise InputError(
                f"one alphabet and a stream of at most {LARGEST} coordinates",
                f"{states}, {self.layers} layers",
            )

    def width(self, layer: int) -> int:
        """Coordinates of the stream after so many layers; each doubles it and adds V."""
        return (self.tokens + self.values) * 2**layer - self.values

    @property
    def tokens(self) -> int:
        """Number of different tokens: the symbols, and the start."""
        return self.states[0] + self.start

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "states": list(self.states)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> DisentangledConfig:
        return cls(
            **mapping(
                "a network",
                plain,
                allowed=[f.name for f in fields(cls)],
                required=["states", "length"],
            )
        )


class Disentangled(InContext):
    """Log probabilities of the next symbol after every prefix of a sequence."""

    def __init__(self, config: DisentangledConfig) -> None:
        super().__init__()
        self.config, self.symbols = config, config.states[0]
        length = config.length + config.start
        widths = [config.width(i) for i in range(config.layers)]
        layers = [DisentangledAttention(width, length, config.values) for width in widths]
        self.layers = nn.ModuleList(layers)
        # log P, rows up to a constant
        self.output = nn.Parameter(torch.zeros(config.tokens, self.symbols))

    def forward(self, symbols: Tensor) -> Tensor:
        """Symbols (B, T) -> (B, T + 1, q), uniform after the empty prefix where nothing stands
        before it.
        """
        h = self.one_hot(symbols)  # (B, T, q), or (B, T + 1, q + 1) with a start
        before = self.config.width(
            self.config.layers - 1
        )  # what the last layer writes begins with the attended symbol
        for layer in self.layers:
            h = layer(h)
        probs = h[..., before : before + self.config.tokens] @ self.output.softmax(-1)
        whole = (
            probs if self.config.start else F.pad(probs, (0, 0, 1, 0), value=1 / self.symbols)
        )  # (B, T + 1, q)
        return whole.clamp_min(torch.finfo(probs.dtype).tiny).log()

    def attention(self, *arrays: Tensor) -> list[Tensor]:
        """Attention of every layer, (B, T, T) each, with the start (B, T + 1, T + 1)."""
        (symbols,) = arrays
        h, maps = self.one_hot(symbols), []
        for layer in self._layers:
            maps.append(layer.attention(h))
            h = layer(h)
        return maps

    def one_hot(self, symbols: Tensor) -> Tensor:
        """The first stream; the start is the last of the tokens."""
        tokens = F.pad(symbols, (1, 0), value=self.symbols) if self.config.start else symbols
        return F.one_hot(tokens, self.config.tokens).to(self.output.dtype)

    @property
    def _layers(self) -> list[DisentangledAttention]:
        return [cast(DisentangledAttention, layer) for layer in self.layers]

    def initialise(self, seed: int) -> Disentangled:
        """Small random weights as a function of the seed; the tables prefer near distances, and the
        last reads the first.
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in self.parameters():
                nn.init.normal_(weight, std=0.1 / math.sqrt(weight.shape[-1]), generator=generator)
            first, *_, last = self._layers
            for layer, near in (
                (first, slice(1, self.config.near + 1)),
                (last, slice(self.config.near)),
            ):
                layer.distance_score[near, : self.config.tokens] += NEAR
            written = min(self.config.near, self.config.values)
            first.distance_value[1 : written + 1, :written] += torch.eye(written)
            averaged = (
                self.config.width(1) + 2 * self.config.tokens
            )  # where the second layer puts what the first wrote there
            last.distance_score[:written, averaged : averaged + written] += torch.eye(written)
        return self


class DisentangledAttention(nn.Module):
    """One causal head with relative positions; its output is concatenated to its input. D
    coordinates in, 2 D + V out.
    """

    def __init__(self, width: int, length: int, values: int = 0) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.zeros(width, width))  # W_A
        self.distance_score = nn.Parameter(torch.zeros(length, width))  # R_A
        self.distance_value = nn.Parameter(torch.zeros(length, values))  # R_V

    def forward(self, h: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, 2 D + V)."""
        attention = self.attention(h)
        values = torch.einsum(
            "bij,ijv->biv", attention, self.distance_value[distances(h).clamp_min(0)]
        )
        return torch.cat([h, attention @ h, values], dim=-1)

    def attention(self, h: Tensor) -> Tensor:
        """(B, T, T), rows sum to one."""
        distance = distances(h)
        relative = (h @ self.distance_score.T).gather(
            2, distance.clamp_min(0).expand(len(h), -1, -1)
        )
        scores = h @ self.score @ h.mT + relative
        return scores.masked_fill(distance < 0, -torch.inf).softmax(-1)


def distances(h: Tensor) -> Tensor:
    """i - j, (T, T), where the stream h (B, T, D) lies."""
    position = torch.arange(h.shape[1], device=h.device)
    return position[:, None] - position


def lengths(task: Task) -> dict[str, int]:
    """The longest sequence of a task's design: the tables have a row for every distance."""
    return {"length": task.design.positions[-1]}


PART = Architecture(DisentangledConfig.from_dict, Disentangled, lengths)

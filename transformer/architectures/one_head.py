"""One attention head, small enough that every weight has a meaning: does it switch, and by what?

    OneHeadConfig   every choice that shapes the tensors
    OneHead         vectors and queries -> one head -> normals

Keys, values and queries are affine in what is read, so that the head can mix observations and
nothing else. What it has read gives the means of the normals by a linear map; a small perceptron,
which also sees the query, gives their weights and spreads. A head that is to answer nothing has to
put its mass somewhere, and `anchor` says what it may have for that:

    sink       a token of its own before the observations, the same for every query
    diagonal   the query's own token, with key and value that depend on the query
    none       observations alone: the weights of a softmax have to sum to one over these

`normaliser` makes weights of scores: softmax, or without any sum sigmoid(s) and max(s, 0), for
which an anchor is not needed. The question is that of arXiv 2605.08453.

Shapes: B data sets, n observations of d coordinates, Q queries of e, A anchors (0 or 1), V
coordinates of a value, G normals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from veribayes.checked import choice, integer, mapping, number, sequence
from veribayes.errors import InputError
from veribayes.transformer import _parts
from veribayes.transformer._config import LARGEST, UNIT, InContext, frozen, plain
from veribayes.transformer.architectures._architecture import Architecture

SINK, DIAGONAL, NONE = "sink", "diagonal", "none"
SOFTMAX, SIGMOID, RELU = "softmax", "sigmoid", "relu"
ANCHORS, NORMALISERS = (SINK, DIAGONAL, NONE), (SOFTMAX, SIGMOID, RELU)
HEADS = ("normal", "mixture")  # whose outputs are logits, means and log sds
FIRST = 1 / 32  # of first values where weights have no bound: sums over a context stay near one
SIZES = ("key_width", "value_width", "hidden")


@dataclass(frozen=True)
class OneHeadConfig:
    """Shape of a network.

    Attributes:
        inputs: d.
        options: centre and spread of observations and queries, as the tokens `vectors` keep them.
        normaliser: `softmax`, `sigmoid` or `relu`.
        anchor: `sink`, `diagonal` or `none`.
        key_width, value_width: coordinates of keys and queries, and V.
        hidden: units of the perceptron that gives weights and spreads.
        head: `normal` or `mixture`.
        components: G, of a mixture.
        unit: centre and spread of outcomes, in which the head answers.
    """

    inputs: int
    options: Mapping[str, Any] = field(default_factory=dict)
    normaliser: str = SOFTMAX
    anchor: str = SINK
    key_width: int = 8
    value_width: int = 8
    hidden: int = 32
    head: str = "normal"
    components: int = 1
    unit: tuple[float, float] = UNIT
    family: str = "vectors"
    architecture: str = "one_head"
    states: ClassVar[tuple[int, ...]] = ()
    latents: ClassVar[Mapping[str, tuple[float, ...]]] = {}

    def __post_init__(self) -> None:
        choice("family", self.family, ("vectors",))
        choice("architecture", self.architecture, ("one_head",))
        choice("normaliser", self.normaliser, NORMALISERS)
        choice("anchor", self.anchor, ANCHORS)
        choice("head", self.head, HEADS)
        if not isinstance(self.options, Mapping):
            raise InputError("a mapping for 'options'", repr(self.options))
        object.__setattr__(self, "options", frozen(self.options))
        object.__setattr__(self, "unit", _unit(self.unit))
        _parts.tokens(self.family).check(self)
        _parts.head(self.head).check(self)
        for name in SIZES:
            integer(name, getattr(self, name), at_least=1, at_most=LARGEST)
        if self.head == "normal" and self.components != 1:
            raise InputError("components of a mixture", f"{self.components} for the head 'normal'")

    @property
    def asked(self) -> int:
        """e; 0 where the query is the next observation."""
        return len(self.options["queries"]["centre"]) if "queries" in self.options else 0

    def to_dict(self) -> dict[str, Any]:
        settings: dict[str, Any] = plain(asdict(self))
        return settings

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> OneHeadConfig:
        allowed = [f.name for f in fields(cls)]
        return cls(
            **mapping("a network", settings, allowed=allowed, required=["inputs", "options"])
        )


class OneHead(InContext):
    """Logits, means and log sds of normals at every query."""

    def __init__(self, config: OneHeadConfig) -> None:
        super().__init__()
        self.config = config
        self.answer = _parts.head(config.head)
        asked, keys, values = config.asked, config.key_width, config.value_width
        self.key, self.value = nn.Linear(config.inputs, keys), nn.Linear(config.inputs, values)
        self.query = _of_query(asked, keys)
        if config.anchor != NONE:
            told = asked if config.anchor == DIAGONAL else 0  # a sink knows no query
            self.own_key, self.own_value = _of_query(told, keys), _of_query(told, values)
        self.mean = nn.Linear(values, config.components)
        self.hidden = nn.Linear(values + asked, config.hidden)
        self.rest = nn.Linear(config.hidden, 2 * config.components)

    def forward(self, observations: Tensor, query: Tensor | None = None) -> Tensor:
        """Observations (B, n, d), queries (B, Q, e) or none -> (B, Q, 3 G)."""
        asked = self._asked(observations, query)
        read = self._read(observations, asked)
        known = torch.cat([read, asked], dim=-1)
        logits, log_sd = self.rest(F.gelu(self.hidden(known))).chunk(2, dim=-1)
        raw = torch.cat([logits, self.mean(read), log_sd], dim=-1)
        return self.answer.finished(self.config, raw)

    def attention(self, *arrays: Tensor) -> list[Tensor]:
        """The one map, (B, 1, Q, A + n), the anchor first.

        Raises:
            InputError: weights that do not sum to one.
        """
        if self.config.normaliser != SOFTMAX:
            raise InputError("a network with softmax attention", f"'{self.config.normaliser}'")
        observations, *queries = arrays
        asked = self._asked(observations, *queries)
        return [self._weights(observations, asked)[:, None]]

    def initialise(self, seed: int) -> OneHead:
        """Weights as a function of the seed: variance 1 / fan-in, biases and constants small."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in self.parameters():
                std = 1 / math.sqrt(weight.shape[-1]) if weight.ndim == 2 else 0.1
                nn.init.normal_(weight, std=std, generator=generator)
            if self.config.normaliser == RELU:
                self.value.weight.mul_(FIRST)
                self.value.bias.mul_(FIRST)
        return self

    def _asked(self, observations: Tensor, query: Tensor | None = None) -> Tensor:
        """What queries say, (B, Q, e), in units of the prior; where none is asked, nothing once."""
        if query is None:
            return observations.new_zeros(len(observations), 1, 0)
        return self._scaled(query, "queries")

    def _read(self, observations: Tensor, asked: Tensor) -> Tensor:
        """Sum of values by their weights, (B, Q, V)."""
        weights = self._weights(observations, asked)
        values = self.value(self._scaled(observations, "observations"))  # (B, n, V)
        if self.config.anchor == NONE:
            return weights @ values
        own: Tensor = weights[..., :1] * self.own_value(asked)
        return own + weights[..., 1:] @ values

    def _weights(self, observations: Tensor, asked: Tensor) -> Tensor:
        """(B, Q, A + n)."""
        queries = self.query(asked)  # (B, Q, K)
        keys = self.key(self._scaled(observations, "observations"))  # (B, n, K)
        scores = queries @ keys.mT
        if self.config.anchor != NONE:
            own = (queries * self.own_key(asked)).sum(-1, keepdim=True)
            scores = torch.cat([own, scores], dim=-1)
        scores = scores / math.sqrt(self.config.key_width)
        if self.config.normaliser == SOFTMAX:
            return scores.softmax(-1)
        return scores.sigmoid() if self.config.normaliser == SIGMOID else scores.relu()

    def _scaled(self, values: Tensor, side: str) -> Tensor:
        scales = self.config.options[side]
        centre = torch.tensor(scales["centre"], device=values.device, dtype=values.dtype)
        return (values - centre) / torch.tensor(scales["spread"], device=values.device)


class Constant(nn.Module):
    """One learned vector, whatever is asked: (B, Q, e) -> (B, Q, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(width))

    def forward(self, asked: Tensor) -> Tensor:
        return self.vector.expand(*asked.shape[:2], -1)


def _of_query(asked: int, width: int) -> nn.Module:
    """A map of queries of so many coordinates; of none, a constant."""
    return nn.Linear(asked, width) if asked else Constant(width)


def _unit(unit: Any) -> tuple[float, float]:
    """Centre and spread as numbers."""
    numbers = sequence("unit", unit)
    if len(numbers) != 2:
        raise InputError("a centre and a spread as 'unit'", f"{numbers}")
    centre, spread = numbers
    return number("unit", centre), number("unit", spread, above=0)


PART = Architecture(OneHeadConfig.from_dict, OneHead)

"""The common network: tokens of any layout, pre-norm residual blocks, a head.

    NetworkConfig     every choice that shapes the tensors; JSON goes in and out
    Network           tokens -> blocks -> outputs

Which tokens there are, and who may read whom, is said by a token part (`tokens/`), what the outputs
mean by a head (`heads/`). Beside its predictions a network whose first token reads the whole
context may answer for latents with finitely many values.

Shapes: B data sets, N context tokens with the sink, Q queries, D width, H heads, K outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, cast

import torch
from torch import Tensor, nn

from veribayes.checked import integer, mapping, number, sequence, text
from veribayes.errors import InputError
from veribayes.transformer import _parts
from veribayes.transformer._blocks import Block
from veribayes.transformer._config import LARGEST, UNIT, InContext, frozen, plain
from veribayes.transformer.architectures._architecture import Architecture

# settings that older cards do not have, and what they mean there; a head is left out where it is
# the tokens' own
LATER: Mapping[str, Any] = {
    "components": 1,
    "latents": {},
    "levels": 0,
    "unit": UNIT,
    "options": {},
}
SIZES = ("width", "layers", "heads", "expansion")


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of a network.

    Attributes:
        family: the token part that reads the data.
        states: number of categories of each variable that is predicted; empty where outcomes are
            real.
        inputs: number of coordinates of an observation, where the tokens need it, else 0.
        width, layers, heads, expansion: of the blocks; the hidden layer of a block has expansion *
            width units.
        head: the head part; empty: the tokens' own.
        cells, reach, tail_scale: head `bins` only: equal bins on [-reach, reach] and the scale of
            the half-normal tails.
        components: head `mixture` only: how many.
        levels: head `quantiles` only: how many.
        latents: name -> the values that the latent may have, whose posterior is answered too.
        unit: centre and spread of real outcomes, in which the head answers.
        options: what the token part or the head wants to keep besides, by name; it checks them.
    """

    family: str
    states: tuple[int, ...] = ()
    inputs: int = 0
    width: int = 64
    layers: int = 4
    heads: int = 4
    expansion: int = 2
    cells: int = 0
    reach: float = 0.0
    tail_scale: float = 0.0
    head: str = ""
    components: int = 1
    latents: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    levels: int = 0
    unit: tuple[float, float] = UNIT
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = object.__setattr__
        tokens = _parts.tokens(self.family)
        put(self, "states", _states(self.states))
        put(self, "latents", _latents(self.latents))
        put(self, "unit", _unit(self.unit))
        put(self, "options", frozen(self._mapping("options")))
        tokens.check(self)
        put(self, "head", text("head", self.head) or tokens.head(self))
        self._check_head()
        for name in SIZES:
            integer(name, getattr(self, name), at_least=1, at_most=LARGEST)
        if self.width % (2 * self.heads):
            raise InputError("an even width per head", f"width {self.width} for {self.heads} heads")
        if self.latents and not tokens.summarised:
            raise InputError("latents where a token has read all", f"the tokens '{self.family}'")

    @property
    def outputs(self) -> int:
        """Number of outputs a query, K."""
        return _parts.head(self.head).outputs(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for cards; settings that came later are left out where they change nothing."""
        settings = plain(asdict(self))
        later = {**plain(LATER), "head": _parts.tokens(self.family).head(self)}
        return {k: v for k, v in settings.items() if k not in later or v != later[k]}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> NetworkConfig:
        allowed = [f.name for f in fields(cls)]
        return cls(**mapping("a network", settings, allowed=allowed, required=["family"]))

    def _check_head(self) -> None:
        """The head is one for such outcomes, and has its own settings and no other's."""
        head = _parts.head(self.head)
        wanted = "category" if self.states else "real"
        if head.values != wanted:
            raise InputError(f"a head for outcomes that are {wanted}", f"'{self.head}'")
        head.check(self)
        if self.components != 1 and "components" not in head.settings:
            got = f"{self.components} for the head '{self.head}'"
            raise InputError("components of a mixture", got)

    def _mapping(self, name: str) -> Mapping[str, Any]:
        value = getattr(self, name)
        if not isinstance(value, Mapping):
            raise InputError(f"a mapping for '{name}'", repr(value))
        return value


class Network(InContext):
    """Outputs of the head at every query, or after every prefix of a sequence."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.reader = _parts.tokens(config.family)
        self.answer = _parts.head(config.head)
        self.tokens = self.reader.embedding(config)
        causal = self.reader.causal
        self.blocks = nn.ModuleList(Block(config, causal) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.outputs)
        if config.latents:
            self.latent_head = nn.Linear(config.width, sum(map(len, config.latents.values())))

    def forward(self, *arrays: Tensor) -> Tensor:
        """Arrays of the tokens -> outputs (B, Q, K); of causal tokens Q = t + 1 prefixes of length
        0..t.
        """
        return self.with_latents(*arrays)[0]

    def with_latents(self, *arrays: Tensor) -> tuple[Tensor, Tensor | None]:
        """Outputs as in `forward`, and the log posterior (B, V) of the latents, side by side; None
        without latents.
        """
        outputs, latents = self.raw(*arrays)
        widths = self.reader.widths(self.config, arrays)
        return outputs if widths is None else _masked(outputs, widths), latents

    def raw(self, *arrays: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the heads put out, (B, Q, K), before impossible states are taken out, and the log
        posterior of the latents.
        """
        tokens, readable = self.tokens(*arrays)  # (B, N + Q, D); the first N may be read
        # the last block need not work on tokens that nobody reads any more
        left_out = readable if self.reader.queried and not self.config.latents else 0
        for i, block in enumerate(self.blocks, 1):
            tokens = block(tokens, readable, left_out if i == len(self.blocks) else 0)
        tokens = self.norm(tokens)
        latents = self._latents(tokens[:, 0]) if self.config.latents else None
        answered = self.reader.answered(tokens, readable - left_out, arrays)
        return self.answer.finished(self.config, self.head(answered)), latents

    def attention(self, *arrays: Tensor) -> list[Tensor]:
        """Attention of every layer, (B, H, N + Q, N), where Q = 0 unless queries have tokens of
        their own.
        """
        tokens, readable = self.tokens(*arrays)
        maps = []
        for block in self.blocks:
            tokens, weights = cast(Block, block).read(tokens, readable)
            maps.append(weights)
        return maps

    def residuals(self, *arrays: Tensor) -> list[Tensor]:
        """The residual stream where the head reads it, as tokens and behind every block, (B, Q, D)
        each.
        """
        tokens, readable = self.tokens(*arrays)
        streams = [self.reader.answered(tokens, readable, arrays)]
        for block in self.blocks:
            tokens = block(tokens, readable)
            streams.append(self.reader.answered(tokens, readable, arrays))
        return streams

    def matrices(self) -> list[nn.Parameter]:
        """Those of the blocks."""
        return [weight for weight in self.blocks.parameters() if weight.ndim == 2]

    def initialise(self, seed: int) -> Network:
        """Weights as a function of the seed: variance 1/fan-in, output maps scaled down by the
        depth, biases zero.
        """
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.ndim >= 2:
                depth = math.sqrt(2 * self.config.layers) if name.endswith("out.weight") else 1.0
                std = 1 / (math.sqrt(weight.shape[-1]) * depth)
                nn.init.normal_(weight, std=std, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)
        with torch.no_grad():
            self.answer.start(self.config, self.head.bias)
        return self

    def _latents(self, summary: Tensor) -> Tensor:
        """Log posteriors of the latents, (B, V), from what the first token has read (B, D)."""
        sizes = [len(values) for values in self.config.latents.values()]
        parts = self.latent_head(summary).split(sizes, dim=-1)
        return torch.cat([part.log_softmax(-1) for part in parts], dim=-1)


def _masked(outputs: Tensor, widths: Tensor) -> Tensor:
    """Minus infinity beyond the number of states of each query's target (B, Q)."""
    category = torch.arange(outputs.shape[-1], device=outputs.device)
    return outputs.masked_fill(category >= widths[..., None], -torch.inf)


def _states(states: Any) -> tuple[int, ...]:
    given = sequence("states", states)
    return tuple(integer("states", k, at_least=2, at_most=LARGEST) for k in given)


def _unit(unit: Any) -> tuple[float, float]:
    numbers = sequence("unit", unit)
    if len(numbers) != 2:
        raise InputError("a centre and a spread as 'unit'", f"{numbers}")
    centre, spread = numbers
    return number("unit", centre), number("unit", spread, above=0)


def _latents(latents: Any) -> dict[str, tuple[float, ...]]:
    """The values of each latent by its name."""
    if not isinstance(latents, Mapping):
        raise InputError("the values of each latent by its name", repr(latents))
    checked: dict[str, tuple[float, ...]] = {}
    for name, values in latents.items():
        numbers = tuple(number(name, value) for value in sequence(name, values))
        if not 0 < len(numbers) <= LARGEST:
            raise InputError(f"1 to {LARGEST} values of each latent", f"{name}: {len(numbers)}")
        checked[text("latents", name)] = numbers
    return checked


PART = Architecture(NetworkConfig.from_dict, Network)

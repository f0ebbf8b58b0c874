"""One transformer for every family, in one file.

    NetworkConfig     every choice that shapes the tensors; JSON goes in and out
    Network           tokens -> blocks -> logits
      RowTokens         Bayesian network, unknown tables: one-hot rows; a query is a row prefix seen through a map of its target
      NodeTokens        Bayesian network, known tables: one token a node, its observed state or "not observed"
      SymbolTokens      mixture transition distribution: symbols after a start token
      PointTokens       Gaussian process: (x, y) pairs; a query is x alone
      Block, Attention  pre-norm residual block; who may read whom

Beside its predictions a network of points may answer for latents with finitely many values, from the state of its sink.

Sets, sequences and networks differ in a few lines. In a **set** every token reads the sink and the context, nobody reads
a query, and there are no positions: predictions depend neither on the order of the context nor on the other queries.
Softmax averages cannot count; the share of attention that stays on the sink can, and the sink is told log(1 + n). In a
**sequence** every token reads itself and what came before, with rotary positions (arXiv 2104.09864), because lags are
relative. In a **network** every node reads every node, and each answers for itself.

Shapes: B data sets, N context tokens with the sink, Q queries, D width, H heads, K categories or cells, M nodes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from veribayes.checked import choice, integer, mapping, number, sequence, text
from veribayes.errors import InputError
from veribayes.transformer._heads import HEADS

Family = Literal["rows", "nodes", "symbols", "points"]
# radians per unit of x: wavelengths from 12 to 1.6, the scales of inputs near [-3, 3]
FREQUENCIES = (0.5, 1.0, 2.0, 4.0)
LARGEST = 4096  # of any size in a config: a card must not be able to ask for all memory
LATER: Mapping[str, Any] = {
    "head": "bins",
    "components": 1,
    "latents": {},
}  # what older cards do not have, and mean
ROTARY_BASE = 1000.0  # contexts are at most some hundred tokens; the usual 10,000 would leave the slow pairs unused


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of a network.

    Attributes:
        family: which tokens: `rows` or `nodes` (Bayesian network with unknown or known tables), `symbols` (MTD), `points`
            (Gaussian process).
        states: number of categories of each node (`rows`, `nodes`), or of the one symbol (`symbols`); empty for `points`.
        inputs: dimension of x (`points`), else 0.
        width, layers, heads, expansion: of the blocks; the hidden layer of a block has expansion * width units.
        head, components: `points` only: `bins`, `normal` or `mixture` (of so many).
        cells, reach, tail_scale: `bins` only: equal bins on [-reach, reach] and the scale of the half-normal tails.
        latents: `points` only: name -> the values that the latent may have, whose posterior is answered too.
    """

    family: Family
    states: tuple[int, ...] = ()
    inputs: int = 0
    width: int = 64
    layers: int = 4
    heads: int = 4
    expansion: int = 2
    cells: int = 0
    reach: float = 0.0
    tail_scale: float = 0.0
    head: str = "bins"
    components: int = 1
    latents: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        choice("family", self.family, get_args(Family))
        states = tuple(
            integer("states", k, at_least=2, at_most=LARGEST)
            for k in sequence("states", self.states)
        )
        object.__setattr__(self, "states", states)
        points = self.family == "points"
        self._check_heads(points)
        for name in (
            "width",
            "layers",
            "heads",
            "expansion",
            "components",
            *(("inputs",) if points else ()),
        ):
            integer(name, getattr(self, name), at_least=1, at_most=LARGEST)
        if points and self.head == "bins":
            self._check_cells()
        if self.width % (2 * self.heads):
            raise InputError("an even width per head", f"width {self.width} for {self.heads} heads")
        if points != (not states) or (self.family == "symbols" and len(states) > 1):
            raise InputError(
                "states of each node, or of the one symbol, and none for points", f"{states}"
            )

    def _check_cells(self) -> None:
        integer("cells", self.cells, at_least=1, at_most=LARGEST)
        number("reach", self.reach, above=0)
        number("tail_scale", self.tail_scale, above=0)

    def _check_heads(self, points: bool) -> None:
        if not isinstance(self.latents, Mapping):
            raise InputError("the values of each latent by its name", repr(self.latents))
        latents = {
            text("latents", name): tuple(number(name, v) for v in sequence(name, values))
            for name, values in self.latents.items()
        }
        object.__setattr__(self, "latents", latents)
        choice("head", self.head, HEADS)
        if not points and (self.head != "bins" or self.components != 1 or latents):
            raise InputError("heads and latents for points", f"the family '{self.family}'")
        if self.components != 1 and self.head != "mixture":
            raise InputError(
                "components of a mixture", f"{self.components} for the head '{self.head}'"
            )
        if not all(0 < len(values) <= LARGEST for values in latents.values()):
            raise InputError(
                f"1 to {LARGEST} values of each latent",
                f"{ {n: len(v) for n, v in latents.items()} }",
            )

    @property
    def outputs(self) -> int:
        """Number of outputs a query: the widest variable's categories, the cells with their tails, or three a component."""
        if self.family != "points":
            return max(self.states)
        return self.cells + 2 if self.head == "bins" else 3 * self.components

    def to_dict(self) -> dict[str, Any]:
        """Plain data for cards; settings that came later are left out where they change nothing."""
        latents = {name: list(values) for name, values in self.latents.items()}
        plain = {**asdict(self), "states": list(self.states), "latents": latents}
        return {k: v for k, v in plain.items() if k not in LATER or v != LATER[k]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> NetworkConfig:
        return cls(
            **mapping(
                "a network", plain, allowed=[f.name for f in fields(cls)], required=["family"]
            )
        )


class Network(nn.Module):
    """Logits of the predictive at every query, or after every prefix of a sequence."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        tokens = {
            "rows": RowTokens,
            "nodes": NodeTokens,
            "symbols": SymbolTokens,
            "points": PointTokens,
        }
        self.tokens = tokens[config.family](config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.outputs)
        if config.latents:
            self.latent_head = nn.Linear(config.width, sum(map(len, config.latents.values())))

    def forward(self, *arrays: Tensor) -> Tensor:
        """Arrays of the family's tokens -> logits (B, Q, K); for symbols, Q = t + 1 prefixes of length 0..t.

        Of a head without cells: logit, mean and log sd of each component, K = 3 G.
        """
        return self.with_latents(*arrays)[0]

    def with_latents(self, *arrays: Tensor) -> tuple[Tensor, Tensor | None]:
        """Outputs as in `forward`, and the log posterior (B, V) of the latents, side by side; None without latents."""
        raw, latents = self.raw(*arrays)
        masked = self.config.family in ("rows", "nodes")
        return self._mask(raw, arrays[-1]) if masked else raw, latents

    def raw(self, *arrays: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the heads put out, (B, Q, outputs), and the log posterior of the latents."""
        tokens, readable = self.tokens(*arrays)  # (B, N + Q, D); the first N may be read
        asked = (
            readable if self.config.family in ("rows", "points") and not self.config.latents else 0
        )
        for i, block in enumerate(self.blocks, 1):
            tokens = block(tokens, readable, asked if i == len(self.blocks) else 0)
        tokens, latents = self.norm(tokens), None
        if self.config.latents:
            sizes = [len(values) for values in self.config.latents.values()]
            parts = self.latent_head(tokens[:, 0]).split(sizes, dim=-1)
            latents = torch.cat([part.log_softmax(-1) for part in parts], dim=-1)
        if self.config.family == "nodes":
            tokens = torch.take_along_dim(tokens, arrays[-1][..., None], dim=1)
        elif self.config.family != "symbols":
            tokens = tokens[:, readable - asked :]
        return self.head(tokens), latents

    def attention(self, *arrays: Tensor) -> list[Tensor]:
        """Attention of every layer, (B, H, N + Q, N); for symbols and nodes Q = 0."""
        tokens, readable = self.tokens(*arrays)
        maps = []
        for block in self.blocks:
            tokens, weights = cast(Block, block).read(tokens, readable)
            maps.append(weights)
        return maps

    def _mask(self, logits: Tensor, target: Tensor) -> Tensor:
        """Minus infinity beyond the number of states of each query's target (B, Q)."""
        states = torch.tensor(self.config.states, device=logits.device)
        category = torch.arange(logits.shape[-1], device=logits.device)
        return logits.masked_fill(category >= states[target][..., None], -torch.inf)

    def initialise(self, seed: int) -> Network:
        """Weights as a function of the seed: variance 1/fan-in, output maps scaled down by the depth, biases zero."""
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.ndim >= 2:
                depth = math.sqrt(2 * self.config.layers) if name.endswith("out.weight") else 1.0
                nn.init.normal_(
                    weight, std=1 / (math.sqrt(weight.shape[-1]) * depth), generator=generator
                )
            elif name.endswith("bias"):
                nn.init.zeros_(weight)
        return self


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.attention = Attention(config)
        self.hidden = nn.Linear(config.width, config.expansion * config.width)
        self.out = nn.Linear(config.expansion * config.width, config.width)

    def forward(self, x: Tensor, readable: int, first: int = 0) -> Tensor:
        """Tokens from the `first` on; the ones before it are read and left out, when no block will read them again."""
        x = x[:, first:] + self.attention(self.norm_1(x), readable, first)
        changed: Tensor = x + self.out(F.gelu(self.hidden(self.norm_2(x))))
        return changed

    def read(self, x: Tensor, readable: int) -> tuple[Tensor, Tensor]:
        """What `forward` returns, and the attention on the way."""
        return self(x, readable), self.attention.maps(self.norm_1(x), readable)


class Attention(nn.Module):
    """Multi-head attention in which only the first `readable` tokens have keys and values."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.heads, self.causal = config.heads, config.family == "symbols"
        self.query = nn.Linear(config.width, config.width, bias=False)
        self.key_value = nn.Linear(config.width, 2 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, readable: int, first: int = 0) -> Tensor:
        """(B, N + Q, D) -> what the tokens from the `first` on have read, (B, N + Q - first, D)."""
        q, k, v = self._heads(x, readable, first)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        joined: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return joined

    def maps(self, x: Tensor, readable: int) -> Tensor:
        """The weights themselves, (B, H, N + Q, N)."""
        q, k, _ = self._heads(x, readable)
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if self.causal:
            scores = scores.masked_fill(
                torch.ones_like(scores, dtype=torch.bool).triu(1), -torch.inf
            )
        return scores.softmax(-1)

    def _heads(self, x: Tensor, readable: int, first: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        q = self._split(self.query(x[:, first:]))  # (B, H, N + Q - first, D / H)
        k, v = (
            self._split(half) for half in self.key_value(x[:, :readable]).chunk(2, dim=-1)
        )  # (B, H, N, D / H)
        return (rotate(q), rotate(k), v) if self.causal else (q, k, v)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)  # (B, T, D) -> (B, H, T, D / H)


def rotate(x: Tensor) -> Tensor:
    """Turn each pair of channels, as a complex number, by position times frequency; scores then depend on distance alone."""
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))  # (B, H, T, D / 2H)
    frequency = ROTARY_BASE ** (-torch.arange(pairs.shape[-1], device=x.device) / pairs.shape[-1])
    angle = torch.arange(x.shape[-2], device=x.device)[:, None] * frequency  # (T, D / 2H)
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten(-2)


class Sink(nn.Module):
    """The token every other one may read: a learned vector plus log(1 + n) times another."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.zeros(2, width))

    def forward(self, context: Tensor) -> Tensor:
        """(B, n, D) -> (B, 1 + n, D)."""
        sink = self.vectors[0] + math.log1p(context.shape[1]) * self.vectors[1]
        return torch.cat([sink.expand(context.shape[0], 1, -1), context], dim=1)


class RowTokens(nn.Module):
    """Complete rows, and row prefixes whose next node is asked for.

    Which nodes matter depends on the target, so a query is embedded by a matrix of its target's own: the gate on the
    parents that the construction of arXiv 2501.02547 spends its first layer on, here learned.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.nodes, self.categories = len(config.states), max(config.states)
        self.sink = Sink(config.width)
        self.context = nn.Linear(self.nodes * self.categories, config.width)
        self.query = nn.Parameter(
            torch.zeros(self.nodes, config.width, self.nodes * self.categories + 1)
        )

    def forward(self, rows: Tensor, query: Tensor, target: Tensor) -> tuple[Tensor, int]:
        """Rows (B, n, M), query prefixes (B, Q, M) with -1 = not given, target nodes (B, Q)."""
        context = self.sink(self.context(self.one_hot(rows)))
        given = F.pad(
            self.one_hot(query), (0, 1), value=1.0
        )  # (B, Q, M K + 1); the last one carries the target itself
        asked = F.one_hot(target, self.nodes).to(given.dtype)  # (B, Q, M)
        gated = (asked[..., :, None] * given[..., None, :]).flatten(2)  # (B, Q, M (M K + 1))
        queries = gated @ self.query.transpose(1, 2).flatten(0, 1)
        return torch.cat([context, queries], dim=1), context.shape[1]

    def one_hot(self, rows: Tensor) -> Tensor:
        """(B, T, M) -> (B, T, M K); -1 becomes zeros."""
        category = torch.arange(self.categories, device=rows.device)
        return (rows[..., None] == category).flatten(2).to(self.query.dtype)


class NodeTokens(nn.Module):
    """Evidence on some nodes: each node is a token, a learned vector for every state it may be seen in, and one for none."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.values = max(config.states) + 1
        self.embedding = nn.Embedding(len(config.states) * self.values, config.width)

    def forward(self, evidence: Tensor, target: Tensor) -> tuple[Tensor, int]:
        """Evidence (B, M) with -1 = not observed; the targets (B, Q) choose among the answers."""
        del target  # all nodes are answered at once
        node = torch.arange(evidence.shape[1], device=evidence.device)
        return self.embedding(node * self.values + evidence + 1), evidence.shape[1]


class SymbolTokens(nn.Module):
    """A start token, then the symbols; the start token is what a prefix of length 0 ends in."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.start = config.states[0]
        self.embedding = nn.Embedding(self.start + 1, config.width)

    def forward(self, symbols: Tensor) -> tuple[Tensor, int]:
        """Symbols (B, t)."""
        tokens = self.embedding(F.pad(symbols, (1, 0), value=self.start))
        return tokens, tokens.shape[1]


class PointTokens(nn.Module):
    """Pairs (x, y); x enters with sines and cosines, in which a stationary kernel is a bilinear form."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        features = config.inputs * (2 + 2 * len(FREQUENCIES))
        self.sink = Sink(config.width)
        self.context = nn.Linear(features + 1, config.width)
        self.query = nn.Linear(features, config.width)

    def forward(self, x: Tensor, y: Tensor, x_query: Tensor) -> tuple[Tensor, int]:
        """Context x (B, n, d) with y (B, n), queries (B, Q, d)."""
        context = self.sink(self.context(torch.cat([self.features(x), y[..., None]], dim=-1)))
        return torch.cat([context, self.query(self.features(x_query))], dim=1), context.shape[1]

    def features(self, x: Tensor) -> Tensor:
        """(B, T, d) -> (B, T, d (2 + 2 frequencies))."""
        angle = (x[..., None] * torch.tensor(FREQUENCIES, device=x.device)).flatten(2)
        return torch.cat([x, x * x / 2, angle.sin(), angle.cos()], dim=-1)

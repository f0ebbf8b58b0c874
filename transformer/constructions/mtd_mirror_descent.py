"""Mixture of transition distributions: attention layers that make steps of mirror descent (arXiv
2604.10848).

One step is a disentangled transformer: three layers of one head, no feed-forward, causal, residual
by concatenation, tables R_A and R_V indexed by the distance i - j (0 for a token itself):

    e_ij = h_i^T W_A h_j + h_i^T R_A[i - j],
    h_i <- Concat(h_i, sum_j softmax_j(e_ij) Concat(h_j, R_V[i - j]))

    layer 1   W_A = (log pi)^T, R_A open for the distances 1..m, R_V[g] = e_g: the attention
              A_{i,i-g} is the responsibility gamma_i(g) = a_ig / sum_h a_ih of lag g, a_ig =
              pi(y_{i-g}, y_i), and R_V writes it into the stream
    layer 2   open for the distances 0..T-m-1: at the last position, the average of gamma over the T
              - m terms
    layer 3   open for the distances 0..m-1, plus eta m (T - m) times coordinate g of that average:
              A_{T,T+1-g} = lambda_g
    output    pi^T on the block of the attended symbol

With a matrix for each lag (MTDg) one W_A has to hold m of them: a token then tells its symbol and
its position modulo m + 1, in one block of q (m + 1) coordinates. Two tokens at most m apart know
their distance g from these remainders, so W_A reads log pi_g for them, and the output knows the lag
of an attended symbol.

The tables are exact at the last position of the one length T that they are written for. Several
steps need the gradient at weights that only the last position of a causal network would know: they
are made by an attention that sees both ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from veribayes.checked import integer, number
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.models.mtd import MTD
from veribayes.predictive import Array
from veribayes.transformer.architectures.disentangled import DisentangledAttention
from veribayes.transformer.constructions._frame import in_batches, require_family, tensor, weight
from veribayes.tree import IntArray

IMPOSSIBLE = 1e-300  # stands for a zero of pi, whose logarithm would turn the scores into NaN
CLOSED = 800.0  # below log(1e-300) = -691 by enough that exp is exactly zero
THEOREM = "theorem"


@dataclass(frozen=True)
class MTDMirrorDescent:
    """Exponentiated gradient from equal weights.

    Attributes:
        steps: 1: the three-layer network; more: two layers a step.
        eta: step size: a number, one for each prefix length, or `theorem`: 1 / (concentration m +
            1), at which one step equals the posterior mean to first order where there is no
            evidence. None: a run takes the best for each prefix length, as the engine
            `mirror_descent` does.
    """

    steps: int = 1
    eta: float | str | Mapping[int, float] | None = None
    families: ClassVar[tuple[str, ...]] = ("mtd",)

    def __post_init__(self) -> None:
        integer("steps", self.steps, at_least=1, at_most=1000)
        values = self.eta.values() if isinstance(self.eta, Mapping) else [self.eta]
        for eta in values:
            if eta is not None and eta != THEOREM:
                number("eta", eta, above=0)

    @property
    def searched_by(self) -> str:
        """The engine that knows the best step size for each prefix length; empty where one is
        given.
        """
        return "mirror_descent" if self.eta is None else ""

    def __call__(self, task: Task) -> SymbolPredictor:
        """Raises InputError for another family, or no step size."""
        require_family(self, task)
        model = cast(MTD, task.model)
        if self.eta is None:
            raise InputError("a step size", "none", f"set eta to a number or to '{THEOREM}'")
        eta = theorem(model) if isinstance(self.eta, str) else self.eta
        return SymbolPredictor(model, self.steps, eta)


def theorem(model: MTD) -> float:
    """Step size of Theorem 1 of arXiv 2604.10848, for a symmetric Dirichlet law of the weights."""
    return 1 / (model.concentration * model.m + 1)


class SymbolPredictor:
    """The candidate: a network for each length of the prefix."""

    roles: ClassVar[tuple[str, ...]] = (
        "responsibility of each lag",
        "average over the terms",
        "weight of each lag",
    )

    def __init__(self, model: MTD, steps: int, eta: float | Mapping[int, float]) -> None:
        self.model, self.steps, self.eta = model, steps, eta

    def network(self, length: int) -> OneStepNetwork | ManyStepNetwork:
        """The network for prefixes of this length, at least m."""
        eta = self.eta.get(length) if isinstance(self.eta, Mapping) else self.eta
        if eta is None:
            raise InputError(f"a step size for prefixes of length {length}", "none")
        if self.steps == 1:
            return OneStepNetwork(self.model, length, eta)
        return ManyStepNetwork(self.model, length, eta, self.steps)

    def __call__(self, context: IntArray, query: None) -> dict[str, Array]:
        """Prefixes (B, t) -> probs (B, 1, q); uniform before there are m symbols."""
        del query  # the next symbol is all that can be asked
        datasets, length = context.shape
        y = tensor(context)
        if length < self.model.m:
            return {"probs": np.full((datasets, 1, self.model.q), 1 / self.model.q)}
        return {"probs": in_batches(self.network(length), length**2, y)[:, None]}

    def attention(self, context: IntArray, query: None) -> tuple[list[Array], int]:
        """Attention of the three layers of one step, (dataset, 1, reader, read), all of them over
        observations.

        Raises:
            InputError: a network of several steps, whose average is no attention of one reader.
        """
        del query
        network = self.network(context.shape[1])
        if not isinstance(network, OneStepNetwork):
            raise InputError("one step", f"{self.steps}")
        with torch.inference_mode():
            return [m[:, None].numpy() for m in network.attention(tensor(context))], 0


class Alphabet:
    """What a token tells, one of s: its symbol, and with a matrix for each lag also its position
    modulo m + 1.
    """

    def __init__(self, model: MTD) -> None:
        self.symbols, self.remainders = model.q, model.m + 1 if model.per_lag else 1
        self.size = model.q * self.remainders
        self.pi = tensor(model.matrices)

    def one_hot(self, y: Tensor) -> Tensor:
        """Symbols (B, T) -> (B, T, s)."""
        remainder = torch.arange(y.shape[1]) % self.remainders
        return F.one_hot(remainder * self.symbols + y, self.size).double()

    def score(self) -> Tensor:
        """log pi of the lag between two tokens, (s of the later, s of the earlier); any lag's where
        they are too far apart.
        """
        remainder = torch.arange(self.remainders)
        lag = (remainder[:, None] - remainder) % self.remainders
        pi = self.pi[lag - 1].clamp_min(IMPOSSIBLE).log()  # (later, earlier, symbol, next symbol)
        return pi.permute(0, 3, 1, 2).reshape(self.size, self.size)

    def output(self, length: int) -> Tensor:
        """pi of the lag between a token and the symbol after a prefix of this length, (s, q)."""
        lag = (length - torch.arange(self.remainders)) % self.remainders
        return self.pi[lag - 1].reshape(self.size, self.symbols)


class OneStepNetwork(nn.Module):
    """Disentangled transformer of three layers. B sequences, T positions, s values of a token, q
    symbols, m lags.
    """

    def __init__(self, model: MTD, length: int, eta: float) -> None:
        super().__init__()
        self.alphabet = Alphabet(model)
        q, m = self.alphabet.size, model.m
        self.responsibilities = WrittenAttention(q, length, m)
        self.responsibilities.score[:] = self.alphabet.score()
        self.responsibilities.open(slice(1, m + 1), slice(q))
        each_lag = torch.eye(m, dtype=torch.float64)
        self.responsibilities.distance_value[1 : m + 1] = each_lag[: length - 1]
        width = 2 * q + m  # [symbol | attended symbol | gamma]
        self.average = WrittenAttention(width, length)
        self.average.open(slice(length - m), slice(q))
        self.weights = WrittenAttention(2 * width, length)
        self.weights.open(slice(m), slice(q))
        mean_gamma = slice(width + 2 * q, 2 * width)
        self.weights.distance_score[:m, mean_gamma] = eta * m * (length - m) * each_lag
        # what layer 3 writes into the stream begins with symbols
        self.attended = slice(2 * width, 2 * width + q)
        self.output = weight(q, model.q)
        self.output[:] = self.alphabet.output(length)

    def forward(self, y: Tensor) -> Tensor:
        """Symbols (B, T) -> probabilities of the next one (B, q)."""
        h = self.alphabet.one_hot(y)  # (B, T, s)
        for layer in (self.responsibilities, self.average, self.weights):
            h = layer(h)
        return h[:, -1, self.attended] @ self.output

    def attention(self, y: Tensor) -> list[Tensor]:
        """Attention of every layer, (B, T, T) each."""
        h, maps = self.alphabet.one_hot(y), []
        for layer in (self.responsibilities, self.average, self.weights):
            maps.append(layer.attention(h))
            h = layer(h)
        return maps


class WrittenAttention(DisentangledAttention):
    """The trainable layer with weights to be written: zeros in float64."""

    def __init__(self, width: int, length: int, values: int = 0) -> None:
        super().__init__(width, length, values)
        self.double().requires_grad_(False)

    def open(self, distances: slice, on: slice) -> None:
        """Close all other distances, through the coordinates `on`, of which exactly one is 1 in
        every token.
        """
        opened = self.distance_score[distances, on].clone()
        self.distance_score[:, on] = -CLOSED
        self.distance_score[distances, on] = opened


class ManyStepNetwork(nn.Module):
    """Two layers a step, with tokens [symbol | term | log weights]: responsibilities, then their
    average.

    `term` is 1 from position m on, where a symbol is a term of the likelihood; the log weights
    start at zero and are the same in all tokens. The gradient is the sum of the responsibilities
    divided by the weights.
    """

    def __init__(self, model: MTD, length: int, eta: float, steps: int) -> None:
        super().__init__()
        self.alphabet = Alphabet(model)
        q, m = self.alphabet.size, model.m
        self.symbols, self.lags, self.steps = q, m, steps
        self.scale = eta * (length - m)  # of the average, to make it eta times the sum
        width = q + 1 + m
        log_weights = slice(q + 1, width)
        self.responsibilities = WrittenAttention(width, length, m)
        self.responsibilities.score[:q, :q] = self.alphabet.score()
        self.responsibilities.open(slice(1, m + 1), slice(q))
        each_lag = torch.eye(m, dtype=torch.float64)
        self.responsibilities.distance_score[1 : m + 1, log_weights] = each_lag[: length - 1]
        self.responsibilities.distance_value[1 : m + 1] = each_lag[: length - 1]
        self.term_score = weight(width)  # the average reads the tokens whose `term` is 1
        self.term_score[q] = CLOSED
        self.weights = WrittenAttention(width, length)
        self.weights.open(slice(m), slice(q))
        self.weights.distance_score[:m, log_weights] = each_lag
        self.output = weight(q, model.q)
        self.output[:] = self.alphabet.output(length)

    def forward(self, y: Tensor) -> Tensor:
        """Symbols (B, T) -> probabilities of the next one (B, q)."""
        z = self.tokens(y)  # (B, T, s + 1 + m)
        for _ in range(self.steps):
            gamma = self.responsibilities(z)[..., -self.lags :]  # (B, T, m)
            read = (z @ self.term_score).softmax(-1)
            mean = read[:, None] @ gamma  # (B, 1, m), the same for every reader
            kept, log_weights = z[..., : -self.lags], z[..., -self.lags :]
            step = self.scale * mean / log_weights.softmax(-1)
            z = torch.cat([kept, log_weights + step], dim=-1)
        attended = self.weights.attention(z)[:, -1:] @ z[..., : self.symbols]  # (B, 1, s)
        return attended[:, 0] @ self.output

    def tokens(self, y: Tensor) -> Tensor:
        symbol = self.alphabet.one_hot(y)
        later = torch.arange(y.shape[1]) >= self.lags
        term = later.double()[:, None].expand(len(y), -1, 1)
        return torch.cat([symbol, term, symbol.new_zeros(*y.shape, self.lags)], dim=-1)


PART = MTDMirrorDescent

"""Bayesian network, learning: two layers of softmax attention that compute maximum likelihood
(arXiv 2501.02547).

A token is [x | p | f | G | x^]: x holds M blocks of K states one-hot, p the node asked for, f the
flag of the query, and G (M) and x^ (M K) start empty. Context tokens have p = 0 and f = 0; the
query has p = e_target and f = 1.

    layer 1   attention to the query alone copies G = W^T p, the target and its parents, to every
              token; feed-forward x_m <- ReLU(x_m - (1 - G_m)): an exact gate, because x is 0 or 1
    layer 2   score(i) = beta * (number of parents on which row i agrees with the query), the query
              left out by its flag; x^ <- the average of the gated rows
    readout   sum_m ReLU(x^_m - 2 (1 - p_m)): the block of the target

With N rows in the context, n of them with the query's parent configuration, |out - MLE|_inf <=
exp(-beta) (N - n) / n. Where n = 0 the MLE is undefined and the network averages the rows that
agree on the most parents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from veribayes.checked import number
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork, RowQuery
from veribayes.predictive import Array
from veribayes.transformer.constructions._frame import in_batches, require_family, tensor, weight
from veribayes.tree import IntArray

PRECISION = 1e-15  # error that the default beta allows
SHARP = 40.0  # exp(-40) = 4e-18 is below the rounding of one


@dataclass(frozen=True)
class BNMaximumLikelihood:
    """The two-layer network of every target of a graph.

    Attributes:
        beta: inverse temperature of layer 2; None: log(N / 1e-15) for contexts of N rows.
    """

    beta: float | None = None
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __post_init__(self) -> None:
        if self.beta is not None:
            number("beta", self.beta, above=0)

    def __call__(self, task: Task) -> RowPredictor:
        """Raises InputError for another family or known tables."""
        require_family(self, task)
        model = cast(BayesianNetwork, task.model)
        if model.prior is None:
            raise InputError(
                "tables that are learned from rows", f"known tables in the task '{task.name}'"
            )
        return RowPredictor(model, self.beta)


def error_bound(beta: float, rows: Any, matching: Any) -> Any:
    """Bound on |out - MLE|_inf for `matching` >= 1 rows with the query's parent configuration among
    `rows`.
    """
    return np.exp(-beta) * (rows - matching) / matching


class RowPredictor:
    """The candidate: the network is written anew for each context length, because beta grows with
    it.
    """

    roles: ClassVar[tuple[str, ...]] = ("target and parents", "rows that agree on the parents")

    def __init__(self, model: BayesianNetwork, beta: float | None) -> None:
        self.model, self.beta = model, beta

    def network(self, rows: int) -> MaximumLikelihoodNetwork:
        """The network for contexts of so many rows."""
        return MaximumLikelihoodNetwork(self.model, self.beta or math.log(max(rows, 1) / PRECISION))

    def __call__(self, context: IntArray, query: RowQuery) -> dict[str, Array]:
        """Rows (B, N, M), RowQuery of (B, Q, M) and (Q,) -> probs (B, Q, K); uniform where there
        are no rows at all.
        """
        datasets, rows, _ = context.shape
        states = self.model.cardinalities[query.target]  # (Q,)
        if rows == 0:
            uniform = (np.arange(self.model.width) < states[:, None]) / states[:, None]
            return {"probs": np.repeat(uniform[None], datasets, axis=0)}
        probs = in_batches(self.network(rows), (rows + 1) ** 2, *self._prompts(context, query))
        return {"probs": probs.reshape(datasets, query.row.shape[1], -1)}

    def _prompts(self, context: IntArray, query: RowQuery) -> tuple[Tensor, Tensor, Tensor]:
        """One prompt for each query of each data set: rows, query, target."""
        datasets, rows, nodes = context.shape
        repeated = tensor(context)[:, None].expand(-1, query.row.shape[1], -1, -1)
        contexts = repeated.reshape(-1, rows, nodes)
        return contexts, tensor(query.row).reshape(-1, nodes), tensor(query.target).repeat(datasets)

    def attention(self, context: IntArray, query: RowQuery) -> tuple[list[Array], int]:
        """What each query reads in the two layers, (dataset, 1, query, 1 + N): itself first, then
        the rows.
        """
        (datasets, rows, _), queries = context.shape, query.row.shape[1]
        prompts = self._prompts(context, query)
        network, scores = self.network(rows), (rows + 1) ** 2
        maps = []
        for layer in range(2):
            weights = in_batches(partial(network.read, layer), scores, *prompts)
            maps.append(weights.reshape(datasets, 1, queries, rows + 1))
        return maps, 1

    def generate(self, context: IntArray, seed: int, draws: int = 1) -> IntArray:
        """Whole rows, node after node in topological order, each state drawn from the network's
        answer by inversion.

        Args:
            context: (B, N, M).
            seed: of the uniforms (B, draws, M) that are inverted.

        Returns:
            (B, draws, M).
        """
        nodes = len(self.model.nodes)
        uniform = np.random.default_rng(seed).random((len(context), draws, nodes))
        out = np.full(uniform.shape, -1, dtype=np.int64)
        for node in range(nodes):
            probs = self(context, RowQuery(out, np.full(draws, node)))["probs"]
            above = probs[..., : len(self.model.states[node]) - 1].cumsum(-1)
            out[..., node] = (uniform[..., node, None] >= above).sum(-1)
        return out


class MaximumLikelihoodNetwork(nn.Module):
    """Rows and a query -> relative frequencies of the target's states. P prompts, N rows, M nodes,
    K states.
    """

    def __init__(self, model: BayesianNetwork, beta: float) -> None:
        super().__init__()
        self.nodes, self.states = len(model.nodes), model.width
        self.slots = slots = Slots(self.nodes, self.states)
        most_parents = max(len(p) for p in model.parents)
        self.select = Attention(slots.width)  # layer 1
        self.select.key_bias[slots.f] = SHARP
        self.select.value[slots.g, slots.p] = _relevant(model).T
        self.gate = _gate(slots)
        self.match = Attention(slots.width)  # layer 2
        identity = torch.eye(self.nodes * self.states, dtype=torch.float64)
        self.match.score[slots.x, slots.x] = beta * identity
        # below the row that agrees on nothing
        self.match.key_bias[slots.f] = -(beta * most_parents + SHARP)
        self.match.value[slots.mean, slots.x] = identity
        self.readout = _readout(slots)

    def forward(self, rows: Tensor, query: Tensor, target: Tensor) -> Tensor:
        """Rows (P, N, M), query (P, M) with -1 = not known, target (P,) -> probabilities (P, K)."""
        z = self.match(self.gated(self.tokens(rows, query, target)))  # (P, N + 1, D)
        blocks = torch.relu(self.readout(z[:, -1]))  # (P, M K)
        return blocks.view(-1, self.nodes, self.states).sum(1)

    def gated(self, z: Tensor) -> Tensor:
        """Layer 1."""
        z = self.select(z)
        return z + cast(Tensor, self.gate(z))

    def read(self, layer: int, rows: Tensor, query: Tensor, target: Tensor) -> Tensor:
        """What the query reads in a layer, itself first, (P, 1 + N)."""
        z = self.tokens(rows, query, target)
        weights = self.match.weights(self.gated(z)) if layer else self.select.weights(z)
        return weights[:, -1].roll(1, dims=-1)

    def tokens(self, rows: Tensor, query: Tensor, target: Tensor) -> Tensor:
        """(P, N + 1, D), the query last."""
        row = torch.cat([rows, query[:, None]], dim=1)[..., None]  # (P, N + 1, M, 1)
        z = torch.zeros(*row.shape[:2], self.slots.width, dtype=torch.float64)
        states = row == torch.arange(self.states)
        z[..., self.slots.x] = states.flatten(2).double()
        z[:, -1, self.slots.p] = F.one_hot(target, self.nodes).double()
        z[:, -1, self.slots.f] = 1.0
        return z


class Slots:
    """Where a token keeps what: slices of its D coordinates."""

    def __init__(self, nodes: int, states: int) -> None:
        ends = np.cumsum([0, nodes * states, nodes, 1, nodes, nodes * states]).tolist()
        self.x, self.p, self.f, self.g, self.mean = (slice(a, b) for a, b in pairwise(ends))
        self.nodes, self.states, self.width = nodes, states, ends[-1]

    def each_state(self) -> Tensor:
        """(M K, M): repeats a number of each node for each of its states."""
        return torch.eye(self.nodes, dtype=torch.float64).repeat_interleave(self.states, dim=0)


class Attention(nn.Module):
    """One head with a residual: z_i + V sum_j softmax_j(z_i^T S z_j + b^T z_j) z_j;
    D coordinates.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = weight(width, width)
        self.key_bias = weight(width)
        self.value = weight(width, width)

    def forward(self, z: Tensor) -> Tensor:
        mixed: Tensor = z + self.weights(z) @ (z @ self.value.T)  # (P, T, D)
        return mixed

    def weights(self, z: Tensor) -> Tensor:
        """(P, T, T)."""
        scores = z @ self.score @ z.mT + (z @ self.key_bias)[:, None]
        return scores.softmax(-1)


def _relevant(model: BayesianNetwork) -> Tensor:
    """W (M, M): row m marks node m and its parents."""
    out = torch.eye(len(model.nodes), dtype=torch.float64)
    for node, parents in enumerate(model.parents):
        out[node, list(parents)] = 1.0
    return out


def _gate(slots: Slots) -> nn.Sequential:
    """What a residual adds so that x_m becomes ReLU(x_m - (1 - G_m)): the gated x, less x =
    ReLU(x).
    """
    units = slots.nodes * slots.states
    identity = torch.eye(units, dtype=torch.float64)
    hidden, out = _linear(slots.width, 2 * units), _linear(2 * units, slots.width)
    hidden.weight[:, slots.x] = torch.cat([identity, identity])
    hidden.weight[:units, slots.g] = slots.each_state()
    hidden.bias[:units] = -1.0
    out.weight[slots.x] = torch.cat([identity, -identity], dim=1)
    return nn.Sequential(hidden, nn.ReLU(), out)


def _readout(slots: Slots) -> nn.Linear:
    """x^_m - 2 (1 - p_m): with 1 for 2, as in the paper, an average rounded to more than one would
    pass.
    """
    units = slots.nodes * slots.states
    out = _linear(slots.width, units)
    out.weight[:, slots.mean] = torch.eye(units, dtype=torch.float64)
    out.weight[:, slots.p] = 2 * slots.each_state()
    out.bias[:] = -2.0
    return out


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer of zeros to be written into."""
    layer = nn.Linear(inputs, outputs, dtype=torch.float64).requires_grad_(False)
    layer.weight.zero_()
    layer.bias.zero_()
    return layer


PART = BNMaximumLikelihood

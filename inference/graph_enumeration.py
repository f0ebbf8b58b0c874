"""Posterior predictive where the graph is unknown, by all graphs that agree with the order, gathered by their number of edges.

The second route of structure_averaging: the prior of a graph with e edges is the integral of r^e (1 - r)^(E - e) in closed
form, and the sum of all graphs' likelihoods with e edges is a coefficient of the product of the nodes' polynomials
sum_S m_j(S) z^|S|. Marginal likelihoods are products of one-step predictions, row after row; counts come from comparing rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import ClassVar

import numpy as np
from scipy.special import betainc, betaln

from veribayes.errors import ReferenceRefused
from veribayes.inference._engine import EPS, certify, name_of
from veribayes.inference._rows import Mask, learning, query_of, row_posterior
from veribayes.inference._structures import unknown_graph
from veribayes.models._priors import RowPrior
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork, Edges
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data, IntArray

MOST = 10  # nodes: 2^45 graphs, 1,023 parent sets
CHUNK = 50  # data sets at once


@dataclass(frozen=True)
class GraphEnumeration:
    """All 2^(M (M - 1) / 2) graphs."""

    method: ClassVar[str] = "exact"
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, prior = learning(self, task, data)
        edges = unknown_graph(self, task, model)
        if len(model.nodes) > MOST:
            reason = f"{len(model.nodes)} nodes have too many parent sets; at most {MOST} nodes are served"
            raise ReferenceRefused(name_of(self), [reason])
        chunks = [
            np.arange(i, min(i + CHUNK, data.index.size)) for i in range(0, data.index.size, CHUNK)
        ]
        probs = np.concatenate(
            [_predict(model, prior, edges, data.select(datasets=chunk)) for chunk in chunks]
        )
        longest = int(data.positions.max(initial=0))
        bound = EPS * (longest + 2) * len(model.nodes) * 2 ** len(model.nodes)
        return Branch(Categorical(probs), certify(self.method, bound, kind="estimate"))


def _predict(model: BayesianNetwork, prior: RowPrior, edges: Edges, data: Data) -> Array:
    """Probabilities (dataset, position, query, K)."""
    row, m = query_of(data).row, len(model.nodes)
    learned = [_node(model, prior, j, data) for j in range(m)]
    weight = _log_prior(edges, m * (m - 1) // 2)
    weight = np.exp(weight - weight.max())
    answers = []
    for q, target in enumerate(query_of(data).target.tolist()):
        own = learned[target][1][:, :, q]  # (dataset, position, K, t + 1)
        known = [
            np.take_along_axis(learned[j][1][:, :, q], row[:, q, j, None, None, None], axis=2)
            for j in range(target)
        ]
        later = [evidence[:, :, None] for evidence, _ in learned[target + 1 :]]
        answers.append(reduce(_times, known + later, own) @ weight)
    probs = np.stack(answers, axis=2)
    return np.asarray(probs / probs.sum(-1, keepdims=True))


def _times(left: Array, right: Array) -> Array:
    """Product of polynomials whose coefficients, from the constant on, are the last axis."""
    shape = np.broadcast_shapes(left.shape[:-1], right.shape[:-1])
    out = np.zeros((*shape, left.shape[-1] + right.shape[-1] - 1))
    for power in range(right.shape[-1]):
        out[..., power : power + left.shape[-1]] += left * right[..., power, None]
    return out


def _log_prior(edges: Edges, most: int) -> Array:
    """Of one graph, by its number of edges."""
    number = np.arange(most + 1)
    a, b = number + 1, most - number + 1
    return np.asarray(np.log(betainc(a, b, edges.high) - betainc(a, b, edges.low)) + betaln(a, b))


def _node(model: BayesianNetwork, prior: RowPrior, node: int, data: Data) -> tuple[Array, Array]:
    """Coefficients by number of parents, up to a factor of the data set and position: sums of marginal likelihoods (dataset,
    position, t + 1), and of marginal likelihoods times predictives (dataset, position, query, K, t + 1).
    """
    sets = np.array(list(product((False, True), repeat=node)))  # of parents, (2^t, t)
    families = [_family(model, prior, node, np.flatnonzero(chosen), data) for chosen in sets]
    log_likelihood = np.stack([found for found, _ in families], axis=-1)  # (dataset, position, 2^t)
    likelihood = np.exp(log_likelihood - log_likelihood.max(-1, keepdims=True))
    gathered = np.eye(node + 1)[sets.sum(-1).astype(np.int64)]  # (2^t, t + 1)
    means = np.stack([found for _, found in families], axis=-1)
    return likelihood @ gathered, (likelihood[:, :, None, None] * means) @ gathered


def _family(
    model: BayesianNetwork, prior: RowPrior, node: int, parents: IntArray, data: Data
) -> tuple[Array, Array]:
    """Log marginal likelihoods given these parents (dataset, position), and predictives (dataset, position, query, K)."""
    rows, query = data.arrays["rows"][:, : int(data.positions.max(initial=0))], query_of(data).row
    states = np.arange(model.width) < model.cardinalities[node]
    place = np.append(1, model.cardinalities[parents].cumprod())[:-1]
    seen, asked = (
        rows[..., parents] @ place,
        query[..., parents] @ place,
    )  # (dataset, row), (dataset, query)
    is_state = (rows[..., node, None] == np.arange(model.width)).astype(
        np.int64
    )  # (dataset, row, K)
    before = (seen[:, :, None] == seen[:, None]) & np.tri(rows.shape[1], k=-1, dtype=bool)
    one_step = row_posterior(prior, _counted(before, is_state), states)[0]
    log_ahead = np.log((np.where(states, one_step, 0.0) * is_state).sum(-1)).cumsum(-1)
    agree = (asked[:, :, None] == seen[:, None])[:, None] & (
        np.arange(rows.shape[1]) < data.positions[:, None]
    )[:, None]
    means = row_posterior(prior, _counted(agree, is_state[:, None]), states)[0]
    return np.pad(log_ahead, ((0, 0), (1, 0)))[:, data.positions], np.where(states, means, 0.0)


def _counted(which: Mask, is_state: IntArray) -> IntArray:
    """How often each state occurs among the marked rows: (..., row) and (..., row, K) -> (..., K)."""
    return np.rint(which.astype(np.float64) @ is_state.astype(np.float64)).astype(np.int64)


PART = GraphEnumeration

"""Posterior predictive where the graph is unknown, by all graphs that agree with the order,
gathered by their number of edges.

The second route of structure_averaging: the prior of a graph with e edges is the integral of r^e (1
- r)^(E - e) in closed form, and the sum of all graphs' likelihoods with e edges is a coefficient of
the product of the nodes' polynomials sum_S m_j(S) z^|S|. Marginal likelihoods are products of
one-step predictions, row after row; counts come from comparing rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import ClassVar

import numpy as np
from scipy.special import betainc, betaln

from veribayes.errors import ReferenceRefused
from veribayes.inference._engine import EPS, certify, name_of, successive_chunks
from veribayes.inference._rows import Mask, learning, query_of, row_posterior
from veribayes.inference._structures import unknown_graph
from veribayes.models._priors import RowPrior
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork, Edges
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method

MOST = 10  # nodes: 2^45 graphs, 1,023 parent sets
CHUNK = 50  # data sets at once


@dataclass(frozen=True)
class GraphEnumeration:
    """All 2^(M (M - 1) / 2) graphs."""

    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, prior = learning(self, task, data)
        edges = unknown_graph(self, task, model)
        m = len(model.nodes)
        if m > MOST:
            reason = f"{m} nodes have too many parent sets; at most {MOST} nodes are served"
            raise ReferenceRefused(name_of(self), [reason])
        chunks = successive_chunks(data.index.size, CHUNK)
        parts = [_predict(model, prior, edges, data.select(datasets=chunk)) for chunk in chunks]
        longest = int(data.positions.max(initial=0))
        bound = EPS * (longest + 2) * m * 2**m
        answer = Categorical(np.concatenate(parts))
        return Branch(answer, certify(self.method, bound, kind="estimate"))


def _predict(model: BayesianNetwork, prior: RowPrior, edges: Edges, data: Data) -> Array:
    """Probabilities (dataset, position, query, K)."""
    query = query_of(data)
    m = len(model.nodes)
    evidence, weighted = [], []
    for j in range(m):
        of_node, of_states = _node(model, prior, j, data)
        evidence.append(of_node)
        weighted.append(of_states)
    log_prior = _log_prior(edges, m * (m - 1) // 2)
    weight = np.exp(log_prior - log_prior.max())
    by_query = []
    for q, target in enumerate(query.target.tolist()):
        polynomials = []
        for j in range(target):
            state = query.row[:, q, j, None, None, None]
            polynomials.append(np.take_along_axis(weighted[j][:, :, q], state, axis=2))
        polynomials += [of_node[:, :, None] for of_node in evidence[target + 1 :]]
        own = weighted[target][:, :, q]  # (dataset, position, K, t + 1)
        by_query.append(reduce(_times, polynomials, own) @ weight)
    probs = np.stack(by_query, axis=2)
    return np.asarray(probs / probs.sum(-1, keepdims=True))


def _times(left: Array, right: Array) -> Array:
    """Product of polynomials whose coefficients, from the constant on, are the last axis."""
    shape = np.broadcast_shapes(left.shape[:-1], right.shape[:-1])
    terms = left.shape[-1]
    powers = right.shape[-1]
    out = np.zeros((*shape, terms + powers - 1))
    for power in range(powers):
        product = left * right[..., power, None]
        out[..., power : power + terms] += product
    return out


def _log_prior(edges: Edges, most: int) -> Array:
    """Of one graph, by its number of edges."""
    number = np.arange(most + 1)
    a, b = number + 1, most - number + 1
    inside = betainc(a, b, edges.high) - betainc(a, b, edges.low)
    return np.asarray(np.log(inside) + betaln(a, b))


def _node(model: BayesianNetwork, prior: RowPrior, node: int, data: Data) -> tuple[Array, Array]:
    """Coefficients by number of parents, up to a factor of the data set and position: sums of
    marginal likelihoods (dataset, position, t + 1),
    and of marginal likelihoods times predictives (dataset, position, query, K, t + 1).
    """
    parent_sets = np.array(list(product((False, True), repeat=node)))  # (2^t, t)
    log_likelihoods, predictives = [], []
    for chosen in parent_sets:
        log_likelihood, means = _family(model, prior, node, np.flatnonzero(chosen), data)
        log_likelihoods.append(log_likelihood)
        predictives.append(means)
    by_set = np.stack(log_likelihoods, axis=-1)  # (dataset, position, 2^t)
    likelihood = np.exp(by_set - by_set.max(-1, keepdims=True))
    parents = parent_sets.sum(-1).astype(np.int64)
    by_number = np.eye(node + 1)[parents]  # (2^t, t + 1)
    weighted = likelihood[:, :, None, None] * np.stack(predictives, axis=-1)
    return likelihood @ by_number, weighted @ by_number


def _family(
    model: BayesianNetwork, prior: RowPrior, node: int, parents: IntArray, data: Data
) -> tuple[Array, Array]:
    """Log marginal likelihoods given these parents (dataset, position),
    and predictives (dataset, position, query, K).
    """
    longest = int(data.positions.max(initial=0))
    rows = data.arrays["rows"][:, :longest]
    query = query_of(data).row
    states = np.arange(model.width) < model.cardinalities[node]
    place = np.append(1, model.cardinalities[parents].cumprod())[:-1]
    row_case = rows[..., parents] @ place  # (dataset, row)
    query_case = query[..., parents] @ place  # (dataset, query)
    # (dataset, row, K)
    is_state = (rows[..., node, None] == np.arange(model.width)).astype(np.int64)
    same_case = row_case[:, :, None] == row_case[:, None]
    before = same_case & np.tri(longest, k=-1, dtype=bool)
    one_step, _, _ = row_posterior(prior, _counted(before, is_state), states)
    ahead = (np.where(states, one_step, 0.0) * is_state).sum(-1)
    log_ahead = np.pad(np.log(ahead).cumsum(-1), ((0, 0), (1, 0)))
    seen = np.arange(longest) < data.positions[:, None]
    same_as_query = query_case[:, :, None] == row_case[:, None]
    agree = same_as_query[:, None] & seen[:, None]
    means, _, _ = row_posterior(prior, _counted(agree, is_state[:, None]), states)
    return log_ahead[:, data.positions], np.where(states, means, 0.0)


def _counted(which: Mask, is_state: IntArray) -> IntArray:
    """How often each state occurs among the marked rows:
    (..., row) and (..., row, K) -> (..., K).
    """
    counts = which.astype(np.float64) @ is_state.astype(np.float64)
    return np.rint(counts).astype(np.int64)


PART = GraphEnumeration

"""Exact posterior predictive where the graph is unknown and the order of its nodes is known,
by averaging over parent sets.

Given the edge probability r the nodes' parent sets are independent, and each node sums over its
own:
    E_j(r) = sum_S r^|S| (1 - r)^(j - |S|) m_j(S),
    m_j(S) = marginal likelihood of the node's column given its parents S.
r is common to the graph: its posterior takes the product over all nodes, and over the known part of
the query's row. That product is a polynomial of degree M (M - 1) / 2 in r,
which Gauss-Legendre quadrature integrates exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.errors import ReferenceRefused
from veribayes.inference._beta import beta_rule
from veribayes.inference._engine import EPS, certify, name_of, successive_chunks
from veribayes.inference._rows import learning, prefix_counts, query_of, row_posterior
from veribayes.inference._structures import (
    by_parent_set,
    cells,
    log_marginal,
    unknown_graph,
    with_sums,
)
from veribayes.models._priors import RowPrior
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork, Edges
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method

LARGEST = 2**17  # cells of one node: counts of ten nodes of two states have 2 * 3^9
CHUNK = 2**22  # cells times data sets and positions at once


@dataclass(frozen=True)
class StructureAveraging:
    """Sums over all 2^t parent sets of every node,
    and quadrature over the common edge probability.
    """

    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, prior = learning(self, task, data)
        edges = unknown_graph(self, task, model)
        largest = int(model.width * np.prod(model.cardinalities[:-1] + 1.0))
        if largest > LARGEST:
            reason = f"the last node has {largest} counts over all parent sets, more than {LARGEST}"
            raise ReferenceRefused(name_of(self), [reason])
        size = max(1, CHUNK // (largest * data.positions.size))
        chunk_probs, chunk_bounds = [], []
        for chunk in successive_chunks(data.index.size, size):
            probs, bound = _predict(model, prior, edges, data.select(datasets=chunk))
            chunk_probs.append(probs)
            chunk_bounds.append(bound)
        answer = Categorical(np.concatenate(chunk_probs))
        return Branch(answer, certify(self.method, max(chunk_bounds)))


def _predict(
    model: BayesianNetwork, prior: RowPrior, edges: Edges, data: Data
) -> tuple[Array, float]:
    """Probabilities (dataset, position, query, K) and a bound on their relative error."""
    counts = prefix_counts(model, data.arrays["rows"], data.positions)
    query = query_of(data)
    target = query.target
    m = len(model.nodes)
    r, log_weight = _edge_rule(edges, m)
    batch = counts.shape[:2]
    # log of the product over all nodes but the target, by r
    log_others = np.zeros((*batch, target.size, r.size))
    of_target = np.zeros((*batch, target.size, model.width, r.size))
    bound = 0.0
    for j in range(m):
        node = _Node(model, prior, counts, j, r)
        bound += node.bound
        log_evidence = np.log(node.evidence)
        log_others[:, :, target < j] += log_evidence[:, :, None]
        reached = np.flatnonzero(target >= j)
        first, kind = _distinct(query.row[:, reached, :j])
        of_kind = node.predictive(query.row[:, reached[first], :j])
        predictive = of_kind[:, :, kind]
        of_target[:, :, target == j] = predictive[:, :, target[reached] == j]
        later = target[reached] > j
        states = query.row[:, reached[later], j][:, None, :, None, None]
        of_state = np.take_along_axis(predictive[:, :, later], states, axis=3)
        log_others[:, :, target > j] += np.log(of_state[:, :, :, 0])
    log_others += log_weight
    weight = np.exp(log_others - log_others.max(-1, keepdims=True))
    probs = (of_target * weight[:, :, :, None]).sum(-1)
    rounding = 4 * EPS * (2**m + m * r.size)
    return probs / probs.sum(-1, keepdims=True), 2 * bound + rounding


def _distinct(prefixes: IntArray) -> tuple[IntArray, IntArray]:
    """One query of each kind and the kind of each query (dataset, query, t):
    those cut from one row begin alike.
    """
    flat = prefixes.swapaxes(0, 1).reshape(prefixes.shape[1], -1)
    if not flat.size:
        none = np.zeros(len(flat), dtype=np.int64)
        return none[:1], none
    _, first, which = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    return first, which


def _edge_rule(edges: Edges, nodes: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes of the edge probability and logs of their weights:
    exact at degree nodes (nodes - 1) / 2.
    """
    at, weight = beta_rule(nodes * (nodes - 1) // 4 + 1, 1.0, 1.0)
    r = edges.low + (edges.high - edges.low) * at
    return r, np.log(weight)


class _Node:
    """Everything about one node j given its t = j earlier ones,
    by parent set and edge probability r.

    Attributes:
        evidence: (dataset, position, r), E_j(r) up to a factor of the data set and position.
        bound: on the relative error of a marginal likelihood.
    """

    def __init__(
        self, model: BayesianNetwork, prior: RowPrior, counts: IntArray, j: int, r: Array
    ) -> None:
        sizes = model.cardinalities[:j]
        axes = range(2, 2 + j)
        batch = counts.shape[:2]
        start = int(model.offsets[j])
        own = counts[:, :, start : start + model.configurations[j]]
        cube = with_sums(own.reshape(*batch, *sizes, model.width), axes)
        log_rows, error = log_marginal(prior, cube, int(model.cardinalities[j]))
        log_sets = by_parent_set(log_rows, axes).reshape(*batch, -1)
        likelihood = np.exp(log_sets - log_sets.max(-1, keepdims=True))
        set_number = np.repeat(np.arange(2**j), j)
        parents = np.bincount(set_number, _bits(j).ravel(), minlength=2**j)[:, None]
        graph = r**parents * (1 - r) ** (j - parents)  # (2^t, r)
        self.sizes = sizes
        self.weight = likelihood[..., None] * graph
        self.evidence = self.weight.sum(-2)
        states = np.arange(model.width) < model.cardinalities[j]
        rows = cube.reshape(*batch, -1, model.width)
        mean, _, rounding = row_posterior(prior, rows, states)
        self.mean = np.where(states, mean, 0.0)
        self.bound = error * int(np.prod(sizes)) + rounding + 4 * EPS * j

    def predictive(self, states: IntArray) -> Array:
        """sum_S r^|S| (1-r)^(t-|S|) m(S) P(state | x_S, rows):
        (dataset, position, query, K, r) for x (dataset, query, t).
        """
        cell = cells(states, self.sizes)  # (dataset, query, 2^t)
        rows = np.arange(len(cell))[:, None, None]
        means = self.mean.swapaxes(1, 2)[rows, cell]  # (dataset, query, 2^t, position, K)
        return np.asarray(np.einsum("bqspk,bpsr->bpqkr", means, self.weight, optimize=True))


def _bits(j: int) -> IntArray:
    """Which of j nodes are in each of the 2^j parent sets, (2^j, j),
    the first node being the slowest axis.
    """
    number = np.arange(2**j)[:, None]
    place = np.arange(j)[::-1]
    return number >> place & 1


PART = StructureAveraging

"""Posterior predictive where the graph of a few nodes is unknown, by going through all graphs that agree with the order.

The second route of structure_averaging: the prior of a graph with e edges is the integral of r^e (1 - r)^(E - e) in closed
form, marginal likelihoods are products of one-step predictions, row after row, and counts are made by comparing rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from scipy.special import betainc, betaln

from veribayes.errors import ReferenceRefused
from veribayes.inference._engine import EPS, certify, name_of
from veribayes.inference._rows import learning, query_of, row_posterior
from veribayes.inference._structures import unknown_graph
from veribayes.models._priors import RowPrior
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork, Edges
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data

MOST = 5  # nodes: 2^10 graphs

Family = tuple[int, tuple[bool, ...]]  # a node, and which of the earlier ones are its parents


@dataclass(frozen=True)
class GraphEnumeration:
    """All 2^(M (M - 1) / 2) graphs."""

    method: ClassVar[str] = "exact"
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, prior = learning(self, task)
        edges = unknown_graph(self, task, model)
        if len(model.nodes) > MOST:
            reason = f"{len(model.nodes)} nodes have too many graphs; at most {MOST} nodes are served"
            raise ReferenceRefused(name_of(self), [reason])
        probs = np.array([_one(model, prior, edges, data.select(datasets=np.array([i]))) for i in range(data.index.size)])
        longest = int(data.positions.max(initial=0))
        bound = EPS * (longest + 2) * len(model.nodes) * 2 ** len(model.nodes)
        return Branch(Categorical(probs), certify(self.method, bound, kind="estimate"))


def _one(model: BayesianNetwork, prior: RowPrior, edges: Edges, data: Data) -> Array:
    """Probabilities (position, query, K) of one data set."""
    query = query_of(data)
    m, total = len(model.nodes), np.zeros((data.positions.size, query.target.size, model.width))
    families = [(j, parents) for j in range(m) for parents in product((False, True), repeat=j)]
    learned = {family: _family(model, prior, family, data) for family in families}
    scale = sum(max(learned[f][0][-1] for f in families if f[0] == j) for j in range(m))
    for graph in product(*[[f for f in families if f[0] == j] for j in range(m)]):
        number = sum(sum(parents) for _, parents in graph)
        log_likelihood = sum(learned[f][0][data.positions] for f in graph) + _log_prior(edges, number, m * (m - 1) // 2)
        for q, target in enumerate(query.target.tolist()):
            known = np.prod([learned[graph[j]][1][:, q, query.row[0, q, j]] for j in range(target)], axis=0)
            total[:, q] += (np.exp(log_likelihood - scale) * known)[:, None] * learned[graph[target]][1][:, q]
    return total / total.sum(-1, keepdims=True)


def _log_prior(edges: Edges, number: int, most: int) -> float:
    a, b = number + 1, most - number + 1
    mass = betainc(a, b, edges.high) - betainc(a, b, edges.low)
    return float(np.log(mass) + betaln(a, b))


def _family(model: BayesianNetwork, prior: RowPrior, family: Family, data: Data) -> tuple[Array, Array]:
    """Log marginal likelihood of a node given its parents after each prefix (n + 1,), and predictives (position, query, K)."""
    rows, (node, chosen) = data.arrays["rows"][0], family
    parents, states = np.flatnonzero(chosen), np.arange(model.width) < model.cardinalities[node]
    value, query = rows[:, node], query_of(data)
    same = (rows[:, None, parents] == rows[None, :, parents]).all(-1) & np.tri(len(rows), k=-1, dtype=bool)
    counts = (same[..., None] & (value[:, None] == np.arange(model.width))).sum(1)
    ahead = row_posterior(prior, counts, states)[0][np.arange(len(rows)), value]
    agree = (query.row[0][:, None, parents] == rows[None, :, parents]).all(-1)  # (query, row)
    seen = (agree[..., None] & (value[:, None] == np.arange(model.width))).cumsum(1)
    seen = np.concatenate([np.zeros_like(seen[:, :1]), seen], axis=1)[:, data.positions].swapaxes(0, 1)
    means = np.where(states, row_posterior(prior, seen, states)[0], 0.0)
    return np.concatenate([[0.0], np.log(ahead).cumsum()]), means


PART = GraphEnumeration

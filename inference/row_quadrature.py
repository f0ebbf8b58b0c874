"""Exact posterior predictive of tables learnt from complete rows,
by Gaussian quadrature over one probability.

Under every prior of the family the probability p of one state has a marginal prior with known
moments: Beta for Dirichlet rows (Gauss-Jacobi), uniform pieces for intervals (Gauss-Legendre). The
likelihood p^(n_v) (1 - p)^(n - n_v) is a polynomial of degree n, so n / 2 + 1 nodes integrate it
times p exactly, as a sum of positive terms. Rows are counted by comparison with the query, and
neither counts nor integrals share code with the conjugate engine that this one checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
from scipy.special import softmax

from veribayes.errors import InputError
from veribayes.inference._beta import beta_rule
from veribayes.inference._engine import EPS, certify
from veribayes.inference._rows import (
    Mask,
    inside,
    learning,
    matching_counts,
    query_of,
    require_known_graph,
)
from veribayes.models._priors import Dirichlet, RowPrior, UniformInterval, UniformMixture
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork, RowQuery
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method


@dataclass(frozen=True)
class RowQuadrature:
    """Gaussian quadrature of each state's probability."""

    method: ClassVar[Method] = Method.QUADRATURE
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, prior = learning(self, task, data)
        require_known_graph(self, model, data)
        query = query_of(data)
        counts = matching_counts(model, data, _parents(model, query))
        probs = np.zeros(counts.shape)
        sizes = model.cardinalities[query.target]
        for states in np.unique(sizes):
            of_size = sizes == states
            probs[:, :, of_size, :states] = _means(prior, counts[:, :, of_size, :states])
        probs = np.where(inside(model, query), probs, 0.0)
        # each state's mean is integrated on its own: that they sum to one measures the error
        defect = float(np.abs(probs.sum(-1) - 1).max(initial=0.0))
        longest = int(data.positions.max(initial=0))
        bound = defect + 8 * EPS * (longest + 1)
        certificate = certify(self.method, bound, kind="estimate", defect=defect)
        return Branch(Categorical(probs), certificate)


def _parents(model: BayesianNetwork, query: RowQuery) -> Mask:
    out = np.zeros((query.target.size, len(model.nodes)), dtype=bool)
    for q, target in enumerate(query.target):
        out[q, list(model.parents[target])] = True
    return out


def _means(prior: RowPrior, counts: IntArray) -> Array:
    """Posterior mean of every state's probability given counts (..., K), by the pairs (n_v,
    n - n_v) that occur.
    """
    total = counts.sum(-1, keepdims=True)
    of_state = np.stack([counts, total - counts], -1).reshape(-1, 2)
    pairs, which = np.unique(of_state, axis=0, return_inverse=True)
    yes, no = pairs.T
    fewest = int(total.max(initial=0)) // 2 + 2
    nodes, log_weight = _rule(prior, counts.shape[-1], fewest)
    log_likelihood = np.outer(yes, np.log(nodes)) + np.outer(no, np.log1p(-nodes))
    weights = softmax(log_likelihood + log_weight, axis=-1)
    means = (weights @ nodes)[which].reshape(counts.shape)
    if isinstance(prior, Dirichlet):
        return means
    first = means[..., 1:]  # intervals are laws of the second state
    return np.concatenate([1 - first, first], axis=-1)


@cache
def _rule(prior: RowPrior, states: int, nodes: int) -> tuple[Array, Array]:
    """Nodes of the marginal prior of one state's probability and the logs of their weights."""
    if isinstance(prior, Dirichlet):
        at, weight = beta_rule(nodes, prior.concentration, (states - 1) * prior.concentration)
        return at, np.log(weight)
    if not isinstance(prior, UniformInterval | UniformMixture):
        wanted = "a Dirichlet, uniform or uniform-mixture prior"
        raise InputError(wanted, f"'{prior.kind}'", "use 'nuts'")
    at, weight = beta_rule(nodes, 1.0, 1.0)
    share, low, high = np.array(prior.components).T[:, :, None]
    log_weight = np.log(share) + np.log(weight)
    return (low + (high - low) * at).ravel(), log_weight.ravel()


PART = RowQuadrature

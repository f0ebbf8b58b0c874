"""Parent sets of a node as axes: counts,
marginal likelihoods and predictives of all 2^t of them at once.

A node with t earlier nodes has counts over their joint states. Each axis gets one more entry, the
sum over its states: the cell at (x_p for p in S,
sum elsewhere) holds the counts of the node given the states x_S of the parent set S.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from veribayes.errors import InputError
from veribayes.inference._engine import EPS, Engine, name_of
from veribayes.inference._rows import Intervals, interval_evidence
from veribayes.models._priors import Dirichlet, RowPrior
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork, Edges
from veribayes.predictive import Array
from veribayes.tree import IntArray


def unknown_graph(engine: Engine, task: Task, model: BayesianNetwork) -> Edges:
    """The prior of the graph, which must be unknown."""
    if model.edges is None:
        wanted = f"a network with unknown parents for the engine '{name_of(engine)}'"
        raise InputError(wanted, f"the known graph of the task '{task.name}'", "use 'conjugate'")
    return model.edges


def with_sums(counts: IntArray, axes: range) -> IntArray:
    """Counts with one more entry on each of the axes: the sum over its states."""
    for axis in axes:
        counts = np.concatenate([counts, counts.sum(axis, keepdims=True)], axis=axis)
    return counts


def by_parent_set(log_likelihood: Array, axes: range) -> Array:
    """Sum over the states of the parents: (2,) for each axis, 1 where the node is a parent."""
    for axis in axes:
        states, total = np.split(log_likelihood, [-1], axis=axis)
        log_likelihood = np.concatenate([total, states.sum(axis, keepdims=True)], axis=axis)
    return log_likelihood


def cells(states: IntArray, sizes: IntArray) -> IntArray:
    """Number of the cell of every parent set (in the order of `by_parent_set`, flattened), (...,
    2^t), given x (..., t).
    """
    batch = states.shape[:-1]
    out = np.zeros((*batch, 1), dtype=np.int64)
    for axis, size in enumerate(sizes.tolist()):
        summed = np.full(batch, size)
        here = np.stack([summed, states[..., axis]], axis=-1)
        pairs = out[..., :, None] * (size + 1) + here[..., None, :]
        out = pairs.reshape(*batch, 2 * out.shape[-1])
    return out


def log_marginal(prior: RowPrior, counts: IntArray, states: int) -> tuple[Array, float]:
    """Log of the integral of prod_v theta_v^(n_v) over the prior of a row, counts (..., K),
    and a bound on its error.
    """
    if isinstance(prior, Dirichlet):
        c = prior.concentration
        total = counts.sum(-1)
        terms = gammaln(counts[..., :states] + c) - gammaln(c)
        log_ratio = terms.sum(-1) + gammaln(states * c)
        log_integral = log_ratio - gammaln(total + states * c)
        largest = gammaln(total.max(initial=0) + states * c + 3)
        return log_integral, float(8 * EPS * (states + 1) * (1 + largest))
    assert isinstance(prior, Intervals)  # there is no other prior
    code, moments, error = interval_evidence(prior, counts[..., :2])
    return np.asarray(moments[0][code]), error

"""Exact posterior predictive of tables learnt from rows of which some cells are missing, by a sum
over all completions.

With the observed cells o of the rows and a completion c of the missing ones,
    P(c | o) is proportional to prod over rows of theta of integral prod_v theta_v^(n_v(c)),
and given c the posterior is that of complete rows. What is known of the row that is asked about
tells of the completions as well: they are weighted by its probability. Cells are taken to be
missing at random: that they are missing says nothing about their states (Rubin, Biometrika 63
(1976) 581).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar

import numpy as np

from veribayes.errors import ReferenceRefused
from veribayes.inference._engine import EPS, certify, moments, name_of, require_positive
from veribayes.inference._rows import (
    at_query,
    inside,
    learning,
    prefix_counts,
    query_of,
    require_known_graph,
    row_posterior,
)
from veribayes.inference._structures import log_marginal
from veribayes.models._priors import RowPrior
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork, RowQuery
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method

LARGEST = 2**14  # completions of one data set


@dataclass(frozen=True)
class RowCompletions:
    """A sum over what the missing cells may be.

    Attributes:
        largest: completions of a data set; where there are more, it refuses.
        latents: also return the posterior of every row of theta.
    """

    largest: int = LARGEST
    latents: bool = True
    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __post_init__(self) -> None:
        require_positive(self, largest=self.largest)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        rows = data.arrays["rows"]
        filled = replace(data, arrays={**data.arrays, "rows": np.maximum(rows, 0)})
        model, prior = learning(self, task, filled)
        require_known_graph(self, model, data)
        answers = []
        for row, n in product(range(len(data.index)), data.positions.tolist()):
            one = data.select(datasets=np.array([row]))
            answers.append(self._answer(model, prior, one, n))
        shape = (len(data.index), data.positions.size)
        probs = _joined([answer.probs for answer in answers], shape)
        posterior = {}
        if self.latents:
            states = np.arange(model.width) < model.row_states[:, None]
            first = _joined([answer.first for answer in answers], shape)
            second = _joined([answer.second for answer in answers], shape)
            theta = moments(first, second)
            posterior["theta"] = {n: np.where(states, v, np.nan) for n, v in theta.items()}
        bound = max(answer.bound for answer in answers)
        return Branch(Categorical(probs), certify(self.method, bound), posterior)

    def _answer(self, model: BayesianNetwork, prior: RowPrior, data: Data, size: int) -> _Answer:
        """One data set at one position."""
        rows = data.arrays["rows"][0, :size]
        completions = self._completions(model, rows, int(data.index[0]))
        counts = prefix_counts(model, completions, np.array([size]))
        log_weight, error = _log_weight(model, prior, counts[:, 0])
        weight = _normalised(log_weight)
        query = query_of(data)
        repeated = query._replace(row=np.repeat(query.row, len(completions), axis=0))
        at = at_query(model, counts, repeated)
        given, _, rounding = row_posterior(prior, at, inside(model, query))
        states = np.arange(model.width) < model.row_states[:, None]
        first, second, _ = row_posterior(prior, counts[:, 0], states)
        log_known = _log_known(model, query, first)
        weights = _normalised(log_weight[:, None] + log_known)  # (completion, query)
        probs = np.einsum("cq,cqk->qk", weights, given[:, 0])
        bound = (
            (1 + 2 * len(model.nodes)) * rounding
            + 2 * error
            + 4 * EPS * math.log2(len(completions) + 1)
        )
        return _Answer(
            probs,
            np.einsum("c,crk->rk", weight, first),
            np.einsum("c,crk->rk", weight, second),
            bound,
        )

    def _completions(self, model: BayesianNetwork, rows: IntArray, number: int) -> IntArray:
        """All complete rows that agree with what is observed, (completion, row, node).

        Raises:
            ReferenceRefused: there are too many.
        """
        missing = np.argwhere(rows < 0)
        sizes = model.cardinalities[missing[:, 1]].tolist()
        count = math.prod(sizes)
        if count > self.largest:
            reason = (
                f"data set {number} has {len(missing)} missing cells, and {count:,} completions "
                f"are more than {self.largest:,}"
            )
            raise ReferenceRefused(name_of(self), [reason])
        completions = np.repeat(rows[None], count, axis=0)
        states = np.array(list(product(*map(range, sizes))), dtype=np.int64)
        completions[:, missing[:, 0], missing[:, 1]] = states.reshape(count, len(missing))
        return completions


@dataclass(frozen=True, eq=False)
class _Answer:
    """Probabilities (query, K), moments of theta (R, K), and a bound on an error of the first."""

    probs: Array
    first: Array
    second: Array
    bound: float


def _joined(parts: list[Array], shape: tuple[int, int]) -> Array:
    """(dataset, position, ...)."""
    stacked = np.stack(parts)
    return stacked.reshape(*shape, *stacked.shape[1:])


def _normalised(log_weight: Array) -> Array:
    """Weights of the completions, which sum to one over the first axis."""
    weight = np.exp(log_weight - log_weight.max(0))
    return np.asarray(weight / weight.sum(0))


def _log_known(model: BayesianNetwork, query: RowQuery, mean: Array) -> Array:
    """Log probability of what is known of the row of each query, (completion, query).

    Args:
        mean: of theta given each completion, (completion, R, K).
    """
    known = np.maximum(query.row[0], 0)
    rows = model.configuration(known)  # of theta, (query, node)
    of_cell = mean[:, rows, known]  # (completion, query, node)
    before_target = np.arange(len(model.nodes)) < query.target[:, None]
    return np.log(np.where(before_target, of_cell, 1.0)).sum(-1)


def _log_weight(model: BayesianNetwork, prior: RowPrior, counts: IntArray) -> tuple[Array, float]:
    """Log of the marginal likelihood of each completion, from counts (completion, R, K), and a
    bound on its error.
    """
    total = np.zeros(len(counts))
    error = 0.0
    for node, states in enumerate(model.cardinalities.tolist()):
        first = int(model.offsets[node])
        own = counts[:, first : first + model.configurations[node]]
        logs, of_row = log_marginal(prior, own, states)
        total += logs.sum(-1)
        error += of_row * model.configurations[node]
    return total, error


PART = RowCompletions

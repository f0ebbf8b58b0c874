"""Exact posterior predictive of tables learnt from complete rows:
Dirichlet, uniform-interval and interval-mixture priors.

For a target with states v and counts n_v under the query's parent configuration (n in all):
    Dirichlet(c)     (n_v + c) / (n + K c)
    U(low, high)     J(n_1 + 2, n_0 + 1) / J(n_1 + 1, n_0 + 1),
    J(a, b) = integral of t^(a-1) (1-t)^(b-1) over [low, high]
    mixtures         both integrals summed over components with weights w_j / (high_j - low_j)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.inference._engine import certify, moments
from veribayes.inference._rows import (
    at_query,
    inside,
    learning,
    prefix_counts,
    query_of,
    require_known_graph,
    row_posterior,
)
from veribayes.models._task import Task
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class Conjugate:
    """Counting.

    Attributes:
        latents: also return the posterior of every row;
            switch it off where only predictions are wanted.
    """

    latents: bool = True
    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, prior = learning(self, task, data)
        require_known_graph(self, model, data)
        query = query_of(data)
        counts = prefix_counts(model, data.arrays["rows"], data.positions)
        probs, _, bound = row_posterior(prior, at_query(model, counts, query), inside(model, query))
        theta: dict[str, Array] = {}
        if self.latents:
            states = np.arange(model.width) < model.row_states[:, None]
            first, second, _ = row_posterior(prior, counts, states)
            for name, values in moments(first, second).items():
                theta[name] = np.where(states, values, np.nan)
        posterior = {"theta": theta} if self.latents else {}
        return Branch(Categorical(probs), certify(self.method, bound), posterior)


PART = Conjugate

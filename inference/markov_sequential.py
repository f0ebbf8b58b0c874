"""Bayes' rule, one symbol after another, for a Markov chain whose rows are one of finitely many
tables.

    w_m <- w_m P(y_t | past, table_m) / P(y_t | past)

Plain probabilities are multiplied: no counts and no logarithms are shared with the engine that
this one checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from veribayes.errors import ReferenceRefused
from veribayes.inference._engine import EPS, certify, name_of, require_served, successive_chunks
from veribayes.inference._markov import require_tables
from veribayes.models._task import Task
from veribayes.models.markov import Markov, _chains
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

CELLS = 2**21  # weights of all data sets at once
TINY = 2.3e-308  # smaller weights are lost


@dataclass(frozen=True)
class MarkovSequential:
    """Update the weights of all tables at every symbol."""

    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("markov",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(Markov, task.model)
        require_tables(self, model)
        tables, _ = model.members
        longest = int(data.positions.max(initial=0))
        chunks = successive_chunks(len(data.index), max(1, CELLS // len(tables)))
        parts = [_updated(self, model, data.select(chunk), longest) for chunk in chunks]
        answer = np.concatenate([law for law, _ in parts])
        # a weight that was lost could have grown by at most 1 / P(all symbols)
        least = min(float(evidence.min(initial=0.0)) for _, evidence in parts)
        lost = float(np.exp(np.log(TINY * len(tables)) - least))
        bound = EPS * 4 * (longest + 2) + lost
        return Branch(Categorical(answer[:, :, None]), certify(self.method, bound))


def _updated(
    engine: MarkovSequential, model: Markov, data: Data, longest: int
) -> tuple[Array, Array]:
    """Probabilities (dataset, position, symbol), and log evidence of all symbols, (dataset,)."""
    tables, log_prior = model.members
    y, rows = data.arrays["y"], np.arange(len(data.index))
    weights = np.broadcast_to(np.exp(log_prior), (len(rows), len(tables)))
    evidence = np.zeros(len(rows))
    answer = np.empty((len(rows), data.positions.size, model.symbols))
    for t in range(longest + 1):
        laws = _chains.ahead(tables[None], y, model.symbols, max(model.orders), model.start, t)
        law = np.einsum("bm,bmk->bk", weights, laws)
        answer[:, data.positions == t] = law[:, None]
        if t == longest:
            break
        likelihood = laws[rows, :, y[:, t]]
        joint = weights * likelihood
        total = joint.sum(-1, keepdims=True)
        if not (total > 0).all():
            number = int(data.index[int(np.argmin(total[:, 0] > 0))])
            reason = f"no table allows what was observed in data set {number}"
            raise ReferenceRefused(name_of(engine), [reason])
        weights = joint / total
        evidence += np.log(total[:, 0])
    return answer, evidence


PART = MarkovSequential

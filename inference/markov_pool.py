"""Exact Bayes for a Markov chain whose rows are one of finitely many tables, or known.

    log w_m = log prior_m + log P(start | table_m) + sum over history, symbol of n log table_m

Tables are read in blocks, with running sums of weights, so that memory does not grow with the
pool. Counts, not symbols, are multiplied: a prefix of any length is one product of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from veribayes.errors import ReferenceRefused
from veribayes.inference._engine import (
    EPS,
    certify,
    moments,
    name_of,
    require_served,
    successive_chunks,
)
from veribayes.inference._markov import require_tables
from veribayes.models._task import Task
from veribayes.models.markov import Markov, _chains
from veribayes.models.markov._fields import KNOWN
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

BLOCK = 4096  # tables at once
CELLS = 2**21  # weights of all data sets at once: 16 MB
IMPOSSIBLE = -1e200  # log of a probability that is zero, so that no count of zero becomes NaN


@dataclass(frozen=True)
class MarkovPool:
    """Weigh every table by what it says of the prefix.

    Attributes:
        latents: also the posterior of every row.
    """

    latents: bool = True
    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("markov",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(Markov, task.model)
        require_tables(self, model)
        tables, _ = model.members
        size = max(1, CELLS // min(BLOCK, len(tables)))
        chunks = successive_chunks(len(data.index), size)
        parts = [_Sums(model, data.select(chunk)) for chunk in chunks]
        for part in parts:
            part.require_possible(name_of(self))
        answer = np.concatenate([part.answer for part in parts])
        largest = max((part.largest for part in parts), default=0.0)
        # rounding of a logarithm is one of a weight; sums of positive terms
        bound = EPS * (8 + 4 * largest + 2 * np.log2(len(tables) + 1))
        posterior = {}
        if self.latents and model.rows != KNOWN:
            pairs = [part.rows for part in parts]
            first, second = (np.concatenate(each) for each in zip(*pairs, strict=True))
            posterior = {"rows": moments(first, second)}
        certificate = certify(self.method, float(bound))
        return Branch(Categorical(answer[:, :, None]), certificate, posterior)


class _Sums:
    """Running sums over the tables, for some data sets.

    Attributes:
        top: largest log weight so far, (dataset, position); all sums are relative to it.
        total: of the weights, (dataset, position).
        ahead: of the weights times P(next symbol | table), (dataset, position, symbol).
        first, second: of the weights times the entries and their squares, (dataset, position,
            history, symbol).
        largest: size of a log weight that counts, for the bound.
    """

    def __init__(self, model: Markov, data: Data) -> None:
        self.model, self.data = model, data
        self.symbols, self.order = model.symbols, max(model.orders)
        leading = (len(data.index), data.positions.size)
        self.top = np.full(leading, -np.inf)
        self.total = np.zeros(leading)
        self.ahead = np.zeros((*leading, self.symbols))
        self.first = np.zeros((*leading, model.histories, self.symbols))
        self.second = np.zeros_like(self.first)
        self.largest = 0.0
        self._counts = [self._counted(n) for n in data.positions.tolist()]
        tables, log_prior = model.members
        for block in successive_chunks(len(tables), BLOCK):
            self._add(tables[block], log_prior[block])

    @property
    def answer(self) -> Array:
        """Probabilities (dataset, position, symbol)."""
        return self.ahead / self.total[..., None]

    @property
    def rows(self) -> tuple[Array, Array]:
        """First and second moments of the entries."""
        total = self.total[..., None, None]
        return self.first / total, self.second / total

    def require_possible(self, engine: str) -> None:
        """Refuse prefixes that no table allows.

        Raises:
            ReferenceRefused: there is one.
        """
        impossible = ~(self.top > IMPOSSIBLE / 2)
        if impossible.any():
            number = int(self.data.index[int(np.argmax(impossible.any(-1)))])
            reason = f"no table allows what was observed in data set {number}"
            raise ReferenceRefused(engine, [reason])

    def _counted(self, n: int) -> Array:
        """Counts of a prefix, (dataset, history * symbol)."""
        first = 0 if self.model.start == "first" else self.order
        y = self.data.arrays["y"]
        counts = _chains.counts(y, self.symbols, self.order, first, n)
        return counts.reshape(len(y), -1)

    def _add(self, tables: Array, log_prior: Array) -> None:
        flat = tables.reshape(len(tables), -1)
        logs = _log(flat).T
        starts = _chains.starts(tables, self.order, self.model.start)
        for place, n in enumerate(self.data.positions.tolist()):
            log_weights = log_prior + self._counts[place] @ logs + self._log_start(starts, n)
            weights = self._weights(place, log_weights)
            self.total[:, place] += weights.sum(-1)
            shape = self.first.shape[2:]
            self.first[:, place] += (weights @ flat).reshape(-1, *shape)
            self.second[:, place] += (weights @ flat**2).reshape(-1, *shape)
            self.ahead[:, place] += self._ahead(tables, flat, weights, n)

    def _log_start(self, starts: list[Array], n: int) -> Array:
        """log P(start | table), (dataset, table)."""
        seen = min(n, len(starts) - 1)
        code = _chains.prefix_codes(self.data.arrays["y"], self.symbols, seen)
        return _log(starts[seen]).T[code]

    def _weights(self, place: int, log_weights: Array) -> Array:
        """Weights (dataset, table) relative to the largest so far; earlier sums are brought
        there.
        """
        top = np.maximum(self.top[:, place], log_weights.max(-1))
        with np.errstate(invalid="ignore"):
            shrunk = np.where(np.isinf(self.top[:, place]), 0.0, np.exp(self.top[:, place] - top))
        for sums in (self.total, self.ahead, self.first, self.second):
            sums[:, place] *= shrunk.reshape(-1, *[1] * (sums.ndim - 2))
        self.top[:, place] = top
        possible = np.abs(top[top > IMPOSSIBLE / 2])
        self.largest = max(self.largest, float(possible.max(initial=0.0)))
        return np.asarray(np.exp(log_weights - top[:, None]))

    def _ahead(self, tables: Array, flat: Array, weights: Array, n: int) -> Array:
        """Weighted sum of the laws of the next symbol, (dataset, symbol)."""
        y = self.data.arrays["y"]
        rows = np.arange(len(y))
        if n >= self.order or self.model.start == "first":
            code = _chains.histories(y[:, :n], self.symbols, self.order)[:, n]
            return (weights @ flat).reshape(len(y), -1, self.symbols)[rows, code]
        laws = _chains.ahead(tables[None], y, self.symbols, self.order, self.model.start, n)
        return np.einsum("bm,bmk->bk", weights, np.nan_to_num(laws))


def _log(probabilities: Array) -> Array:
    """Logarithms, with a large negative number for zero."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(probabilities), IMPOSSIBLE)


PART = MarkovPool

"""Bayes for a Markov chain with Dirichlet rows and any start, by weighted independent draws.

Rows are drawn from what they would be if the start told nothing of them, a Dirichlet law with the
counts; each draw is weighted by the probability that it gives to the start. Weights lie between
zero and one and there is one such factor, so that they are never far apart.

Self-normalised importance sampling: Hesterberg (1995), doi:10.1080/00401706.1995.10484303.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, cast

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import (
    certify_by_draws,
    moments,
    name_of,
    require_positive,
    require_served,
    successive_chunks,
)
from veribayes.inference._markov import require_dirichlet
from veribayes.models._task import Task
from veribayes.models.markov import Markov, _chains
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

ESS = 400.0  # effective draws of each half, at least
CELLS = 2**22  # numbers in all tables at once
SMALLEST = 1e-300


class _Half(NamedTuple):
    """Probabilities (dataset, position, symbol), moments of rows, effective draws (dataset,
    position).
    """

    probs: Array
    first: Array
    second: Array
    ess: Array


@dataclass(frozen=True)
class MarkovImportance:
    """Draws from Dirichlet laws, weighted by the start.

    Attributes:
        draws: in each of two halves.
        latents: also the posterior of every row.
    """

    draws: int = 2000
    latents: bool = True
    method: ClassVar[Method] = Method.MCMC
    families: ClassVar[tuple[str, ...]] = ("markov",)

    def __post_init__(self) -> None:
        require_positive(self, draws=self.draws)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        model = cast(Markov, task.model)
        require_dirichlet(self, model)
        if len(model.orders) > 1:
            raise InputError(f"one order for '{name_of(self)}'", f"{model.orders}")
        halves = [self._half(model, data, seed, half) for half in (0, 1)]
        least = float(min(half.ess.min(initial=np.inf) for half in halves))
        reasons: tuple[str, ...] = ()
        if not least >= ESS:
            reasons = (f"{least:.0f} effective draws of {self.draws} at worst; {ESS:.0f} needed",)
        certificate = certify_by_draws(self.method, least**-0.5, reasons, {"ess": least})
        laws = [Categorical(half.probs[:, :, None]) for half in halves]
        mean = Categorical((laws[0].probs + laws[1].probs) / 2)
        posterior = {}
        if self.latents:
            first, second = (
                (a + b) / 2 for a, b in zip(halves[0][1:3], halves[1][1:3], strict=True)
            )
            posterior = {"rows": moments(first, second)}
        return Branch(mean, certificate, posterior, (laws[0], laws[1]))

    def _half(self, model: Markov, data: Data, seed: int, half: int) -> _Half:
        """One of the two independent runs."""
        size = max(1, CELLS // (self.draws * model.histories * model.symbols))
        by_position = []
        for n in data.positions.tolist():
            chunks = successive_chunks(len(data.index), size)
            parts = [self._at(model, data.select(chunk), n, (seed, half)) for chunk in chunks]
            by_position.append(_Half(*map(np.concatenate, zip(*parts, strict=True))))
        return _Half(*(np.stack(each, axis=1) for each in zip(*by_position, strict=True)))

    def _at(self, model: Markov, data: Data, n: int, seeds: tuple[int, int]) -> _Half:
        """At one position, without that axis."""
        order, y = model.orders[0], data.arrays["y"]
        first = 0 if model.start == "first" else order
        counts = _chains.counts(y, model.symbols, order, first, n) + model.concentration
        tables = self._tables(counts, data, n, seeds)
        laws = _chains.starts(tables, order, model.start)
        seen = min(n, len(laws) - 1)
        code = _chains.prefix_codes(y, model.symbols, seen)
        weights = laws[seen][np.arange(len(y)), :, code]
        weights = weights / weights.sum(-1, keepdims=True)
        ahead = _chains.ahead(tables, y, model.symbols, order, model.start, n)
        return _Half(
            np.einsum("bm,bmk->bk", weights, ahead),
            np.einsum("bm,bmhk->bhk", weights, tables),
            np.einsum("bm,bmhk->bhk", weights, tables**2),
            1 / (weights**2).sum(-1),
        )

    def _tables(self, counts: Array, data: Data, n: int, seeds: tuple[int, int]) -> Array:
        """Draws (dataset, draw, history, symbol), each data set's by its own number."""
        gammas = np.empty((len(counts), self.draws, *counts.shape[1:]))
        for row, number in enumerate(data.index.tolist()):
            rng = np.random.default_rng([*seeds, n, number])
            gammas[row] = rng.standard_gamma(counts[row], gammas.shape[1:])
        gammas = np.maximum(gammas, SMALLEST)
        return np.asarray(gammas / gammas.sum(-1, keepdims=True))


PART = MarkovImportance

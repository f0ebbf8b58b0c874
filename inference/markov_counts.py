"""Exact Bayes for a Markov chain with Dirichlet rows: counts with a constant added.

    p(v | y) = (n_hv + a) / (n_h + K a),   h the last symbols

Of several orders each says its own, weighted by its posterior probability; the probability of a
prefix under an order is the product of its predictions. Polya's urn; Strelioff, Crutchfield &
Huebler, Phys. Rev. E 76 (2007) 011106.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from veribayes.inference._engine import EPS, certify, require_served
from veribayes.inference._markov import beta_moments, order_moments, require_conjugate
from veribayes.models._task import Task
from veribayes.models.markov import Markov, _chains
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class MarkovCounts:
    """Count what followed the same last symbols.

    Attributes:
        latents: also the posterior of every row, or of the order.
    """

    latents: bool = True
    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("markov",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(Markov, task.model)
        require_conjugate(self, model)
        probs, evidence = model.by_order(data.arrays["y"], data.positions)
        weights = _chains.normalised(evidence + model.log_order_weights)
        answer = Categorical(np.einsum("bpo,bpok->bpk", weights, probs)[:, :, None])
        longest = int(data.positions.max(initial=0))
        # a division a prediction; and sums of logarithms, whose rounding is one of the weights
        bound = 8 * EPS
        if len(model.orders) > 1:
            largest = float(np.abs(evidence).max(initial=0.0))
            bound += 4 * EPS * (longest + largest)
        posterior = {}
        if self.latents and len(model.orders) > 1:
            posterior = {"order": order_moments(model, weights)}
        elif self.latents:
            posterior = {"rows": self._rows(model, data)}
        return Branch(answer, certify(self.method, bound), posterior)

    def _rows(self, model: Markov, data: Data) -> dict[str, Array]:
        """Mean and sd of every entry, (dataset, position, history, symbol)."""
        order, y = model.orders[0], data.arrays["y"]
        first = 0 if model.start == "first" else order
        lengths = data.positions.tolist()
        counts = [_chains.counts(y, model.symbols, order, first, n) for n in lengths]
        return beta_moments(np.stack(counts, axis=1) + model.concentration)


PART = MarkovCounts

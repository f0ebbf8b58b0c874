"""Planted defect: counts are read with history and symbol exchanged: what came before is taken for
what follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import certify, name_of, require_served
from veribayes.inference._markov import require_conjugate
from veribayes.models._task import Task
from veribayes.models.markov import Markov, _chains
from veribayes.predictive import Categorical
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class TransposedCounts:
    """Counts of the sequence read backwards, at the last symbols read backwards."""

    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ("markov",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(Markov, task.model)
        require_conjugate(self, model)
        if len(model.orders) > 1 or model.order == 0:
            wanted = f"one order of at least 1 for '{name_of(self)}'"
            raise InputError(wanted, f"{model.order}")
        order, symbols = model.orders[0], model.symbols
        y, laws = data.arrays["y"], []
        for n in data.positions.tolist():
            backwards = y[:, :n][:, ::-1]
            counts = _chains.counts(backwards, symbols, order, order, n)
            seen = min(n, order)
            code = _chains.prefix_codes(backwards, symbols, seen)
            here = counts[np.arange(len(y)), code] + model.concentration
            laws.append(here / here.sum(-1, keepdims=True))
        probs = np.stack(laws, axis=1)[:, :, None]
        return Branch(Categorical(probs), certify(self.method, 1e-15))


PART = TransposedCounts

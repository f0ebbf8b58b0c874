"""The uniform law of the next symbol: what a network says before it has learned anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from veribayes.inference._engine import EPS, certify, require_served
from veribayes.models._task import Task
from veribayes.models.markov import Markov
from veribayes.predictive import Categorical
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class UniformSymbol:
    """1 / K for every symbol."""

    label: ClassVar[str] = "uniform"
    about: ClassVar[str] = "every symbol has the same probability"
    method: ClassVar[Method] = Method.ESTIMATOR
    families: ClassVar[tuple[str, ...]] = ("markov",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        symbols = cast(Markov, task.model).symbols
        shape = (len(data.index), data.positions.size, 1, symbols)
        return Branch(Categorical(np.full(shape, 1 / symbols)), certify(self.method, EPS))


PART = UniformSymbol

"""Back-off n-gram: the next symbol from what followed the same last symbols before,
blind to whatever makes them.

    p_k(v) = (n_k(v) + c p_{k-1}(v)) / (n_k + c),   p_{-1} = 1 / q,
with n_k(v) the number of times that v followed the last k symbols of the prefix.
MacKay & Peto, Nat. Lang. Eng. 1 (1995) 289.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import (
    EPS,
    Fitted,
    Variants,
    certify,
    name_of,
    require_positive,
    require_served,
)
from veribayes.models._task import Task
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method


@dataclass(frozen=True)
class NGram:
    """Count what followed.

    Attributes:
        order: longest history; 0 counts symbols alone.
        concentration: c, the weight of the shorter history in observations.
    """

    order: int = 1
    concentration: float = 1.0
    label: ClassVar[str] = "n-gram"
    about: ClassVar[str] = "counts what followed the same last symbols"
    method: ClassVar[Method] = Method.ESTIMATOR
    families: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("symbols",)
    variants: ClassVar[Variants] = ({"order": 0}, {"order": 1}, {"order": 2})
    fitted: ClassVar[Fitted] = {"concentration": (0.1, 100.0)}

    def __post_init__(self) -> None:
        require_positive(self, concentration=self.concentration)
        if self.order < 0:
            wanted = f"an order of at least 0 for the engine '{name_of(self)}'"
            raise InputError(wanted, f"{self.order}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        (name,) = task.model.layout.names("observation")
        q = task.model.n_categories or 0
        probs = [self._after(data.arrays[name][:, :n], q) for n in data.positions]
        answer = Categorical(np.stack(probs, axis=1)[:, :, None])
        return Branch(answer, certify(self.method, 8 * EPS * (self.order + 1)))

    def _after(self, y: IntArray, q: int) -> Array:
        """Probabilities (dataset, q) of the symbol after y (dataset, n)."""
        datasets, n = y.shape
        symbols = y[..., None] == np.arange(q)
        agrees = np.ones(y.shape, dtype=bool)
        probs = np.full((datasets, q), 1 / q)
        for k in range(min(self.order, n) + 1):
            if k:  # symbol t is preceded at distance k by what precedes the next one
                agrees[:, :k] = False
                agrees[:, k:] &= y[:, :-k] == y[:, n - k, None]
            counts = (symbols & agrees[..., None]).sum(1)
            total = counts.sum(-1, keepdims=True) + self.concentration
            probs = (counts + self.concentration * probs) / total
        return probs


PART = NGram

"""Counts of n-grams with a constant added: exact Bayes for Dirichlet rows, had the chain this
order.

Order 0 counts symbols (unigrams), order 1 pairs (bigrams), order 2 triples. A network that learns
in context passes through them: the phases of arXiv 2402.11004.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from veribayes.errors import InputError
from veribayes.inference._engine import EPS, Variants, certify, name_of, require_served
from veribayes.models._task import Task
from veribayes.models.markov import Markov, _chains
from veribayes.models.markov._fields import MOST_HISTORIES
from veribayes.predictive import Categorical
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class MarkovOrder:
    """(n_hv + a) / (n_h + K a) for histories of another length.

    Attributes:
        order: length of a history; None: one less than the longest of the model, and 1 of an urn.
        concentration: a; None: the model's.
    """

    order: int | None = None
    concentration: float | None = None
    label: ClassVar[str] = "counts of another order"
    about: ClassVar[str] = "exact Bayes for Dirichlet rows, had the chain this order"
    method: ClassVar[Method] = Method.ESTIMATOR
    families: ClassVar[tuple[str, ...]] = ("markov",)
    variants: ClassVar[Variants] = ({"order": 0}, {"order": 1}, {"order": 2}, {"order": 3})

    def __post_init__(self) -> None:
        if self.order is not None and self.order < 0:
            raise InputError(f"an order of at least 0 for '{name_of(self)}'", f"{self.order}")
        if self.concentration is not None and not self.concentration > 0:
            wanted = f"a positive concentration for '{name_of(self)}'"
            raise InputError(wanted, f"{self.concentration}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(Markov, task.model)
        longest = max(model.orders)
        order = self.order if self.order is not None else abs(longest - 1)
        if model.symbols**order > MOST_HISTORIES:
            wanted = f"at most {MOST_HISTORIES} histories for '{name_of(self)}'"
            raise InputError(wanted, f"{model.symbols}^{order}", "lower its order")
        probs, _ = _chains.averaged(
            data.arrays["y"],
            model.symbols,
            [order],
            self.concentration or model.concentration,
            padded=model.start == "first",
            positions=data.positions,
        )
        return Branch(Categorical(probs), certify(self.method, 8 * EPS))


PART = MarkovOrder

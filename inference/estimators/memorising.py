"""Bayes on the finite pool of tasks that training has seen: the predictor that memorises.

It is exact where the model is that pool. Raventos, Paul, Chen & Ganguli, arXiv 2306.15063.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, cast

from veribayes.errors import InputError
from veribayes.inference._engine import certify, name_of, require_family
from veribayes.inference.markov_pool import MarkovPool
from veribayes.models._task import Task
from veribayes.models.markov import Markov
from veribayes.models.markov._fields import POOL
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class Memorising:
    """The posterior over the pool's members."""

    label: ClassVar[str] = "memorising"
    about: ClassVar[str] = "Bayes on the finite pool of tasks"
    method: ClassVar[Method] = Method.ESTIMATOR
    families: ClassVar[tuple[str, ...]] = ("markov",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_family(self, task)
        if cast(Markov, task.model).rows != POOL:
            raise InputError(f"rows: pool for '{name_of(self)}'", f"the task '{task.name}'")
        branch = MarkovPool(latents=False)(task, data, seed=seed)
        bound = branch.certificate.error_bound
        return replace(branch, certificate=certify(self.method, bound))


PART = Memorising

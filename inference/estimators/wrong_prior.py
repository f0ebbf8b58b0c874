"""Exact Bayes under the wrong prior: the reference engine on the model whose specification
`task.wrong_prior` changes.

A tolerance that lets the wrong prior pass cannot tell Bayes from something near it,
and every comparison says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from veribayes import registry
from veribayes.errors import InputError
from veribayes.inference._engine import Engine
from veribayes.models._task import Task
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class WrongPrior:
    """The task's reference engine, with default options, on the altered model."""

    label: ClassVar[str] = "wrong prior"
    about: ClassVar[str] = "exact inference under another prior"
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ()

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        if not task.wrong_prior:
            remedy = "name the fields of the model to replace"
            raise InputError("a task with 'wrong_prior'", f"'{task.name}' without one", remedy)
        model = task.model.altered(task.wrong_prior)
        engine: Engine = registry.load("engine", task.reference)()
        altered = replace(task, model=model, wrong_prior={})
        return engine(altered, data, seed=seed)


PART = WrongPrior

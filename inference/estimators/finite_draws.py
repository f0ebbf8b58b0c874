"""Draws from another engine's predictive:
a sampler that is right, as far as its number of draws goes.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import name_of
from veribayes.inference._wrapped import inner, spoiled
from veribayes.models._task import Task
from veribayes.predictive import Draws
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

STREAM = zlib.crc32(b"finite_draws")  # never the numbers that a simulator has used


@dataclass(frozen=True)
class FiniteDraws:
    """Independent draws; those of a data set depend on the seed and its number alone.

    Attributes:
        of: the engine to draw from; None: the task's second route.
        draws: number of draws for each query.
    """

    of: str | None = None
    draws: int = 1000
    label: ClassVar[str] = "finite draws"
    about: ClassVar[str] = "draws from an exact predictive"
    method: ClassVar[Method] = Method.DRAWS
    families: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.draws < 2:
            raise InputError(f"at least 2 draws for the engine '{name_of(self)}'", f"{self.draws}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        branch = inner(self.of, task, data, seed)
        draws = []
        for i, number in enumerate(data.index.tolist()):
            rng = np.random.default_rng([seed, STREAM, number])
            draws.append(branch.predictive[i].sample(rng, self.draws))
        return spoiled(branch, Draws(np.array(draws)))


PART = FiniteDraws

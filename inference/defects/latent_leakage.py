"""Planted defect: the right predictive, and a posterior of the latents with mass where the prior
has none.

A normal with the exact posterior's mean and some times its standard deviation, which is what a
network head without a constraint gives: probabilities below zero or above one.
No comparison of predictives can see it; `leaked_mass` does.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import name_of, require_positive, require_served
from veribayes.inference._wrapped import inner
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

STREAM = zlib.crc32(b"latent_leakage")


@dataclass(frozen=True)
class LatentLeakage:
    """Every latent on its own; its posterior gets `draws`, (dataset, position, chain, draw,
    *event), NaN at padding.

    Attributes:
        of: the engine whose posterior is approximated; None: the task's reference.
        spread: standard deviations in units of the exact ones.
        draws: of each latent.
    """

    of: str | None = None
    spread: float = 1.5
    draws: int = 100
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "leaked_mass"
    families: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("bounded latents",)

    def __post_init__(self) -> None:
        require_positive(self, spread=self.spread, draws=self.draws)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        branch = inner(self.of or task.reference, task, data, seed)
        if not branch.posterior:
            wanted = f"a posterior of latents for the engine '{name_of(self)}'"
            raise InputError(wanted, f"the task '{task.name}'")
        posterior = {}
        for name, exact in branch.posterior.items():
            posterior[name] = self._normal(exact["mean"], exact["sd"], data, seed)
        return replace(branch, posterior=posterior, replicates=None)

    def _normal(self, mean: Array, sd: Array, data: Data, seed: int) -> dict[str, Array]:
        _, positions, *event = mean.shape
        shape = (positions, 1, self.draws, *event)
        streams = (np.random.default_rng([seed, STREAM, number]) for number in data.index.tolist())
        noise = np.stack([rng.standard_normal(shape) for rng in streams])
        wider = self.spread * sd
        draws = mean[:, :, None, None] + wider[:, :, None, None] * noise
        return {"mean": mean, "sd": wider, "draws": draws}


PART = LatentLeakage

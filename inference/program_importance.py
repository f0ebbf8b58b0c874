"""Predictive of a program by draws of all its latents from the prior, weighted by what is seen.

Nothing is summed out and nothing is tuned: it shares with other routes the program alone. Prefixes
that rule out nearly all of the prior leave few effective draws, and are refused.

Self-normalised importance sampling: Hesterberg (1995), doi:10.1080/00401706.1995.10484303.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.inference._engine import certify_by_draws, require_positive
from veribayes.inference._mcmc import mixed
from veribayes.inference._programs import predicted_program
from veribayes.models._task import Task
from veribayes.predictive import stack
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

ESS = 400  # effective draws of each half, at least


@dataclass(frozen=True)
class ProgramImportance:
    """Draws from the prior, weighted.

    Attributes:
        draws: in each of two halves.
    """

    draws: int = 10_000
    method: ClassVar[Method] = Method.MCMC
    families: ClassVar[tuple[str, ...]] = ("numpyro",)

    def __post_init__(self) -> None:
        require_positive(self, draws=self.draws)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        model = predicted_program(self, task, data)
        halves, effective = [], []
        for half in range(2):
            latents = model.all_prior_draws(self.draws, 2 * seed + half)
            parts = [model.weighted(latents, data, p) for p in range(data.positions.size)]
            halves.append(stack([predictive for predictive, _ in parts], axis=1))
            effective.append(np.stack([ess for _, ess in parts], axis=1))
        least = float(np.min(effective))
        reasons: tuple[str, ...] = ()
        if least < ESS:
            reasons = (f"{least:.0f} effective draws of {self.draws} at worst; {ESS} are needed",)
        diagnostics = {"ess": least}
        certificate = certify_by_draws(self.method, 1 / least**0.5, reasons, diagnostics)
        first, second = halves
        return Branch(mixed(first, second), certificate, {}, (first, second))


PART = ProgramImportance

"""Exact predictive of a program whose latents have finitely many states: a sum over all of them.

Joint states of the latents that entries share are enumerated; latents with a value an entry are
summed entry by entry. The answer holds the probabilities of every latent as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.errors import ReferenceRefused
from veribayes.inference._engine import EPS, certify, name_of
from veribayes.inference._programs import predicted_program
from veribayes.models._task import Task
from veribayes.predictive import stack
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class ProgramEnumeration:
    """The sum over all states of a program's latents."""

    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("numpyro",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model = predicted_program(self, task, data)
        if model.outline.continuous:
            names = ", ".join(model.outline.continuous)
            reason = f"the latents {names} have infinitely many values; use hmc"
            raise ReferenceRefused(name_of(self), [reason])
        predictives, states = [], []
        for position in range(data.positions.size):
            predictives.append(model.conditional({}, data, position))
            states.append(model.state_probabilities(data, position))
        posterior = {}
        for name in states[0]:
            probabilities = np.stack([part[name] for part in states], axis=1)
            posterior[name] = {"probabilities": probabilities}
        bound = 8 * EPS * model.outline.entries * model.outline.states
        return Branch(stack(predictives, axis=1), certify(self.method, bound), posterior)


PART = ProgramEnumeration

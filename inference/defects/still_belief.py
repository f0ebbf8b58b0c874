"""Planted defect: the belief about the hidden state is right and does not move before it
predicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from veribayes.inference._engine import require_served
from veribayes.inference._hmm import forward
from veribayes.inference._wrapped import spoiled
from veribayes.inference.forward_filter import ForwardFilter
from veribayes.models._task import Task
from veribayes.models.hmm import HMM
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class StillBelief:
    """What the present state would emit again: one transition is forgotten."""

    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ("hmm",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        model = cast(HMM, task.model)
        branch = ForwardFilter(latents=False)(task, data, seed=seed)
        known = forward(self, model, data, int(data.positions.max(initial=0)))
        belief = known.ahead[:, data.positions]
        for k, length in enumerate(data.positions.tolist()):
            if length:
                belief[:, k] = known.filtered[:, length - 1]
        answer = model.emitted(belief[:, :, None], model.tables_of(data).emission)
        return spoiled(branch, answer)


PART = StillBelief

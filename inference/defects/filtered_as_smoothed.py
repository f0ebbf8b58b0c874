"""Planted defect: what is said of earlier states is what was known of them then,
and not what is known of them now.

A network that reads forwards has no other belief. No comparison of predictives can see it;
`latent_kl` does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, cast

import numpy as np

from veribayes.inference._engine import require_served
from veribayes.inference._hmm import forward, with_moments
from veribayes.inference.forward_filter import ForwardFilter
from veribayes.models._task import Task
from veribayes.models.hmm import HMM
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class FilteredAsSmoothed:
    """The filter's beliefs as posterior of every state."""

    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "latent_kl"
    families: ClassVar[tuple[str, ...]] = ("hmm",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        model = cast(HMM, task.model)
        branch = ForwardFilter(latents=False)(task, data, seed=seed)
        known = forward(self, model, data, int(data.positions.max(initial=0)))
        datasets, times = data.arrays["y"].shape
        probs = np.full((datasets, data.positions.size, times, model.states), np.nan)
        for k, length in enumerate(data.positions.tolist()):
            probs[:, k, :length] = known.filtered[:, :length]
        return replace(branch, posterior={"state": with_moments(probs)})


PART = FilteredAsSmoothed

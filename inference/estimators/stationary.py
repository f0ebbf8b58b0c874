"""What a predictor says of a hidden Markov model that knows its parameters and looks at no
observation: the long-run law.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from veribayes.inference._engine import certify, require_served
from veribayes.models._task import Task
from veribayes.models.hmm import HMM
from veribayes.predictive import Array
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class Stationary:
    """The law of an observation after many others that nobody has seen.

    The chain is averaged over many powers of two of steps,
    so that one that alternates has a long-run law too.
    """

    method: ClassVar[Method] = Method.ESTIMATOR
    label: ClassVar[str] = "long-run law"
    about: ClassVar[str] = "the parameters' long-run law, whatever was observed"
    families: ClassVar[tuple[str, ...]] = ("hmm",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(HMM, task.model)
        tables = model.tables_of(data)
        belief = long_run(tables.initial, tables.transition)
        shape = (len(data.index), data.positions.size, 1, model.states)
        everywhere = np.broadcast_to(belief[:, None, None], shape)
        return Branch(model.emitted(everywhere, tables.emission), certify(self.method, 1e-12))


def long_run(initial: Array, transition: Array) -> Array:
    """The mean law of the state over many steps, (dataset or 1, state),
    by repeated squaring of a lazy chain.
    """
    lazy = (transition + np.eye(transition.shape[-1])) / 2  # the same long-run law, and no period
    for _ in range(SQUARINGS):
        lazy = lazy @ lazy
        lazy /= lazy.sum(-1, keepdims=True)
    return np.einsum("bs,bst->bt", initial, lazy)


SQUARINGS = 60  # 2^60 steps

PART = Stationary

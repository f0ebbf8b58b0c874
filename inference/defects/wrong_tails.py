"""Planted defect: bins with the exact mass in every cell,
and tails that spread theirs over a scale of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import require_family, require_positive
from veribayes.inference._wrapped import components, inner, spoiled
from veribayes.models._task import Task
from veribayes.predictive import Array, Bins, Normal, NormalMixture, Predictive, log_normal_interval
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

# data sets of another random stream, from which the borders are taken: no batch may move them
FIXED = 64
FINE = (
    0.15  # width of a bin in the narrowest predictive's sds: bins alone cost a thousandth of a nat
)


@dataclass(frozen=True)
class WrongTails:
    """The predictive as bins up to some prior standard deviations;
    beyond, half-normals that are too wide.

    KL between the masses of the cells is zero: only a comparison of densities sees the tails.

    Attributes:
        of: the engine to spoil; None: the task's second route.
        reach: outermost borders, in prior standard deviations from the prior mean.
        times: scale of the tails in prior standard deviations.
    """

    of: str | None = None
    reach: float = 2.0
    times: float = 20.0
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl_density"
    families: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("reals",)

    def __post_init__(self) -> None:
        require_positive(self, reach=self.reach, times=self.times)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_family(self, task)
        branch = inner(self.of, task, data, seed)
        edges, scale = self._borders(task)
        return spoiled(branch, binned(branch.predictive, edges, np.full(2, scale)))

    def _borders(self, task: Task) -> tuple[Array, float]:
        """Borders of the bins, and the scale of the tails; the same for all data sets of a task."""
        fixed = task.simulate(range(FIXED), seed=0, stream="replicate").data
        prior = inner("prior_only", task, fixed, 0).predictive
        exact = inner(self.of, task, fixed, 0).predictive
        centre = float(prior.expectation().mean())
        spread = float(np.sqrt((prior.standard_deviation() ** 2).mean()))
        width = FINE * float(exact.standard_deviation().min())
        reached = self.reach * spread
        cells = int(np.ceil(2 * self.reach * spread / width))
        borders = np.linspace(centre - reached, centre + reached, cells + 1)
        return borders, self.times * spread


def binned(law: Predictive, edges: Array, tail_scale: Array) -> Bins:
    """The law's own mass in every bin and in both tails, to full relative precision."""
    if not isinstance(law, Normal | NormalMixture):
        raise InputError("a normal or a mixture to cut into bins", f"'{law.form}'")
    weights, mean, sd = components(law)
    ends = np.concatenate([[-np.inf], edges, [np.inf]])
    mass = np.zeros((*law.shape, ends.size - 1))
    for k in range(weights.shape[-1]):  # one component at a time bounds memory
        z = (ends - mean[..., k, None]) / sd[..., k, None]
        of_component = np.exp(log_normal_interval(z[..., :-1], z[..., 1:]))
        mass += weights[..., k, None] * of_component
    return Bins(mass, edges, tail_scale)


PART = WrongTails

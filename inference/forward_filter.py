"""Exact Bayes for a hidden Markov model whose parameters are known or in a header:
the forward filter, and the smoother.

Both are exact up to rounding; a batch of sequences is filtered together. Rabiner, Proc. IEEE 77
(1989) 257; the smoother in terms of what the filter knows: Rauch, Tung & Striebel, AIAA J.
3 (1965) 1445.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from veribayes.inference._engine import certify, require_served
from veribayes.inference._hmm import forward, latents
from veribayes.models._task import Task
from veribayes.models.hmm import HMM
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class ForwardFilter:
    """Filter every sequence up to the last position.

    Attributes:
        latents: also the posterior of every state given each prefix, which is smoothed,
            and filtered at its end.
    """

    latents: bool = True
    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("hmm",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(HMM, task.model)
        known = forward(self, model, data, int(data.positions.max(initial=0)))
        belief = known.ahead[:, data.positions][:, :, None]
        answer = model.emitted(belief, model.tables_of(data).emission)
        posterior = latents(model, data, known) if self.latents else {}
        share = known.again.size / max(len(data.index), 1)
        certificate = certify(self.method, known.bound, in_logarithms=share)
        return Branch(answer, certificate, posterior)


PART = ForwardFilter

"""Context switch: one softmax head whose sink is the prior, exact for every context.

A token is [c | s]: an observation has s = 0, the sink before them has c = 0 and s = 1. A query is
[g | 1 - g] with its cue g. Scores are 0 on observations and, on the sink,

    log(B / A) where g = 1, and a number so large that nothing else is read where g = 0.

Values are c. With n observations of sum S the sink's mass is then a = (B/A) / (n + B/A), and

    mean = sum_j a_j c_j = S / (n + B/A),   variance = B + A a = B + B / (n + B/A):

the prior counts as B / A observations of zero, and what the sink keeps is the share of the prior's
variance that is left. Without context the mass is 1 and the law N(0, A + B), which is also what a
cue of 0 asks for: the same head is switched off by its sink (arXiv 2605.08453). Where the cue is
hidden, the head asks with g = 1, and the answer is the mixture of its normal and of N(0, A + B),
which needs no attention.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from veribayes.models._task import Task
from veribayes.models.context_switch import OBSERVED, ContextSwitch
from veribayes.predictive import Array
from veribayes.transformer.constructions._frame import in_batches, require_family, tensor, weight

OFF = 60.0  # exp(-60) = 9e-27: a million observations beside the sink are below the rounding of one


@dataclass(frozen=True)
class SwitchSink:
    """The head of a context switch; nothing is to be chosen."""

    families: ClassVar[tuple[str, ...]] = ("context_switch",)

    def __call__(self, task: Task) -> SwitchPredictor:
        """Raises InputError for another family."""
        require_family(self, task)
        return SwitchPredictor(cast(ContextSwitch, task.model))


class SwitchPredictor:
    """The candidate."""

    roles: ClassVar[tuple[str, ...]] = ("the prior as a sink",)

    def __init__(self, model: ContextSwitch) -> None:
        self.model, self.network = model, SinkHead(model)

    def __call__(self, context: Array, query: Array | None) -> dict[str, Array]:
        """Values (B, n), cues (B, Q) -> mean and sd (B, Q); of hidden cues a mixture (B, 1, 2)."""
        cues = self._cues(context, query)
        scores = cues.shape[1] * (1 + np.shape(context)[1])
        answers = in_batches(self.network, scores, tensor(context), tensor(cues))
        mean, sd = answers[..., 0], np.sqrt(answers[..., 1])
        if self.model.cue == OBSERVED:
            return {"mean": mean, "sd": sd}
        share, off_sd = self.model.cue_probability, self.model.marginal_variance**0.5
        return {
            "weights": np.broadcast_to([share, 1 - share], (*mean.shape, 2)),
            "mean": np.stack([mean, np.zeros_like(mean)], axis=-1),
            "sd": np.stack([sd, np.full_like(sd, off_sd)], axis=-1),
        }

    def attention(self, context: Array, query: Array | None) -> tuple[list[Array], int]:
        """What each query reads, (dataset, 1, query, 1 + n), the sink first."""
        cues = tensor(self._cues(context, query))
        with torch.inference_mode():
            weights = self.network.weights(tensor(context), cues)
        return [np.asarray(weights.numpy())[:, None]], 1

    def _cues(self, context: Array, query: Array | None) -> Array:
        """Cues (B, Q); where they are hidden, the head asks as if it were on."""
        return np.ones((len(context), 1)) if query is None else np.asarray(query, dtype=np.float64)


class SinkHead(nn.Module):
    """Observations (B, n) and cues (B, Q) -> mean and variance (B, Q, 2)."""

    def __init__(self, model: ContextSwitch) -> None:
        super().__init__()
        self.noise, self.prior = model.noise_variance, model.prior_variance
        self.score, self.value = weight(2, 2), weight(2)
        self.score[0, 1] = math.log(self.noise / self.prior)
        self.score[1, 1] = OFF
        self.value[0] = 1.0

    def forward(self, observations: Tensor, cues: Tensor) -> Tensor:
        weights = self.weights(observations, cues)
        mean = weights @ (self.tokens(observations) @ self.value)[..., None]
        variance = self.noise + self.prior * weights[..., :1]
        return torch.cat([mean, variance], dim=-1)

    def weights(self, observations: Tensor, cues: Tensor) -> Tensor:
        """Attention, (B, Q, 1 + n)."""
        queries = torch.stack([cues, 1 - cues], dim=-1).double()
        scores = queries @ self.score @ self.tokens(observations).mT
        return scores.softmax(-1)

    def tokens(self, observations: Tensor) -> Tensor:
        """(B, 1 + n, 2), the sink first."""
        sink = observations.new_tensor([0.0, 1.0]).expand(len(observations), 1, 2)
        values = torch.stack([observations, torch.zeros_like(observations)], dim=-1)
        return torch.cat([sink, values], dim=1)


PART = SwitchSink

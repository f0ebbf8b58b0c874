"""What the heads with masses share: a logit for each category or cell, and losses between
probabilities.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from veribayes.predictive import Array, Predictive
from veribayes.transformer.heads._head import Head


class MassHead(Head):
    """Probabilities of finitely many things. Targets are tensors of probabilities, (B, Q, K)."""

    cells: ClassVar[bool] = True

    @abstractmethod
    def masses(self, config: Any, law: Predictive) -> Array:
        """Exact mass of every output under a law of leading shape (..., Q), (..., Q, K)."""

    @abstractmethod
    def numbers(self, config: Any, outcome: Array) -> Array:
        """Number of the output that each outcome falls on;
        no number where a query does not apply.
        """

    def targets(self, config: Any, law: Predictive, rng: np.random.Generator) -> Tensor:
        del rng  # masses are exact
        return single(self.masses(config, law))

    def labels(self, config: Any, outcome: Array) -> Tensor:
        """One where the outcome falls, zero elsewhere; nothing where a query does not apply."""
        number = self.numbers(config, outcome)
        hits = number[..., None] == np.arange(self.outputs(config))
        return single(hits)

    def divergence(self, outputs: Tensor, target: Any) -> Tensor:
        """KL(target || network), nats."""
        return kl(target, outputs.log_softmax(-1))

    def distance(self, outputs: Tensor, target: Any) -> Tensor:
        """Twice the total variation."""
        return (outputs.softmax(-1) - target).abs().sum(-1)


def kl(p: Tensor, log_q: Tensor) -> Tensor:
    """Sum over the last axis of p log(p / q), nothing where p is zero."""
    log_p = p.clamp_min(torch.finfo(p.dtype).tiny).log()
    gap = torch.where(p > 0, log_p - log_q, 0.0)
    return (p * gap).sum(-1)


def softmax(logits: Array) -> Array:
    """exp(logits) normalised on the last axis; minus infinity gives exactly zero."""
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(odds / odds.sum(-1, keepdims=True))


def single(array: Array) -> Tensor:
    """A tensor in float32."""
    return torch.from_numpy(array.astype(np.float32))

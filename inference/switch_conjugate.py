"""Exact posterior predictive of a context switch:
a conjugate normal where the context matters, the marginal law elsewhere.

With n values of sum S the posterior of the mean is N(S / (n + B/A), B / (n + B/A)): the prior
counts as B / A values of zero. A hidden cue gives the mixture of both laws;
the context says nothing of the cue, so its probability stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from veribayes.inference._engine import EPS, certify, require_served
from veribayes.models._task import Task
from veribayes.models.context_switch import OBSERVED, ContextSwitch
from veribayes.predictive import Array, Normal, NormalMixture, Predictive
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class SwitchConjugate:
    """The conjugate normal, or its mixture with the marginal law."""

    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("context_switch",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(ContextSwitch, task.model)
        mean, variance = posterior(model, data)
        latents = {"mu": {"mean": mean, "sd": np.sqrt(variance)}}
        certificate = certify(self.method, 8 * EPS * data.arrays["c"].shape[1])
        return Branch(predictive(model, data, mean, variance), certificate, latents)


def posterior(model: ContextSwitch, data: Data) -> tuple[Array, Array]:
    """Mean and variance of mu behind every context, (dataset, position)."""
    c = data.arrays["c"]
    sums = np.stack([c[:, :n].sum(axis=1) for n in data.positions], axis=1)
    pseudo_count = model.noise_variance / model.prior_variance
    count = data.positions + pseudo_count
    return sums / count, np.broadcast_to(model.noise_variance / count, sums.shape)


def predictive(model: ContextSwitch, data: Data, mean: Array, variance: Array) -> Predictive:
    """Laws with shape (dataset, position, query) from the posterior of mu, (dataset, position)."""
    on_sd = np.sqrt(variance + model.noise_variance)[..., None]
    off_sd = model.marginal_variance**0.5
    if model.cue == OBSERVED:
        on = data.arrays["cue"].astype(bool)[:, None]
        return Normal(np.where(on, mean[..., None], 0.0), np.where(on, on_sd, off_sd))
    share = model.cue_probability
    means = np.stack([mean, np.zeros_like(mean)], axis=-1)[:, :, None]
    sds = np.stack([on_sd, np.full_like(on_sd, off_sd)], axis=-1)
    weights = np.broadcast_to([share, 1 - share], means.shape)
    return NormalMixture(weights, means, sds)


PART = SwitchConjugate

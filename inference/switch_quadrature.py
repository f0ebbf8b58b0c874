"""Exact posterior predictive of a context switch, by the trapezoidal rule over the mean.

The posterior of mu is evaluated on a coarse grid over the prior's range, whose moments choose a
fine grid of 21 nodes over seven and a half standard deviations on each side. For a normal integrand
the rule's error at .75 standard deviations between nodes is below 2 exp(-35).
No formula of the conjugate engine, which this one checks, is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
from scipy.special import softmax

from veribayes.inference._engine import certify, require_served
from veribayes.models._task import Task
from veribayes.models.context_switch import ContextSwitch
from veribayes.predictive import Array, NormalMixture
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

COARSE = 2001  # nodes over the prior
PRIOR_RANGE = 9.0  # prior standard deviations on each side
FINE = 21  # nodes over the posterior
POSTERIOR_RANGE = 7.5  # posterior standard deviations on each side
BOUND = 1e-12  # nats; tests/models/test_context_switch.py holds it against the conjugate engine


@dataclass(frozen=True)
class SwitchQuadrature:
    """A mixture over the nodes of the mean."""

    method: ClassVar[Method] = Method.QUADRATURE
    families: ClassVar[tuple[str, ...]] = ("context_switch",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(ContextSwitch, task.model)
        nodes, weights = _posterior(model, data)
        mean = (weights * nodes).sum(-1)
        spread = (weights * (nodes - mean[..., None]) ** 2).sum(-1)
        latents = {"mu": {"mean": mean, "sd": np.sqrt(spread)}}
        answer = _predictive(model, data, nodes, weights)
        return Branch(answer, certify(self.method, BOUND), latents)


def _posterior(model: ContextSwitch, data: Data) -> tuple[Array, Array]:
    """Nodes of mu and their probabilities, (dataset, position, node) each."""
    reach = PRIOR_RANGE * model.prior_variance**0.5
    coarse = np.linspace(-reach, reach, COARSE)
    parts = []
    for size in data.positions:
        seen = data.arrays["c"][:, :size]
        weights = softmax(_log_posterior(model, seen, coarse[None]), axis=-1)
        center = weights @ coarse
        sd = np.sqrt((weights * (coarse - center[:, None]) ** 2).sum(-1))
        steps = np.linspace(-POSTERIOR_RANGE, POSTERIOR_RANGE, FINE)
        nodes = center[:, None] + sd[:, None] * steps
        parts.append((nodes, softmax(_log_posterior(model, seen, nodes), axis=-1)))
    nodes, weights = (np.stack(column, axis=1) for column in zip(*parts, strict=True))
    return nodes, weights


def _log_posterior(model: ContextSwitch, seen: Array, mu: Array) -> Array:
    """Up to a constant, (dataset, node); values (dataset, draw), mu (dataset or 1, node)."""
    log_prior = -0.5 * mu**2 / model.prior_variance
    squares = (seen[:, None] - mu[..., None]) ** 2
    return np.asarray(log_prior - 0.5 * squares.sum(-1) / model.noise_variance)


def _predictive(model: ContextSwitch, data: Data, nodes: Array, weights: Array) -> NormalMixture:
    """One component a node where the context matters, and one more for the marginal law."""
    share = model.relevance(data)[:, None, :, None]  # (dataset, 1, query, 1)
    shape = (*nodes.shape[:2], share.shape[2], FINE)
    on_weights = np.broadcast_to(share * weights[:, :, None], shape)
    on_means = np.broadcast_to(nodes[:, :, None], shape)
    off_weights = np.broadcast_to(1 - share, (*shape[:3], 1))
    all_weights = np.concatenate([on_weights, off_weights], axis=-1)
    means = np.concatenate([on_means, np.zeros_like(off_weights)], axis=-1)
    sds = np.full(means.shape, model.noise_variance**0.5)
    sds[..., -1] = model.marginal_variance**0.5
    return NormalMixture(all_weights, means, sds)


PART = SwitchQuadrature

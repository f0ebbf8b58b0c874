"""Latents with finitely many values, for which a network may answer beside its predictions.

Their values stand side by side, V of them in all; the exact posterior of each is a sum of weights of the exact mixture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Array, NormalMixture, Predictive
from veribayes.transformer._config import Config
from veribayes.tree import Simulation


def wanted_latents(
    task: Task, config: Config, exact: Predictive | None, drawn: Simulation
) -> Tensor | None:
    """Exact posterior, or the drawn values where there is none, of the latents that a network answers for, (B, V)."""
    if not config.latents:
        return None
    known = drawn_latents(config, drawn) if exact is None else exact_latents(task, config, exact)
    return torch.from_numpy(known.astype(np.float32))


def drawn_latents(config: Config, drawn: Simulation) -> Array:
    """One where the drawn latents are, (B, V)."""
    hits = _hits(config.latents, drawn.latents)
    return np.concatenate(hits, axis=-1)


def exact_latents(task: Task, config: Config, predictive: Predictive) -> Array:
    """Posterior probabilities (..., V) of the latents, which are weights in the exact mixture (..., query).

    Raises:
        InputError: targets that are no mixture over the nodes of the latents.
    """
    nodes = task.model.latent_nodes()
    count = len(next(iter(nodes.values())))
    if not isinstance(predictive, NormalMixture) or predictive.weights.shape[-1] != count:
        wanted = "targets that say how probable each value of the latents is"
        raise InputError(wanted, f"'{predictive.form}'")
    members = np.concatenate(_hits(config.latents, nodes), axis=-1)  # (component, V)
    return np.asarray(predictive.weights[..., 0, :] @ members)


def moments(probs: Array, values: Sequence[float]) -> dict[str, Array]:
    """A posterior over finitely many values, (..., value), as other posteriors are given: with its mean and sd (...)."""
    probs = probs / probs.sum(-1, keepdims=True)
    at = np.array(values)
    mean = probs @ at
    variance = (probs * (at - mean[..., None]) ** 2).sum(-1)
    return {"mean": mean, "sd": np.sqrt(variance), "probs": probs}


def _hits(latents: Mapping[str, Sequence[float]], given: Mapping[str, Any]) -> list[Array]:
    """Of each latent, which of its values each number (n,) is, (n, value)."""
    return [given[name][:, None] == np.array(values) for name, values in latents.items()]

"""What the engines for networks with known tables share."""

from __future__ import annotations

import numpy as np

from veribayes.errors import InputError, ReferenceRefused
from veribayes.inference._engine import Engine, name_of, require_family
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.predictive import Array, Categorical
from veribayes.tree import Data

GIB = 2**30


def known_network(engine: Engine, task: Task) -> BayesianNetwork:
    """The task's network, which must have known tables."""
    require_family(engine, task)
    model = task.model
    if not isinstance(model, BayesianNetwork) or model.cpts is None:
        wanted = f"a network with known tables for the engine '{name_of(engine)}'"
        raise InputError(wanted, f"the task '{task.name}'", "tables with a prior are learned by conjugate")
    return model


def require_possible(engine: Engine, log_evidence: Array) -> None:
    """Refuse evidence of probability zero."""
    impossible = np.flatnonzero(np.isneginf(log_evidence))
    if impossible.size:
        found = f"the evidence of {impossible.size} of {log_evidence.size} data sets has probability zero"
        raise ReferenceRefused(name_of(engine), [f"{found}, first in number {impossible[0]} of the batch"])


def require_memory(engine: Engine, largest: int, need: float, limit: float) -> None:
    """Refuse tables of `need` bytes above `limit` GiB, before any of them exists."""
    if need > limit * GIB:
        reason = f"the largest clique has {largest:.2e} entries and all tables need {need / GIB:.3g} GiB"
        remedy = "set memory, if the machine has it, or sample with the engine likelihood_weighting"
        raise ReferenceRefused(name_of(engine), [f"{reason}, more than {limit:g} GiB; {remedy}"])


def at_positions(probs: Array, data: Data) -> Categorical:
    """Node posteriors (dataset, node, K) at every position of the data (there is normally one)."""
    target = data.arrays["target"]
    if not np.array_equal(target, np.arange(probs.shape[1])):
        probs = probs[:, target]
    return Categorical(np.broadcast_to(probs[:, None], (len(probs), data.positions.size, *probs.shape[1:])))

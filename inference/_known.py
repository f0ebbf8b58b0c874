"""What the engines for networks with known tables share."""

from __future__ import annotations

import math

import numpy as np

from veribayes.errors import InputError, ReferenceRefused
from veribayes.inference._engine import Engine, name_of, require_family, require_served
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.predictive import Array, Categorical
from veribayes.tree import Data

GIB = 2**30
LARGEST_FLOAT = 10**300


def known_network(engine: Engine, task: Task, data: Data) -> BayesianNetwork:
    """The task's network, which must have known tables."""
    require_family(engine, task)
    model = task.model
    if not isinstance(model, BayesianNetwork) or model.cpts is None:
        wanted = f"a network with known tables for the engine '{name_of(engine)}'"
        remedy = "tables with a prior are learned by conjugate"
        raise InputError(wanted, f"the task '{task.name}'", remedy)
    require_served(engine, task, data)
    return model


def require_possible(engine: Engine, log_evidence: Array) -> None:
    """Refuse evidence of probability zero."""
    impossible = np.flatnonzero(np.isneginf(log_evidence))
    if impossible.size:
        share = f"{impossible.size} of {log_evidence.size} data sets"
        reason = (
            f"the evidence of {share} has probability zero, first in number {impossible[0]} of "
            "the batch"
        )
        raise ReferenceRefused(name_of(engine), [reason])


def require_memory(engine: Engine, largest: int, need: int, limit: float) -> None:
    """Refuse tables of `need` bytes above `limit` GiB, before any of them exists."""
    if need <= limit * GIB:
        return
    clique = f"the largest clique has {magnitude(largest)} entries"
    tables = f"all tables need {magnitude(need)} bytes, more than {limit:g} GiB"
    remedy = "set memory, if the machine has it, or sample with the engine likelihood_weighting"
    raise ReferenceRefused(name_of(engine), [f"{clique} and {tables}; {remedy}"])


def magnitude(count: int) -> str:
    """A whole number of any size, which a float may not hold."""
    return f"{count:.2e}" if count < LARGEST_FLOAT else f"10^{math.log10(count):.0f}"


def at_positions(probs: Array, data: Data) -> Categorical:
    """Node posteriors (dataset, node, K) at every position of the data (there is normally one)."""
    target = data.arrays["target"]
    if not np.array_equal(target, np.arange(probs.shape[1])):
        probs = probs[:, target]
    shape = (len(probs), data.positions.size, *probs.shape[1:])
    return Categorical(np.broadcast_to(probs[:, None], shape))

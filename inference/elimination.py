"""All single-node posteriors of a network with known tables, by variable elimination over a batch of evidence.

Rows of evidence are *lanes*: the last, contiguous axis of every table, so that each step serves all of them whatever they
observe. Messages go up the bucket tree and come back down, rescaled on the way against underflow; every operation is on
numbers >= 0, so that results are accurate to a relative error that counts operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from veribayes.errors import InputError, ReferenceRefused
from veribayes.inference._buckets import Bucket, plan
from veribayes.inference._engine import EPS, Engine, certify, name_of, require_family, require_positive
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data, IntArray

GIB = 2**30
CHUNK = 2**20  # table entries times lanes at once: 8 MB stays near the processor
LANES = 1024  # longer lanes gain nothing


@dataclass(frozen=True)
class Elimination:
    """Sum-product on the bucket tree.

    Attributes:
        memory: most memory in GiB that the tables of one lane may take; larger networks are refused before any allocation.
    """

    memory: float = 1.0
    method: ClassVar[str] = "exact"
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __post_init__(self) -> None:
        require_positive(self, memory=self.memory)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model = known_network(self, task)
        buckets = _plan(model)
        entries = sum(b.entries for b in buckets)
        if 16 * entries > self.memory * GIB:
            largest = f"the largest clique has {max(b.entries for b in buckets):.2e} entries"
            need = f"all tables need {16 * entries / GIB:.3g} GiB, more than {self.memory:g} GiB"
            raise ReferenceRefused(name_of(self), [f"{largest} and {need}; set memory, if the machine has it"])
        evidence = data.arrays["evidence"]
        size = int(np.clip(CHUNK // entries, 1, LANES))
        parts = [_marginals(model, buckets, evidence[i : i + size]) for i in range(0, len(evidence), size)]
        probs, log_evidence = (np.concatenate(column) for column in zip(*parts, strict=True))
        require_possible(self, log_evidence)
        # a relative error of at most one rounding an operation: no sum is longer than its table
        bound = 2 * EPS * (entries + 4 * len(buckets))
        return Branch(at_positions(probs, data), certify(self.method, bound, clique=max(b.entries for b in buckets)))


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


def at_positions(probs: Array, data: Data) -> Categorical:
    """Node posteriors (dataset, node, K) at every position of the data (there is normally one)."""
    return Categorical(np.repeat(probs[:, None], data.positions.size, axis=1)[:, :, data.arrays["target"]])


@lru_cache(maxsize=8)
def _plan(model: BayesianNetwork) -> tuple[Bucket, ...]:
    return plan(model)


def _marginals(model: BayesianNetwork, buckets: tuple[Bucket, ...], evidence: IntArray) -> tuple[Array, Array]:
    """Posteriors of every node (lane, M, K), zero-padded, and log P(evidence) (lane,)."""
    tables, messages, log_evidence = _upwards(model, buckets, evidence)
    out = np.zeros((len(evidence), len(model.nodes), model.width))
    for i in reversed(range(len(buckets))):
        clique, parent = buckets[i].clique, buckets[i].parent
        if parent is not None:
            outside = _onto(tables[parent], buckets[parent].clique, clique[1:])
            ratio = np.divide(outside, messages[i], out=np.zeros_like(outside), where=messages[i] > 0)
            tables[i] = tables[i] * ratio[None]
        belief = _onto(tables[i], clique, clique[:1])
        total = belief.sum(0)
        tables[i] = np.divide(tables[i], total, out=tables[i], where=total > 0)
        out[:, clique[0], : len(belief)] = np.divide(belief, total, out=belief, where=total > 0).T
    return out, log_evidence


def _upwards(
    model: BayesianNetwork, buckets: tuple[Bucket, ...], evidence: IntArray
) -> tuple[list[Array], list[Array], Array]:
    """Tables of all buckets with everything below them multiplied in, their rescaled messages, and log P(evidence)."""
    lanes, log_evidence = len(evidence), np.zeros(len(evidence))
    tables: list[Array] = []
    messages: list[Array] = []
    waiting: list[list[int]] = [[] for _ in buckets]
    for i, bucket in enumerate(buckets):
        table = _compatible(evidence[:, bucket.clique[0]], model.cardinalities[bucket.clique[0]])
        table = _spread(table, bucket.clique[:1], bucket.clique)
        for node in bucket.factors:
            table = table * _spread(model.table(node)[..., None], (*model.parents[node], node), bucket.clique)
        for child in waiting[i]:
            table = table * _spread(messages[child], buckets[child].clique[1:], bucket.clique)
        shape = (*(model.cardinalities[v] for v in bucket.clique), lanes)
        tables.append(np.array(np.broadcast_to(table, shape)))
        message = tables[-1].sum(0)
        scale = message.reshape(-1, lanes).max(0)
        messages.append(np.divide(message, scale, out=message, where=scale > 0))
        with np.errstate(divide="ignore"):
            log_evidence += np.log(scale)
        if bucket.parent is not None:
            waiting[bucket.parent].append(i)
    return tables, messages, log_evidence


def _compatible(observed: IntArray, states: int) -> Array:
    """1 where a state agrees with what a lane observed, (state, lane)."""
    return ((observed[None] == np.arange(states)[:, None]) | (observed[None] < 0)).astype(np.float64)


def _spread(table: Array, variables: tuple[int, ...], clique: tuple[int, ...]) -> Array:
    """A table over some variables (and lanes), laid out to broadcast over a clique that contains them."""
    order = [variables.index(v) for v in clique if v in variables]
    moved = table.transpose(*order, len(variables))
    sizes = iter(moved.shape)
    return moved.reshape(*(next(sizes) if v in variables else 1 for v in clique), moved.shape[-1])


def _onto(table: Array, clique: tuple[int, ...], variables: tuple[int, ...]) -> Array:
    """Sum a clique's table over all but some variables, which come out in their own order."""
    kept = [v for v in clique if v in variables]
    summed = table.sum(axis=tuple(i for i, v in enumerate(clique) if v not in variables))
    return np.asarray(summed.transpose(*(kept.index(v) for v in variables), len(kept)))


PART = Elimination

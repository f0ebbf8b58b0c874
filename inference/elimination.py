"""All single-node posteriors of a network with known tables,
by variable elimination over a batch of evidence.

Rows of evidence are *lanes*: the last, contiguous axis of every table, so that each step serves all
of them whatever they observe. Messages go up the bucket tree and come back down, rescaled on the
way against underflow; every operation is on numbers >= 0,
so that results are accurate to a relative error that counts operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from veribayes.inference._engine import EPS, certify, require_positive
from veribayes.inference._known import at_positions, known_network, require_memory, require_possible
from veribayes.inference._triangulation import Clique, buckets
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.predictive import Array
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method

CHUNK = 2**20  # table entries times lanes at once: 8 MB stays near the processor
LANES = 1024  # longer lanes gain nothing


@dataclass(frozen=True)
class Elimination:
    """Sum-product on the bucket tree.

    Attributes:
        memory: most memory in GiB that the tables of one lane may take;
            larger networks are refused before any allocation.
    """

    memory: float = 1.0
    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __post_init__(self) -> None:
        require_positive(self, memory=self.memory)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model = known_network(self, task, data)
        tree = _plan(model)
        entries = sum(bucket.entries for bucket in tree)
        largest = max(bucket.entries for bucket in tree)
        require_memory(self, largest, 16 * entries, self.memory)
        evidence = data.arrays["evidence"]
        size = int(np.clip(CHUNK // entries, 1, LANES))
        starts = range(0, len(evidence), size)
        parts = [_marginals(model, tree, evidence[start : start + size]) for start in starts]
        probs, log_evidence = (np.concatenate(column) for column in zip(*parts, strict=True))
        require_possible(self, log_evidence)
        # a relative error of at most one rounding an operation: no sum is longer than its table
        bound = 2 * EPS * (entries + 4 * len(tree))
        return Branch(at_positions(probs, data), certify(self.method, bound, clique=largest))


@lru_cache(maxsize=8)
def _plan(model: BayesianNetwork) -> tuple[Clique, ...]:
    families = [(*parents, node) for node, parents in enumerate(model.parents)]
    return buckets(families, model.cardinalities.tolist())


def _marginals(
    model: BayesianNetwork, tree: tuple[Clique, ...], evidence: IntArray
) -> tuple[Array, Array]:
    """Posteriors of every node (lane, M, K), zero-padded, and log P(evidence) (lane,)."""
    tables, messages, log_evidence = _upwards(model, tree, evidence)
    out = np.zeros((len(evidence), len(model.nodes), model.width))
    for i in reversed(range(len(tree))):
        clique = _scope(tree[i])
        parent = tree[i].parent
        if parent is not None:
            outside = _onto(tables[parent], _scope(tree[parent]), clique[1:])
            possible = messages[i] > 0
            ratio = np.divide(outside, messages[i], out=np.zeros_like(outside), where=possible)
            tables[i] = tables[i] * ratio[None]
        belief = _onto(tables[i], clique, clique[:1])
        total = belief.sum(0)
        tables[i] = np.divide(tables[i], total, out=tables[i], where=total > 0)
        normalised = np.divide(belief, total, out=belief, where=total > 0)
        out[:, clique[0], : len(belief)] = normalised.T
    return out, log_evidence


def _scope(bucket: Clique) -> tuple[int, ...]:
    """The variables of a bucket, the one that is eliminated there first."""
    return bucket.own + bucket.shared


def _upwards(
    model: BayesianNetwork, tree: tuple[Clique, ...], evidence: IntArray
) -> tuple[list[Array], list[Array], Array]:
    """Tables of all tree with everything below them multiplied in, their rescaled messages,
    and log P(evidence).
    """
    lanes = len(evidence)
    log_evidence = np.zeros(lanes)
    tables: list[Array] = []
    messages: list[Array] = []
    waiting: list[list[int]] = [[] for _ in tree]
    for i, bucket in enumerate(tree):
        clique = _scope(bucket)
        indicators = _compatible(evidence[:, clique[0]], model.cardinalities[clique[0]])
        table = _spread(indicators, bucket.own, clique)
        for node in bucket.tables:
            family = (*model.parents[node], node)
            table = table * _spread(model.table(node)[..., None], family, clique)
        for child in waiting[i]:
            table = table * _spread(messages[child], tree[child].shared, clique)
        shape = (*(model.cardinalities[v] for v in clique), lanes)
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
    agrees = observed[None] == np.arange(states)[:, None]
    hidden = observed[None] < 0
    return (agrees | hidden).astype(np.float64)


def _spread(table: Array, variables: tuple[int, ...], clique: tuple[int, ...]) -> Array:
    """A table over some variables (and lanes),
    laid out to broadcast over a clique that contains them.
    """
    order = [variables.index(v) for v in clique if v in variables]
    moved = table.transpose(*order, len(variables))
    sizes = iter(moved.shape)
    shape = [next(sizes) if v in variables else 1 for v in clique]
    return moved.reshape(*shape, moved.shape[-1])


def _onto(table: Array, clique: tuple[int, ...], variables: tuple[int, ...]) -> Array:
    """Sum a clique's table over all but some variables, which come out in their own order."""
    kept = [v for v in clique if v in variables]
    others = tuple(axis for axis, v in enumerate(clique) if v not in variables)
    order = [kept.index(v) for v in variables]
    return np.asarray(table.sum(axis=others).transpose(*order, len(kept)))


PART = Elimination

"""All single-node posteriors of a network with known tables,
by a compiled junction tree over a batch of evidence.

The tree is compiled once for all rows. Where that is dearer, rows are grouped by the nodes they
observe, and each group gets a tree of its own in which observed nodes are gone:
slices of their children's tables are inputs then.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from veribayes.errors import ReferenceRefused
from veribayes.inference._compiled import Compiled, Lanes, Layout
from veribayes.inference._engine import EPS, certify, name_of, require_positive
from veribayes.inference._known import (
    GIB,
    at_positions,
    known_network,
    require_memory,
    require_possible,
)
from veribayes.models._data import require_codes
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.predictive import Array
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method

CHUNK = 2**20  # table entries times lanes at once: 8 MB stays near the processor
LANES = 4096  # longer lanes gain nothing
BYTES = 24  # for each entry of a clique: known table, value, temporary
FEWEST = 32  # shorter lanes waste the processor, however large the tables
COMPILE = (
    2**15
)  # entries processed while a tree with one more variable is planned, compiled and run
MANY = 64  # rows for which the best elimination order is worth its search
STREAM = zlib.crc32(b"junction_tree")  # never the numbers that a simulator has used


@dataclass(frozen=True)
class JunctionTree:
    """Sum-product in maximal cliques, with evidence reduction where it pays.

    Evidence is (row, M) with -1 for what is not observed. Every result is exact up to rounding.

    Attributes:
        memory: most memory in GiB that the tables of one lane may take;
            what needs more is refused before any allocation.
    """

    memory: float = 1.0
    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __post_init__(self) -> None:
        require_positive(self, memory=self.memory)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model = known_network(self, task, data)
        probs, log_evidence, roundings = self._posteriors(model, data.arrays["evidence"])
        require_possible(self, log_evidence)
        # numerator and denominator of a posterior both pass at most so many roundings,
        # of half an EPS each
        certificate = certify(self.method, EPS * (roundings + 1), roundings=roundings)
        return Branch(at_positions(probs, data), certificate)

    def posteriors(self, model: BayesianNetwork, evidence: IntArray) -> tuple[Array, Array]:
        """P(node | evidence) as (row, M, K), zero-padded, and log P(evidence) as (row,).

        Where the evidence has probability zero, the former is zero and the latter -inf.
        """
        return self._posteriors(model, evidence)[:2]

    def log_evidence(self, model: BayesianNetwork, evidence: IntArray) -> Array:
        """log P(evidence), (row,), in nats."""
        out = np.empty(len(evidence))
        for rows, lanes in self._chunks(model, evidence):
            out[rows] = lanes.log_evidence(evidence[rows])
        return out

    def joint(self, model: BayesianNetwork, evidence: IntArray, nodes: Sequence[str]) -> Array:
        """P(nodes | evidence), (row, *states of each of them)."""
        numbers = tuple(model.nodes.index(n) for n in nodes)
        out = np.empty((len(evidence), *model.cardinalities[list(numbers)]))
        for rows, lanes in self._chunks(model, evidence, numbers):
            out[rows] = np.moveaxis(lanes.joint(evidence[rows]), -1, 0)
        return out

    def draws(
        self, model: BayesianNetwork, evidence: IntArray, *, draws: int, seed: int
    ) -> IntArray:
        """Independent complete rows from P(all nodes | evidence), (row, draw, M);
        a function of seed and row number.
        """
        uniforms = []
        for number in range(len(evidence)):
            rng = np.random.default_rng([seed, STREAM, number])
            uniforms.append(rng.random((draws, len(model.nodes))))
        level = np.concatenate(uniforms)
        repeated = np.repeat(evidence, draws, axis=0)
        out = np.empty_like(repeated)
        for rows, lanes in self._chunks(model, repeated):
            pick = partial(_invert, level[rows])
            out[rows], log_evidence = lanes.states(repeated[rows], pick, largest=False)
            require_possible(self, log_evidence)
        return out.reshape(len(evidence), draws, -1)

    def most_probable(self, model: BayesianNetwork, evidence: IntArray) -> tuple[IntArray, Array]:
        """The complete row of highest probability that agrees with the evidence, (row, M),
        and its log probability, (row,).
        """
        out = np.empty_like(evidence)
        log_prob = np.empty(len(evidence))
        for rows, lanes in self._chunks(model, evidence):
            out[rows], log_prob[rows] = lanes.states(evidence[rows], _heaviest, largest=True)
        require_possible(self, log_prob)
        return out, log_prob

    def _posteriors(self, model: BayesianNetwork, evidence: IntArray) -> tuple[Array, Array, int]:
        """Posteriors (row, M, K), log P(evidence) (row,),
        and how many roundings a result passes at most.
        """
        datasets, nodes = len(evidence), len(model.nodes)
        out = np.zeros((datasets, nodes * model.width))
        log_evidence = np.empty(datasets)
        roundings = 0
        for rows, lanes in self._chunks(model, evidence):
            block, sweep = lanes.posteriors(evidence[rows])
            columns = lanes.compiled.columns
            if isinstance(rows, slice):
                out[rows][:, columns] = block.T
            else:
                out[rows[:, None], columns] = block.T
            log_evidence[rows] = sweep.log_value
            roundings = max(roundings, lanes.circuit.roundings)
            if sweep.faint:
                reason = "a table entry below 1e-150 matters: numbers would underflow"
                raise ReferenceRefused(name_of(self), [reason])
        return out.reshape(datasets, nodes, model.width), log_evidence, roundings

    def _chunks(
        self, model: BayesianNetwork, evidence: IntArray, joint: tuple[int, ...] = ()
    ) -> Iterator[tuple[Any, Lanes]]:
        """Rows that are propagated together, and the tree for them.

        Raises:
            InputError: evidence that is no state and not -1.
        """
        require_codes("evidence", evidence, model.cardinalities, missing=True)
        with _libraries().limit(limits=1):
            for rows, layout in self._groups(model, evidence, joint):
                largest = max((c.entries for c in layout.cliques), default=1)
                require_memory(self, largest, BYTES * layout.entries, self.memory)
                tree = _compiled(model, joint) if not layout.given else Compiled(layout)
                size = self._lanes(len(rows), max(tree.circuit.entries, 1))
                lanes = Lanes(tree, size)
                for start in range(0, len(rows), size):
                    some = rows[min(start, len(rows) - size) :][:size]  # the last one repeats rows
                    consecutive = isinstance(some, range)
                    yield slice(some.start, some.stop) if consecutive else some, lanes

    def _lanes(self, rows: int, entries: int) -> int:
        """Lanes of equal chunks, within the memory limit."""
        fit = int(self.memory * GIB / (BYTES * entries))
        most = max(1, min(max(CHUNK // entries, FEWEST), LANES, fit))
        return -(-rows // -(-rows // most)) if rows else 1

    def _groups(
        self, model: BayesianNetwork, evidence: IntArray, joint: tuple[int, ...]
    ) -> Iterator[tuple[Any, Layout]]:
        """All rows with one layout, or rows by what they observe, whichever costs less."""
        whole = _layout(model, joint)
        seen = evidence >= 0
        datasets = len(seen)
        if not seen.any():
            yield range(datasets), whole
            return
        one = Layout(model, _set(seen[0]), joint, quick=datasets < MANY)
        whole_fits = BYTES * whole.entries <= self.memory * GIB
        for some in (seen[:MANY], seen):  # a look at some rows often settles it
            first, pattern = _patterns(some)
            by_pattern = first.size * len(one.hidden) * COMPILE + datasets * one.entries
            if whole_fits and datasets * whole.entries <= by_pattern:
                yield range(datasets), whole
                return
        for number, row in enumerate(first):
            rows: Any = range(datasets)
            if first.size > 1:
                rows = np.flatnonzero(pattern == number)
            yield rows, Layout(model, _set(seen[row]), joint, quick=len(rows) < MANY)


def _patterns(seen: NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """A row of each pattern of what is observed, and the number of each row's pattern."""
    packed = np.packbits(seen, axis=1)
    _, first, pattern = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    return first, pattern


def _set(pattern: Any) -> frozenset[int]:
    return frozenset(np.flatnonzero(pattern).tolist())


@lru_cache(maxsize=8)
def _layout(model: BayesianNetwork, joint: tuple[int, ...]) -> Layout:
    return Layout(model, joint=joint)


@lru_cache(maxsize=2)
def _compiled(model: BayesianNetwork, joint: tuple[int, ...]) -> Compiled:
    return Compiled(_layout(model, joint))


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    """The loaded BLAS libraries; finding them takes longer than a thousand posteriors."""
    return ThreadpoolController()


def _invert(level: Array, clique: int, weights: Array) -> IntArray:
    """A category for each row of unnormalised weights (row,
    category) by inversion of the clique's uniform level.
    """
    above = np.cumsum(weights, axis=1)
    reached = level[:, clique, None] * above[:, -1:] >= above[:, :-1]
    return np.asarray(reached.sum(1))


def _heaviest(clique: int, weights: Array) -> IntArray:
    """The category of the largest weight in each row."""
    del clique
    return np.asarray(weights.argmax(1))


PART = JunctionTree

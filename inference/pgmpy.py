"""All single-node posteriors of a network with known tables by pgmpy:
an auditor that shares no code with ours.

One query a node and row, milliseconds each. pgmpy gets numbered nodes and states and float64 tables
that were checked before: its readers keep float32 and let wrong tables pass, names of states decide
the order of its answers, and its belief propagation fails on some published networks (none of them
is used). It answers even where the evidence is impossible, since it drops tables whose nodes are
all observed: P(evidence) is therefore asked for too, node after node.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from veribayes.errors import ReferenceRefused
from veribayes.inference._engine import EPS, certify, name_of, require_positive
from veribayes.inference._known import at_positions, known_network, require_memory
from veribayes.inference._triangulation import buckets
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.predictive import Array
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method


@dataclass(frozen=True)
class Pgmpy:
    """pgmpy's `VariableElimination`, with its default (greedy) order of contraction.

    Attributes:
        memory: GiB that the tables of our own elimination order for a row would take; rows that
            need more are refused, since pgmpy allocates without asking.
    """

    memory: float = 1.0
    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __post_init__(self) -> None:
        require_positive(self, memory=self.memory)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model = known_network(self, task, data)
        evidence = data.arrays["evidence"]
        probs = np.zeros((len(evidence), len(model.nodes), model.width))
        for row in evidence:
            self._require_memory(model, row)
        with _quiet():
            peer = _peer(model)
            for number, row in enumerate(evidence):
                self._row(peer, row, probs[number], number)
        # its order of summation is its own affair:
        # an estimate, from as many roundings as there are states
        bound = EPS * (len(model.nodes) + int(model.cardinalities.sum()))
        return Branch(at_positions(probs, data), certify(self.method, bound, kind="estimate"))

    def _row(self, peer: Any, row: IntArray, out: Array, number: int) -> None:
        """Posteriors of all nodes given one row of evidence, written into (M, K)."""
        seen = dict[int, int]()
        for node in np.flatnonzero(row >= 0).tolist():
            state = int(row[node])
            values = peer.query([node], evidence=seen, show_progress=False).values
            if not values[state] > 0:
                reason = f"the evidence of data set {number} of the batch has probability zero"
                raise ReferenceRefused(name_of(self), [reason])
            seen[node] = state
            out[node, state] = 1.0
        for node in np.flatnonzero(row < 0).tolist():
            values = peer.query([node], evidence=seen, show_progress=False).values
            out[node, : len(values)] = values

    def _require_memory(self, model: BayesianNetwork, row: IntArray) -> None:
        scopes = []
        for node, parents in enumerate(model.parents):
            hidden = [v for v in (*parents, node) if row[v] < 0]
            scopes.append(tuple(hidden))
        sizes = [clique.entries for clique in buckets(scopes, model.cardinalities.tolist())]
        require_memory(self, max(sizes, default=1), 16 * sum(sizes), self.memory)


def _peer(model: BayesianNetwork) -> Any:
    """The network as pgmpy's, nodes and states by number."""
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.inference import VariableElimination
    from pgmpy.models import DiscreteBayesianNetwork

    sizes = model.cardinalities.tolist()
    theirs = DiscreteBayesianNetwork()
    theirs.add_nodes_from(range(len(sizes)))
    for node, parents in enumerate(model.parents):
        theirs.add_edges_from((p, node) for p in parents)
        values = model.tables[node].reshape(-1, sizes[node]).T
        parent_sizes = [sizes[p] for p in parents]
        theirs.add_cpds(TabularCPD(node, sizes[node], values, list(parents), parent_sizes))
    return VariableElimination(theirs)


@contextmanager
def _quiet() -> Iterator[None]:
    """pgmpy warns about its own future and divides by zero where evidence is impossible."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


PART = Pgmpy

"""The second route of hidden Markov models:
the junction tree of the network that a sequence unrolls to.

The network has a node for every state and every observation. Where data sets differ in their
tables, the number of the data set is one more node, a parent of all of them that is always
observed; a normal number is evidence on a node of two states that depends on the state.
No formula of the filter is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, cast

import numpy as np

from veribayes.inference._engine import EPS, certify, require_served, successive_chunks
from veribayes.inference._hmm import with_moments
from veribayes.inference._known import require_possible
from veribayes.inference.junction_tree import JunctionTree
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.bayesian_network._tables import MAX_ENTRIES
from veribayes.models.hmm import HMM
from veribayes.models.hmm._parameters import KNOWN, Tables
from veribayes.predictive import Array, concatenate
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method

NUMBER = "data set"


@dataclass(frozen=True)
class HmmJunctionTree:
    """Propagate each prefix as evidence on the unrolled network."""

    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("hmm",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(HMM, task.model)
        model.tables_of(data)  # refuses unknown parameters
        parts = [self._answered(model, part) for part in _chunks(model, data)]
        answer = concatenate([law for law, _ in parts])
        probs = np.concatenate([each for _, each in parts])
        nodes = 2 * (int(data.positions.max(initial=0)) + 1)
        # each node's table is passed twice, by sums over states
        bound = 4 * EPS * nodes * (model.states + max(model.symbols, 2))
        return Branch(answer, certify(self.method, bound), {"state": with_moments(probs)})

    def _answered(self, model: HMM, data: Data) -> tuple[Any, Array]:
        """The predictive and the states' posterior, (dataset, position, …)."""
        network, evidence = _unrolled(model, data)
        marginals, log_evidence = JunctionTree().posteriors(network, evidence)
        require_possible(self, log_evidence)
        datasets, times = data.arrays["y"].shape
        positions = data.positions
        longest = int(positions.max(initial=0))
        by_position = marginals.reshape(datasets, positions.size, *marginals.shape[1:])
        probs = np.full((datasets, positions.size, times, model.states), np.nan)
        ahead = np.empty((datasets, positions.size, 1, model.states))
        of_state = [network.nodes.index(_state(t)) for t in range(longest + 1)]
        states = by_position[:, :, of_state, : model.states]
        for k, length in enumerate(positions.tolist()):
            probs[:, k, :length] = states[:, k, :length]
            ahead[:, k, 0] = states[:, k, length]
        return model.emitted(ahead, model.tables_of(data).emission), probs


def _chunks(model: HMM, data: Data) -> Iterator[Data]:
    """Data sets that are propagated through one network."""
    size = max(len(data.index), 1)
    if _differ(model):
        # a network counts each table at the width of its widest node,
        # which is the number of the data set
        rows_of_each = 2 * model.states * (int(data.positions.max(initial=0)) + 1)
        size = max(1, math.isqrt(MAX_ENTRIES // rows_of_each) - 1)
    for rows in successive_chunks(len(data.index), size):
        yield data.select(rows)


def _differ(model: HMM) -> bool:
    """Whether data sets have tables of their own: a header, or the evidence of normal numbers."""
    return model.parameters != KNOWN or not model.symbols


def _unrolled(model: HMM, data: Data) -> tuple[BayesianNetwork, IntArray]:
    """The network, and a row of evidence for every data set and position, (row, node)."""
    longest = int(data.positions.max(initial=0))
    if _differ(model):
        emissions, codes = _evidence(model, data, longest)
        network = _network(model.tables_of(data), emissions, len(data.index))
    else:
        codes = data.arrays["y"][:, :longest]
        network = _known(model, longest)
    datasets, positions = len(data.index), data.positions.size
    evidence = np.full((datasets, positions, len(network.nodes)), -1, dtype=np.int64)
    for t in range(longest):
        seen = data.positions > t
        place = network.nodes.index(_observation(t))
        evidence[:, seen, place] = codes[:, t, None]
    if NUMBER in network.nodes:
        evidence[..., network.nodes.index(NUMBER)] = np.arange(datasets)[:, None]
    return network, evidence.reshape(datasets * positions, -1)


def _evidence(model: HMM, data: Data, longest: int) -> tuple[list[Array], IntArray]:
    """A table (dataset, state, code) for each observation, and what is observed,
    (dataset, time).
    """
    if model.symbols:
        return [data.arrays["emission"]] * longest, data.arrays["y"][:, :longest]
    log_likelihoods = model.log_likelihoods(data, longest)
    shares = np.exp(log_likelihoods - log_likelihoods.max(-1, keepdims=True))
    tables = np.stack([1 - shares, shares], axis=-1)
    codes = np.ones((len(data.index), longest), dtype=np.int64)
    return [tables[:, t] for t in range(longest)], codes


@lru_cache(maxsize=4)
def _known(model: HMM, longest: int) -> BayesianNetwork:
    """The network of known tables over symbols, the same for all data sets."""
    tables = model.tables
    nodes, parents, states, cpts = [], {}, {}, {}
    for t in range(longest + 1):
        state = _state(t)
        nodes.append(state)
        states[state] = model.states
        cpts[state] = tables.transition if t else tables.initial[None]
        if t:
            parents[state] = [_state(t - 1)]
        if t < longest:
            seen = _observation(t)
            nodes.append(seen)
            parents[seen], states[seen], cpts[seen] = [state], model.symbols, tables.emission
    return BayesianNetwork(nodes, parents, states, cpts=cpts)


def _network(tables: Tables, emissions: list[Array], datasets: int) -> BayesianNetwork:
    """The network of tables that each data set has for itself:
    its number is a parent of every node.
    """
    number = tables.initial.shape[-1]
    nodes: list[str] = [NUMBER]
    parents: dict[str, list[str]] = {}
    states: dict[str, int] = {NUMBER: datasets}
    cpts: dict[str, Any] = {NUMBER: np.full((1, datasets), 1 / datasets)}
    initial = np.broadcast_to(tables.initial, (datasets, number))
    transition = np.broadcast_to(tables.transition, (datasets, number, number))
    for t in range(len(emissions) + 1):
        state = _state(t)
        nodes.append(state)
        states[state] = number
        parents[state] = [NUMBER, _state(t - 1)] if t else [NUMBER]
        cpts[state] = transition if t else initial
        if t < len(emissions):
            seen = _observation(t)
            nodes.append(seen)
            parents[seen] = [NUMBER, state]
            states[seen], cpts[seen] = emissions[t].shape[-1], emissions[t]
    return BayesianNetwork(nodes, parents, states, cpts=cpts)


def _state(t: int) -> str:
    return f"state {t}"


def _observation(t: int) -> str:
    return f"observation {t}"


PART = HmmJunctionTree

"""A network with known tables, compiled to a circuit for rows of evidence that all observe
certain nodes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from veribayes.inference._circuit import Circuit, Pick, Sweep, Values
from veribayes.inference._circuit_maker import build
from veribayes.inference._triangulation import Clique, Scope, junction_tree
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.predictive import Array
from veribayes.tree import IntArray


@dataclass(frozen=True, eq=False)
class Layout:
    """Which tables are the same for every row, which depend on the row,
    and the cliques over the hidden nodes.

    Attributes:
        model: the network.
        given: nodes that every row observes; they and nodes with one state are in no clique.
        joint: nodes whose joint law is asked for; the hidden ones are kept in one clique.
        quick: take the first elimination order that is found.
    """

    model: BayesianNetwork
    given: frozenset[int] = frozenset()
    joint: Scope = ()
    quick: bool = False

    @cached_property
    def sizes(self) -> list[int]:
        return [len(s) for s in self.model.states]

    @cached_property
    def hidden(self) -> Scope:
        uncertain = [v for v, size in enumerate(self.sizes) if size > 1]
        return tuple(v for v in uncertain if v not in self.given)

    @cached_property
    def together(self) -> Scope:
        """Hidden nodes of `joint`, in its order."""
        return tuple(v for v in self.joint if v in self.hidden)

    @cached_property
    def families(self) -> list[Scope]:
        """Nodes in each node's table: its parents and itself."""
        return [(*parents, node) for node, parents in enumerate(self.model.parents)]

    @cached_property
    def scopes(self) -> list[Scope]:
        """Hidden nodes in each node's table."""
        return [_among(family, set(self.hidden)) for family in self.families]

    @cached_property
    def seen(self) -> list[Scope]:
        """Given nodes in each node's table."""
        return [_among(family, self.given) for family in self.families]

    @cached_property
    def known(self) -> list[int]:
        """Nodes whose table is the same for every row."""
        return [i for i, seen in enumerate(self.seen) if not seen and self.scopes[i]]

    @cached_property
    def sliced(self) -> list[int]:
        """Nodes with an observed node in their table."""
        return [i for i, seen in enumerate(self.seen) if seen and self.scopes[i]]

    @cached_property
    def inputs(self) -> list[tuple[Scope, bool]]:
        """Scopes of indicators, slices, joint; and whether derivatives by them are wanted."""
        indicators = [((v,), not self.joint) for v in self.hidden]
        slices = [(self.scopes[node], False) for node in self.sliced]
        together = [(self.together, True)] if self.together else []
        return [*indicators, *slices, *together]

    @cached_property
    def cliques(self) -> tuple[Clique, ...]:
        of_tables = [self.scopes[node] for node in self.known]
        of_inputs = [scope for scope, _ in self.inputs]
        return junction_tree(of_tables + of_inputs, self.sizes, quick=self.quick)

    @cached_property
    def entries(self) -> int:
        """Table entries of all cliques."""
        return sum(c.entries for c in self.cliques)

    def table(self, node: int) -> Array:
        """A node's table as (*hidden nodes, configuration of the given ones)."""
        family = self.families[node]
        scope, seen = self.scopes[node], self.seen[node]
        of_one_state = tuple(v for v in family if v not in scope and v not in seen)
        axes = [family.index(v) for v in scope + seen + of_one_state]
        hidden_sizes = [self.sizes[v] for v in scope]
        return self.model.tables[node].transpose(axes).reshape(*hidden_sizes, -1)


class Compiled:
    """A layout with its circuit."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        sizes = layout.sizes
        known = [(layout.scopes[node], layout.table(node)[..., 0]) for node in layout.known]
        self.circuit: Circuit = build(layout.cliques, known, layout.inputs, sizes)
        self.slices = {node: layout.table(node) for node, seen in enumerate(layout.seen) if seen}
        self.start = np.cumsum([0, *sizes])
        # of every state in the network: its node, its number there,
        # its column of a padded (M, K) table
        self.node = np.repeat(np.arange(len(sizes)), sizes)
        self.state = np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])
        self.columns = self.node * layout.model.width + self.state


class Lanes:
    """Queries to a compiled network for batches of the same number of rows;
    evidence is (lane, M).
    """

    def __init__(self, compiled: Compiled, lanes: int) -> None:
        self.compiled = compiled
        self.layout = compiled.layout
        self.circuit = compiled.circuit
        self.space = self.circuit.workspace(lanes)
        shape = (compiled.node.size, lanes)
        self.seen = np.empty(shape, np.int32)
        self.agrees = np.empty((2, *shape), bool)
        self.block = np.empty(shape)

    def log_evidence(self, evidence: IntArray) -> Array:
        """log P(evidence), (lane,)."""
        return self._up(evidence).log_value

    def posteriors(self, evidence: IntArray) -> tuple[Array, Sweep]:
        """P(node = state | evidence) as (state of the network, lane),
        valid until the next query.
        """
        sweep = self._up(evidence)
        self.circuit.down(sweep, self.space)
        for v in self.layout.hidden:
            part = self._states_of(v)
            total = part.sum(0)
            part /= np.where(total > 0, total, 1.0)
        return self.block, sweep

    def joint(self, evidence: IntArray) -> Array:
        """P(joint | evidence) as (*joint, lane)."""
        layout, lanes = self.layout, len(evidence)
        sweep = self._up(evidence)
        self.circuit.down(sweep, self.space)
        out = sweep.values[self.circuit.inputs - 1] if layout.together else np.ones(lanes)
        total = out.reshape(-1, lanes).sum(0)
        out = out / np.where(total > 0, total, 1.0)
        shape = [layout.sizes[v] if v in layout.together else 1 for v in layout.joint]
        out = out.reshape(*shape, -1)
        for axis, v in enumerate(layout.joint):
            if v not in layout.together:
                other_axes = [a for a in range(len(shape)) if a != axis]
                out = out * np.expand_dims(self._states_of(v), other_axes)
        return out

    def _states_of(self, node: int) -> Array:
        """The rows of the block that belong to a node's states, (state, lane)."""
        first, end = self.compiled.start[node : node + 2]
        return self.block[first:end]

    def states(self, evidence: IntArray, pick: Pick, *, largest: bool) -> tuple[IntArray, Array]:
        """A complete row for each lane, (lane, M), chosen clique by clique;
        and log of the value of the upward sweep.
        """
        sweep = self._up(evidence, largest=largest)
        out = np.maximum(evidence, 0)
        for v, chosen in self.circuit.descend(sweep, pick).items():
            out[:, v] = chosen
        return out, sweep.log_value

    def _indicators(self, evidence: IntArray) -> None:
        """Write 1 into the block where a state agrees with what a lane observed,
        (state of the network, lane).
        """
        by_node = evidence.T.astype(np.int32, order="C")
        by_node.take(self.compiled.node, axis=0, out=self.seen, mode="clip")
        np.equal(self.seen, self.compiled.state[:, None], out=self.agrees[0])
        np.less(self.seen, 0, out=self.agrees[1])
        agrees, hidden = self.agrees
        self.block[...] = np.logical_or(agrees, hidden, out=agrees)

    def _up(self, evidence: IntArray, *, largest: bool = False) -> Sweep:
        """The upward sweep; `log_value` includes tables without hidden nodes."""
        layout, lanes = self.layout, len(evidence)
        self._indicators(evidence)
        inputs: Values = [self._states_of(v) for v in layout.hidden]
        constant = np.zeros(lanes)
        for node, table in self.compiled.slices.items():
            configuration = _number(evidence, layout.seen[node], layout.sizes)
            value = table.take(configuration, axis=-1)
            if layout.scopes[node]:
                inputs.append(value)
            else:
                with np.errstate(divide="ignore"):
                    constant += np.log(value)
        if layout.together:
            sizes = [layout.sizes[v] for v in layout.together]
            inputs.append(np.ones((*sizes, lanes)))
        sweep = self.circuit.up(inputs, self.space, largest=largest)
        return replace(sweep, log_value=sweep.log_value + constant)


def _number(evidence: IntArray, nodes: Scope, sizes: list[int]) -> IntArray:
    """Number of the configuration of observed nodes in C order, (lane,)."""
    out = np.zeros(len(evidence), dtype=np.int64)
    for v in nodes:
        out = out * sizes[v] + evidence[:, v]
    return out


def _among(family: Scope, nodes: Collection[int]) -> Scope:
    return tuple(node for node in family if node in nodes)

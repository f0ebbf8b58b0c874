"""A network with known tables, compiled to a circuit for rows of evidence that all observe certain nodes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from veribayes.inference._circuit import Circuit, Pick, Sweep, Values, build
from veribayes.inference._triangulation import Clique, Scope, junction_tree
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.predictive import Array
from veribayes.tree import IntArray


@dataclass(frozen=True, eq=False)
class Layout:
    """Which tables are the same for every row, which depend on the row, and the cliques over the hidden nodes.

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
        return tuple(v for v, size in enumerate(self.sizes) if size > 1 and v not in self.given)

    @cached_property
    def together(self) -> Scope:
        """Hidden nodes of `joint`, in its order."""
        return tuple(v for v in self.joint if v in self.hidden)

    @cached_property
    def scopes(self) -> list[Scope]:
        """Hidden nodes in each node's table."""
        hidden = set(self.hidden)
        return [tuple(v for v in (*p, i) if v in hidden) for i, p in enumerate(self.model.parents)]

    @cached_property
    def seen(self) -> list[Scope]:
        """Given nodes in each node's table."""
        return [
            tuple(v for v in (*p, i) if v in self.given) for i, p in enumerate(self.model.parents)
        ]

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
        return [
            *indicators,
            *[(self.scopes[i], False) for i in self.sliced],
            *([(self.together, True)] * bool(self.together)),
        ]

    @cached_property
    def cliques(self) -> tuple[Clique, ...]:
        scopes = [*(self.scopes[i] for i in self.known), *(scope for scope, _ in self.inputs)]
        return junction_tree(scopes, self.sizes, quick=self.quick)

    @cached_property
    def entries(self) -> int:
        """Table entries of all cliques."""
        return sum(c.entries for c in self.cliques)

    def table(self, node: int) -> Array:
        """A node's table as (*hidden nodes, configuration of the given ones)."""
        family, scope, seen = (*self.model.parents[node], node), self.scopes[node], self.seen[node]
        rest = tuple(v for v in family if v not in scope and v not in seen)  # of one state each
        table = self.model.tables[node].transpose([family.index(v) for v in scope + seen + rest])
        return table.reshape(*(self.sizes[v] for v in scope), -1)


class Compiled:
    """A layout with its circuit."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        known = [(layout.scopes[i], layout.table(i)[..., 0]) for i in layout.known]
        self.circuit: Circuit = build(layout.cliques, known, layout.inputs, layout.sizes)
        self.slices = {i: layout.table(i) for i, seen in enumerate(layout.seen) if seen}
        self.start = np.cumsum([0, *layout.sizes])
        self.node = np.repeat(
            np.arange(len(layout.sizes)), layout.sizes
        )  # of every state in the network
        self.state = np.concatenate([np.arange(k, dtype=np.int32) for k in layout.sizes])
        self.columns = self.node * layout.model.width + self.state  # of a padded (M, K) table


class Lanes:
    """Queries to a compiled network for batches of the same number of rows; evidence is (lane, M)."""

    def __init__(self, compiled: Compiled, lanes: int) -> None:
        self.compiled, self.layout, self.circuit = compiled, compiled.layout, compiled.circuit
        self.space = self.circuit.workspace(lanes)
        shape = (compiled.node.size, lanes)
        self.seen, self.agrees, self.block = (
            np.empty(shape, np.int32),
            np.empty((2, *shape), bool),
            np.empty(shape),
        )

    def log_evidence(self, evidence: IntArray) -> Array:
        """log P(evidence), (lane,)."""
        return self._up(evidence).log_value

    def posteriors(self, evidence: IntArray) -> tuple[Array, Sweep]:
        """P(node = state | evidence) as (state of the network, lane), valid until the next query."""
        sweep, start = self._up(evidence), self.compiled.start
        self.circuit.down(sweep, self.space)
        for v in self.layout.hidden:
            part = self.block[start[v] : start[v + 1]]
            total = part.sum(0)
            part /= np.where(total > 0, total, 1.0)
        return self.block, sweep

    def joint(self, evidence: IntArray) -> Array:
        """P(joint | evidence) as (*joint, lane)."""
        layout, sweep = self.layout, self._up(evidence)
        self.circuit.down(sweep, self.space)
        out = sweep.values[self.circuit.inputs - 1] if layout.together else np.ones(len(evidence))
        total = out.reshape(-1, len(evidence)).sum(0)
        out = out / np.where(total > 0, total, 1.0)
        shape = [layout.sizes[v] if v in layout.together else 1 for v in layout.joint]
        out = out.reshape(*shape, -1)
        for axis, v in enumerate(layout.joint):
            if v not in layout.together:
                certain = self.block[self.compiled.start[v] : self.compiled.start[v + 1]]
                out = out * np.expand_dims(certain, [a for a in range(len(shape)) if a != axis])
        return out

    def states(self, evidence: IntArray, pick: Pick, *, largest: bool) -> tuple[IntArray, Array]:
        """A complete row for each lane, (lane, M), chosen clique by clique; and log of the value of the upward sweep."""
        sweep, out = self._up(evidence, largest=largest), np.maximum(evidence, 0)
        for v, chosen in self.circuit.descend(sweep, pick).items():
            out[:, v] = chosen
        return out, sweep.log_value

    def _indicators(self, evidence: IntArray) -> Array:
        """1 where a state agrees with what a lane observed, (state of the network, lane)."""
        by_node = evidence.T.astype(np.int32, order="C")
        by_node.take(self.compiled.node, axis=0, out=self.seen, mode="clip")
        np.equal(self.seen, self.compiled.state[:, None], out=self.agrees[0])
        np.less(self.seen, 0, out=self.agrees[1])
        agrees, hidden = self.agrees
        self.block[...] = np.logical_or(agrees, hidden, out=agrees)
        return self.block

    def _up(self, evidence: IntArray, *, largest: bool = False) -> Sweep:
        """The upward sweep; `log_value` includes tables without hidden nodes."""
        layout, start, block = self.layout, self.compiled.start, self._indicators(evidence)
        inputs: Values = [block[start[v] : start[v + 1]] for v in layout.hidden]
        constant = np.zeros(len(evidence))
        for i, table in self.compiled.slices.items():
            value = table.take(_number(evidence, layout.seen[i], layout.sizes), axis=-1)
            if layout.scopes[i]:
                inputs.append(value)
            else:
                with np.errstate(divide="ignore"):
                    constant += np.log(value)
        if layout.together:
            inputs.append(np.ones((*(layout.sizes[v] for v in layout.together), len(evidence))))
        sweep = self.circuit.up(inputs, self.space, largest=largest)
        return replace(sweep, log_value=sweep.log_value + constant)


def _number(evidence: IntArray, nodes: Scope, sizes: list[int]) -> IntArray:
    """Number of the configuration of observed nodes in C order, (lane,)."""
    out = np.zeros(len(evidence), dtype=np.int64)
    for v in nodes:
        out = out * sizes[v] + evidence[:, v]
    return out

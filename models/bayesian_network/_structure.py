"""Sizes of a network, its known tables, and which row of theta governs which node of a data row."""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np

from veribayes.errors import InputError
from veribayes.models.bayesian_network._tables import Table
from veribayes.predictive import Array
from veribayes.tree import IntArray


class RowQuery(NamedTuple):
    """Predict `row[dataset, query, target[query]]`.

    Attributes:
        row: (dataset, query, node), states known so far and -1 from the target on.
        target: (query,), the node asked for.
    """

    row: IntArray
    target: IntArray


class Structure:
    """Nodes in topological order, their parents and states.

    Attributes:
        nodes: names.
        parents: positions in `nodes`.
        states: names of the states of each node.
        cpts: the known tables, (configuration, state) each; None where they are not known.
    """

    nodes: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]
    states: tuple[tuple[str, ...], ...]
    cpts: tuple[Table, ...] | None

    @cached_property
    def cardinalities(self) -> IntArray:
        """Number of states of each node, (M,)."""
        return np.array([len(labels) for labels in self.states], dtype=np.int64)

    @property
    def width(self) -> int:
        """K, the largest number of states."""
        return int(self.cardinalities.max())

    @cached_property
    def configurations(self) -> tuple[int, ...]:
        """Number of parent configurations of each node."""
        sizes = self.cardinalities
        counts = [sizes[list(parents)].prod(dtype=int) for parents in self.parents]
        return tuple(map(int, counts))

    @property
    def n_rows(self) -> int:
        """R, the number of table rows of the network."""
        return sum(self.configurations)

    @cached_property
    def offsets(self) -> IntArray:
        """First row of each node in theta, (M,)."""
        ends = np.cumsum(self.configurations)
        return np.concatenate([[0], ends[:-1]]).astype(np.int64)

    @cached_property
    def row_states(self) -> IntArray:
        """Number of states of each row of theta, (R,)."""
        return np.repeat(self.cardinalities, self.configurations)

    @cached_property
    def padded_parents(self) -> tuple[IntArray, IntArray]:
        """Parents and their strides, both (M, P) with stride 0 where a node has fewer than P
        parents.
        """
        most = max(len(parents) for parents in self.parents)
        index, stride = np.zeros((2, len(self.nodes), most), dtype=np.int64)
        for node, parents in enumerate(self.parents):
            sizes = self.cardinalities[list(parents)].tolist()
            for place, parent in enumerate(parents):
                index[node, place] = parent
                stride[node, place] = math.prod(sizes[place + 1 :])
        return index, stride

    def configuration(self, rows: IntArray) -> IntArray:
        """Row of theta that governs each node, given complete rows (..., M) -> (..., M).

        Entries whose parents are unknown (-1) are meaningless, but stay inside theta.
        """
        index, stride = self.padded_parents
        parent_states = np.maximum(rows, 0)[..., index]
        return np.asarray(self.offsets + (parent_states * stride).sum(-1))

    def count(self, rows: IntArray) -> IntArray:
        """Counts of states by row of theta over the n rows of each batch entry, (..., n, M) ->
        (..., R, K).
        """
        cell = self.configuration(rows) * self.width + rows
        batch = rows.shape[:-2]
        number, size = math.prod(batch), self.n_rows * self.width
        starts = size * np.arange(number)
        flat = cell.reshape(number, -1) + starts[:, None]
        counts = np.bincount(flat.ravel(), minlength=number * size)
        return counts.reshape(*batch, self.n_rows, self.width)

    def query_rows(self, query: RowQuery) -> IntArray:
        """Row of theta that answers each query, (dataset, query): the target's parents all come
        before it.
        """
        each = self.configuration(query.row)
        at_target = np.take_along_axis(each, query.target[None, :, None], axis=-1)
        return at_target[..., 0]

    @cached_property
    def theta(self) -> Array:
        """Known tables as (R, K), zero beyond a row's own states."""
        theta = np.zeros((self.n_rows, self.width))
        for node, table in enumerate(self.require_tables()):
            first = self.offsets[node]
            theta[first : first + len(table), : len(self.states[node])] = table
        return theta

    @cached_property
    def tables(self) -> tuple[Array, ...]:
        """Known table of each node, (*parents' states, states), read only."""
        tables = []
        for node, rows in enumerate(self.require_tables()):
            sizes = [len(self.states[parent]) for parent in self.parents[node]]
            table = np.array(rows).reshape([*sizes, len(self.states[node])])
            table.flags.writeable = False
            tables.append(table)
        return tuple(tables)

    def table(self, node: int) -> Array:
        """Known table of one node, (*parents' states, states)."""
        return self.tables[node]

    def require_tables(self) -> tuple[Table, ...]:
        """The known tables.

        Raises:
            InputError: there is a prior over them.
        """
        if self.cpts is None:
            raise InputError("a network with known tables", "one with a prior over them")
        return self.cpts

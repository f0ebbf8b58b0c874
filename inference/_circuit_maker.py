"""The compiler of circuits: cliques of a junction tree become products and contractions,
children before parents.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from string import ascii_letters
from typing import Any

import numpy as np

from veribayes.inference._circuit import Circuit, Contraction, Product, shape_of
from veribayes.inference._triangulation import Clique, Scope
from veribayes.predictive import Array

RESCALE = 24  # tables multiplied between two rescalings: their product is seldom faint
LANE = "Z"  # the letter of the last axis in rules for einsum


def build(
    cliques: Sequence[Clique],
    tables: Sequence[tuple[Scope, Array]],
    inputs: Sequence[tuple[Scope, bool]],
    sizes: Sequence[int],
) -> Circuit:
    """Compile a junction tree over the scopes of `tables` and `inputs`, numbered in this order.

    Args:
        cliques: children before parents.
        tables: known tables (*scope).
        inputs: scope, and whether derivatives by it are wanted; every variable is in the scope of
            an input.
        sizes: number of states of each variable.
    """
    maker = _Maker(sizes, [scope for scope, _ in inputs], [wanted for _, wanted in inputs])
    # of each clique: the messages it receives,
    # and how many tables are in each since the last rescaling
    waiting: list[list[tuple[int, int]]] = [[] for _ in cliques]
    roots = []
    for clique, received in zip(cliques, waiting, strict=True):
        known = [tables[number] for number in clique.tables if number < len(tables)]
        operands = [number - len(tables) for number in clique.tables if number >= len(tables)]
        operands += [message for message, _ in received]
        weight = len(clique.tables) + sum(count for _, count in received)
        rescaled = weight >= RESCALE
        message = maker.clique(clique, known, operands, rescaled=rescaled)
        if clique.parent is None:
            roots.append(message)
        else:
            waiting[clique.parent].append((message, 0 if rescaled else weight))
    shapes = tuple(shape_of(scope, sizes) for scope in maker.scopes[len(inputs) :])
    steps = tuple(maker.steps)
    return Circuit(len(inputs), shapes, maker.scratch, steps, tuple(roots), maker.roundings)


class _Maker:
    """Appends steps and keeps what is known of each value."""

    def __init__(self, sizes: Sequence[int], scopes: list[Scope], wanted: list[bool]) -> None:
        self.sizes = sizes
        self.scopes = scopes
        self.wanted = wanted
        self.entries = [_size(scope, sizes) for scope in scopes]
        self.steps: list[Product | Contraction] = []
        self.roundings = 0
        self.scratch = 0

    def clique(
        self,
        clique: Clique,
        known: Sequence[tuple[Scope, Array]],
        operands: list[int],
        *,
        rescaled: bool,
    ) -> int:
        """Multiply the operands, contract them with the known tables;
        returns the number of the message.
        """
        given = {v for i in operands for v in self.scopes[i]}
        beside = {v for scope, _ in known for v in scope} - given
        batch = tuple(v for v in clique.shared if v in given)
        free = tuple(v for v in clique.shared if v in beside)
        source = self._product(operands, batch + clique.own)
        axes = tuple(self.scopes[source].index(v) for v in batch + clique.own)
        lane_axis = len(axes)
        table = _known(known, batch, free, clique.own, self.sizes)
        wanted = self.wanted[source]
        step = Contraction(
            source=source,
            axes=(*axes, lane_axis),
            table=table,
            own=clique.own,
            batch=batch,
            free=free,
            sizes=self.sizes,
            rescaled=rescaled,
            wanted=(wanted,),
        )
        self.steps.append(step)
        self.roundings += 2 * len(known) + table.shape[1] + table.shape[2] + 2
        return self._made(batch + free, wanted)

    def _product(self, operands: list[int], order: Scope) -> int:
        """Multiply pairwise, the smallest value with the partner that makes the smallest
        product.
        """
        queue = sorted((self.entries[i], i) for i in operands)
        while len(queue) > 1:
            size, small = queue.pop(0)
            _, partner = queue.pop(self._partner(size, small, queue))
            product = self._pair(small, partner, order)
            insort(queue, (self.entries[product], product))
        return queue[0][1]

    def _partner(self, size: int, small: int, queue: list[tuple[int, int]]) -> int:
        """Place in the queue of the value whose product with the smallest one, of this size,
        is the smallest.
        """
        best, place = math.inf, 0
        for i, (entries, partner) in enumerate(queue if len(queue) > 1 else ()):
            beyond = [v for v in self.scopes[small] if v not in self.scopes[partner]]
            product = entries * _size(beyond, self.sizes)
            if product < best:
                best, place = product, i
            if best == size:
                break
        return place

    def _pair(self, small: int, large: int, order: Scope) -> int:
        """Multiply two values; returns the number of the product."""
        one, other = self.scopes[small], self.scopes[large]
        union = tuple(v for v in order if v in one or v in other)
        wanted = (self.wanted[small], self.wanted[large])
        spread = (_spread(one, union), _spread(other, union))
        rules = _derivatives(one, other, union)
        self.steps.append(Product((small, large), spread, rules, wanted))
        product = self._made(union, any(wanted))
        self.scratch = max(self.scratch, self.entries[small])
        self.roundings += 2 + self.entries[product] // self.entries[small]
        return product

    def _made(self, scope: Scope, wanted: bool) -> int:
        self.scopes.append(scope)
        self.wanted.append(wanted)
        self.entries.append(_size(scope, self.sizes))
        return len(self.scopes) - 1


def _derivatives(one: Scope, other: Scope, union: Scope) -> tuple[str, str]:
    """Rules for einsum: from the derivative of a product and the other factor to the derivative
    of each factor.
    """
    letter = dict(zip(union, ascii_letters, strict=False))

    def axes(scope: Scope) -> str:
        return "".join(letter[variable] for variable in scope) + LANE

    small, large, product = axes(one), axes(other), axes(union)
    return f"{product},{large}->{small}", f"{product},{small}->{large}"


def _known(
    known: Sequence[tuple[Scope, Array]],
    batch: Scope,
    free: Scope,
    own: Scope,
    sizes: Sequence[int],
) -> Array:
    """Product of known tables as (batch, free, own)."""
    mentioned = {v for scope, _ in known for v in scope}
    if not mentioned & set(batch):
        batch = ()
    order = batch + free + own
    out = np.ones((1,) * len(order))
    for scope, table in known:
        axes, index = _spread(scope, order)
        out = out * table.transpose(axes[:-1])[index[:-1]]
    full = np.broadcast_to(out, shape_of(order, sizes))
    shape = [_size(scope, sizes) for scope in (batch, free, own)]
    return np.ascontiguousarray(full.reshape(shape))


def _spread(scope: Scope, order: Scope) -> tuple[tuple[int, ...], tuple[slice | None, ...]]:
    """Axes and index that lay a value over `scope` (and a last axis) out to broadcast over
    `order`.
    """
    axes = [scope.index(v) for v in order if v in scope]
    index = [slice(None) if v in scope else None for v in order]
    return (*axes, len(axes)), (*index, slice(None))


def _size(scope: Any, sizes: Sequence[int]) -> int:
    """Number of configurations of a scope."""
    return math.prod(sizes[v] for v in scope)

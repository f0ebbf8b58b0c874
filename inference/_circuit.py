"""Sum-product circuits over lanes, compiled from a junction tree.

A *lane* is one row of evidence: the last, contiguous axis of every value, so that each operation serves all rows whatever
they observe. Tables that differ by lane (indicators of the evidence, slices of tables) are inputs; known tables are folded
into the contractions. The value of the circuit is P(evidence), and its derivative by an input over the variables A is
P(A, rest of the evidence): one sweep up and one down give all posteriors without a division (Darwiche, J. ACM 50 (2003)
280, doi:10.1145/765568.765570). Everything is a sum of products of numbers >= 0, hence componentwise accurate.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from string import ascii_letters
from typing import Any

import numpy as np

from veribayes.inference._triangulation import Clique, Scope
from veribayes.predictive import Array
from veribayes.tree import IntArray

FAINT = 1e-150  # above it underflow elsewhere loses less than 1e-308 / FAINT of a value
RESCALE = 24  # tables multiplied between two rescalings: their product is seldom faint
LANE = "Z"

Values = list[Array]  # (*scope, lane) each
Pick = Callable[[int, Array], IntArray]  # of a clique's number and weights (lane, configuration)


class Workspace:
    """Arrays for the values of a circuit, used again for every batch of as many lanes.

    Fresh memory would cost more than the arithmetic: a page fault takes as long as a thousand multiplications.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], scratch: int, lanes: int) -> None:
        self.lanes = lanes
        ends = list(accumulate((lanes * math.prod(shape) for shape in shapes), initial=0))
        whole = np.empty(
            ends[-1] + lanes * scratch
        )  # in one piece, for which the system has large pages
        places = zip(pairwise(ends), shapes, strict=True)
        self.values = [whole[start:end].reshape(*shape, lanes) for (start, end), shape in places]
        self.scratch = whole[ends[-1] :]

    def put(self, number: int, values: Values, gradient: Array) -> None:
        """Store a derivative where the value was; an input is multiplied by it."""
        if number < len(values) - len(self.values):
            values[number] *= gradient
        else:
            values[number][...] = gradient


@dataclass(frozen=True)
class Product:
    """Two values multiplied, each spread over the union of their scopes."""

    factors: tuple[int, int]  # the smaller first
    spread: tuple[
        tuple[Any, Any], ...
    ]  # of each factor: its axes in the order of the product, and None for missing ones
    rules: tuple[str, str]  # einsum of the product's derivative with the other factor
    wanted: tuple[bool, bool]

    def forward(self, values: Values, out: Array) -> None:
        a, b = (
            values[i].transpose(axes)[index]
            for i, (axes, index) in zip(self.factors, self.spread, strict=True)
        )
        np.multiply(a, b, out=out)

    def largest(self, values: Values, out: Array) -> None:
        self.forward(values, out)

    def backward(self, values: Values, gradient: Array, space: Workspace) -> None:
        (small, large), (to_small, to_large) = self.factors, self.rules
        if self.wanted[0]:
            waiting = space.scratch[: values[small].size].reshape(values[small].shape)
            np.einsum(to_small, gradient, values[large], out=waiting)
        if self.wanted[1]:
            space.put(large, values, np.einsum(to_large, gradient, values[small]))
        if self.wanted[0]:
            space.put(small, values, waiting)


@dataclass(frozen=True, eq=False)
class Contraction:
    """A clique: a value times the clique's known table, summed over the variables eliminated here.

    Attributes:
        source: the value, over the variables `batch` and `own` in the order that `axes` gives.
        table: (batch, free, own), or (1, free, own) where it is the same for all of `batch`.
        own: variables summed over.
        batch, free: variables kept; the value has the former, only the table has the latter.
        sizes: number of states of every variable.
        rescaled: the message is divided by its largest entry.
        wanted: whether derivatives are asked for.
    """

    source: int
    axes: tuple[int, ...]
    table: Array
    own: Scope
    batch: Scope
    free: Scope
    sizes: Sequence[int]
    rescaled: bool
    wanted: tuple[bool]

    def forward(self, values: Values, out: Array) -> None:
        np.matmul(self.table, self._product(values), out=self._as_table(out))

    def largest(self, values: Values, out: Array) -> None:
        """The largest term instead of the sum."""
        value, best = self._product(values), self._as_table(out)
        np.multiply(self.table[:, :, 0, None], value[:, None, 0], out=best)
        for i in range(1, value.shape[1]):
            np.maximum(best, self.table[:, :, i, None] * value[:, None, i], out=best)

    def backward(self, values: Values, gradient: Array, space: Workspace) -> None:
        given, turned = self._as_table(gradient), self.table.swapaxes(1, 2)
        multiply = (
            np.matmul if self.free else np.multiply
        )  # the same where nothing is summed, but faster
        target = values[self.source].transpose(self.axes)
        space.put(
            self.source,
            values,
            multiply(turned, given).reshape(target.shape).transpose(np.argsort(self.axes)),
        )

    def choose(
        self, values: Values, states: dict[int, IntArray], pick: Callable[[Array], IntArray]
    ) -> None:
        """Choose states of `own` given those of the variables kept, by the weights (lane, configuration of own)."""
        value = self._product(values)
        lane = np.arange(value.shape[2])
        kept, free = (_flat(states, scope, self.sizes) for scope in (self.batch, self.free))
        weights = self.table[kept if len(self.table) > 1 else 0, free] * value[kept, :, lane]
        chosen = np.unravel_index(pick(weights), _shape(self.own, self.sizes))
        states.update(zip(self.own, chosen, strict=True))

    def _product(self, values: Values) -> Array:
        """The value as (batch, own, lane)."""
        value = np.ascontiguousarray(values[self.source].transpose(self.axes))
        return value.reshape(-1, self.table.shape[2], value.shape[-1])

    def _as_table(self, message: Array) -> Array:
        """The message as (batch, free, lane)."""
        return message.reshape(-1, self.table.shape[1], message.shape[-1])


@dataclass(frozen=True, eq=False)
class Sweep:
    """Values of a circuit, bottom up.

    Attributes:
        values: inputs first.
        unscale: value number -> (lane,), the factors that rescaled messages were multiplied by.
        log_value: (lane,), log of the circuit's value; -inf where it is zero.
        faint: some message fell below 1e-150 without being zero, so that underflow may have lost something.
    """

    values: Values
    unscale: dict[int, Array]
    log_value: Array
    faint: bool


@dataclass(frozen=True, eq=False)
class Circuit:
    """Operations in order; each value is used once.

    Attributes:
        inputs: number of inputs; step i makes value number inputs + i.
        shapes: of all values but the inputs, without lanes.
        scratch: entries of the largest derivative that has to wait for another.
        steps: what makes each value that is no input.
        roots: values without variables whose product is the circuit's.
        roundings: upper limit on the roundings that any result passes.
    """

    inputs: int
    shapes: tuple[tuple[int, ...], ...]
    scratch: int
    steps: tuple[Product | Contraction, ...]
    roots: tuple[int, ...]
    roundings: int

    @property
    def entries(self) -> int:
        """Table entries of all values for one lane; known tables come on top."""
        return self.scratch + sum(math.prod(shape) for shape in self.shapes)

    def workspace(self, lanes: int) -> Workspace:
        """Memory for batches of so many lanes."""
        return Workspace(self.shapes, self.scratch, lanes)

    def up(self, inputs: Values, space: Workspace, *, largest: bool = False) -> Sweep:
        """Sums of products of the inputs (`largest`: the largest products); faint ones are computed again, rescaled."""
        sweep = self._up(inputs, space, largest, careful=False)
        return self._up(inputs, space, largest, careful=True) if sweep.faint else sweep

    def down(self, sweep: Sweep, space: Workspace) -> None:
        """Multiply every wanted input by its derivative, in place: P(variables of the input, evidence) times a factor of
        each lane. The other values of the sweep are lost.
        """
        values = sweep.values
        for root in self.roots:
            values[root].fill(1.0)
        for number in reversed(range(self.inputs, len(values))):
            step = self.steps[number - self.inputs]
            if any(step.wanted):
                if number in sweep.unscale:
                    values[number] *= sweep.unscale[number]
                step.backward(values, values[number], space)

    def descend(self, sweep: Sweep, pick: Pick) -> dict[int, IntArray]:
        """States of all variables (lane,), clique by clique from the roots; `pick` gets weights and the clique's number."""
        states: dict[int, IntArray] = {}
        cliques = [step for step in self.steps if isinstance(step, Contraction)]
        for number in reversed(range(len(cliques))):
            cliques[number].choose(sweep.values, states, partial(pick, number))
        return states

    def _up(self, inputs: Values, space: Workspace, largest: bool, careful: bool) -> Sweep:
        """One sweep; a careful one rescales every message and calls only what is above zero faint."""
        values: Values = [*inputs, *space.values]
        log_value, unscale, faint = np.zeros(space.lanes), dict[int, Array](), False
        for number, step in enumerate(self.steps, self.inputs):
            (step.largest if largest else step.forward)(values, values[number])
            root = number in self.roots
            if root or (isinstance(step, Contraction) and (careful or step.rescaled)):
                scale = values[number].reshape(-1, space.lanes).max(0)
                faint = faint or bool(
                    np.any((scale < FAINT) & (scale > 0)) if careful else scale.min() < FAINT
                )
                with np.errstate(divide="ignore"):
                    log_value += np.log(scale)
                if not root:
                    unscale[number] = np.divide(
                        1.0, scale, out=np.zeros_like(scale), where=scale > FAINT**2
                    )
                    values[number] *= unscale[number]
        return Sweep(values, unscale, log_value, faint)


def build(cliques: Sequence[Clique], tables: Sequence[tuple[Scope, Array]], inputs: Sequence[tuple[Scope, bool]],
          sizes: Sequence[int]) -> Circuit:  # fmt: skip
    """Compile a junction tree over the scopes of `tables` and `inputs`, numbered in this order.

    Args:
        cliques: children before parents.
        tables: known tables (*scope).
        inputs: scope, and whether derivatives by it are wanted; every variable is in the scope of an input.
        sizes: number of states of each variable.
    """
    maker = _Maker(sizes, [s for s, _ in inputs], [w for _, w in inputs])
    waiting: list[list[tuple[int, int]]] = [
        [] for _ in cliques
    ]  # message, tables in it since the last rescaling
    roots = []
    for clique, received in zip(cliques, waiting, strict=True):
        known = [tables[t] for t in clique.tables if t < len(tables)]
        operands = [t - len(tables) for t in clique.tables if t >= len(tables)] + [
            m for m, _ in received
        ]
        weight = len(clique.tables) + sum(w for _, w in received)
        message = maker.clique(clique, known, operands, rescaled=weight >= RESCALE)
        if clique.parent is None:
            roots.append(message)
        else:
            waiting[clique.parent].append((message, weight if weight < RESCALE else 0))
    shapes = tuple(_shape(scope, sizes) for scope in maker.scopes[len(inputs) :])
    return Circuit(
        len(inputs), shapes, maker.scratch, tuple(maker.steps), tuple(roots), maker.roundings
    )


class _Maker:
    """Appends steps and keeps what is known of each value."""

    def __init__(self, sizes: Sequence[int], scopes: list[Scope], wanted: list[bool]) -> None:
        self.sizes, self.scopes, self.wanted = sizes, scopes, wanted
        self.entries = [_size(scope, sizes) for scope in scopes]
        self.steps: list[Product | Contraction] = []
        self.roundings = self.scratch = 0

    def clique(
        self,
        clique: Clique,
        known: Sequence[tuple[Scope, Array]],
        operands: list[int],
        *,
        rescaled: bool,
    ) -> int:
        """Multiply the operands, contract them with the known tables; returns the number of the message."""
        given = {v for i in operands for v in self.scopes[i]}
        beside = {v for scope, _ in known for v in scope} - given
        batch = tuple(v for v in clique.shared if v in given)
        free = tuple(v for v in clique.shared if v in beside)
        source = self._product(operands, batch + clique.own)
        axes = tuple(self.scopes[source].index(v) for v in batch + clique.own)
        table = _known(known, batch, free, clique.own, self.sizes)
        self.steps.append(Contraction(source, (*axes, len(axes)), table, clique.own, batch, free, self.sizes,
                                      rescaled, (self.wanted[source],)))  # fmt: skip
        self.roundings += 2 * len(known) + table.shape[1] + table.shape[2] + 2
        return self._made(batch + free, self.wanted[source])

    def _product(self, operands: list[int], order: Scope) -> int:
        """Multiply pairwise, the smallest value with the partner that makes the smallest product."""
        queue = sorted((self.entries[i], i) for i in operands)
        while len(queue) > 1:
            size, small = queue.pop(0)
            best, place = math.inf, 0
            for i, (entries, partner) in enumerate(queue if len(queue) > 1 else ()):
                beyond = [v for v in self.scopes[small] if v not in self.scopes[partner]]
                if (product := entries * _size(beyond, self.sizes)) < best:
                    best, place = product, i
                if best == size:
                    break
            made = self._pair(small, queue.pop(place)[1], order)
            insort(queue, (self.entries[made], made))
        return queue[0][1]

    def _pair(self, small: int, large: int, order: Scope) -> int:
        one, other = self.scopes[small], self.scopes[large]
        union = tuple(v for v in order if v in one or v in other)
        letter = dict(zip(union, ascii_letters, strict=False))
        texts = ["".join(letter[v] for v in scope) + LANE for scope in (one, other, union)]
        rules = (f"{texts[2]},{texts[1]}->{texts[0]}", f"{texts[2]},{texts[0]}->{texts[1]}")
        wanted = (self.wanted[small], self.wanted[large])
        self.steps.append(
            Product((small, large), (_spread(one, union), _spread(other, union)), rules, wanted)
        )
        made = self._made(union, any(wanted))
        self.scratch = max(self.scratch, self.entries[small])
        self.roundings += 2 + self.entries[made] // self.entries[small]
        return made

    def _made(self, scope: Scope, wanted: bool) -> int:
        self.scopes.append(scope)
        self.wanted.append(wanted)
        self.entries.append(_size(scope, self.sizes))
        return len(self.scopes) - 1


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
    full = np.broadcast_to(out, _shape(order, sizes))
    return np.ascontiguousarray(full.reshape([_size(scope, sizes) for scope in (batch, free, own)]))


def _spread(scope: Scope, order: Scope) -> tuple[tuple[int, ...], tuple[slice | None, ...]]:
    """Axes and index that lay a value over `scope` (and a last axis) out to broadcast over `order`."""
    axes = tuple(scope.index(v) for v in order if v in scope)
    return (*axes, len(axes)), (*(slice(None) if v in scope else None for v in order), slice(None))


def _flat(states: dict[int, IntArray], scope: Scope, sizes: Sequence[int]) -> Any:
    """Number of the configuration of a scope in C order, (lane,)."""
    if not scope:
        return 0
    return np.ravel_multi_index([states[v] for v in scope], _shape(scope, sizes))


def _shape(scope: Scope, sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(sizes[v] for v in scope)


def _size(scope: Any, sizes: Sequence[int]) -> int:
    return math.prod(sizes[v] for v in scope)

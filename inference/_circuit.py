"""Sum-product circuits over lanes; `_circuit_maker` compiles them from a junction tree.

A *lane* is one row of evidence: the last, contiguous axis of every value, so that each operation
serves all rows whatever they observe. Tables that differ by lane (indicators of the evidence,
slices of tables) are inputs; known tables are folded into the contractions. The value of the
circuit is P(evidence), and its derivative by an input over the variables A is P(A, rest of the
evidence): one sweep up and one down give all posteriors without a division (Darwiche, J. ACM 50
(2003) 280, doi:10.1145/765568.765570). Everything is a sum of products of numbers >= 0,
hence componentwise accurate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from veribayes.inference._triangulation import Scope
from veribayes.predictive import Array
from veribayes.tree import IntArray

FAINT = 1e-150  # above it underflow elsewhere loses less than 1e-308 / FAINT of a value

Values = list[Array]  # (*scope, lane) each
Pick = Callable[[int, Array], IntArray]  # of a clique's number and weights (lane, configuration)


class Workspace:
    """Arrays for the values of a circuit, used again for every batch of as many lanes.

    Fresh memory would cost more than the arithmetic:
    a page fault takes as long as a thousand multiplications.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], scratch: int, lanes: int) -> None:
        self.lanes = lanes
        lengths = (lanes * math.prod(shape) for shape in shapes)
        ends = list(accumulate(lengths, initial=0))
        # in one piece, for which the system has large pages
        whole = np.empty(ends[-1] + lanes * scratch)
        self.values: Values = []
        for (start, end), shape in zip(pairwise(ends), shapes, strict=True):
            self.values.append(whole[start:end].reshape(*shape, lanes))
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
    # of each factor: its axes in the order of the product, and None for missing ones
    spread: tuple[tuple[Any, Any], ...]
    rules: tuple[str, str]  # einsum of the product's derivative with the other factor
    wanted: tuple[bool, bool]

    def forward(self, values: Values, out: Array) -> None:
        small = self._spread_out(values, 0)
        large = self._spread_out(values, 1)
        np.multiply(small, large, out=out)

    def _spread_out(self, values: Values, factor: int) -> Array:
        """A factor as it broadcasts over the product."""
        axes, index = self.spread[factor]
        return values[self.factors[factor]].transpose(axes)[index]

    def largest(self, values: Values, out: Array) -> None:
        self.forward(values, out)

    def backward(self, values: Values, gradient: Array, space: Workspace) -> None:
        small, large = self.factors
        to_small, to_large = self.rules
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
        value = self._product(values)
        best = self._as_table(out)
        np.multiply(self.table[:, :, 0, None], value[:, None, 0], out=best)
        for i in range(1, value.shape[1]):
            term = self.table[:, :, i, None] * value[:, None, i]
            np.maximum(best, term, out=best)

    def backward(self, values: Values, gradient: Array, space: Workspace) -> None:
        given = self._as_table(gradient)
        turned = self.table.swapaxes(1, 2)
        target = values[self.source].transpose(self.axes)
        # the same where nothing is summed, but faster
        derivative = np.matmul(turned, given) if self.free else np.multiply(turned, given)
        in_place = derivative.reshape(target.shape).transpose(np.argsort(self.axes))
        space.put(self.source, values, in_place)

    def choose(
        self, values: Values, states: dict[int, IntArray], pick: Callable[[Array], IntArray]
    ) -> None:
        """Choose states of `own` given those of the variables kept, by the weights (lane,
        configuration of own).
        """
        value = self._product(values)
        lane = np.arange(value.shape[2])
        kept = _flat(states, self.batch, self.sizes)
        free = _flat(states, self.free, self.sizes)
        row = kept if len(self.table) > 1 else 0
        weights = self.table[row, free] * value[kept, :, lane]
        chosen = np.unravel_index(pick(weights), shape_of(self.own, self.sizes))
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
        faint: some message fell below 1e-150 without being zero,
            so that underflow may have lost something.
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
        """Sums of products of the inputs (`largest`: the largest products);
        faint ones are computed again, rescaled.
        """
        sweep = self._up(inputs, space, largest, careful=False)
        return self._up(inputs, space, largest, careful=True) if sweep.faint else sweep

    def down(self, sweep: Sweep, space: Workspace) -> None:
        """Multiply every wanted input by its derivative, in place: P(variables of the input,
        evidence) times a factor of each lane. The other values of the sweep are lost.
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
        """States of all variables (lane,), clique by clique from the roots;
        `pick` gets weights and the clique's number.
        """
        states: dict[int, IntArray] = {}
        cliques = [step for step in self.steps if isinstance(step, Contraction)]
        for number in reversed(range(len(cliques))):
            cliques[number].choose(sweep.values, states, partial(pick, number))
        return states

    def _up(self, inputs: Values, space: Workspace, largest: bool, careful: bool) -> Sweep:
        """One sweep; a careful one rescales every message and calls only what is above zero
        faint.
        """
        values: Values = [*inputs, *space.values]
        log_value = np.zeros(space.lanes)
        unscale: dict[int, Array] = {}
        faint = False
        for number, step in enumerate(self.steps, self.inputs):
            evaluate = step.largest if largest else step.forward
            evaluate(values, values[number])
            is_root = number in self.roots
            rescaled = isinstance(step, Contraction) and (careful or step.rescaled)
            if not is_root and not rescaled:
                continue
            scale = values[number].reshape(-1, space.lanes).max(0)
            faint = faint or _is_faint(scale, careful)
            with np.errstate(divide="ignore"):
                log_value += np.log(scale)
            if not is_root:
                inverse = np.zeros_like(scale)
                unscale[number] = np.divide(1.0, scale, out=inverse, where=scale > FAINT**2)
                values[number] *= unscale[number]
        return Sweep(values, unscale, log_value, faint)


def _is_faint(scale: Array, careful: bool) -> bool:
    """Whether some lane's largest entry is so small that underflow may have lost something."""
    if careful:
        return bool(np.any((scale < FAINT) & (scale > 0)))
    return bool(scale.min() < FAINT)


def _flat(states: dict[int, IntArray], scope: Scope, sizes: Sequence[int]) -> Any:
    """Number of the configuration of a scope in C order, (lane,)."""
    if not scope:
        return 0
    return np.ravel_multi_index([states[v] for v in scope], shape_of(scope, sizes))


def shape_of(scope: Scope, sizes: Sequence[int]) -> tuple[int, ...]:
    """Number of states of each variable of a scope."""
    return tuple(sizes[v] for v in scope)

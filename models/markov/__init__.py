"""Markov chain of some order whose rows nobody knows: in-context learning of n-grams.

    y_t | past ~ row[last `order` symbols]

Each sequence has rows of its own: independent Dirichlet(concentration) rows, or one member of a
finite pool of tables; or all sequences have the same known rows. An order of zero is an urn. Where
`order` is a list, each sequence has one of these orders, with equal or given prior probabilities.

The start is a part of the model, since it may tell of the rows: `uniform`, the first `order`
symbols are independent and uniform; `first`, the chain has read zeros before; `stationary`, the
first `order` symbols have the long-run law of the rows, so that counts with a constant added are no
longer Bayes. Asked is the next symbol after each prefix.

Counts: Dirichlet rows are conjugate, Martin, Bayesian Decision Problems and Markov Chains (1967);
chains as tasks in a context: arXiv 2402.11004; finite pools of tasks: arXiv 2306.15063.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError
from veribayes.models._check import mapping
from veribayes.models._data import array_of, require_codes, require_length
from veribayes.models._layout import Layout
from veribayes.models._model import Groups, Model, Table, Variable
from veribayes.models._task import Design
from veribayes.models.markov import _chains, _fields, _pool, _program, _simulation, _views
from veribayes.models.markov._fields import DIRICHLET, KNOWN, POOL, STATIONARY
from veribayes.predictive import Array, Categorical, Predictive
from veribayes.tree import Data, IntArray, Simulation
from veribayes.tree.shown import Example, Shown

if TYPE_CHECKING:
    import jax


@dataclass(frozen=True)
class Markov(Model):
    """A Markov chain over symbols 0, …, K - 1.

    Attributes:
        symbols: K, their number.
        order: symbols that a row depends on, or a list of such numbers.
        rows: `dirichlet`, `pool` or `known`.
        concentration: of the Dirichlet law of every row, and of those that a pool is drawn from.
        start: `uniform`, `first` or `stationary`.
        order_weights: prior probabilities of the orders, where there are several; equal unless
            given.
        pool: `{size, seed}`, or `{file, weights}` with an array `tables` (member, history, symbol)
            in a `.npz`.
        matrix_seed: known rows are drawn from Dirichlet(1) with this seed (0 unless given), or are
        matrix: (history, symbol); a history is its symbols, oldest first, as a number in base K.

    Raises:
        ModelError: a value outside its range, rows that are no distributions, or fields that such
            a model does not have.
    """

    symbols: int
    order: Any = 1  # stored as a tuple where there are several
    rows: str = DIRICHLET
    concentration: float = 1.0
    start: str = "uniform"
    order_weights: Any = None
    pool: Any = None  # stored as sorted pairs, which can be hashed
    matrix_seed: int | None = None
    matrix: Any = None
    kind: ClassVar[str] = "markov"

    def __post_init__(self) -> None:
        for name, value in _fields.checked(self).items():
            object.__setattr__(self, name, value)
        if self.rows != DIRICHLET:
            _fields.require_ergodic(self)

    # -- tables ------------------------------------------------------------------------------------

    @property
    def orders(self) -> tuple[int, ...]:
        """The orders that a sequence may have."""
        return self.order if isinstance(self.order, tuple) else (self.order,)

    @property
    def histories(self) -> int:
        """Number of rows of a table of the (longest) order."""
        return int(self.symbols ** max(self.orders))

    @property
    def conjugate(self) -> bool:
        """Whether counts are all that a prefix says of the rows."""
        return self.rows == DIRICHLET and self.start != STATIONARY

    @property
    def log_order_weights(self) -> Array:
        """Logarithms of the prior probabilities of the orders, (order,)."""
        equal = np.full(len(self.orders), 1 / len(self.orders))
        return np.log(equal if self.order_weights is None else np.array(self.order_weights))

    @cached_property
    def members(self) -> tuple[Array, Array]:
        """Tables (member, history, symbol) that a sequence may have, and log weights (member,)."""
        shape = (self.histories, self.symbols)
        if self.rows == POOL:
            return _pool.tables_of(dict(self.pool), shape, self.concentration)
        if self.matrix is not None:
            return np.array(self.matrix)[None], np.zeros(1)
        seed = self.matrix_seed or 0
        return _pool.drawn_tables(1, seed, shape, 1.0), np.zeros(1)

    # -- the protocol of a model -------------------------------------------------------------------

    @property
    def n_categories(self) -> int:
        return self.symbols

    @property
    def enumerated(self) -> bool:
        return self.rows != DIRICHLET or len(self.orders) > 1

    @property
    def latents(self) -> tuple[Variable, ...]:
        """The rows of the sequence, or its order where there are several."""
        if self.rows == KNOWN:
            return ()
        if len(self.orders) > 1:
            return (Variable("order", (), "finite"),)
        return (Variable("rows", ("history", "symbol"), "simplex"),)

    @property
    def layout(self) -> Layout:
        return _views.URN if self.orders == (0,) else _views.SYMBOLS

    def spec(self) -> dict[str, Any]:
        return _fields.spec(self)

    @classmethod
    def from_spec(cls, spec: Any) -> Markov:
        """The model that `spec` describes."""
        return cls(**mapping("a markov", spec, allowed=_fields.NAMES, required=["symbols"]))

    def default_design(self) -> Design:
        return Design((1, 2, 4, 8, 16, 32, 64))

    def defaults(self) -> dict[str, Any]:
        wrong: dict[str, Any] = {"concentration": 10 * self.concentration}
        if self.rows != DIRICHLET:
            wrong = _fields.other_tables(self)
            engines = {"reference": "markov_pool", "second_route": "markov_sequential"}
            rivals: tuple[str, ...] = ("markov_order",)
            if self.rows == POOL:
                rivals = ("generalising", "markov_order")
            return {**engines, "rivals": rivals, "wrong_prior": wrong}
        engines = {"reference": "markov_counts", "second_route": "markov_quadrature"}
        if self.start == STATIONARY:
            engines = {"reference": "markov_importance", "second_route": "hmc"}
            if (self.symbols, self.order) == (2, 1):
                engines = {
                    "reference": "markov_quadrature",
                    "second_route": "markov_importance",
                }
        return {**engines, "rivals": ("markov_order",), "wrong_prior": wrong}

    def simulate(self, design: Design, seed: int, stream: str, index: IntArray) -> Simulation:
        """Draw data sets: `y` (B, T), T the largest position; the outcome is what follows each
        prefix.
        """
        positions = np.array(design.positions, dtype=np.int64)
        length = int(positions[-1]) + 1
        y, hidden = _simulation.drawn(self, length, seed, stream, index)
        context = np.broadcast_to(positions, (index.size, positions.size)).copy()
        data = Data({"y": y[:, :-1]}, positions, index)
        latents = {latent.name: hidden[latent.name] for latent in self.latents}
        return Simulation(data, latents, y[:, positions, None].astype(np.float64), context)

    def inputs(self, data: Data, position: int) -> tuple[Any, Any]:
        """(the prefix y[:, :t], None)."""
        return data.arrays["y"][:, : data.positions[position]], None

    def require_data(self, data: Data) -> None:
        """Refuse sequences with other symbols than 0, …, K - 1.

        Raises:
            InputError: no symbol, other axes, or fewer symbols than a position asks for.
        """
        y = array_of(data, "y", [len(data.index), "time"])
        longest = require_length(data, "y", y.shape[1])
        require_codes("y", y[:, :longest], self.symbols, data=data)

    def program(self, **arrays: jax.Array) -> None:
        """Rows ~ Dirichlet, the likelihood of the counts, and that of the start."""
        _program.program(self, **arrays)

    def program_data(self, data: Data, position: int) -> dict[str, npt.NDArray[Any]]:
        """`counts` (B, history, symbol) of the prefix, and `begun` (B, K^order): which of its first
        symbols are possible.

        Raises:
            InputError: what a sampler of real numbers has nothing to draw of.
        """
        if self.enumerated:
            what = "several orders" if self.rows == DIRICHLET else f"{self.rows} rows"
            wanted = "Dirichlet rows of one order for a sampler of real numbers"
            raise InputError(wanted, what, f"use '{self.defaults()['reference']}'")
        return _program.arrays(self, data, position)

    def latent_mask(self, data: Data, position: int) -> dict[str, npt.NDArray[np.bool_]]:
        """Rows and orders are meaningful at every prefix."""
        del position
        shapes = {"order": (), "rows": (self.histories, self.symbols)}
        masks = {}
        for latent in self.latents:
            masks[latent.name] = np.ones((data.index.size, *shapes[latent.name]), dtype=bool)
        return masks

    def conditional(
        self, latent_draws: Mapping[str, Array], data: Data, position: int
    ) -> Predictive:
        """The law of the next symbol averaged over draws of the rows (B, N, history, symbol), or
        of the order (B, N).
        """
        n, y = int(data.positions[position]), data.arrays["y"]
        if len(self.orders) > 1:
            shares = [np.mean(latent_draws["order"] == order, axis=1) for order in self.orders]
            at = data.positions[position : position + 1]
            said, _ = self.by_order(y, at)
            probs = np.einsum("bo,bok->bk", np.stack(shares, axis=-1), said[:, 0])
            return Categorical(probs[:, None])
        tables = self.members[0][None]
        if self.rows != KNOWN:
            tables = np.asarray(latent_draws["rows"], dtype=np.float64)
        laws = _chains.ahead(tables, y, self.symbols, max(self.orders), self.start, n)
        return Categorical(laws.mean(1)[:, None])

    def by_order(self, y: IntArray, positions: IntArray) -> tuple[Array, Array]:
        """Add-a predictions (dataset, position, order, symbol), and log P(prefix | order)."""
        return _chains.averaged(
            y,
            self.symbols,
            self.orders,
            self.concentration,
            padded=self.start == "first",
            positions=positions,
        )

    def prior_predictive(self, data: Data) -> Predictive:
        """Of unknown rows their mean over the prior, read at the last symbols: uniform for
        Dirichlet rows. Of known ones the law of the symbol with this number when none is seen.
        """
        y, order = data.arrays["y"], max(self.orders)
        laws = []
        for n in data.positions.tolist():
            law = np.full((len(y), self.symbols), 1 / self.symbols)
            if self.rows == KNOWN:
                law = np.broadcast_to(self._marginal(n), law.shape)
            elif self.rows == POOL and n >= order:
                code = _chains.histories(y[:, :n], self.symbols, order)[:, n]
                law = self._mean_table[code]
            laws.append(law)
        return Categorical(np.stack(laws, axis=1)[:, :, None])

    # -- for readers -------------------------------------------------------------------------------

    def sentence(self) -> str:
        return _views.sentence(self)

    def show(self, example: Example) -> Shown:
        return _views.example(example)

    def groups(self, data: Data, sizes: Groups) -> Groups:
        return _views.groups(self, data)

    def known_tables(self, length: int) -> Sequence[Table]:
        return _views.tables(self, length)

    @cached_property
    def _mean_table(self) -> Array:
        """The mean of the pool's tables, (history, symbol)."""
        tables, log_weights = self.members
        return np.asarray(np.tensordot(np.exp(log_weights), tables, axes=1))

    def _marginal(self, n: int) -> Array:
        """P(symbol n + 1) under the known rows, (symbol,)."""
        return _marginals(self, n)[n]


@lru_cache(maxsize=16)
def _marginals(model: Markov, most: int) -> Array:
    """The law of each symbol under known rows, (number, symbol)."""
    table, order, symbols = model.members[0][0], max(model.orders), model.symbols
    laws: list[Array] = []
    moves = _chains.lifted(table, order)
    belief = np.zeros(len(table))
    belief[0] = 1.0
    if model.start != "first":
        starts = _chains.starts(table, order, model.start)
        laws.extend(starts[j + 1].reshape(-1, symbols).sum(0) for j in range(order))
        belief = starts[order]
    for _ in range(len(laws), most + 1):
        laws.append(belief @ table)
        belief = belief @ moves
    return np.stack(laws)


__all__ = ["Markov"]

PART = Markov

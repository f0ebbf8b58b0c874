"""Hidden Markov model: a state that nobody sees moves by a transition matrix and emits what is
seen.

    x_1 ~ initial,   x_{t+1} | x_t ~ transition[x_t],   y_t | x_t ~ emission[x_t]

Parameters are known, stand in a header before the symbols, or are drawn from Dirichlet rows for
every sequence and unknown. What is emitted is a symbol, or with known parameters a normal number.
Asked is the next one after each prefix. Rabiner, Proc. IEEE 77 (1989) 257;
parameters in the context: arXiv 2512.22471.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ModelError
from veribayes.models._check import choice, integer, mapping, number
from veribayes.models._data import array_of, require_codes, require_finite, require_length
from veribayes.models._layout import Layout
from veribayes.models._model import Distance, Groups, Infer, Model, Variable, log_in_turn
from veribayes.models._task import Design
from veribayes.models.hmm import _filter, _program, _simulation, _views
from veribayes.models.hmm._checks import checked_tables
from veribayes.models.hmm._parameters import (
    DIRICHLET,
    HEADER,
    KNOWN,
    NORMALS,
    PARAMETERS,
    ROW_SUM_TOLERANCE,
    TABLES,
    Tables,
    drawn,
    shapes,
)
from veribayes.predictive import Array, Categorical, NormalMixture, Predictive
from veribayes.tree import Data, IntArray, Simulation
from veribayes.tree.shown import Example, Shown

if TYPE_CHECKING:
    import jax

# of the states of a sequence that are enumerated:
# the default design of unknown parameters ends there
PATHS = 4096


class Context(NamedTuple):
    """Symbols behind a header with the parameters; the first axis of each array is the data set."""

    y: IntArray  # (dataset, time)
    initial: Array  # (dataset, state)
    transition: Array  # (dataset, state, next state)
    emission: Array  # (dataset, state, symbol)


@dataclass(frozen=True)
class HMM(Model):
    """A hidden Markov model.

    Attributes:
        states: number of hidden states.
        symbols: number of symbols; 0 where normal numbers are emitted.
        parameters: `known`; `header`: each sequence has its own, and they are seen; `dirichlet`:
            each has its own, and they are not.
        concentration: of the Dirichlet law of every row, where each sequence has its own.
        matrix_seed: known parameters are drawn from Dirichlet(1) with this seed (0 unless given),
            or are given as
        initial, transition, emission: rows of probabilities; with normal numbers instead of
            `emission`
        means, sds: of each state.

    Raises:
        ModelError: a value outside its range, rows that are no distributions,
            or parameters that such a model does not have.
    """

    states: int
    symbols: int = 0
    parameters: str = KNOWN
    concentration: float = 1.0
    matrix_seed: int | None = None
    initial: Any = None  # stored as nested tuples of floats, as all that follow
    transition: Any = None
    emission: Any = None
    means: Any = None
    sds: Any = None
    kind: ClassVar[str] = "hmm"
    strengths: ClassVar[Mapping[str, int]] = {"forgets_context": 1}

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "states", integer("states", self.states, at_least=1, at_most=256))
        put(self, "symbols", integer("symbols", self.symbols, at_least=0, at_most=4096))
        if self.symbols == 1:
            raise ModelError("two or more symbols, or none for normal numbers", "1")
        choice("parameters", self.parameters, PARAMETERS)
        put(self, "concentration", number("concentration", self.concentration, above=0))
        for name, value in checked_tables(self).items():
            put(self, name, value)

    # -- tables ------------------------------------------------------------------------------------

    @cached_property
    def tables(self) -> Tables:
        """The known tables; those of normal emissions have no emission, (state, 0)."""
        if self.matrix_seed is not None:
            return Tables(**drawn(self.matrix_seed, self.states, self.symbols))
        emission = np.zeros((self.states, 0)) if not self.symbols else np.array(self.emission)
        return Tables(np.array(self.initial), np.array(self.transition), emission)

    def tables_of(self, data: Data) -> Tables:
        """The tables that are known or stand in the header, with an axis (dataset or 1,) in front.

        Raises:
            InputError: nobody knows them.
        """
        if self.parameters == DIRICHLET:
            raise InputError("parameters that are known or in a header", "unknown ones")
        if self.parameters == HEADER:
            return Tables(*(data.arrays[name] for name in TABLES))
        known = self.tables
        return Tables(known.initial[None], known.transition[None], known.emission[None])

    def log_likelihoods(self, data: Data, length: int) -> Array:
        """log P(y_t | state), (dataset, time, state), of the first `length` observations;
        -inf where it is impossible.
        """
        y = data.arrays["y"][:, :length]
        if not self.symbols:
            mean, sd = np.array(self.means), np.array(self.sds)
            z = (y[..., None] - mean) / sd
            return np.asarray(-0.5 * z**2 - np.log(sd) - 0.5 * np.log(2 * np.pi))
        emission = self.tables_of(data).emission
        rows = np.arange(len(emission))[:, None]
        with np.errstate(divide="ignore"):
            return np.log(np.swapaxes(emission, 1, 2)[rows, y])

    def emitted(self, belief: Array, emission: Array) -> Predictive:
        """The law of what states with these probabilities emit, (dataset, position, query).

        Args:
            belief: (dataset, position, query, state).
            emission: (dataset or 1, state, symbol).
        """
        if self.symbols:
            datasets, positions, queries, states = belief.shape
            # one product of matrices where all data sets have the same table
            rows = belief.reshape(datasets if len(emission) > 1 else 1, -1, states)
            probs = rows @ emission
            return Categorical(probs.reshape(datasets, positions, queries, self.symbols))
        mean = np.broadcast_to(np.array(self.means), belief.shape)
        sd = np.broadcast_to(np.array(self.sds), belief.shape)
        return NormalMixture(belief, mean, sd)

    # -- the protocol of a model -------------------------------------------------------------------

    @property
    def n_categories(self) -> int | None:
        return self.symbols or None

    @property
    def enumerated(self) -> bool:
        """Its states are summed over; and unknown parameters have exact predictions alone,
        since states have no names.
        """
        return True

    @property
    def latents(self) -> tuple[Variable, ...]:
        """The states of the sequence; unknown parameters with the states in the order of their
        first probability.
        """
        if self.parameters != DIRICHLET:
            return (Variable("state", ("time",), "finite"),)
        return (
            Variable("initial", ("state",), "simplex"),
            Variable("transition", ("state", "next_state"), "simplex"),
            Variable("emission", ("state", "symbol"), "simplex"),
        )

    @property
    def layout(self) -> Layout:
        if not self.symbols:
            return _views.NUMBERS
        return _views.HEADED if self.parameters == HEADER else _views.SYMBOLS

    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = {"states": self.states, "parameters": self.parameters}
        if self.symbols:
            spec["symbols"] = self.symbols
        if self.parameters != KNOWN:
            return {**spec, "concentration": self.concentration}
        if self.matrix_seed is not None:
            return {**spec, "matrix_seed": self.matrix_seed}
        for name in (*TABLES, *NORMALS):
            if getattr(self, name) is not None:
                spec[name] = np.array(getattr(self, name)).tolist()
        return spec

    @classmethod
    def from_spec(cls, spec: Any) -> HMM:
        """The model that `spec` describes."""
        allowed = ["states", "symbols", "parameters", "concentration", "matrix_seed"]
        fields = mapping("an hmm", spec, allowed=[*allowed, *TABLES, *NORMALS], required=["states"])
        return cls(**fields)

    def default_design(self) -> Design:
        positions = (1, 2, 4, 8, 16, 32)
        if self.parameters == DIRICHLET:
            kept = [n for n in positions if self.states**n <= PATHS]
            return Design(tuple(kept or [1]))
        return Design(positions)

    def defaults(self) -> dict[str, Any]:
        if self.parameters == DIRICHLET:
            return {
                "reference": "hmm_paths",
                "second_route": "hmc",
                "rivals": ("n_gram",),
                "wrong_prior": {"concentration": 10 * self.concentration},
            }
        rivals = ("stationary", "hmm_window", "n_gram") if self.symbols else ("stationary",)
        return {
            "reference": "forward_filter",
            "second_route": "hmm_junction_tree" if self.symbols else "hmm_paths",
            "rivals": rivals,
            "wrong_prior": self._restless() if self.parameters == KNOWN else {},
        }

    def simulate(self, design: Design, seed: int, stream: str, index: IntArray) -> Simulation:
        """Draw data sets: `y` (B, T), T the largest position, and where there is a header `initial`
        (B, S), `transition` (B, S, S), `emission` (B, S, K).
        The outcome is what follows each prefix.
        """
        positions = np.array(design.positions, dtype=np.int64)
        drawn_arrays = _simulation.drawn(self, int(positions[-1]) + 1, seed, stream, index)
        y, state = drawn_arrays["y"], drawn_arrays["state"]
        tables = {name: drawn_arrays[name] for name in TABLES if name in drawn_arrays}
        seen = tables if self.parameters == HEADER else {}
        context = np.broadcast_to(positions, (index.size, positions.size)).copy()
        data = Data({"y": y[:, :-1], **seen}, positions, index)
        outcome = y[:, positions, None].astype(np.float64)
        hidden = tables if self.parameters == DIRICHLET else {"state": state[:, :-1]}
        return Simulation(data, hidden, outcome, context)

    def inputs(self, data: Data, position: int) -> tuple[Any, Any]:
        """(the prefix y[:, :t], None); with a header a `Context`."""
        prefix = data.arrays["y"][:, : data.positions[position]]
        if self.parameters != HEADER:
            return prefix, None
        return Context(prefix, *(data.arrays[name] for name in TABLES)), None

    def require_data(self, data: Data) -> None:
        """Refuse other symbols than 0, …, K - 1, numbers that are none,
        and headers whose rows are no distributions.

        Raises:
            InputError: they are there, an axis is missing,
                or a position asks for more than there is.
        """
        y = array_of(data, "y", [len(data.index), "time"])
        longest = require_length(data, "y", y.shape[1])
        if self.symbols:
            require_codes("y", y[:, :longest], self.symbols, data=data)
        else:
            require_finite("y", y[:, :longest], data)
        if self.parameters != HEADER:
            return
        for name, shape in shapes(self.states, self.symbols).items():
            table = array_of(data, name, [len(data.index), *shape])
            require_finite(name, table, data)
            off = np.abs(table.sum(-1) - 1).max(initial=0.0)
            if (table < 0).any() or off > ROW_SUM_TOLERANCE:
                raise InputError(f"rows of '{name}' that are >= 0 and sum to one", f"{off:g} off")

    def program(self, **arrays: jax.Array) -> None:
        """Rows ~ Dirichlet with the states in order; the states of the sequence are summed out."""
        _program.program(self, **arrays)

    def program_data(self, data: Data, position: int) -> dict[str, npt.NDArray[Any]]:
        """`y` (B, T) and `mask`, which keeps the prefix.

        Raises:
            InputError: known parameters, which leave a sampler of real numbers nothing to draw.
        """
        if self.parameters != DIRICHLET:
            wanted = "unknown parameters for a sampler of real numbers"
            raise InputError(wanted, f"{self.parameters} ones", "use 'forward_filter'")
        y = data.arrays["y"]
        seen = np.arange(y.shape[1]) < data.positions[position]
        return {"y": y, "mask": np.broadcast_to(seen, y.shape).copy()}

    def latent_mask(self, data: Data, position: int) -> dict[str, npt.NDArray[np.bool_]]:
        """States behind the prefix are padding; parameters are meaningful at every prefix."""
        datasets = data.index.size
        if self.parameters != DIRICHLET:
            seen = np.arange(data.arrays["y"].shape[1]) < data.positions[position]
            return {"state": np.broadcast_to(seen, (datasets, seen.size)).copy()}
        sizes = shapes(self.states, self.symbols)
        return {name: np.ones((datasets, *shape), dtype=bool) for name, shape in sizes.items()}

    def conditional(
        self, latent_draws: Mapping[str, Array], data: Data, position: int
    ) -> Predictive:
        """The law of the next observation averaged over draws:
        of the states (B, N, T), or of the parameters.
        """
        length = int(data.positions[position])
        if self.parameters == DIRICHLET:
            draws = Tables(*(np.asarray(latent_draws[name]) for name in TABLES))
            return _filter.averaged(draws, data.arrays["y"][:, :length])
        tables = self.tables_of(data)
        datasets = len(data.index)
        belief = _over(tables.initial, datasets)
        if length:
            last = np.asarray(latent_draws["state"])[:, :, length - 1].astype(np.int64)
            rows = np.arange(datasets)[:, None]
            belief = _over(tables.transition, datasets)[rows, last].mean(1)
        return _first(self.emitted(belief[:, None, None], tables.emission))

    def log_evidence(self, data: Data, infer: Infer) -> Array:
        """Observation by observation; a header is given, and its own law is not asked about."""
        return log_in_turn(data, "y", 0, infer)

    def redrawn(self, data: Data, design: Design, seed: int, index: IntArray) -> Data:
        """Other sequences; with a header those of the same header."""
        if self.parameters != HEADER:
            return super().redrawn(data, design, seed, index)
        y = _simulation.of_tables(self.tables_of(data), int(data.positions[0]), seed, index)
        return replace(data, arrays={**data.arrays, "y": y}, index=index)

    def prior_predictive(self, data: Data) -> Predictive:
        """The law of the observation with this number when none is seen;
        uniform where nothing is known of the parameters.
        """
        datasets, positions = len(data.index), data.positions.size
        if self.parameters == DIRICHLET:
            return Categorical(np.full((datasets, positions, 1, self.symbols), 1 / self.symbols))
        tables = self.tables_of(data)
        marginals = _filter.marginals(tables, int(data.positions.max(initial=0)))
        belief = _over(marginals[:, data.positions], datasets)
        return self.emitted(belief[:, :, None], tables.emission)

    # -- for readers -------------------------------------------------------------------------------

    def sentence(self) -> str:
        return _views.sentence(self)

    def show(self, example: Example) -> Shown:
        return _views.example(self, example)

    def groups(self, data: Data, sizes: Groups) -> Groups:
        return _views.groups(self, data)

    def distance(self, context: Any, query: Any) -> Distance:
        return super().distance(context.y if isinstance(context, Context) else context, query)

    def _restless(self) -> dict[str, Any]:
        """The wrong prior unless a task says another: the state is drawn anew at each step with
        probability 1/2; or other tables, where they are drawn from a seed.
        """
        if self.matrix_seed is not None:
            return {"matrix_seed": self.matrix_seed + 1}
        transition = (self.tables.transition + 1 / self.states) / 2
        return {"transition": transition.tolist()}


def _over(table: Array, datasets: int) -> Array:
    """A table with its axis of data sets at full length."""
    return np.broadcast_to(table, (datasets, *table.shape[1:]))


def _first(law: Predictive) -> Any:
    """(dataset, position, query) -> (dataset, query) at the first position."""
    return law[:, 0]


__all__ = ["HMM"]

PART = HMM

"""The model: a user's program with its data, as the other families are models."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from veribayes.checked import mapping, sequence, text
from veribayes.errors import InputError
from veribayes.models._arguments import as_argument
from veribayes.models._callable import BY_NAME, parameters_of, source_digest
from veribayes.models._layout import Column, Layout
from veribayes.models._model import Model, Variable
from veribayes.models._random import keys
from veribayes.models._task import Design
from veribayes.models.numpyro_model._drawing import PriorDraws
from veribayes.models.numpyro_model._program import Program
from veribayes.models.numpyro_model._unasked import unasked
from veribayes.models.numpyro_model._values import digest, require_no_text
from veribayes.predictive import Array, NormalMixture, Predictive, concatenate, stack
from veribayes.tree import Data, IntArray, Simulation

if TYPE_CHECKING:
    import jax

PRIOR_DRAWS = 4000  # for the moments of the prior predictive
TARGET = "target"  # the array of the latents that are asked for
LEAST_SD = 1e-300  # a chain that never moved is refused by its gate, not by the form


@dataclass(frozen=True, eq=False)
class NumPyroModel(Program, Model):
    """A program with its data.

    Attributes:
        function: the NumPyro program.
        data: its arguments by name; arguments with a default may be left out.
        name: `package.module:function`, for the reader.
        simulated: draw the outcomes anew even where they are given (they lend their shape); by
            default only where they are not.
        chosen: names of the latents and deterministic sites that are asked for; empty: all that
            vary.

    Raises:
        InputError: arguments that do not fit the signature, data on which the program does not run,
            outcomes without a density, or data sets asked of a program that cannot draw them.
        ModelError: a program without data that does not run, or one for which no posterior is
            defined.
    """

    function: Callable[..., Any]
    data: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    simulated: bool = False
    chosen: tuple[str, ...] = ()
    kind: ClassVar[str] = "numpyro"

    def __post_init__(self) -> None:
        parameters = parameters_of(self.function)
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        named = [name for name, p in parameters.items() if p.kind in BY_NAME]
        where = f"the arguments of '{self.shown}'"
        needed = [name for name in named if parameters[name].default is inspect.Parameter.empty]
        missing = [name for name in needed if name not in self.data]
        if missing:
            self._refuse_missing(missing, where)
        allowed = [*named, *self.data] if open_ended else named
        given = mapping(where, self.data, allowed=allowed)
        for name, value in given.items():
            require_no_text(name, value, parameters.get(name))
        arguments = {name: as_argument(name, value) for name, value in given.items()}
        object.__setattr__(self, "data", arguments)
        chosen = tuple(text("ask", latent) for latent in sequence("ask", self.chosen))
        object.__setattr__(self, "chosen", chosen)

    def _refuse_missing(self, missing: list[str], where: str) -> None:
        got = f"only {', '.join(self.data) or 'none'}"
        each = " ".join(f"--set data.{name}=VALUE" for name in missing)
        remedy = f"give it by --set data=FILE or {each}, in Python by data={{...}}"
        raise InputError(f"{', '.join(missing)} among {where}", got, remedy)

    # -- the protocol of a model -------------------------------------------------------------------

    @classmethod
    def from_spec(cls, spec: Any) -> Model:
        """A program that a task file names, with the site that is predicted (`_described`)."""
        from veribayes.models.numpyro_model._described import read

        return read(spec)

    @property
    def latents(self) -> tuple[Variable, ...]:
        latents = []
        for name, varies in self.varying.items():
            dims = tuple(f"{name}_{i}" for i in range(varies.ndim))
            latents.append(Variable(name, dims, "real"))
        return tuple(latents)

    @property
    def moments(self) -> bool:
        return True  # what is predicted takes all draws at once

    @property
    def layout(self) -> Layout:
        """The outcomes, of which nothing is known but their shape,
        and which latents are asked for.
        """
        outcomes = [Column(_array(name), "observation") for name in self.outcomes]
        target = Column(TARGET, "query", ("query",), "category", shared=True)
        return Layout((*outcomes, target), order="slots")

    def defaults(self) -> dict[str, Any]:
        return {"reference": "hmc", "second_route": "nuts"}

    @cached_property
    def queries(self) -> tuple[str, ...]:
        """Names of the scalars that are asked for: `slope`, `theta[3]`, …"""
        queries = []
        for name, varies in self.asked_latents.items():
            for place in np.argwhere(varies).tolist():
                at = ",".join(map(str, place))
                queries.append(f"{name}[{at}]" if place else name)
        return tuple(queries)

    @cached_property
    def asked_latents(self) -> dict[str, npt.NDArray[np.bool_]]:
        """The sites that queries ask for, name -> which entries vary, in the order in which they
        were chosen.

        Raises:
            InputError: a chosen site is not there, is listed twice, or has no posterior that a
                sampler sees.
        """
        if not self.chosen:
            return self.varying
        if len(set(self.chosen)) < len(self.chosen):
            raise InputError("different latents in 'ask'", ", ".join(self.chosen))
        reasons = unasked(self, frozenset())
        asked = {}
        for name in self.chosen:
            if name not in self.varying:
                wanted = f"latents among {', '.join(self.varying)} in 'ask'"
                raise InputError(wanted, f"'{name}' ({reasons.get(name, 'no such latent')})")
            asked[name] = self.varying[name]
        return asked

    @property
    def unasked(self) -> Mapping[str, str]:
        return unasked(self, frozenset(self.asked_latents))

    def spec(self) -> dict[str, Any]:
        """Name, source and data by their digests; a program cannot be read back from it."""
        data = {name: digest(value) for name, value in self.data.items()}
        spec = {
            "program": self.shown,
            "source": source_digest(self.function),
            "data": data,
            "simulated": self.simulated,
        }
        return {**spec, "ask": list(self.chosen)} if self.chosen else spec

    def default_design(self) -> Design:
        sizes = [int(np.size(self.sites[site]["value"])) for site in self.outcomes.values()]
        return Design((sum(sizes),))

    def simulate(self, design: Design, seed: int, stream: str, index: IntArray) -> Simulation:
        """The data set of the user as number 0, or data sets drawn from the program.

        Arrays: the outcomes (B, *shape) by argument, and `target` (Q,), the number of the latent
        that a query asks for. The outcome of a query is the true value of that latent; NaN where
        the user's data have hidden it.
        """
        shape = (index.size, 1, len(self.queries))
        latents: dict[str, npt.NDArray[Any]] = {}
        if self.given:
            self._require_own(index)
            outcomes = {name: np.asarray(self.argument(name))[None] for name in self.outcomes}
            truth = np.full(shape, np.nan)
        else:
            latents, outcomes = self._prior.drawn(keys(seed, stream, index))
            truth = self._asked(latents)[:, None]
        arrays = {_array(name): values for name, values in outcomes.items()}
        arrays[TARGET] = np.arange(shape[2])
        positions = np.array(design.positions[-1:], dtype=np.int64)
        data = Data(arrays, positions, index, frozenset({TARGET}))
        return Simulation(data, latents, truth, np.full(shape[:2], positions[0]))

    def _require_own(self, index: IntArray) -> None:
        """Refuse numbers of data sets other than that of the user's."""
        if index.size == 1 and not index[0]:
            return
        outcomes = ", ".join(self.outcomes) or "what is observed"
        remedy = f"leave out {outcomes} to draw more"
        raise InputError("one data set, the one given", f"{index.size}", remedy)

    def inputs(self, data: Data, position: int) -> tuple[Any, Any]:
        """(all arguments by name, outcomes with the axis `dataset`; names of the latents asked
        for).
        """
        del position  # there is one
        return {**self.data, **self._outcomes_in(data)}, self.queries

    def program(self, **outcomes: jax.Array) -> None:
        """The user's program on these outcomes, its other arguments as they were given."""
        self.enumerable(**{**self.data, **outcomes})

    def program_data(self, data: Data, position: int) -> dict[str, npt.NDArray[Any]]:
        """The outcomes; a data set that is given stays a constant,
        on which a program may branch.
        """
        del position
        return {} if self.given else self._outcomes_in(data)

    def latent_mask(self, data: Data, position: int) -> dict[str, npt.NDArray[np.bool_]]:
        del position
        masks = {}
        for name, varies in self.varying.items():
            masks[name] = np.broadcast_to(varies, (data.index.size, *varies.shape)).copy()
        return masks

    def conditional(
        self, latent_draws: Mapping[str, Array], data: Data, position: int
    ) -> Predictive:
        """Mean and sd of every scalar asked for, (B, Q), as mixtures of one component.

        They are posterior moments, not the posterior's shape.
        """
        del data, position
        draws = self._asked(latent_draws)
        mean = np.nan_to_num(draws.mean(1))  # NaN is refused by the gates, with its reason
        sd = np.nan_to_num(draws.std(1, ddof=1))
        sd = np.maximum(sd, LEAST_SD)
        return NormalMixture(np.ones((*mean.shape, 1)), mean[..., None], sd[..., None])

    def prior_predictive(self, data: Data) -> Predictive:
        """The prior moments of each latent, from draws."""
        alike = self.conditional(self.prior_draws(), data, 0)
        every_data_set = concatenate([alike] * data.index.size)
        return stack([every_data_set], axis=1)

    def prior_draws(self, draws: int = PRIOR_DRAWS) -> dict[str, Array]:
        """Draws of the latents from the prior, name -> (1, draw, *event)."""
        latents, _ = self._prior.drawn(keys(0, "prior", np.arange(draws)))
        return {name: values[None] for name, values in latents.items()}

    # -- helpers -----------------------------------------------------------------------------------

    @cached_property
    def no_prior(self) -> tuple[str, ...]:
        """Why outcomes cannot be drawn from the program; empty when they can."""
        return self._prior.reasons

    @cached_property
    def _prior(self) -> PriorDraws:
        return PriorDraws(self)

    def _outcomes_in(self, data: Data) -> dict[str, npt.NDArray[Any]]:
        """Argument -> its values in the data sets."""
        return {name: data.arrays[_array(name)] for name in self.outcomes}

    def _asked(self, latents: Mapping[str, Array]) -> Array:
        """The varying entries of all latents that are asked for side by side, (..., Q)."""
        columns = []
        for name, varies in self.asked_latents.items():
            values = np.asarray(latents[name], dtype=np.float64)
            leading = values.shape[: values.ndim - varies.ndim]
            flat = values.reshape(*leading, -1)
            columns.append(flat[..., varies.ravel()])
        return np.concatenate(columns, axis=-1)


def _array(outcome: str) -> str:
    """The name of an outcome's array: its argument's,
    but for one that is called like the queries.
    """
    return f"{outcome} given" if outcome == TARGET else outcome

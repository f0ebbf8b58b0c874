"""A program whose next outcome is predicted: a task at every prefix of one of its sites.

The first t entries of the site are seen, the others are not; what is asked for is the law that the
program itself gives to entry t (or to entries that were named as queries), averaged over the
posterior of its latents. Inputs are observed sites, drawn anew with each data set, or arrays among
the arguments; the entry that is asked about shows its own. A position counts entries, with their
inputs; position 0 is the prior predictive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from veribayes.checked import mapping
from veribayes.errors import InputError
from veribayes.models._callable import source_digest
from veribayes.models._layout import Layout
from veribayes.models._model import Model, Variable
from veribayes.models._random import keys
from veribayes.models._task import Design
from veribayes.models.numpyro_model._averages import Averages
from veribayes.models.numpyro_model._batch import (
    ENTRY,
    asked_name,
    full_values,
    layout_of,
    shown_inputs,
)
from veribayes.models.numpyro_model._joint import Seen
from veribayes.models.numpyro_model._learnt import PrefixProgram
from veribayes.models.numpyro_model._program import running
from veribayes.models.numpyro_model._sampled import sampled_program
from veribayes.models.numpyro_model._values import described
from veribayes.predictive import Array, Predictive, stack
from veribayes.tree import Data, IntArray, Simulation

if TYPE_CHECKING:
    import jax

PRIOR_DRAWS = 1000  # of the latents, for the prior predictive


@dataclass(frozen=True, eq=False)
class PredictedProgram(PrefixProgram):
    """A program as the model of what comes behind a prefix; see `PrefixProgram` for its fields."""

    # -- the protocol of a model -------------------------------------------------------------------

    @property
    def moments(self) -> bool:
        return False

    @property
    def unasked(self) -> Mapping[str, str]:
        return {}  # a prediction asks for no latent

    @property
    def given(self) -> bool:
        return False  # its data sets are always drawn

    @property
    def enumerated(self) -> bool:
        return self.outline.is_discrete

    @property
    def n_categories(self) -> int | None:
        return self.joint.kind.categories

    @property
    def latents(self) -> tuple[Variable, ...]:
        latents = []
        for name in self.outline.continuous:
            shape = self.outline.shapes[name]
            dims = tuple(f"{name}_{i}" for i in range(len(shape)))
            latents.append(Variable(name, dims, "real"))
        return tuple(latents)

    @property
    def layout(self) -> Layout:
        """The predicted site and its inputs; with queries where entries are named."""
        has_inputs = bool(self.outline.inputs or self.arrays_in)
        if (has_inputs and not self.ask) or self.arrays_in:
            order = "slots"  # a row belongs to its entry, or the entry that is asked about to it
        elif self.is_exchangeable:
            order = "set"
        else:
            order = "slots" if has_inputs else "sequence"
        return layout_of(self, order)

    def default_design(self) -> Design:
        last = self.outline.entries - 1
        if self.ask:
            last = min(self.ask)
        sizes = {0, last}
        size = 1
        while size < last:
            sizes.add(size)
            size *= 2
        return Design(tuple(sorted(sizes))[-8:])

    def defaults(self) -> dict[str, Any]:
        if self.outline.is_discrete:
            return {"reference": "program_enumeration", "second_route": "program_importance"}
        return {"reference": "hmc", "second_route": "nuts"}

    def spec(self) -> dict[str, Any]:
        spec = {
            "program": self.shown,
            "source": source_digest(self.function),
            "data": {name: described(value) for name, value in self.data.items()},
            "predict": self.predict,
            "axis": self.axis,
        }
        if self.inputs_drawn is not None:
            spec["inputs"] = list(self.inputs_drawn)
        if self.ask:
            spec["ask"] = list(self.ask)
        return spec

    def altered(self, changes: Mapping[str, Any]) -> Model:
        """The same prediction with other arguments (`data`), or of another program."""
        known = repr(sorted(changes.items()))  # asked again for every shard, compiled once
        if known not in self._altered:
            self._altered[known] = self._changed(changes)
        return self._altered[known]

    def _changed(self, changes: Mapping[str, Any]) -> PredictedProgram:
        given = mapping("changes of a program", changes, allowed=["data", "program"])
        if "program" in given:
            from veribayes.models.numpyro_model._described import imported

            given["function"] = imported(given["program"])
            given["name"] = given.pop("program")
        if "data" in given:
            given["data"] = {**self.data, **given["data"]}
        return replace(self, **given)

    def simulate(self, design: Design, seed: int, stream: str, index: IntArray) -> Simulation:
        """Draw data sets: the predicted site (B, T), inputs (B, T, …), and with queries the inputs
        of these (B, Q, …) and `entry` (Q,).

        The outcome of a query is its entry; a count in the last cell is the number of that cell.
        """
        self.require_positions(design.positions)
        drawn = self._prior_sites(keys(seed, stream, index))
        outline = self.outline
        arrays = {self.predict: drawn[self.predict].reshape(index.size, outline.entries)}
        arrays |= {name: drawn[name] for name in outline.inputs}
        positions = np.array(design.positions, dtype=np.int64)
        entries = np.array([self.entries_at(position) for position in design.positions])
        outcome = arrays[self.predict][:, entries].astype(float)
        if self.n_categories is not None:
            outcome = np.minimum(outcome, self.n_categories - 1)
        if self.ask:
            asked = np.array(self.ask)
            arrays |= {asked_name(name): drawn[name][:, asked] for name in outline.inputs}
            arrays[ENTRY] = asked
        latents = {name: drawn[name] for name in drawn if name not in arrays}
        context = np.broadcast_to(positions, (index.size, positions.size)).copy()
        shared = frozenset({ENTRY} if self.ask else ())
        return Simulation(Data(arrays, positions, index, shared), latents, outcome, context)

    def entries_at(self, position: int) -> tuple[int, ...]:
        """The entries that are asked about behind a prefix of this size."""
        return self.ask or (int(position),)

    def require_positions(self, positions: Any) -> None:
        """Refuse prefixes behind which there is no entry to ask about.

        Raises:
            InputError: there are such positions.
        """
        last = int(np.max(positions))
        entries = self.outline.entries
        if self.ask and last > min(self.ask):
            wanted = f"positions up to {min(self.ask)}, the first entry that is a query"
            raise InputError(wanted, f"{last}", "ask about later entries")
        if last >= entries and not self.ask:
            wanted = f"positions below {entries}, the number of entries of '{self.predict}'"
            remedy = "give the program more entries: position t asks about entry t"
            raise InputError(wanted, f"{last}", remedy)

    def require_data(self, data: Data) -> None:
        """Refuse positions behind which there is nothing, and arrays that the program cannot have.

        Raises:
            InputError: there are such.
        """
        self.require_positions(data.positions)
        for name in (self.predict, *self.outline.inputs):
            if name not in data.arrays:
                raise InputError(f"an array '{name}'", f"{', '.join(data.arrays)}")

    def inputs(self, data: Data, position: int) -> tuple[Any, Any]:
        """(what is seen by name and the position, what is shown of the queries by name).

        Context: the predicted site (B, t), inputs (B, t, …), `position`. Query: inputs (B, Q, …)
        and `entry` (Q,).
        """
        size = int(data.positions[position])
        context = {self.predict: data.arrays[self.predict][:, :size]}
        rows = shown_inputs(self, data)
        context |= {name: values[:, :size] for name, values in rows.items()}
        entries = np.array(self.entries_at(size))
        query = {name: values[:, entries] for name, values in rows.items()}
        return (
            SimpleNamespace(**context, position=size),
            SimpleNamespace(**query, entry=entries),
        )

    def program(self, **arrays: jax.Array) -> None:
        """The user's program behind a prefix: `seen` (T,) entries of it, `shown` (T,) of inputs."""
        sampled_program(self.joint, self.seen_of(arrays))

    def program_data(self, data: Data, position: int) -> dict[str, npt.NDArray[Any]]:
        return full_values(self, data, int(data.positions[position]))

    def seen_of(self, arrays: Mapping[str, Any]) -> Seen:
        values = dict(arrays)
        entries, shown = values.pop("seen"), values.pop("shown")
        shape = self.outline.shapes[self.predict]
        values[self.predict] = values[self.predict].reshape(shape)
        return Seen(values, entries, shown)

    def latent_mask(self, data: Data, position: int) -> dict[str, npt.NDArray[np.bool_]]:
        del position  # latents of entries to come have their prior
        masks = {}
        for name in self.outline.continuous:
            shape = (data.index.size, *self.outline.shapes[name])
            masks[name] = np.ones(shape, dtype=bool)
        return masks

    def conditional(
        self, latent_draws: Mapping[str, Array], data: Data, position: int
    ) -> Predictive:
        """Probabilities averaged over the draws, or a mixture of the normal laws of all of them."""
        arrays = self.program_data(data, position)
        entries = np.array(self.entries_at(int(data.positions[position])))
        return self._averages.predictive(dict(latent_draws), arrays, entries)

    def state_probabilities(self, data: Data, position: int) -> dict[str, Array]:
        """Posterior of discrete latents where there are no others, name -> (B, *shape, value)."""
        return self._averages.states(self.program_data(data, position))

    def all_prior_draws(self, draws: int, seed: int) -> dict[str, Array]:
        """Draws of all latents from the prior, discrete ones too, name -> (draw, *shape)."""
        drawn = self._prior_sites(keys(seed, "prior", np.arange(draws)))
        observed = (self.predict, *self.outline.inputs)
        return {name: values for name, values in drawn.items() if name not in observed}

    def weighted(
        self, latents: Mapping[str, Array], data: Data, position: int
    ) -> tuple[Predictive, Array]:
        """The predictive (B, Q) of prior draws weighted by what is seen, and how many they are
        worth (B,).
        """
        entries = np.array(self.entries_at(int(data.positions[position])))
        return self._averages.weighted(latents, self.program_data(data, position), entries)

    def prior_predictive(self, data: Data) -> Predictive:
        """The law of each query averaged over draws from the prior; exact where states are few."""
        draws = self.prior_draws()
        is_common = not self.outline.inputs and not self.arrays_in and self.is_exchangeable
        rows = np.arange(1 if is_common else data.index.size)
        parts = []
        for size in data.positions.tolist():
            arrays = full_values(self, data.select(rows), size)
            arrays["seen"] = np.zeros_like(arrays["seen"])
            arrays["shown"] = self._shown_without_context(arrays["shown"], size)
            entries = np.array(self.entries_at(size))
            law = self._averages.predictive(draws, arrays, entries)
            parts.append(law[np.arange(data.index.size) % rows.size])
        return stack(parts, axis=1)

    def _shown_without_context(self, shown: Any, size: int) -> Any:
        """Inputs of the queries alone."""
        alone = np.zeros_like(shown)
        alone[:, list(self.entries_at(size))] = True
        return alone

    def prior_draws(self, draws: int = PRIOR_DRAWS) -> dict[str, Array]:
        """Draws of the continuous latents from the prior, name -> (1, draw, *event)."""
        drawn = self._prior_sites(keys(0, "prior", np.arange(draws)))
        return {name: drawn[name][None] for name in self.outline.continuous}

    # -- helpers -----------------------------------------------------------------------------------

    @cached_property
    def _averages(self) -> Averages:
        return Averages(self.joint, self.seen_of, partial(running, self))

    @cached_property
    def _altered(self) -> dict[str, PredictedProgram]:
        return {}

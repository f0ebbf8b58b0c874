"""What is learnt of a predicted program from a few runs: its sites, the laws of its entries, and
whether it looks ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.checked import integer
from veribayes.errors import InputError
from veribayes.models._random import keys
from veribayes.models.numpyro_model._causality import may_change_places, require_causal
from veribayes.models.numpyro_model._entries import kind_of
from veribayes.models.numpyro_model._joint import Joint
from veribayes.models.numpyro_model._model import NumPyroModel
from veribayes.models.numpyro_model._outline import Outline, outline_of
from veribayes.models.numpyro_model._program import running

PROBES = 1000  # data sets from the prior, which say how far counts go


@dataclass(frozen=True, eq=False)
class PrefixProgram(NumPyroModel):
    """A program with the site that is predicted.

    Attributes:
        predict: the site whose next entry is predicted.
        axis: of its values, along which entries are counted.
        inputs: observed sites that are drawn with each data set; None: those whose argument
            defaults to None, as the predicted site's does.
        ask: entries that are queries at every position, none of which is ever seen; empty: the
            entry behind the prefix.

    Raises:
        InputError: a site that is not there or is no list of numbers, or data for what is drawn.
        ModelError: a program that has no law of the next entry.
    """

    predict: str = ""
    axis: int = 0
    inputs_drawn: tuple[str, ...] | None = None
    ask: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "axis", integer("axis", self.axis, at_least=-8))
        ask = tuple(integer("ask", entry, at_least=0) for entry in self.ask)
        object.__setattr__(self, "ask", ask)
        if not self.predict:
            raise InputError("the name of a site in 'predict'", "none")

    # -- what is learnt from the program -----------------------------------------------------------

    @cached_property
    def outline(self) -> Outline:
        """What its sites are."""
        sites = self.traced(self.data)
        inputs = self.inputs_drawn
        if inputs is None:
            found = [site for site in self.outcomes.values() if site != self.predict]
            inputs = tuple(found)
        outline = outline_of(self, sites, self.predict, self.axis, inputs)
        for entry in self.ask:
            if entry >= outline.entries:
                wanted = f"queries among the {outline.entries} entries of '{self.predict}'"
                raise InputError(wanted, f"entry {entry}", "entries are counted from 0")
        return outline

    @cached_property
    def joint(self) -> Joint:
        """Its densities, checked to be those of a program that does not look ahead."""
        drawn = self._probes
        sites = self._one_trace()
        kind = kind_of(self.predict, sites[self.predict]["fn"], drawn[self.predict])
        joint = Joint(self, self.outline, self.predict, kind, sites)
        return require_causal(joint, drawn, self.ask)

    @cached_property
    def filler(self) -> dict[str, npt.NDArray[Any]]:
        """Values of the predicted site and of the inputs that stand where nothing is seen."""
        return {name: self._probes[name][-1] for name in (self.predict, *self.outline.inputs)}

    @cached_property
    def is_exchangeable(self) -> bool:
        """Whether the entries that are seen may change places."""
        return may_change_places(self.joint, self._probes, bool(self.arrays_in))

    @cached_property
    def arrays_in(self) -> dict[str, npt.NDArray[Any]]:
        """Arguments that are inputs: arrays with a row an entry."""
        rows = {}
        for name, value in self.data.items():
            if np.ndim(value) and np.shape(value)[0] == self.outline.entries:
                rows[name] = np.asarray(value)
        return rows

    # -- runs --------------------------------------------------------------------------------------

    @cached_property
    def _probes(self) -> dict[str, npt.NDArray[Any]]:
        """Data sets on which the program is tried."""
        return self._prior_sites(keys(0, "probe", np.arange(PROBES)))

    @cached_property
    def _simulator(self) -> Callable[[Any], Any]:
        """Compiled keys (B,) -> values of all sampled sites."""
        import jax

        def one(key: Any) -> Any:
            return {name: site["value"] for name, site in self._one_trace(key).items()}

        return jax.jit(jax.vmap(one))

    def _one_trace(self, key: Any = None) -> Mapping[str, Any]:
        """The sampled sites of one run that draws everything."""
        import jax
        from numpyro import handlers

        own_key = jax.random.key(0) if key is None else key
        with running(self):
            seeded = handlers.seed(self.call, own_key)
            sites = handlers.trace(seeded).get_trace(**self.data)
        return {name: sites[name] for name in self.outline.shapes}

    def _prior_sites(self, dataset_keys: Any) -> dict[str, npt.NDArray[Any]]:
        """Values of all sampled sites in data sets drawn from the program, name -> (B, *shape)."""
        with running(self):
            drawn = self._simulator(dataset_keys)
        return {name: np.asarray(values) for name, values in drawn.items()}

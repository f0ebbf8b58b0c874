"""Data sets drawn from a user's program: latents from the prior, outcomes from the sites that
observe them.

What a program observes is drawn in the shape of the data that were given. Two ways are tried:
outcomes that may be left out are left out, so that the program draws as its author wrote it;
otherwise they are lent, and may say nothing but their shape. A site that is narrower than its data
(`sample("y", Normal(m, 1), obs=y)` with twenty numbers) scores each of them alike and
independently; it is drawn as wide as they are. Where neither gives the shape, nothing is drawn, and
the reason is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from veribayes.errors import InputError, VeribayesError
from veribayes.models._callable import parameters_of
from veribayes.models._random import keys
from veribayes.models.numpyro_model._forgetting import Shape, forgotten
from veribayes.models.numpyro_model._program import Program, running
from veribayes.models.numpyro_model._sites import is_observed, is_weighted
from veribayes.models.numpyro_model._values import changed

if TYPE_CHECKING:
    import jax

LOOKS = 8  # runs in which an outcome that is drawn differs from the one that was lent

Drawn = tuple[dict[str, Any], dict[str, Any]]  # latents by site, outcomes by argument


@dataclass(frozen=True)
class Way:
    """How data sets are drawn.

    Attributes:
        lent: arguments that are lent for their shape.
        wide: whether narrower sites are drawn as wide as their data.
    """

    lent: Mapping[str, Any]
    wide: bool = False


@dataclass(frozen=True)
class Choice:
    """The way that is taken, and why it is none; no reasons where it is one."""

    way: Way
    reasons: tuple[str, ...] = ()


class PriorDraws:
    """Draws of a program's latents and outcomes from the prior."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def drawn(self, key: jax.Array) -> Drawn:
        """Latents and outcomes, one data set a key (B,).

        Raises:
            InputError: the program cannot draw them.
        """
        if self.reasons:
            outcomes = ", ".join(self.program.outcomes) or "what is observed"
            wanted = f"a program whose prior predicts {outcomes}"
            remedy = (
                "give the data (--set data=FILE) and leave out --datasets: "
                "'reference' computes their one posterior"
            )
            raise InputError(wanted, "; ".join(self.reasons), remedy)
        with running(self.program):
            latents, outcomes_drawn = self._compiled(key, self._choice.way)
        wanted_latents = {name: np.array(latents[name]) for name in self.program.varying}
        return wanted_latents, {name: np.array(v) for name, v in outcomes_drawn.items()}

    @cached_property
    def reasons(self) -> tuple[str, ...]:
        """Why outcomes cannot be drawn from the program; empty when they can."""
        from numpyro import distributions as dist

        sites = self.program.sites
        bound = {site for takers in self.program.takers.values() for site in takers}
        improper, factors, loose, weighted = [], [], [], []
        for name, site in sites.items():
            law = site.get("fn")
            is_factor = isinstance(law, dist.Unit)
            if isinstance(law, dist.ImproperUniform):
                improper.append(f"the prior of '{name}' is improper")
            if is_factor:
                factors.append(f"the factor '{name}' is no distribution")
            if is_observed(site) and name not in bound and not is_factor:
                loose.append(f"'{name}' observes what is no argument of its own")
            if is_weighted(site):
                weighted.append(f"'{name}' is weighted by handlers.scale")
        alike = "is drawn alike for every random key (handlers.seed)"
        seeded = [f"'{name}' {alike}" for name in self.program.handled.keys]
        reasons = improper + factors + loose + weighted + seeded
        if reasons:
            return tuple(reasons)
        if self._choice.reasons:
            return self._choice.reasons
        return () if bound else ("nothing is observed",)

    @cached_property
    def _choice(self) -> Choice:
        """The first way that draws in the shape of the given outcomes."""
        shared = []
        for name, sites in self.program.takers.items():
            if len(sites) > 1:
                shared.append(f"'{name}' is observed by several sites")
        if shared:
            return Choice(Way({}), tuple(shared))
        lent = {}
        for name in self.program.outcomes:
            value = self.program.argument(name)
            if value is not None:
                lent[name] = value
        ways = self._ways(lent)
        failure = "nothing is observed"
        for way in ways:
            try:
                shapes = self._shapes(way)
            except VeribayesError as error:
                failure = str(error)
                continue
            wrong = []
            for name, value in lent.items():
                if shapes[name] != np.shape(value):
                    pair = f"in the shape {shapes[name]} and given in {np.shape(value)}"
                    wrong.append(f"'{name}' is drawn {pair}")
            if not wrong:
                return Choice(way, tuple(self._entangled(way)))
            failure = "; ".join(wrong)
        return Choice(ways[0], (failure,))

    def _ways(self, lent: Mapping[str, Any]) -> list[Way]:
        """Optional outcomes left out, then all lent; each narrow, then wide."""
        parameters = parameters_of(self.program.function)
        optional = {name for name, parameter in parameters.items() if parameter.default is None}
        left = {name: value for name, value in lent.items() if name not in optional}
        ways = []
        for values in [left, lent] if len(left) < len(lent) else [lent]:
            ways += [Way(values, wide=False), Way(values, wide=True)]
        return ways

    def _shapes(self, way: Way) -> dict[str, Shape]:
        """Shapes of the outcomes that are drawn in this way; nothing is computed."""
        import jax

        def outcomes_of(key: jax.Array) -> dict[str, Any]:
            return self._one(key, way)[1]

        with running(self.program):
            outcomes = jax.eval_shape(outcomes_of, jax.random.key(0))
        return {name: tuple(value.shape) for name, value in outcomes.items()}

    def _compiled(self, key: jax.Array, way: Way) -> Drawn:
        """Compiled draws for keys (B,)."""
        import jax

        drawn: Drawn = jax.jit(jax.vmap(lambda one: self._one(one, way)))(key)
        return drawn

    def _one(self, key: jax.Array, way: Way) -> Drawn:
        """Latents and outcomes of one data set."""
        from numpyro import handlers

        program = self.program
        shapes: dict[str, Shape | None] = {}
        for name, site in program.outcomes.items():
            value = program.argument(name)
            shapes[site] = None if value is None else np.shape(value)
        others = {n: value for n, value in program.data.items() if n not in program.outcomes}
        arguments = {**others, **way.lent}
        with handlers.trace() as run, handlers.seed(rng_seed=key), forgotten(shapes, wide=way.wide):
            program.call(**arguments)
        latents = {name: run[name]["value"] for name in program.varying}
        return latents, {name: run[site]["value"] for name, site in program.outcomes.items()}

    def _entangled(self, way: Way) -> list[str]:
        """Outcomes that are lent and used elsewhere too: then no run without them is a draw of
        them.
        """
        if not way.lent:
            return []
        lent = {name: np.asarray(value) for name, value in way.lent.items()}
        others = {name: changed(value) for name, value in lent.items()}
        with running(self.program):
            key = keys(0, "prior", np.arange(LOOKS))
            _, drawn = self._compiled(key, way)
            _, drawn_beside_others = self._compiled(key, replace(way, lent=others))
        stuck, mixed = [], []
        for name, value in lent.items():
            if all(np.array_equal(one, value) for one in drawn[name]):
                stuck.append(f"'{name}' cannot be left out")
            elif not np.array_equal(drawn[name], drawn_beside_others[name]):
                mixed.append(f"'{name}' also predicts itself")
        return stuck + mixed

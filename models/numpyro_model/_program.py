"""What a user's program is: its arguments, its outcomes and its latents, learnt from a few runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ModelError, VeribayesError
from veribayes.models._arguments import as_argument
from veribayes.models._callable import BY_NAME, call, defaults_of, name_of_program, parameters_of
from veribayes.models.numpyro_model._forgetting import scored_too_often, watching
from veribayes.models.numpyro_model._sites import (
    Site,
    Sites,
    is_drawn,
    is_enumerated,
    is_latent,
    require_density,
    require_posterior,
    takes,
)
from veribayes.models.numpyro_model._values import changed, is_numeric

# random points: an entry that varies between none of them is a constant, such as the corner of a
# Cholesky factor
PROBES = 4
REACH = 2.0  # of these points in unconstrained space, to both sides of zero
LONGEST = 400  # characters of a user's error that are repeated


class Handled(NamedTuple):
    """Sites that a handler inside the program has set already.

    Attributes:
        values: latents whose value is fixed.
        keys: sites whose random key is fixed.
    """

    values: list[str]
    keys: list[str]


class Program:
    """A program with its data.

    Attributes:
        function: the NumPyro program.
        data: its arguments by name; arguments with a default may be left out.
        name: `package.module:function`, for the reader.
        simulated: draw the outcomes anew even where they are given.
    """

    function: Callable[..., Any]
    data: Mapping[str, Any]
    name: str
    simulated: bool

    @property
    def shown(self) -> str:
        return self.name or name_of_program(self.function)

    # -- outcomes and latents ----------------------------------------------------------------------

    @cached_property
    def outcomes(self) -> dict[str, str]:
        """Argument -> the site that observes it, in the order of the signature."""
        return {argument: sites[0] for argument, sites in self.takers.items()}

    @cached_property
    def takers(self) -> dict[str, list[str]]:
        """Argument -> the sites that take it whole, for those that some site does."""
        self.require_free()
        drawn = self.traced(self.data)
        takers = {}
        for argument, value in self._arguments().items():
            sites = self._takers(argument, value, drawn) or self._observed_by(argument, drawn)
            if sites:
                takers[argument] = sites
        for argument, sites in takers.items():
            site = drawn[sites[0]]
            require_density(argument, self.argument(argument), site)
            self._warn_if_scored_too_often(argument, site)
        return takers

    @cached_property
    def sites(self) -> Sites:
        """One run of the program that observes its outcomes, latents at a random point of
        unconstrained space.
        """
        self.require_free()
        drawn = self.traced(self.data)
        absent = {}
        for argument, site in self.outcomes.items():
            if self.argument(argument) is None:
                absent[argument] = drawn[site]["value"]
        sites = self.traced({**self.data, **absent}) if absent else drawn
        require_posterior(self.shown, sites)
        return sites

    @cached_property
    def given(self) -> bool:
        """Whether the model is one data set, the user's."""
        absent = [name for name in self.outcomes if self.argument(name) is None]
        if absent and len(absent) < len(self.outcomes):
            wanted = f"all of the outcomes {', '.join(self.outcomes)}, or none"
            raise InputError(wanted, f"none for {', '.join(absent)}")
        return not (self.simulated or absent)

    @cached_property
    def varying(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Latents and deterministic sites with what varies in them, name -> (*event).

        Enumerated and constant sites are out.
        """
        kept = {
            name: varies
            for name, varies in self.variation.items()
            if name not in self.by_chance and is_latent(self.sites[name], varies)
        }
        if not kept:
            raise ModelError("a program with continuous latents", f"none in '{self.shown}'")
        return kept

    @cached_property
    def variation(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Sites that a sampler sees, name -> which entries differ between random points."""
        outcomes = {name: self.sites[site]["value"] for name, site in self.outcomes.items()}
        values = self._at_random_points({**self.data, **outcomes})
        return {name: np.ptp(values[name], 0) > 0 for name in self.sites if name in values}

    def _at_random_points(self, arguments: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
        """Latents and deterministic sites at a few points, name -> (point, *event)."""
        import jax
        from numpyro.infer import init_to_uniform
        from numpyro.infer.util import initialize_model

        rng = np.random.default_rng(0)

        def somewhere(value: Any) -> Any:
            return rng.uniform(-REACH, REACH, np.shape(value))

        program = self.enumerable
        key = jax.random.key(0)
        with running(self):
            initial = initialize_model(
                key, program, init_strategy=init_to_uniform, model_kwargs=arguments
            )
            points = [jax.tree.map(somewhere, initial.param_info.z) for _ in range(PROBES)]
            sites = [initial.postprocess_fn(point) for point in points]
        values = {}
        for name in sites[0]:
            at_points = [values_at[name] for values_at in sites]
            values[name] = np.array(at_points, dtype=np.float64)
        return values

    @cached_property
    def by_chance(self) -> set[str]:
        """Sites that the continuous latents do not determine.

        NumPyro derives them from prior draws of the discrete ones.
        """
        import jax
        from numpyro import handlers

        if not self._is_discrete:
            return set()
        fixed = {}
        for name, site in self.sites.items():
            if site["type"] == "sample" and not is_enumerated(site):
                fixed[name] = site["value"]
        runs = []
        with running(self):
            program = handlers.substitute(self.call, data=fixed)
            for i in range(PROBES):
                seeded = handlers.seed(program, jax.random.key(i))
                runs.append(handlers.trace(seeded).get_trace(**self.data))
        first, *others = runs
        by_chance = set()
        for name, site in self.sites.items():
            if site["type"] != "deterministic":
                continue
            value = first[name]["value"]
            if any(not np.array_equal(run[name]["value"], value) for run in others):
                by_chance.add(name)
        return by_chance

    # -- arguments ---------------------------------------------------------------------------------

    def argument(self, name: str) -> Any:
        """An argument's value: given, or its default; None where there is none."""
        return self.data[name] if name in self.data else self._defaults.get(name)

    def _arguments(self) -> dict[str, Any]:
        """Every argument; None where there is nothing but a default None."""
        parameters = parameters_of(self.function)
        named = [name for name, parameter in parameters.items() if parameter.kind in BY_NAME]
        return {name: self.argument(name) for name in dict.fromkeys([*named, *self.data])}

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        defaults = {}
        for name, value in defaults_of(self.function).items():
            if is_numeric(value):
                defaults[name] = as_argument(name, value)
        return defaults

    def _takers(self, argument: str, value: Any, drawn: Sites) -> list[str]:
        """The observed sites that take an argument whole: they hold its value, and another one when
        it is another.
        """
        if not is_numeric(value):
            return []
        holders = [name for name, site in drawn.items() if takes(site, value)]
        if not holders:
            return []
        other = changed(value)
        try:
            tried = self.traced({**self.data, argument: other})
        except VeribayesError:  # another size, say: it is no outcome
            return []
        return [name for name in holders if name in tried and takes(tried[name], other)]

    def _observed_by(self, argument: str, drawn: Sites) -> list[str]:
        """The site that observes an argument which was left out: the one that takes on the value it
        is given.
        """
        if self.argument(argument) is not None:
            return []
        order = sorted(drawn, key=lambda name: name != argument)  # most programs call both the same
        for name in order:
            if not is_drawn(drawn[name]):
                continue
            value = np.asarray(drawn[name]["value"])
            try:
                tried = self.traced({**self.data, argument: value})
            except VeribayesError:
                continue
            takers = [at for at, site in tried.items() if takes(site, value)]
            if name in takers:
                others = [at for at in takers if at != name]
                return [name, *others]
        return []

    def _warn_if_scored_too_often(self, name: str, site: Site) -> None:
        """NumPyro broadcasts silently; what it then scores is rarely what was meant."""
        value = self.argument(name)
        times = 1 if value is None else scored_too_often(site["fn"], np.shape(value))
        if times > 1:
            wide = tuple(site["fn"].shape())
            scored = f"each value of '{name}' {np.shape(value)} is scored {times} times"
            warnings.warn(f"{scored}: its site has the shape {wide}", UserWarning, stacklevel=2)

    # -- running it --------------------------------------------------------------------------------

    def call(self, **arguments: Any) -> Any:
        return call(self.function, arguments)

    @cached_property
    def enumerable(self) -> Callable[..., Any]:
        """The program with its discrete latents marked for enumeration."""
        if not self._is_discrete:
            return self.call
        from numpyro.contrib.funsor import config_enumerate

        marked: Callable[..., Any] = config_enumerate(self.call)
        return marked

    @property
    def _is_discrete(self) -> bool:
        return any(is_enumerated(site) for site in self.sites.values())

    def traced(self, arguments: Mapping[str, Any]) -> Sites:
        """The sites of one run, continuous latents at random places."""
        import jax
        from numpyro import handlers
        from numpyro.infer import init_to_uniform

        with running(self):
            seeded = handlers.seed(self.call, jax.random.key(0))
            start = handlers.substitute(seeded, substitute_fn=init_to_uniform)
            sites: Sites = handlers.trace(start).get_trace(**arguments)
        return sites

    @cached_property
    def handled(self) -> Handled:
        """What handlers inside the program have set by themselves."""
        from numpyro import handlers
        from numpyro.infer import init_to_uniform

        anywhere = handlers.substitute(
            substitute_fn=init_to_uniform
        )  # an improper prior cannot be drawn from
        seeded = handlers.seed(rng_seed=0)
        with running(self), anywhere, seeded, watching() as seen, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPyro's word that a site is fixed
            self.call(**self.data)
        values = [name for name, what in seen.items() if what == "value"]
        keys = [name for name, what in seen.items() if what == "key"]
        return Handled(values, keys)

    def require_free(self) -> None:
        """Refuse latents that a `handlers.substitute` fixes: NumPyro's samplers would move them all
        the same.

        Raises:
            ModelError: there are such latents.
        """
        fixed = self.handled.values
        if fixed:
            wanted = f"latents that can vary in '{self.shown}'"
            got = f"{', '.join(fixed)} fixed by handlers.substitute"
            raise ModelError(wanted, got, "use handlers.condition, or leave the site out")


@contextmanager
def running(program: Program) -> Iterator[None]:
    """A user's program runs in float64, as strictly as its author likes; what it raises is the
    user's to read.
    """
    import jax

    try:
        with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
            yield
    except VeribayesError:
        raise
    except Exception as error:
        raise _refusal(program, error) from error


def _refusal(program: Program, error: Exception) -> InputError:
    """What the user is told of an error inside the program."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST]
    shapes = []
    for name, value in program.data.items():
        if is_numeric(value):
            shapes.append(f"{name} {np.shape(value)}")
    wanted = f"a NumPyro program that runs on its data, '{program.shown}'"
    remedy = f"given: {', '.join(shapes) or 'no numbers'}; --debug shows where"
    # nothing but the program can be wrong where there are no data
    kind = InputError if program.data else ModelError
    return kind(wanted, text, remedy)

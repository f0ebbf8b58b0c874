"""Any NumPyro program as a model: what is asked are the posterior moments of its latents.

    def program(x, sigma, y=None):                 data by name or position; what is observed may default to None
        slope = numpyro.sample("slope", dist.Normal(0, 1))
        numpyro.sample("obs", dist.Normal(slope * x, sigma), obs=y)

An *outcome* is an argument that an observed site takes whole: the site holds the argument's value, and another one when it is
another. Where all outcomes are given there is one data set, the user's; otherwise data sets are drawn from the program, in the
shape of what is given (`_drawing`). Discrete latents are summed out (parallel enumeration). A program is run a few times on its
own data to learn this; nothing about it has to be declared.
"""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from veribayes.checked import mapping, shown
from veribayes.errors import InputError, ModelError, VeribayesError
from veribayes.models._arguments import as_argument
from veribayes.models._callable import (
    BY_NAME,
    call,
    defaults_of,
    name_of_program,
    parameters_of,
    source_digest,
)
from veribayes.models._drawing import Shape, forgotten, scored_too_often, watching
from veribayes.models._layout import Column, Layout
from veribayes.models._model import Model, Variable
from veribayes.models._random import keys
from veribayes.models._task import Design
from veribayes.predictive import Array, NormalMixture, Predictive, concatenate, stack
from veribayes.tree import Data, IntArray, Simulation

if TYPE_CHECKING:
    import jax

PROBES = 4  # random points: an entry that varies between none of them is a constant, such as the corner of a Cholesky factor
LOOKS = 8  # runs in which an outcome that is drawn differs from the one that was lent
PRIOR_DRAWS = 4000  # for the moments of the prior predictive
TARGET = "target"  # the array of the latents that are asked for
LEAST_SD = (
    1e-300  # a chain that never moved is refused by its gate, not by the form of its predictive
)

Sites = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class NumPyroModel(Model):
    """A program with its data.

    Attributes:
        function: the NumPyro program.
        data: its arguments by name; arguments with a default may be left out.
        name: `package.module:function`, for the reader.
        simulated: draw the outcomes anew even where they are given (they lend their shape); by default only where they are not.

    Raises:
        InputError: arguments that do not fit the signature, data on which the program does not run, outcomes without a density,
            or data sets asked of a program that cannot draw them.
        ModelError: a program without data that does not run, or one for which no posterior is defined.
    """

    function: Callable[..., Any]
    data: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    simulated: bool = False
    kind: ClassVar[str] = "numpyro"
    described: ClassVar[bool] = False

    def __post_init__(self) -> None:
        parameters = parameters_of(self.function)
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        named = [n for n, p in parameters.items() if p.kind in BY_NAME]
        needed = [n for n in named if parameters[n].default is inspect.Parameter.empty]
        where = f"the arguments of '{self.shown}'"
        if missing := [n for n in needed if n not in self.data]:
            wanted = f"{', '.join(missing)} among {where}"
            ways = "--set data=FILE or " + " ".join(f"--set data.{n}=VALUE" for n in missing)
            raise InputError(
                wanted,
                f"only {', '.join(self.data) or 'none'}",
                f"give it by {ways}, in Python by data={{...}}",
            )
        given = mapping(where, self.data, allowed=[*named, *self.data] if open_ended else named)
        for name, value in given.items():
            _require_no_text(name, value, parameters.get(name))
        object.__setattr__(self, "data", {n: as_argument(n, v) for n, v in given.items()})

    @property
    def shown(self) -> str:
        return self.name or name_of_program(self.function)

    # -- what the program is ------------------------------------------------------------------------------------------

    @cached_property
    def outcomes(self) -> dict[str, str]:
        """Argument -> the site that observes it, in the order of the signature."""
        return {n: sites[0] for n, sites in self._takers_of.items()}

    @cached_property
    def _takers_of(self) -> dict[str, list[str]]:
        """Argument -> the sites that take it whole, for those that some site does."""
        self._require_free()
        drawn = self._traced(self.data)
        found = {
            n: self._takers(n, v, drawn) or self._observed_by(n, drawn)
            for n, v in self._arguments().items()
        }
        takers = {n: sites for n, sites in found.items() if sites}
        for name, sites in takers.items():
            _require_whole(name, self._given(name), drawn[sites[0]])
            self._warn_if_scored_too_often(name, drawn[sites[0]])
        return takers

    @cached_property
    def sites(self) -> Sites:
        """One run of the program that observes its outcomes, latents at a random point of unconstrained space."""
        self._require_free()
        drawn = self._traced(self.data)
        absent = {n: drawn[s]["value"] for n, s in self.outcomes.items() if self._given(n) is None}
        found = self._traced({**self.data, **absent}) if absent else drawn
        _checked(self.shown, found)
        return found

    @cached_property
    def given(self) -> bool:
        """Whether the model is one data set, the user's."""
        absent = [n for n in self.outcomes if self._given(n) is None]
        if absent and len(absent) < len(self.outcomes):
            raise InputError(
                f"all of the outcomes {', '.join(self.outcomes)}, or none",
                f"none for {', '.join(absent)}",
            )
        return not (self.simulated or absent)

    @cached_property
    def varying(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Latents and deterministic sites with what varies in them, name -> (*event); enumerated and constant sites are out."""
        import jax
        from numpyro.infer import init_to_uniform
        from numpyro.infer.util import initialize_model

        outcomes = {n: self.sites[s]["value"] for n, s in self.outcomes.items()}
        program, arguments = self._enumerated, {**self.data, **outcomes}
        with _running(self):
            made = initialize_model(
                jax.random.key(0), program, init_strategy=init_to_uniform, model_kwargs=arguments
            )
            rng = np.random.default_rng(0)
            at = [
                jax.tree.map(lambda v: rng.uniform(-2, 2, np.shape(v)), made.param_info.z)
                for _ in range(PROBES)
            ]
            values = [made.postprocess_fn(z) for z in at]
        varies = {
            n: np.ptp(np.array([v[n] for v in values], dtype=np.float64), 0) > 0 for n in values[0]
        }
        places = {
            n: site for n, site in self.sites.items() if n in varies and n not in self._by_chance
        }
        kept = {n: varies[n] for n, site in places.items() if _is_latent(site, varies[n])}
        if not kept:
            raise ModelError("a program with continuous latents", f"none in '{self.shown}'")
        return kept

    @cached_property
    def no_prior(self) -> tuple[str, ...]:
        """Why outcomes cannot be drawn from the program; empty when they can."""
        from numpyro import distributions as dist

        improper = [
            n for n, s in self.sites.items() if isinstance(s.get("fn"), dist.ImproperUniform)
        ]
        factors = [n for n, s in self.sites.items() if isinstance(s.get("fn"), dist.Unit)]
        bound = {site for sites in self._takers_of.values() for site in sites}
        loose = [
            n
            for n, s in self.sites.items()
            if _is_observed(s) and n not in bound and n not in factors
        ]
        why = [f"the prior of '{n}' is improper" for n in improper]
        why += [f"the factor '{n}' is no distribution" for n in factors]
        why += [f"'{n}' observes what is no argument of its own" for n in loose]
        why += [
            f"'{n}' is weighted by handlers.scale" for n, s in self.sites.items() if _is_weighted(s)
        ]
        why += [
            f"'{n}' is drawn alike for every random key (handlers.seed)" for n in self._handled[1]
        ]
        return tuple(why or self._way[1] or ["nothing is observed"] * (not bound))

    # -- the protocol of a model --------------------------------------------------------------------------------------

    @property
    def latents(self) -> tuple[Variable, ...]:
        return tuple(
            Variable(n, tuple(f"{n}_{i}" for i in range(v.ndim)), "real")
            for n, v in self.varying.items()
        )

    @property
    def moments(self) -> bool:
        return True  # what is predicted takes all draws at once

    @property
    def layout(self) -> Layout:
        """The outcomes, of which nothing is known but their shape, and which latents are asked for."""
        given = [Column(_array(name), "observation") for name in self.outcomes]
        return Layout(
            (*given, Column(TARGET, "query", ("query",), "category", shared=True)), order="slots"
        )

    def defaults(self) -> dict[str, Any]:
        return {"reference": "hmc", "second_route": "nuts"}

    @cached_property
    def queries(self) -> tuple[str, ...]:
        """Names of the scalars that are asked for: `slope`, `theta[3]`, …"""
        return tuple(
            n + (f"[{','.join(map(str, at))}]" if at else "")
            for n, v in self.varying.items()
            for at in np.argwhere(v).tolist()
        )

    def spec(self) -> dict[str, Any]:
        """Name, source and data by their digests; a program cannot be read back from it."""
        data = {n: _digest(v) for n, v in self.data.items()}
        return {
            "program": self.shown,
            "source": source_digest(self.function),
            "data": data,
            "simulated": self.simulated,
        }

    def default_design(self) -> Design:
        return Design((sum(int(np.size(self.sites[s]["value"])) for s in self.outcomes.values()),))

    def simulate(self, design: Design, seed: int, stream: str, index: IntArray) -> Simulation:
        """The data set of the user as number 0, or data sets drawn from the program.

        Arrays: the outcomes (B, *shape) by argument, and `target` (Q,), the number of the latent that a query asks for.
        The outcome of a query is the true value of that latent; NaN where the user's data have hidden it.
        """
        shape = (index.size, 1, len(self.queries))
        latents: dict[str, npt.NDArray[Any]]
        if self.given:
            if index.size != 1 or index[0]:
                raise InputError(
                    "one data set, the one given",
                    f"{index.size}",
                    f"leave out {self._all()} to draw more",
                )
            latents, arrays = (
                {},
                {_array(n): np.asarray(self._given(n))[None] for n in self.outcomes},
            )
            truth = np.full(shape, np.nan)
        else:
            latents, outcomes = self._drawn(keys(seed, stream, index))
            arrays = {_array(n): v for n, v in outcomes.items()}
            truth = self._asked(latents)[:, None]
        positions = np.array(design.positions[-1:], dtype=np.int64)
        data = Data({**arrays, TARGET: np.arange(shape[2])}, positions, index, frozenset({TARGET}))
        return Simulation(data, latents, truth, np.full(shape[:2], positions[0]))

    def inputs(self, data: Data, position: int) -> tuple[Any, Any]:
        """(all arguments by name, outcomes with the axis `dataset`; names of the latents asked for)."""
        del position  # there is one
        return {**self.data, **{n: data.arrays[_array(n)] for n in self.outcomes}}, self.queries

    def program(self, **outcomes: jax.Array) -> None:
        """The user's program on these outcomes, its other arguments as they were given."""
        self._enumerated(**{**self.data, **outcomes})

    def program_data(self, data: Data, position: int) -> dict[str, npt.NDArray[Any]]:
        """The outcomes; a data set that is given stays a constant, on which a program may branch."""
        del position
        return {} if self.given else {n: data.arrays[_array(n)] for n in self.outcomes}

    def latent_mask(self, data: Data, position: int) -> dict[str, npt.NDArray[np.bool_]]:
        del position
        return {
            n: np.broadcast_to(v, (data.index.size, *v.shape)).copy()
            for n, v in self.varying.items()
        }

    def conditional(
        self, latent_draws: Mapping[str, Array], data: Data, position: int
    ) -> Predictive:
        """Mean and sd of every scalar asked for, (B, Q), as mixtures of one component: posterior moments, not its shape."""
        del data, position
        draws = self._asked(latent_draws)
        mean = np.nan_to_num(draws.mean(1))  # NaN is refused by the gates, with its reason
        sd = np.maximum(np.nan_to_num(draws.std(1, ddof=1)), LEAST_SD)
        return NormalMixture(np.ones((*mean.shape, 1)), mean[..., None], sd[..., None])

    def prior_predictive(self, data: Data) -> Predictive:
        """The prior moments of each latent, from draws."""
        alike = self.conditional(self.prior_draws(), data, 0)
        return stack([concatenate([alike] * data.index.size)], axis=1)

    def prior_draws(self, draws: int = PRIOR_DRAWS) -> dict[str, Array]:
        """Draws of the latents from the prior, name -> (1, draw, *event)."""
        latents, _ = self._drawn(keys(0, "prior", np.arange(draws)))
        return {n: v[None] for n, v in latents.items()}

    # -- running the program ------------------------------------------------------------------------------------------

    def _call(self, **arguments: Any) -> Any:
        return call(self.function, arguments)

    @cached_property
    def _enumerated(self) -> Callable[..., Any]:
        """The program with its discrete latents marked for enumeration."""
        if not any(_is_enumerated(site) for site in self.sites.values()):
            return self._call
        from numpyro.contrib.funsor import config_enumerate

        return config_enumerate(self._call)

    def _all(self) -> str:
        return ", ".join(self.outcomes) or "what is observed"

    def _asked(self, latents: Mapping[str, Array]) -> Array:
        """The varying entries of all latents side by side, (..., Q)."""
        columns = []
        for name, varies in self.varying.items():
            values = np.asarray(latents[name], dtype=np.float64)
            columns.append(
                values.reshape(*values.shape[: values.ndim - varies.ndim], -1)[..., varies.ravel()]
            )
        return np.concatenate(columns, axis=-1)

    @cached_property
    def _by_chance(self) -> set[str]:
        """Sites that the continuous latents do not determine: NumPyro derives them from prior draws of the discrete ones."""
        import jax
        from numpyro import handlers

        if self._enumerated == self._call:
            return set()
        fixed = {
            n: s["value"]
            for n, s in self.sites.items()
            if s["type"] == "sample" and not _is_enumerated(s)
        }
        with _running(self):
            seeded = [
                handlers.seed(handlers.substitute(self._call, data=fixed), jax.random.key(i))
                for i in range(PROBES)
            ]
            runs = [handlers.trace(run).get_trace(**self.data) for run in seeded]
        derived = [n for n, site in self.sites.items() if site["type"] == "deterministic"]
        return {
            n
            for n in derived
            if any(not np.array_equal(r[n]["value"], runs[0][n]["value"]) for r in runs[1:])
        }

    def _arguments(self) -> dict[str, Any]:
        """Every argument; None where there is nothing but a default None."""
        named = [n for n, p in parameters_of(self.function).items() if p.kind in BY_NAME]
        return {n: self._given(n) for n in dict.fromkeys([*named, *self.data])}

    def _given(self, name: str) -> Any:
        """An argument's value: given, or its default; None where there is none."""
        return self.data[name] if name in self.data else self._defaults.get(name)

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        return {
            n: as_argument(n, v) for n, v in defaults_of(self.function).items() if _is_numeric(v)
        }

    def _traced(self, arguments: Mapping[str, Any]) -> Sites:
        """The sites of one run, continuous latents at random places."""
        import jax
        from numpyro import handlers
        from numpyro.infer import init_to_uniform

        with _running(self):
            start = handlers.substitute(
                handlers.seed(self._call, jax.random.key(0)), substitute_fn=init_to_uniform
            )
            found: Sites = handlers.trace(start).get_trace(**arguments)
        return found

    def _takers(self, argument: str, value: Any, drawn: Sites) -> list[str]:
        """The observed sites that take an argument whole: they hold its value, and another one when it is another."""
        holders = (
            [n for n, site in drawn.items() if _takes(site, value)] if _is_numeric(value) else []
        )
        if not holders:
            return []
        other = _changed(value)
        try:
            tried = self._traced({**self.data, argument: other})
        except VeribayesError:  # another size, say: it is no outcome
            return []
        return [n for n in holders if n in tried and _takes(tried[n], other)]

    def _observed_by(self, argument: str, drawn: Sites) -> list[str]:
        """The site that observes an argument which was left out: the one that takes on the value it is given."""
        if self._given(argument) is not None:
            return []
        order = sorted(drawn, key=lambda n: n != argument)  # most programs call both the same
        for name in (
            n for n in order if drawn[n]["type"] == "sample" and not _is_observed(drawn[n])
        ):
            value = np.asarray(drawn[name]["value"])
            try:
                tried = self._traced({**self.data, argument: value})
            except VeribayesError:
                continue
            takers = [n for n, site in tried.items() if _takes(site, value)]
            if name in takers:
                return [name, *(n for n in takers if n != name)]
        return []

    @cached_property
    def _handled(self) -> tuple[list[str], list[str]]:
        """Latents whose value, and sites whose random key, a handler inside the program has set already."""
        from numpyro import handlers
        from numpyro.infer import init_to_uniform

        anywhere = handlers.substitute(
            substitute_fn=init_to_uniform
        )  # an improper prior cannot be drawn from
        with (
            _running(self),
            anywhere,
            handlers.seed(rng_seed=0),
            watching() as seen,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # NumPyro's word that a site is fixed
            self._call(**self.data)
        return [n for n, s in seen.items() if s == "value"], [
            n for n, s in seen.items() if s == "key"
        ]

    def _require_free(self) -> None:
        """Refuse latents that a `handlers.substitute` fixes: NumPyro's samplers would move them all the same."""
        if fixed := self._handled[0]:
            wanted, remedy = (
                f"latents that can vary in '{self.shown}'",
                "use handlers.condition, or leave the site out",
            )
            raise ModelError(wanted, f"{', '.join(fixed)} fixed by handlers.substitute", remedy)

    def _warn_if_scored_too_often(self, name: str, site: Mapping[str, Any]) -> None:
        """NumPyro broadcasts silently; what it then scores is rarely what was meant."""
        value = self._given(name)
        times = 1 if value is None else scored_too_often(site["fn"], np.shape(value))
        if times > 1:
            wide = tuple(site["fn"].shape())
            text = f"each value of '{name}' {np.shape(value)} is scored {times} times: its site has the shape {wide}"
            warnings.warn(text, UserWarning, stacklevel=2)

    def _drawn(self, key: jax.Array) -> tuple[dict[str, Any], dict[str, Any]]:
        """Latents and outcomes from the prior, one data set a key."""
        if self.no_prior:
            reasons = "; ".join(self.no_prior)
            wanted = f"a program whose prior predicts {self._all()}"
            remedy = "give the data (--set data=FILE) and leave out --datasets: 'reference' computes their one posterior"
            raise InputError(wanted, reasons, remedy)
        with _running(self):
            latents, outcomes = self._prior(key, self._way[0])
        return {n: np.array(latents[n]) for n in self.varying}, {
            n: np.array(v) for n, v in outcomes.items()
        }

    @cached_property
    def _way(self) -> tuple[Way, tuple[str, ...]]:
        """How data sets are drawn in the shape of the given ones, and why they cannot be (see `_drawing`)."""
        optional = {n for n, p in parameters_of(self.function).items() if p.default is None}
        given = [n for n in self.outcomes if self._given(n) is not None]
        shared = [
            f"'{n}' is observed by several sites"
            for n, sites in self._takers_of.items()
            if len(sites) > 1
        ]
        if shared:
            return Way({}), tuple(shared)
        lent = {n: self._given(n) for n in given}
        left = {n: v for n, v in lent.items() if n not in optional}
        ways = [
            Way(values, wide)
            for values in ([left, lent] if left != lent else [lent])
            for wide in (False, True)
        ]
        shapes: dict[str, Shape] = {n: np.shape(v) for n, v in lent.items()}
        failure = "nothing is observed"
        for way in ways:
            try:
                found = self._shapes(way)
            except VeribayesError as error:
                failure = str(error)
                continue
            wrong = [n for n in given if found[n] != shapes[n]]
            if not wrong:
                return way, tuple(self._entangled(way))
            failure = "; ".join(
                f"'{n}' is drawn in the shape {found[n]} and given in {shapes[n]}" for n in wrong
            )
        return ways[0], (failure,)

    def _shapes(self, way: Way) -> dict[str, Shape]:
        """Shapes of the outcomes that are drawn in this way; nothing is computed."""
        import jax

        with _running(self):
            found = jax.eval_shape(lambda key: self._one(key, way)[1], jax.random.key(0))
        return {n: tuple(v.shape) for n, v in found.items()}

    def _prior(self, key: jax.Array, way: Way) -> tuple[dict[str, Any], dict[str, Any]]:
        """Compiled draws for keys (B,)."""
        import jax

        return jax.jit(jax.vmap(lambda one: self._one(one, way)))(key)

    def _one(self, key: jax.Array, way: Way) -> tuple[dict[str, Any], dict[str, Any]]:
        """Latents and outcomes of one data set."""
        from numpyro import handlers

        shapes = {
            s: None if self._given(n) is None else np.shape(self._given(n))
            for n, s in self.outcomes.items()
        }
        arguments = {n: v for n, v in self.data.items() if n not in self.outcomes} | dict(way.lent)
        with handlers.trace() as run, handlers.seed(rng_seed=key), forgotten(shapes, wide=way.wide):
            self._call(**arguments)
        latents = {n: run[n]["value"] for n in self.varying}
        return latents, {n: run[s]["value"] for n, s in self.outcomes.items()}

    def _entangled(self, way: Way) -> list[str]:
        """Outcomes that are lent and used elsewhere too: then no run without them is a draw of them."""
        if not way.lent:
            return []
        lent = {n: np.asarray(v) for n, v in way.lent.items()}
        others = {n: _changed(v) for n, v in lent.items()}
        with _running(self):
            key = keys(0, "prior", np.arange(LOOKS))
            one, other = self._prior(key, way)[1], self._prior(key, replace(way, lent=others))[1]
        stuck = [n for n, v in lent.items() if all(np.array_equal(drawn, v) for drawn in one[n])]
        mixed = [n for n in lent if not np.array_equal(one[n], other[n])]
        return [f"'{n}' cannot be left out" for n in stuck] + [
            f"'{n}' also predicts itself" for n in mixed if n not in stuck
        ]


@dataclass(frozen=True)
class Way:
    """Arguments that are lent for their shape, and whether narrower sites are drawn as wide as their data."""

    lent: Mapping[str, Any]
    wide: bool = False


@contextmanager
def _running(model: NumPyroModel) -> Iterator[None]:
    """A user's program runs in float64, as strictly as its author likes; what it raises is the user's to read."""
    import jax

    try:
        with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
            yield
    except VeribayesError:
        raise
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        given = (
            ", ".join(f"{n} {np.shape(v)}" for n, v in model.data.items() if _is_numeric(v))
            or "no numbers"
        )
        wanted, remedy = (
            f"a NumPyro program that runs on its data, '{model.shown}'",
            f"given: {given}; --debug shows where",
        )
        refusal = (
            InputError if model.data else ModelError
        )  # nothing but the program can be wrong where there are no data
        raise refusal(wanted, text, remedy) from error


def _checked(name: str, sites: Sites) -> None:
    """Refuse what no posterior is defined for."""
    for at, site in sites.items():
        if site["type"] == "param":
            raise ModelError(
                f"a program without numpyro.param, '{name}'",
                f"the parameter '{at}'",
                "give it a prior",
            )
        if site["type"] == "plate" and site["args"][0] != np.size(site["value"]):
            raise ModelError(
                "plates of all data", f"the subsample '{at}'", "an exact posterior needs every row"
            )
        if _is_enumerated(site) and not site["fn"].has_enumerate_support:
            law = type(site["fn"]).__name__
            raise ModelError(
                "discrete latents with finitely many values",
                f"'{at}' ~ {law}",
                "sum it out by hand",
            )


def _takes(site: Mapping[str, Any], value: Any) -> bool:
    same = _is_observed(site) and np.shape(site["value"]) == np.shape(value)
    return bool(
        same and np.array_equal(site["value"], value, equal_nan=np.asarray(value).dtype.kind == "f")
    )


def _is_observed(site: Mapping[str, Any]) -> bool:
    return bool(site["type"] == "sample" and site["is_observed"])


def _is_enumerated(site: Mapping[str, Any]) -> bool:
    return bool(
        site["type"] == "sample" and not site["is_observed"] and site["fn"].support.is_discrete
    )


def _is_latent(site: Mapping[str, Any], varies: npt.NDArray[np.bool_]) -> bool:
    """Sampled continuous sites, and deterministic ones that vary and do not carry axes of an enumeration."""
    if site["type"] not in ("sample", "deterministic") or _is_observed(site):
        return False
    return bool(varies.any() and varies.shape == np.shape(site["value"]))


def _digest(value: Any) -> Any:
    """Numbers and text as they are, arrays by their bytes."""
    if not isinstance(value, np.ndarray):
        return value
    return hashlib.sha256(f"{value.dtype.str}{value.shape}".encode() + value.tobytes()).hexdigest()


def _array(outcome: str) -> str:
    """The name of an outcome's array: its argument's, but for one that is called like the queries."""
    return f"{outcome} given" if outcome == TARGET else outcome


def _is_numeric(value: Any) -> bool:
    """Whether a value can be an outcome: numbers with or without axes."""
    return (
        value is not None and not isinstance(value, str) and np.asarray(value).dtype.kind in "iufb"
    )


def _changed(value: Any) -> Any:
    """Another value of the same shape, of the same numbers where they differ from each other."""
    array = np.asarray(value)
    if array.size and (array != array.flat[0]).any():
        return np.roll(array, 1)
    return ~array if array.dtype.kind == "b" else array + 1


def _is_weighted(site: Mapping[str, Any]) -> bool:
    scale = site.get("scale") if site["type"] == "sample" else None
    return scale is not None and not np.all(np.asarray(scale) == 1)


def _require_no_text(name: str, value: Any, parameter: inspect.Parameter | None) -> None:
    """Refuse text for an argument that does not say that it takes text, by its default or its annotation."""
    takes = parameter is not None and (
        isinstance(parameter.default, str) or parameter.annotation in (str, "str")
    )
    if isinstance(value, str) and not takes:
        remedy = f"--set data.{name}=VALUE takes a JSON number, truth value or list"
        raise InputError(f"numbers for the argument '{name}'", f"the text {shown(value)}", remedy)


def _require_whole(name: str, value: Any, site: Mapping[str, Any]) -> None:
    """Refuse outcomes that are missing or infinite, and fractions of what is counted: no density is defined for them."""
    values = np.asarray(value, dtype=np.float64) if value is not None else np.zeros(0)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        place = f", the first at {bad[0].tolist()}" if values.ndim else ""
        remedy = "leave them out, or let the program observe the others alone"
        raise InputError(
            f"finite numbers in the outcome '{name}'",
            f"{len(bad)} that are NaN or infinite{place}",
            remedy,
        )
    if site["fn"].support.is_discrete and (values != np.round(values)).any():
        law = type(site["fn"]).__name__
        raise InputError(
            f"whole numbers in the outcome '{name}' ~ {law}",
            "fractions",
            "check its column and its site",
        )


__all__ = ["NumPyroModel"]

PART = NumPyroModel

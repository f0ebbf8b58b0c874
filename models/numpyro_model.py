"""Any NumPyro program as a model: what is asked are the posterior moments of its latents.

    def program(x, sigma, y=None):                 data by name or position; what is observed may default to None
        slope = numpyro.sample("slope", dist.Normal(0, 1))
        numpyro.sample("obs", dist.Normal(slope * x, sigma), obs=y)

An *outcome* is an argument whose value an observed site takes whole. Where all outcomes are given there is one data set, the
user's; otherwise data sets are drawn from the program itself: latents from the prior, outcomes from the sites that observe
them. Discrete latents are summed out (parallel enumeration). A program is run a few times on its own data to learn this;
nothing about it has to be declared.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from veribayes.errors import ModelError, VeribayesError
from veribayes.models._arguments import as_argument
from veribayes.models._check import mapping
from veribayes.models._random import keys
from veribayes.models._task import Design, Variable
from veribayes.predictive import Array, NormalMixture, Predictive
from veribayes.tree import Data, IntArray, Simulation

if TYPE_CHECKING:
    import jax

PROBES = 4  # random points: an entry that varies between none of them is a constant, such as the corner of a Cholesky factor
LOOKS = 8  # runs in which an outcome that is drawn differs from the one that was lent
PRIOR_DRAWS = 4000  # for the moments of the prior predictive
LEAST_SD = 1e-300  # a chain that never moved is refused by its gate, not by the form of its predictive

Sites = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class NumPyroModel:
    """A program with its data.

    Attributes:
        function: the NumPyro program.
        data: its arguments by name; arguments with a default may be left out.
        name: `package.module:function`, for the reader.
        simulated: draw the outcomes anew even where they are given (they lend their shape); by default only where they are not.

    Raises:
        ModelError: arguments that do not fit the signature, or a program that does not run or cannot be sampled.
    """

    function: Callable[..., Any]
    data: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    simulated: bool = False
    kind: ClassVar[str] = "numpyro"
    n_categories: ClassVar[None] = None
    moments: ClassVar[bool] = True  # what is predicted takes all draws at once

    def __post_init__(self) -> None:
        parameters = _parameters(self.function)
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        named = [n for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        needed = [n for n in named if parameters[n].default is inspect.Parameter.empty]
        where = f"the arguments of '{self.shown}'"
        given = mapping(where, self.data, allowed=[*named, *self.data] if open_ended else named, required=needed)
        object.__setattr__(self, "data", {n: as_argument(n, v) for n, v in given.items()})

    @property
    def shown(self) -> str:
        return self.name or getattr(self.function, "__qualname__", type(self.function).__name__)

    # -- what the program is ------------------------------------------------------------------------------------------

    @cached_property
    def outcomes(self) -> dict[str, str]:
        """Argument -> the site that observes it, in the order of the signature."""
        drawn = self._traced(self.data)
        found = {n: _site_of(drawn, v) or self._observed_by(n, drawn) for n, v in self._arguments().items()}
        return {n: site for n, site in found.items() if site}

    @cached_property
    def sites(self) -> Sites:
        """One run of the program that observes its outcomes, latents at a random point of unconstrained space."""
        drawn = self._traced(self.data)
        absent = {n: drawn[s]["value"] for n, s in self.outcomes.items() if self.data.get(n) is None}
        found = self._traced({**self.data, **absent}) if absent else drawn
        _checked(self.shown, found)
        return found

    @cached_property
    def given(self) -> bool:
        """Whether the model is one data set, the user's."""
        absent = [n for n in self.outcomes if self.data.get(n) is None]
        if absent and len(absent) < len(self.outcomes):
            raise ModelError(f"all of the outcomes {', '.join(self.outcomes)}, or none", f"none for {', '.join(absent)}")
        return not (self.simulated or absent)

    @cached_property
    def layout(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Latents and deterministic sites with what varies in them, name -> (*event); enumerated and constant sites are out."""
        import jax
        from numpyro.infer import init_to_uniform
        from numpyro.infer.util import initialize_model

        outcomes = {n: self.sites[s]["value"] for n, s in self.outcomes.items()}
        program, arguments = self._enumerated, {**self.data, **outcomes}
        with _running(self.shown):
            made = initialize_model(jax.random.key(0), program, init_strategy=init_to_uniform, model_kwargs=arguments)
            rng = np.random.default_rng(0)
            at = [jax.tree.map(lambda v: rng.uniform(-2, 2, np.shape(v)), made.param_info.z) for _ in range(PROBES)]
            values = [made.postprocess_fn(z) for z in at]
        varies = {n: np.ptp(np.array([v[n] for v in values], dtype=np.float64), 0) > 0 for n in values[0]}
        places = {n: site for n, site in self.sites.items() if n in varies and n not in self._by_chance}
        kept = {n: varies[n] for n, site in places.items() if _is_latent(site, varies[n])}
        if not kept:
            raise ModelError("a program with continuous latents", f"none in '{self.shown}'")
        return kept

    @cached_property
    def no_prior(self) -> tuple[str, ...]:
        """Why outcomes cannot be drawn from the program; empty when they can."""
        from numpyro import distributions as dist

        improper = [n for n, s in self.sites.items() if isinstance(s.get("fn"), dist.ImproperUniform)]
        factors = [n for n, s in self.sites.items() if isinstance(s.get("fn"), dist.Unit)]
        bound = set(self.outcomes.values())
        loose = [n for n, s in self.sites.items() if _is_observed(s) and n not in bound and n not in factors]
        why = [f"the prior of '{n}' is improper" for n in improper]
        why += [f"the factor '{n}' is no distribution" for n in factors]
        why += [f"'{n}' observes what is no argument of its own" for n in loose]
        return tuple(why or self._entangled() or ["nothing is observed"] * (not bound))

    # -- the protocol of a model --------------------------------------------------------------------------------------

    @property
    def latents(self) -> tuple[Variable, ...]:
        return tuple(Variable(n, tuple(f"{n}_{i}" for i in range(v.ndim)), "real") for n, v in self.layout.items())

    @cached_property
    def queries(self) -> tuple[str, ...]:
        """Names of the scalars that are asked for: `slope`, `theta[3]`, …"""
        return tuple(
            n + (f"[{','.join(map(str, at))}]" if at else "") for n, v in self.layout.items() for at in np.argwhere(v).tolist()
        )

    def spec(self) -> dict[str, Any]:
        """Name, source and data by their digests; a program cannot be read back from it."""
        data = {n: _digest(v) for n, v in self.data.items()}
        return {"program": self.shown, "source": _source_digest(self.function), "data": data, "simulated": self.simulated}

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
                raise ModelError("one data set, the one given", f"{index.size}", f"leave out {self._all()} to draw more")
            latents, arrays = {}, {n: np.asarray(self.data[n])[None] for n in self.outcomes}
            truth = np.full(shape, np.nan)
        else:
            latents, arrays = self._drawn(keys(seed, stream, index))
            truth = self._asked(latents)[:, None]
        positions = np.array(design.positions[-1:], dtype=np.int64)
        target = {"target": np.arange(shape[2])}
        return Simulation(Data({**arrays, **target}, positions, index), latents, truth, np.full(shape[:2], positions[0]))

    def inputs(self, data: Data, position: int) -> tuple[Any, Any]:
        """(all arguments by name, outcomes with the axis `dataset`; names of the latents asked for)."""
        del position  # there is one
        return {**self.data, **{n: data.arrays[n] for n in self.outcomes}}, self.queries

    def program(self, **outcomes: jax.Array) -> None:
        """The user's program on these outcomes, its other arguments as they were given."""
        self._enumerated(**{**self.data, **outcomes})

    def program_data(self, data: Data, position: int) -> dict[str, npt.NDArray[Any]]:
        """The outcomes; a data set that is given stays a constant, on which a program may branch."""
        del position
        return {} if self.given else {n: data.arrays[n] for n in self.outcomes}

    def latent_mask(self, data: Data, position: int) -> dict[str, npt.NDArray[np.bool_]]:
        del position
        return {n: np.broadcast_to(v, (data.index.size, *v.shape)).copy() for n, v in self.layout.items()}

    def conditional(self, latent_draws: Mapping[str, Array], data: Data, position: int) -> Predictive:
        """Mean and sd of every scalar asked for, (B, Q), as mixtures of one component: posterior moments, not its shape."""
        del data, position
        draws = self._asked(latent_draws)
        mean = np.nan_to_num(draws.mean(1))  # NaN is refused by the gates, with its reason
        sd = np.maximum(np.nan_to_num(draws.std(1, ddof=1)), LEAST_SD)
        return NormalMixture(np.ones((*mean.shape, 1)), mean[..., None], sd[..., None])

    def prior_draws(self, draws: int = PRIOR_DRAWS) -> dict[str, Array]:
        """Draws of the latents from the prior, name -> (1, draw, *event)."""
        latents, _ = self._drawn(keys(0, "prior", np.arange(draws)))
        return {n: v[None] for n, v in latents.items()}

    # -- running the program ------------------------------------------------------------------------------------------

    def _call(self, **arguments: Any) -> Any:
        """The function, its arguments by position where the signature wants that."""
        parameters = _parameters(self.function)
        first = [arguments.pop(n) for n, p in parameters.items() if p.kind is p.POSITIONAL_ONLY and n in arguments]
        return self.function(*first, **arguments)

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
        for name, varies in self.layout.items():
            values = np.asarray(latents[name], dtype=np.float64)
            columns.append(values.reshape(*values.shape[: values.ndim - varies.ndim], -1)[..., varies.ravel()])
        return np.concatenate(columns, axis=-1)

    @cached_property
    def _by_chance(self) -> set[str]:
        """Sites that the continuous latents do not determine: NumPyro derives them from prior draws of the discrete ones."""
        import jax
        from numpyro import handlers

        if self._enumerated == self._call:
            return set()
        fixed = {n: s["value"] for n, s in self.sites.items() if s["type"] == "sample" and not _is_enumerated(s)}
        with _running(self.shown):
            seeded = [handlers.seed(handlers.substitute(self._call, data=fixed), jax.random.key(i)) for i in range(PROBES)]
            runs = [handlers.trace(run).get_trace(**self.data) for run in seeded]
        derived = [n for n, site in self.sites.items() if site["type"] == "deterministic"]
        return {n for n in derived if any(not np.array_equal(r[n]["value"], runs[0][n]["value"]) for r in runs[1:])}

    def _arguments(self) -> dict[str, Any]:
        """Every argument; None where it was left out."""
        named = [n for n, p in _parameters(self.function).items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        return {n: self.data.get(n) for n in dict.fromkeys([*named, *self.data])}

    def _traced(self, arguments: Mapping[str, Any]) -> Sites:
        """The sites of one run, continuous latents at random places."""
        import jax
        from numpyro import handlers
        from numpyro.infer import init_to_uniform

        with _running(self.shown):
            start = handlers.substitute(handlers.seed(self._call, jax.random.key(0)), substitute_fn=init_to_uniform)
            found: Sites = handlers.trace(start).get_trace(**arguments)
        return found

    def _observed_by(self, argument: str, drawn: Sites) -> str | None:
        """The site that observes an argument which was left out: the one that takes on the value it is given."""
        if self.data.get(argument) is not None:
            return None
        order = sorted(drawn, key=lambda n: n != argument)  # most programs call both the same
        for name in (n for n in order if drawn[n]["type"] == "sample" and not _is_observed(drawn[n])):
            value = np.asarray(drawn[name]["value"])
            try:
                tried = self._traced({**self.data, argument: value})
            except VeribayesError:
                continue
            if name in tried and _takes(tried[name], value):
                return name
        return None

    def _drawn(self, key: jax.Array) -> tuple[dict[str, Any], dict[str, Any]]:
        """Latents and outcomes from the prior, one data set a key."""
        if self.no_prior:
            reasons = "; ".join(self.no_prior)
            wanted, remedy = f"a program whose prior predicts {self._all()}", "give the data: their one posterior is computed"
            raise ModelError(wanted, reasons, remedy)
        with _running(self.shown):
            latents, outcomes = self._prior(key, {})
        return {n: np.array(latents[n]) for n in self.layout}, {n: np.array(v) for n, v in outcomes.items()}

    def _prior(self, key: jax.Array, instead: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Compiled draws for keys (B,); `instead` replaces given outcomes, which should change nothing."""
        import jax
        from numpyro import handlers

        optional = {n for n, p in _parameters(self.function).items() if p.default is None}
        lent = {n: v for n, v in {**self.data, **instead}.items() if n not in self.outcomes or n not in optional}

        def one(key: jax.Array) -> tuple[dict[str, Any], dict[str, Any]]:
            with handlers.trace() as run, handlers.seed(rng_seed=key), _forget(set(self.outcomes.values())):
                self._call(**lent)
            latents = {n: run[n]["value"] for n in self.layout}
            return latents, {n: run[s]["value"] for n, s in self.outcomes.items()}

        return jax.jit(jax.vmap(one))(key)

    def _entangled(self) -> list[str]:
        """Outcomes that a program must be given and uses elsewhere too: then no run without them is a draw of them."""
        optional = {n for n, p in _parameters(self.function).items() if p.default is None}
        needed = {n: np.asarray(self.data[n]) for n in self.outcomes if n not in optional}
        if not needed:
            return []
        others = {n: v + 1 if np.ptp(v) == 0 else np.roll(v, 1) for n, v in needed.items()}
        with _running(self.shown):
            key = keys(0, "prior", np.arange(LOOKS))
            one, other = self._prior(key, {})[1], self._prior(key, others)[1]
        stuck = [n for n, v in needed.items() if all(np.array_equal(drawn, v) for drawn in one[n])]
        mixed = [n for n in needed if not np.array_equal(one[n], other[n])]
        return [f"'{n}' cannot be left out" for n in stuck] + [f"'{n}' also predicts itself" for n in mixed if n not in stuck]


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise ModelError("a Python function with NumPyro's sample statements", f"{type(function).__name__}") from None


@contextmanager
def _running(name: str) -> Iterator[None]:
    """A user's program runs in float64, as strictly as its author likes; what it raises is the user's to read."""
    import jax

    try:
        with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
            yield
    except VeribayesError:
        raise
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        raise ModelError(f"a NumPyro program that runs on its data, '{name}'", text, "--debug shows where") from error


@contextmanager
def _forget(sites: set[str]) -> Iterator[None]:
    """Draw these observed sites instead of observing them."""
    from numpyro.primitives import Messenger

    class Forget(Messenger):
        def process_message(self, msg: Any) -> None:
            if msg["type"] == "sample" and msg["name"] in sites:
                msg["value"], msg["is_observed"] = None, False

    with Forget():
        yield


def _checked(name: str, sites: Sites) -> None:
    """Refuse what no posterior is defined for."""
    for at, site in sites.items():
        if site["type"] == "param":
            raise ModelError(f"a program without numpyro.param, '{name}'", f"the parameter '{at}'", "give it a prior")
        if site["type"] == "plate" and site["args"][0] != np.size(site["value"]):
            raise ModelError("plates of all data", f"the subsample '{at}'", "an exact posterior needs every row")
        if _is_enumerated(site) and not site["fn"].has_enumerate_support:
            law = type(site["fn"]).__name__
            raise ModelError("discrete latents with finitely many values", f"'{at}' ~ {law}", "sum it out by hand")


def _site_of(sites: Sites, value: Any) -> str | None:
    """The observed site that takes a value whole."""
    if value is None or isinstance(value, str) or not np.ndim(value):
        return None
    return next((n for n, site in sites.items() if _takes(site, value)), None)


def _takes(site: Mapping[str, Any], value: Any) -> bool:
    same = _is_observed(site) and np.shape(site["value"]) == np.shape(value)
    return bool(same and np.array_equal(site["value"], value, equal_nan=np.asarray(value).dtype.kind == "f"))


def _is_observed(site: Mapping[str, Any]) -> bool:
    return bool(site["type"] == "sample" and site["is_observed"])


def _is_enumerated(site: Mapping[str, Any]) -> bool:
    return bool(site["type"] == "sample" and not site["is_observed"] and site["fn"].support.is_discrete)


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


def _source_digest(function: Any) -> str:
    """SHA-256 of the file that defines the program; of its code where there is no file."""
    file = inspect.getsourcefile(function) if inspect.isfunction(function) else None
    if file and Path(file).is_file():
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    code = getattr(function, "__code__", None)
    return hashlib.sha256(repr((code and (code.co_code, code.co_consts), repr(function))).encode()).hexdigest()

"""Context switch: a cue says whether the context matters for what is asked.

    mu ~ N(0, A),   c_j | mu ~ N(mu, B),   j = 1..n
    cue 1:  y | mu ~ N(mu, B)        cue 0:  y ~ N(0, A + B), whatever the context

With a hidden cue y is a mixture of both with probabilities p and 1 - p. One softmax head can be
exact with an observed cue: a sink of value zero at logit log(B / A) is the prior's pseudo-count B /
A. Source: arXiv 2605.08453.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ModelError
from veribayes.models._check import mapping, number, shown
from veribayes.models._data import array_of, require_finite, require_length
from veribayes.models._layout import Column, Layout
from veribayes.models._model import Groups, Infer, Model, Variable
from veribayes.models._random import keys, normal, uniforms
from veribayes.models._task import Design
from veribayes.predictive import Array, NormalMixture
from veribayes.tree import Data, IntArray, Simulation
from veribayes.tree.shown import Example, Shown

if TYPE_CHECKING:
    import jax

OBSERVED, HIDDEN = "observed", "hidden"
VALUES = Column("c", "observation", ("draw",))
CUE = Column("cue", "query", ("query",), "category")
WORDS: dict[str, Any] = {"one": "value in the context", "several": "values in the context"}
SEEN_CUE = Layout((VALUES, CUE), order="set", tokens="vectors", **WORDS)
NO_CUE = Layout((VALUES,), order="set", tokens="vectors", **WORDS)


@dataclass(frozen=True)
class ContextSwitch(Model):
    """A normal mean whose data are asked about or not.

    Attributes:
        prior_variance: A.
        noise_variance: B.
        cue_probability: p, that the context matters.
        cue: `observed`: it is a part of the query; `hidden`: nobody sees it.

    Raises:
        ModelError: a value outside its range.
    """

    prior_variance: float = 4.0
    noise_variance: float = 1.0
    cue_probability: float = 0.5
    cue: str = OBSERVED
    kind: ClassVar[str] = "context_switch"
    strengths: ClassVar[Mapping[str, int]] = {"forgets_context": 4, "narrow": 8}

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name in ("prior_variance", "noise_variance"):
            put(self, name, number(name, getattr(self, name), above=0))
        put(self, "cue_probability", number("cue_probability", self.cue_probability, above=0))
        if self.cue_probability >= 1:
            raise ModelError("a cue_probability below 1", f"{self.cue_probability:g}")
        if self.cue not in (OBSERVED, HIDDEN):
            raise ModelError(f"'{OBSERVED}' or '{HIDDEN}' for 'cue'", shown(self.cue))

    @property
    def marginal_variance(self) -> float:
        """Of an outcome without any context: A + B."""
        return self.prior_variance + self.noise_variance

    @property
    def latents(self) -> tuple[Variable, ...]:
        return (Variable("mu", (), "real"),)

    @property
    def layout(self) -> Layout:
        return SEEN_CUE if self.cue == OBSERVED else NO_CUE

    # -- the protocol of a model -------------------------------------------------------------------

    def spec(self) -> dict[str, Any]:
        return {
            "prior_variance": self.prior_variance,
            "noise_variance": self.noise_variance,
            "cue_probability": self.cue_probability,
            "cue": self.cue,
        }

    @classmethod
    def from_spec(cls, spec: Any) -> ContextSwitch:
        """The model that `spec` describes."""
        allowed = ["prior_variance", "noise_variance", "cue_probability", "cue"]
        return cls(**mapping("a context switch", spec, allowed=allowed, required=[]))

    def default_design(self) -> Design:
        return Design((1, 2, 4, 8, 16, 32), queries=2 if self.cue == OBSERVED else 1)

    def defaults(self) -> dict[str, Any]:
        return {
            "reference": "switch_conjugate",
            "second_route": "switch_quadrature",
            "rivals": ("cue_ignored",) if self.cue == OBSERVED else ("context_only",),
            "wrong_prior": {"prior_variance": self.prior_variance / 4},
        }

    def simulate(self, design: Design, seed: int, stream: str, index: IntArray) -> Simulation:
        """Draw data sets: `c` (B, N), `cue` (B, Q) where it is observed.

        The outcome of a query is the same at each position.
        """
        import jax

        queries = design.queries if self.cue == OBSERVED else 1
        positions = np.array(design.positions, dtype=np.int64)
        with jax.enable_x64(True):
            simulator = _simulator(self, int(positions[-1]), queries)
            mu, c, cue, y = (np.array(a) for a in simulator(keys(seed, stream, index)))
        arrays = {"c": c, "cue": cue} if self.cue == OBSERVED else {"c": c}
        outcome = np.repeat(y[:, None], positions.size, axis=1)
        context = np.broadcast_to(positions, (index.size, positions.size)).copy()
        return Simulation(Data(arrays, positions, index), {"mu": mu}, outcome, context)

    def inputs(self, data: Data, position: int) -> tuple[Any, Any]:
        """(the values c[:, :n], the cues (B, Q); None where they are hidden)."""
        return data.arrays["c"][:, : data.positions[position]], data.arrays.get("cue")

    def require_data(self, data: Data) -> None:
        """Refuse values that are no numbers and cues that are neither 0 nor 1.

        Raises:
            InputError: they are, an axis is missing,
                or a position asks for more values than there are.
        """
        c = array_of(data, "c", [len(data.index), "draw"])
        longest = require_length(data, "c", c.shape[1])
        require_finite("c", c[:, :longest], data)
        if self.cue == OBSERVED:
            cue = array_of(data, "cue", [len(data.index), "query"])
            if not np.isin(cue, (0, 1)).all():
                raise InputError("cues that are 0 or 1", f"{np.setdiff1d(cue, (0, 1))[0]}")

    def program(self, c: jax.Array, mask: jax.Array) -> None:
        """mu ~ N(0, A); the values that the mask keeps are N(mu, B)."""
        import numpyro
        from numpyro import distributions as dist

        mu = numpyro.sample("mu", dist.Normal(0.0, self.prior_variance**0.5))
        values = dist.Normal(mu, self.noise_variance**0.5).mask(mask).to_event(1)
        numpyro.sample("c", values, obs=c)

    def program_data(self, data: Data, position: int) -> dict[str, npt.NDArray[Any]]:
        c = data.arrays["c"]
        seen = np.arange(c.shape[1]) < data.positions[position]
        return {"c": c, "mask": np.broadcast_to(seen, c.shape).copy()}

    def latent_mask(self, data: Data, position: int) -> dict[str, npt.NDArray[np.bool_]]:
        del position  # the mean is meaningful behind every context
        return {"mu": np.ones(data.index.size, dtype=bool)}

    def conditional(
        self, latent_draws: Mapping[str, Array], data: Data, position: int
    ) -> NormalMixture:
        """Mixture over the draws of mu (B, S) where the context matters,
        and the marginal law where it does not.
        """
        del position
        mu = np.asarray(latent_draws["mu"], dtype=np.float64)[:, None]  # (B, 1, S)
        share = self.relevance(data)[..., None]  # (B, Q, 1)
        weights = np.concatenate([np.repeat(share / mu.shape[-1], mu.shape[-1], -1), 1 - share], -1)
        on_context = np.broadcast_to(mu, (*share.shape[:2], mu.shape[-1]))
        mean = np.concatenate([on_context, np.zeros_like(share)], axis=-1)
        sd = np.full(mean.shape, self.noise_variance**0.5)
        sd[..., -1] = self.marginal_variance**0.5
        return NormalMixture(weights, mean, sd)

    def log_evidence(self, data: Data, infer: Infer) -> Array:
        """The normal law of the values, with covariance B I + A 1 1^T; a cue's own law is not asked
        about.
        """
        del infer  # closed form
        n, noise = int(data.positions[0]), self.noise_variance
        c = data.arrays["c"][:, :n]
        total = noise + n * self.prior_variance
        shrunk = self.prior_variance / total * c.sum(1) ** 2
        quadratic = ((c**2).sum(1) - shrunk) / noise
        log_det = (n - 1) * np.log(noise) + np.log(total) if n else 0.0
        return np.asarray(-0.5 * (quadratic + log_det + n * np.log(2 * np.pi)))

    def relevance(self, data: Data) -> Array:
        """Probability that the context matters for each query, (dataset, query)."""
        if self.cue == OBSERVED:
            return np.asarray(data.arrays["cue"], dtype=np.float64)
        return np.full((len(data.index), 1), self.cue_probability)

    # -- for readers -------------------------------------------------------------------------------

    def sentence(self) -> str:
        cue = "an observed cue" if self.cue == OBSERVED else "a hidden cue"
        return (
            f"normal mean of variance {self.prior_variance:g} under noise of variance "
            f"{self.noise_variance:g}; {cue} says whether the context matters"
        )

    def show(self, example: Example) -> Shown:
        """The mean of the context, and the cue of the query."""
        c = example.arrays["c"][: example.context]
        rows = [["mean of the context", f"{c.mean():.3g}"]] if len(c) else []
        if self.cue == HIDDEN:
            return Shown("The cue is hidden.", ("", "value"), rows)
        matters = bool(example.arrays["cue"][example.query])
        says = "the context matters" if matters else "the context does not matter"
        return Shown(f"Cue {int(matters)}: {says}.", ("", "value"), rows)

    def groups(self, data: Data, sizes: Groups) -> Groups:
        """Whether the context matters, alone and at each context size."""
        if self.cue == HIDDEN:
            return {}
        on = data.arrays["cue"].astype(bool)[:, None]
        states = {"cue on": on, "cue off": ~on}
        crossed = {
            f"{name}, {size}": state & rows
            for name, state in states.items()
            for size, rows in sizes.items()
        }
        return {**states, **crossed}


@lru_cache(maxsize=16)
def _simulator(model: ContextSwitch, length: int, queries: int) -> Any:
    """Compiled keys (B,) -> mu (B,), c (B, length), cue (B, Q), y (B, Q)."""
    import jax
    import jax.numpy as jnp

    noise_sd = model.noise_variance**0.5

    def one(key: jax.Array) -> tuple[jax.Array, ...]:
        for_mu, for_c, for_cue, for_y = uniforms(key, (), (length,), (queries,), (queries,))
        mu = model.prior_variance**0.5 * normal(for_mu)
        c = mu + noise_sd * normal(for_c)
        cue = (for_cue < model.cue_probability).astype(np.int64)
        standard = normal(for_y)
        on, off = mu + noise_sd * standard, model.marginal_variance**0.5 * standard
        return mu, c, cue, jnp.where(cue == 1, on, off)

    return jax.jit(jax.vmap(one))


PART = ContextSwitch

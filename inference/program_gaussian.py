"""Exact predictive of a program whose latents and outcomes are jointly normal,
read off its density.

    log p(w, y) = -w' A w / 2 + b' w + c,     entry | w ~ N(m + j' w, s^2)

A and b are derivatives at zero. That the density is quadratic, the mean affine and s constant is
checked at two other places for every data set; a program that is anything else is refused. Then
the posterior is N(A^-1 b, A^-1) and the entry N(m + j' A^-1 b, s^2 + j' A^-1 j).

With discrete latents all of this holds given their joint state (spikes and slabs, switches): the
answer is a mixture, a state's weight being its evidence, c + b' A^-1 b / 2 - log |A| / 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from veribayes.errors import ReferenceRefused
from veribayes.inference._engine import certify, name_of
from veribayes.inference._programs import (
    at_positions,
    mapped,
    predicted_program,
    refuse_unless_close,
)
from veribayes.models._task import Task
from veribayes.models.numpyro_model import PredictedProgram
from veribayes.predictive import Normal, NormalMixture
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

PLACES = 2  # where the form is checked


@dataclass(frozen=True)
class ProgramGaussian:
    """The normal posterior of a linear Gaussian program."""

    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("numpyro",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model = predicted_program(self, task, data)
        self._require_real(model)
        parts = at_positions(model, data, _compiled(model))
        laws, latents, residual = zip(*parts, strict=True)
        worst = refuse_unless_close(self, residual, "linear and Gaussian")
        posterior = {}
        for name in model.outline.continuous:
            means = [part["mean"][name] for part in latents]
            sds = [part["sd"][name] for part in latents]
            posterior[name] = {"mean": np.stack(means, axis=1), "sd": np.stack(sds, axis=1)}
        by_component = zip(*laws, strict=True)
        weights, mean, sd = (np.stack(parts, axis=1) for parts in by_component)
        certificate = certify(self.method, worst, kind="estimate")
        if weights.shape[-1] == 1:
            return Branch(Normal(mean[..., 0], sd[..., 0]), certificate, posterior)
        return Branch(NormalMixture(weights, mean, sd), certificate, posterior)

    def _require_real(self, model: PredictedProgram) -> None:
        """Refuse programs whose latents or outcomes cannot be normal."""
        wanted = "the program is not linear and Gaussian: "
        if model.outline.by_entry or model.n_categories is not None:
            raise ReferenceRefused(name_of(self), [wanted + "its entries are discrete"])
        if not model.outline.continuous:
            raise ReferenceRefused(name_of(self), [wanted + "all latents are discrete"])
        for name in model.outline.continuous:
            support = str(model.joint.sites[name]["fn"].support)
            if "Real" not in support:
                raise ReferenceRefused(name_of(self), [f"{wanted}'{name}' has bounds"])


@lru_cache(maxsize=16)
def _compiled(model: PredictedProgram) -> Any:
    """Weights, means and sds of the queries (query, state), moments of the latents, and how far the
    form is missed.
    """
    shapes = {name: model.outline.shapes[name] for name in model.outline.continuous}
    with jax.enable_x64(True):
        zero, unravel = ravel_pytree({name: jnp.zeros(shape) for name, shape in shapes.items()})
    places = np.random.default_rng(0).standard_normal((PLACES, zero.size))

    def of_data_set(seen: Any, entries: Any) -> Any:
        def density(w: jax.Array) -> jax.Array:
            """Of every joint state of the discrete latents, (state,)."""
            return model.joint.by_state(unravel(w), seen)[0]

        def law(w: jax.Array, entry: jax.Array) -> tuple[jax.Array, jax.Array]:
            laws = model.joint.law(unravel(w), seen, entry).laws
            return laws["mean"][:, 0], laws["sd"][:, 0]

        origin = jnp.zeros(zero.size)
        height = density(origin)
        slope = jax.jacfwd(density)(origin)  # (state, latent)
        precision = -jax.jacfwd(jax.jacrev(density))(origin)  # (state, latent, latent)
        covariance = jnp.linalg.inv(precision)
        centre = jnp.einsum("sij,sj->si", covariance, slope)
        evidence = height + 0.5 * (slope * centre).sum(-1) - 0.5 * _log_determinant(precision)
        weights = jax.nn.softmax(evidence)

        def of_query(entry: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            start, sd = law(origin, entry)
            gain = jax.jacrev(lambda w: law(w, entry)[0])(origin)  # (state, latent)
            means, sds = jax.vmap(lambda w: law(w, entry))(places)
            missed = jnp.abs(means - start - places @ gain.T).max() + jnp.abs(sds - sd).max()
            spread = jnp.einsum("si,sij,sj->s", gain, covariance, gain)
            return start + (gain * centre).sum(-1), jnp.sqrt(sd**2 + spread), missed

        curved = jnp.einsum("pi,sij,pj->ps", places, precision, places)
        quadratic = places @ slope.T - 0.5 * curved
        heights = jax.vmap(density)(places) - height
        off = (jnp.abs(heights - quadratic) / (1 + jnp.abs(heights))).max()
        mean, sd, missed = jax.vmap(of_query)(entries)
        every = jnp.broadcast_to(weights, mean.shape)
        return (every, mean, sd), _moments(weights, centre, covariance, unravel), off + missed.max()

    return mapped(model, of_data_set)


def _log_determinant(precision: jax.Array) -> jax.Array:
    return jnp.linalg.slogdet(precision)[1]


def _moments(weights: jax.Array, centre: jax.Array, covariance: jax.Array, unravel: Any) -> Any:
    """Posterior mean and sd of the latents, averaged over the states."""
    mean = weights @ centre
    own = jnp.diagonal(covariance, axis1=-2, axis2=-1)
    variance = weights @ (own + (centre - mean) ** 2)
    return {"mean": unravel(mean), "sd": unravel(jnp.sqrt(variance))}


PART = ProgramGaussian

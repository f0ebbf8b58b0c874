"""Hamiltonian Monte Carlo of fixed length, whitened at the mode:
thousands of small posteriors in lockstep.

Each chain climbs from its own over-dispersed start to a mode by damped Newton steps, takes the
inverse Hessian there for its metric, starts again at twice the spread that it promises, and moves
by leapfrog with a fixed number of steps. Nothing depends on the data but the numbers, so lanes
never wait for each other. Whitened, a trajectory of length pi / 2 gives independent draws of what
is normal. Chains that find different modes, or a posterior that is far from normal, fail the gates;
their data sets go to NUTS in lockstep, and then to NUTS alone.

Neal (2011), arXiv 1206.1901.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from numpyro.infer import init_to_uniform
from numpyro.infer.util import initialize_model

from veribayes.errors import InputError
from veribayes.inference._engine import name_of, require_positive
from veribayes.inference._mcmc import START, Mcmc, Rung, Sampler
from veribayes.inference.nuts import Nuts
from veribayes.models._task import Task

LANES = 256  # chains in lockstep: what they hold stays in the processor's cache
CLIMB = 60  # Newton steps at most; a well-behaved posterior takes ten
FLAT = 1e-8  # Newton decrement at which a mode is found, nats
DAMPING = 8.0  # factor on the damping after a step that was better or worse
SPREAD = 2.0  # starts, in posterior sds as the Hessian promises them
SOFT = 1e-4  # least curvature: a direction flatter than that is left to the gates
DIVERGED = 1e3  # energy error that no rounding explains
# longest trajectory: pi / 2 for a normal law, more for tails that are wider than the mode says
LENGTH = 2.2
JITTER = 0.2  # of the step size, against trajectories that return to where they began
DENSE = 300  # latents up to which a Hessian is worth its cost

Potential = Callable[[jax.Array], jax.Array]


@dataclass(frozen=True)
class Hmc(Mcmc):
    """Whitened HMC with fixed length; see `Mcmc` for the other options.

    Attributes:
        steps: leapfrog steps of a trajectory.
        target_accept: mean acceptance probability below which the step size shrinks from its
            largest value, `LENGTH` / steps.
    """

    warmup: int = 100
    draws: int = 1000
    steps: int = 3
    target_accept: float = 0.85

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, steps=self.steps)
        if not 0 < self.target_accept < 1:
            wanted = f"target_accept in (0, 1) for the engine '{name_of(self)}'"
            raise InputError(wanted, f"{self.target_accept}")

    def ladder(self, task: Task) -> Sequence[Rung]:
        """All data sets by HMC, the rest by NUTS."""
        compiled = partial(
            _sampler,
            warmup=self.warmup,
            draws=self.draws,
            steps=self.steps,
            target_accept=self.target_accept,
        )
        fallback = Nuts(draws=self.draws, chains=self.chains)
        return [Rung("hmc", compiled, self.draws, LANES), *fallback.ladder(task)]


@lru_cache(maxsize=16)
def _sampler(model: Any, *, warmup: int, draws: int, steps: int, target_accept: float) -> Sampler:
    """Compiled keys (dataset, chain), data -> latents (dataset, chain, draw, *event),
    energy and divergence of every draw.
    """

    def chain(
        key: jax.Array, data: dict[str, jax.Array]
    ) -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
        for_start, for_chain = jax.random.split(key)
        program = initialize_model(
            for_start,
            model.program,
            init_strategy=init_to_uniform(radius=START),
            dynamic_args=True,
            model_kwargs=data,
            validate_grad=False,
        )
        start, unravel = ravel_pytree(program.param_info.z)

        def potential(x: jax.Array) -> jax.Array:
            return program.potential_fn(**data)(unravel(x))

        mode, root = laplace(potential, start)

        def whitened(u: jax.Array) -> jax.Array:
            return potential(mode + root @ u)

        def latents(u: jax.Array) -> dict[str, jax.Array]:
            return program.postprocess_fn(**data)(unravel(mode + root @ u))

        white, energy, diverging = walk(
            whitened, for_chain, mode.size, warmup, draws, steps, target_accept
        )
        values = jax.vmap(latents)(white)
        by_latent = {latent.name: values[latent.name] for latent in model.latents}
        return by_latent, energy, diverging

    return jax.jit(jax.vmap(jax.vmap(chain, in_axes=(0, None))))


def laplace(potential: Potential, start: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A mode, and a root of the inverse Hessian there, by damped Newton steps (Levenberg, 1944)."""
    if start.size > DENSE:
        return start, jnp.eye(start.size)
    unit = jnp.eye(start.size)

    def slope(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        value, force = jax.value_and_grad(potential)(x)
        return force, (value, force)

    def local(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        try:
            curvature, (value, force) = jax.jacfwd(slope, has_aux=True)(x)
        except (
            TypeError
        ):  # a solver of differential equations knows derivatives by its adjoint alone
            curvature, (value, force) = jax.jacrev(slope, has_aux=True)(x)
        return value, force, curvature

    def climb(state: tuple[Any, ...]) -> tuple[Any, ...]:
        x, at, damping, _, i = state
        # NaN where not positive: no better, more damping
        factor = jnp.linalg.cholesky(at[2] + damping * unit)
        step = jax.scipy.linalg.cho_solve((factor, True), at[1])
        new = local(x - step)
        better = new[0] <= at[0]
        gain = jnp.where(better, at[1] @ step, jnp.inf)

        def kept(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(better, new, old)

        x, at = jax.tree.map(kept, (x - step, new), (x, at))
        return x, at, kept(damping / DAMPING, damping * DAMPING), gain, i + 1

    def going(state: tuple[Any, ...]) -> jax.Array:
        _, _, _, gain, i = state
        return (i < 2) | (gain > FLAT) & (i < CLIMB)

    infinite = jnp.full((), jnp.inf)
    # the first step stays where it is and looks around
    nowhere = (infinite, jnp.zeros_like(start), unit)
    first = (start, nowhere, jnp.ones(()), infinite, 0)
    mode, at, *_ = jax.lax.while_loop(going, climb, first)
    values, vectors = jnp.linalg.eigh(jnp.nan_to_num(at[2]))
    return mode, vectors / jnp.sqrt(jnp.maximum(jnp.abs(values), SOFT))[None]


def walk(
    potential: Potential,
    key: jax.Array,
    size: int,
    warmup: int,
    draws: int,
    steps: int,
    target_accept: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draws (draw, latent), their energies and whether a trajectory diverged;
    all random numbers are made at once.
    """
    for_start, for_momentum, for_step, for_choice = jax.random.split(key, 4)
    total = warmup + draws
    longest = math.log(LENGTH / steps)
    momenta = jax.random.normal(for_momentum, (total, size))
    jitters = jax.random.uniform(for_step, (total,), minval=1 - JITTER, maxval=1 + JITTER)
    thresholds = jax.random.exponential(for_choice, (total,))
    at = jax.value_and_grad(potential)

    def move(state: Any, given: Any) -> Any:
        x, value, slope, log_step = state
        i, momentum, jitter, threshold = given
        step = jnp.exp(log_step) * jitter
        before = value + 0.5 * momentum @ momentum

        def leap(_: int, place: Any) -> Any:
            x, _value, slope, momentum = place
            half_way = momentum - 0.5 * step * slope
            new_x = x + step * half_way
            new_value, new_slope = at(new_x)
            return new_x, new_value, new_slope, half_way - 0.5 * step * new_slope

        new_x, new_value, new_slope, momentum = jax.lax.fori_loop(
            0, steps, leap, (x, value, slope, momentum)
        )
        after = new_value + 0.5 * momentum @ momentum
        error = jnp.nan_to_num(after - before, nan=jnp.inf)
        taken = error <= threshold
        x = jnp.where(taken, new_x, x)
        value = jnp.where(taken, new_value, value)
        slope = jnp.where(taken, new_slope, slope)
        rate = jnp.where(i < warmup, 1 / jnp.sqrt(i + 1.0), 0.0)
        acceptance = jnp.exp(jnp.minimum(-error, 0.0))
        log_step = jnp.minimum(log_step + rate * (acceptance - target_accept), longest)
        energy = before + jnp.where(taken, error, 0.0)
        return (x, value, slope, log_step), (x, energy, error > DIVERGED)

    start = SPREAD * jax.random.normal(for_start, (size,))
    inputs = (jnp.arange(total), momenta, jitters, thresholds)
    _, moves = jax.lax.scan(move, (start, *at(start), jnp.full((), longest)), inputs)
    positions, energies, diverging = moves
    return positions[warmup:], energies[warmup:], diverging[warmup:]


PART = Hmc

"""No-U-turn sampling of any model's NumPyro program:
in lockstep, then alone and longer where the gates are not passed.

Hoffman & Gelman (2014), arXiv 1111.4246; Phan et al. (2019), arXiv 1912.11554.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.infer import NUTS, init_to_uniform

from veribayes.errors import InputError
from veribayes.inference._engine import name_of
from veribayes.inference._mcmc import START, Mcmc, Rung, Sampler
from veribayes.models._task import Task
from veribayes.statistics.diagnostics import ESS

LANES = 512  # chains in lockstep: more fill no wider vector and wait for slower ones
DEPTH = (
    5,
    10,
)  # doublings of a trajectory while warming up and after: one lost lane must not hold up all others
LONGER = 2  # the second run: chains this many times as long,
SMALLER = 0.99  # at this target acceptance


@dataclass(frozen=True)
class Nuts(Mcmc):
    """NUTS with diagonal mass matrix; see `Mcmc` for the other options.

    Attributes:
        target_accept: mean acceptance probability that the step size aims at.
    """

    chains: int = 4
    target_accept: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.target_accept < 1:
            wanted = f"target_accept in (0, 1) for the engine '{name_of(self)}'"
            raise InputError(wanted, f"{self.target_accept}")

    def ladder(self, task: Task) -> Sequence[Rung]:
        """All data sets together; those that fail once more, each in a run of its own,
        where twice as long can help.
        """
        del task  # the same for every model
        sampler = partial(
            _sampler,
            warmup=self.warmup,
            draws=self.draws,
            target_accept=self.target_accept,
            depth=DEPTH,
        )
        first = Rung("nuts", sampler, self.draws, LANES)
        if 2 * self.chains * LONGER * self.draws < ESS:
            return [first]
        return [first, self.alone()]

    def alone(self) -> Rung:
        """Longer chains with smaller steps and no neighbours to wait for."""
        draws = LONGER * self.draws
        sampler = partial(
            _sampler,
            warmup=LONGER * self.warmup,
            draws=draws,
            target_accept=max(SMALLER, self.target_accept),
            depth=max(DEPTH),
        )
        return Rung("nuts alone", sampler, draws, lanes=2 * self.chains)


@lru_cache(maxsize=16)
def _sampler(model: Any, *, warmup: int, draws: int, target_accept: float, depth: Any) -> Sampler:
    """Compiled keys (dataset, chain), data -> latents (dataset, chain, draw, *event),
    energy and divergence of every draw.
    """

    def chain(
        key: jax.Array, data: dict[str, jax.Array]
    ) -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
        kernel = NUTS(
            model.program,
            target_accept_prob=target_accept,
            init_strategy=init_to_uniform(radius=START),
            max_tree_depth=depth,
        )
        start = kernel.init(key, warmup, None, (), data)

        # one loop for warming up and drawing: the body is compiled once
        def move(i: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            state, kept = carry
            state = kernel.sample(state, (), data)
            place = jnp.maximum(i - warmup, 0)

            def write(kept: jax.Array, new: jax.Array) -> jax.Array:
                return kept.at[place].set(new)

            return state, jax.tree.map(write, kept, _output(state))

        def empty(like: jax.Array) -> jax.Array:
            return jnp.zeros((draws, *like.shape), like.dtype)

        nothing = jax.tree.map(empty, _output(start))
        _, drawn = jax.lax.fori_loop(0, warmup + draws, move, (start, nothing))
        z, energy, diverging = drawn
        values = jax.vmap(kernel.postprocess_fn((), data))(z)
        by_latent = {latent.name: values[latent.name] for latent in model.latents}
        return by_latent, energy, diverging

    return jax.jit(jax.vmap(jax.vmap(chain, in_axes=(0, None))))


def _output(state: Any) -> tuple[Any, jax.Array, jax.Array]:
    return jax.tree.map(jnp.asarray, (state.z, state.energy, state.diverging))


PART = Nuts

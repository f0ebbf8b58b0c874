"""The likelihood of a model's program at given latents:
what ranks of the latents alone do not see.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from veribayes.inference._engine import float64
from veribayes.predictive import Array
from veribayes.tree import Data


def log_likelihood(model: Any, latents: Mapping[str, Array], data: Data, position: int) -> Array:
    """log p(data | latents) in nats, (dataset, draw), for latents (dataset, draw, *event).

    Sites that the latents do not determine, such as discrete ones that a sampler sums out, are
    drawn with one key for all: the answer is a function of data and latents whatever the program
    is.
    """

    def one(values: dict[str, jax.Array], given: dict[str, jax.Array]) -> jax.Array:
        program = handlers.substitute(handlers.seed(model.program, rng_seed=0), data=values)
        sites = handlers.trace(program).get_trace(**given).values()
        log_likelihood = jnp.zeros(())
        for site in sites:
            if site["type"] == "sample" and site["is_observed"]:
                log_likelihood += jnp.sum(site["fn"].log_prob(site["value"]))
        return log_likelihood

    over_draws = jax.vmap(one, in_axes=(0, None))
    over_datasets = jax.jit(jax.vmap(over_draws))
    with float64(), jax.numpy_rank_promotion("allow"):  # NumPyro's transforms rely on it
        return np.asarray(over_datasets(dict(latents), model.program_data(data, position)))

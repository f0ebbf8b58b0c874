"""A known hidden Markov model: sticky hidden states, each with probabilities of its symbols."""

import jax.numpy as jnp
import numpyro
from numpyro import distributions as dist
from numpyro.contrib.control_flow import scan

MOVES = jnp.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
SYMBOLS = jnp.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.4, 0.4, 0.1], [0.1, 0.1, 0.1, 0.7]])


def program(n=33, stick=1.0, y=None):
    moves = stick * MOVES + (1 - stick) / 3

    def step(last, now):
        state = numpyro.sample("state", dist.Categorical(moves[last]))
        numpyro.sample("y", dist.Categorical(SYMBOLS[state]), obs=now)
        return state, None

    scan(step, 0, y, length=n)

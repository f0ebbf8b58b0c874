"""A Markov chain whose rows of transition probabilities are Dirichlet(a)."""

import jax.numpy as jnp
import numpyro
from numpyro import distributions as dist
from numpyro.contrib.control_flow import scan


def program(n=65, symbols=3, a=1.0, y=None):
    prior = dist.Dirichlet(jnp.full(symbols, a)).expand([symbols]).to_event(1)
    rows = numpyro.sample("rows", prior)

    def step(last, now):
        symbol = numpyro.sample("y", dist.Categorical(rows[last]), obs=now)
        return symbol, symbol

    scan(step, 0, y, length=n)

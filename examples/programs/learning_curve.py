"""A learning curve: the loss falls as a power of the step to a floor;
floor, size and power are unknown.
"""

import jax.numpy as jnp
import numpyro
from numpyro import distributions as dist


def program(n=21, noise=0.05, power=0.0, y=None):
    floor = numpyro.sample("floor", dist.LogNormal(-1.0, 0.5))
    size = numpyro.sample("size", dist.LogNormal(0.0, 0.5))
    falls = numpyro.sample("falls", dist.LogNormal(power, 0.4))
    steps = jnp.arange(1.0, n + 1)
    with numpyro.plate("steps", n):
        numpyro.sample("y", dist.Normal(floor + size * steps**-falls, noise), obs=y)

"""Linear regression whose weights are one of a finite pool of tasks."""

import jax.numpy as jnp
import numpyro
from jax import random
from numpyro import distributions as dist


def program(n=17, d=3, tasks=16, noise=0.5, x=None, y=None):
    pool = random.normal(random.key(0), (tasks, d))
    task = numpyro.sample("task", dist.Categorical(jnp.full(tasks, 1 / tasks)))
    with numpyro.plate("pairs", n):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0).expand([d]).to_event(1), obs=x)
        numpyro.sample("y", dist.Normal(x @ pool[task], noise), obs=y)

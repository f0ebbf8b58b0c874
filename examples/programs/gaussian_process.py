"""A Gaussian process whose length-scale is unknown; the values are one multivariate normal."""

import jax.numpy as jnp
import numpyro
from numpyro import distributions as dist


def program(n=17, noise=0.1, centre=0.0, x=None, y=None):
    scale = numpyro.sample("scale", dist.LogNormal(centre, 0.5))
    with numpyro.plate("points", n):
        x = numpyro.sample("x", dist.Uniform(-3.0, 3.0), obs=x)
    distance = (x[:, None] - x[None]) / scale
    covariance = jnp.exp(-0.5 * distance**2) + noise**2 * jnp.eye(n)
    numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(n), covariance), obs=y)

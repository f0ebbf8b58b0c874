"""Logistic regression whose inputs are drawn anew."""

import numpyro
from numpyro import distributions as dist


def program(n=33, d=2, scale=2.0, x=None, y=None):
    w = numpyro.sample("w", dist.Normal(0.0, scale).expand([d]).to_event(1))
    with numpyro.plate("pairs", n):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0).expand([d]).to_event(1), obs=x)
        numpyro.sample("y", dist.Bernoulli(logits=x @ w), obs=y)

"""Linear regression whose inputs are drawn anew;
the weights are normal, Laplace, or mostly zero.
"""

import numpyro
from numpyro import distributions as dist


def program(n=17, d=3, noise=0.5, weights="normal", scale=1.0, share=0.3, x=None, y=None):
    with numpyro.plate("dimensions", d):
        if weights == "spike-and-slab":
            on = numpyro.sample("on", dist.Bernoulli(share))
            w = on * numpyro.sample("slab", dist.Normal(0.0, scale))
        elif weights == "laplace":
            w = numpyro.sample("w", dist.Laplace(0.0, scale / 2**0.5))
        else:
            w = numpyro.sample("w", dist.Normal(0.0, scale))
    with numpyro.plate("pairs", n):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0).expand([d]).to_event(1), obs=x)
        numpyro.sample("y", dist.Normal(x @ w, noise), obs=y)

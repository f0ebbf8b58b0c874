"""An urn of unknown composition, drawn from with replacement: Beta(a, a), then Bernoulli."""

import numpyro
from numpyro import distributions as dist


def program(n=33, a=1.0, y=None):
    share = numpyro.sample("share", dist.Beta(a, a))
    with numpyro.plate("draws", n):
        numpyro.sample("y", dist.Bernoulli(share), obs=y)

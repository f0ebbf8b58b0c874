"""Eight programs as users write them and a small one, with data:
hierarchy, correlation, ODE, sequences, labels, sparsity.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax.experimental.ode import odeint
from numpyro import distributions as dist
from numpyro.contrib.control_flow import scan

HITS = np.array(
    [18, 17, 16, 15, 14, 14, 13, 12, 11, 11, 10, 10, 10, 10, 10, 9, 8, 7]
)  # Efron & Morris (1975), of 45 at bats


def partially_pooled(at_bats: Any, hits: Any = None) -> None:
    """Beta-binomial: abilities around a common one, pooling by the data."""
    mean = numpyro.sample("mean", dist.Uniform(0, 1))
    concentration = numpyro.sample("concentration", dist.Pareto(1.0, 1.5))
    with numpyro.plate("players", len(at_bats)):
        ability = numpyro.sample(
            "ability", dist.Beta(mean * concentration, (1 - mean) * concentration)
        )
        numpyro.sample("hits", dist.Binomial(at_bats, probs=ability), obs=hits)


def mixed_effects(group: Any, x: Any, y: Any = None) -> None:
    """Logistic regression with correlated intercepts and slopes of groups, not centred."""
    groups = int(np.max(group)) + 1
    centre = numpyro.sample("centre", dist.Normal(0, 1).expand([2]).to_event(1))
    scale = numpyro.sample("scale", dist.HalfNormal(1).expand([2]).to_event(1))
    factor = numpyro.sample("factor", dist.LKJCholesky(2, concentration=2.0))
    with numpyro.plate("groups", groups):
        z = numpyro.sample("z", dist.Normal(0, 1).expand([2]).to_event(1))
    effect = numpyro.deterministic("effect", centre + z @ (scale[:, None] * factor).T)
    logits = effect[group, 0] + effect[group, 1] * x
    numpyro.sample("y", dist.Bernoulli(logits=logits), obs=y)


def predator_prey(times: Any, sizes: Any = None) -> None:
    """Lotka & Volterra: an ODE solved at every gradient."""
    start = numpyro.sample("start", dist.LogNormal(jnp.log(10.0), 0.5).expand([2]).to_event(1))
    rates = numpyro.sample(
        "rates", dist.LogNormal(jnp.log(jnp.array([0.5, 0.03, 0.8, 0.03])), 0.3).to_event(1)
    )
    noise = numpyro.sample("noise", dist.LogNormal(-1.5, 0.5))

    def change(z: Any, t: Any, r: Any) -> Any:
        return jnp.stack([z[0] * (r[0] - r[1] * z[1]), z[1] * (r[3] * z[0] - r[2])])

    path = odeint(change, start, jnp.asarray(times), rates, rtol=1e-6, atol=1e-6, mxstep=500)
    numpyro.sample("sizes", dist.LogNormal(jnp.log(path), noise).to_event(2), obs=sizes)


def hidden_markov(length: int, symbols: Any = None) -> None:
    """Two hidden states, summed out by the forward recursion inside a scan."""
    stay = numpyro.sample("stay", dist.Beta(8, 2).expand([2]).to_event(1))
    first = numpyro.sample("first", dist.Beta(1, 3))
    emit = numpyro.sample(
        "emit", dist.Beta(jnp.array([2.0, 8.0]), jnp.array([8.0, 2.0])).to_event(1)
    )
    move = jnp.log(
        jnp.stack([jnp.stack([stay[0], 1 - stay[0]]), jnp.stack([1 - stay[1], stay[1]])])
    )
    begin = jnp.log(jnp.stack([1 - first, first]))

    def step(log_p: Any, symbol: Any) -> Any:
        law = dist.Categorical(logits=log_p)
        chance = (law.probs * emit).sum()
        seen = numpyro.sample("symbols", dist.Bernoulli(chance), obs=symbol)
        after = log_p + jnp.where(seen == 1, jnp.log(emit), jnp.log1p(-emit))
        after = after - jax.nn.logsumexp(after)
        return jax.nn.logsumexp(after[:, None] + move, 0), seen

    scan(step, begin, symbols, length=length)


def dawid_skene(votes: Any, classes: int = 2) -> None:
    """True classes of items from votes (item, annotator) of fallible annotators;
    the classes are summed out.
    """
    items, annotators = np.shape(votes)
    share = numpyro.sample("share", dist.Dirichlet(jnp.ones(classes)))
    with numpyro.plate("annotators", annotators, dim=-2), numpyro.plate("classes", classes):
        accuracy = numpyro.sample("accuracy", dist.Beta(6, 2))
    with numpyro.plate("items", items, dim=-1):
        true = numpyro.sample("true", dist.Categorical(share), infer={"enumerate": "parallel"})
        with numpyro.plate("voters", annotators, dim=-2):
            right = accuracy[jnp.arange(annotators)[:, None], true]
            chance = jnp.where(true == 1, right, 1 - right)
            numpyro.sample("votes", dist.Bernoulli(chance), obs=jnp.asarray(votes).T)


def horseshoe(x: Any, y: Any = None) -> None:
    """Sparse regression; half-Cauchy scales make funnels that leave divergences."""
    tau = numpyro.sample("tau", dist.HalfCauchy(1))
    with numpyro.plate("columns", np.shape(x)[1]):
        local = numpyro.sample("local", dist.HalfCauchy(1))
        z = numpyro.sample("z", dist.Normal(0, 1))
    beta = numpyro.deterministic("beta", tau * local * z)
    sigma = numpyro.sample("sigma", dist.HalfNormal(1))
    numpyro.sample("y", dist.Normal(x @ beta, sigma), obs=y)


def stochastic_volatility(returns: Any) -> None:
    """Log volatility as a random walk, one latent a day."""
    days = len(returns)
    step = numpyro.sample("step", dist.Exponential(10.0))
    with numpyro.plate("days", days):
        z = numpyro.sample("z", dist.Normal(0, 1))
    volatility = numpyro.deterministic("volatility", jnp.exp(-1.0 + step * jnp.cumsum(z)))
    numpyro.sample("returns", dist.StudentT(10.0, 0.0, volatility), obs=returns)


def zero_inflated(x: Any, counts: Any = None) -> None:
    """Counts with more zeros than a Poisson law has."""
    gate = numpyro.sample("gate", dist.Beta(2, 2))
    coefficients = numpyro.sample("coefficients", dist.Normal(0, 1).expand([2]).to_event(1))
    rate = jnp.exp(coefficients[0] + coefficients[1] * x)
    numpyro.sample("counts", dist.ZeroInflatedPoisson(gate, rate), obs=counts)


def one_mean(y: Any = None) -> None:
    """A standard normal mean of normal observations: the posterior mean is sum(y) / (n + 1)."""
    centre = numpyro.sample("centre", dist.Normal(0, 1))
    numpyro.sample("y", dist.Normal(centre, 1), obs=y)


def _data() -> dict[str, dict[str, Any]]:
    """Arguments of each program; numbers are drawn once from its law at sensible values."""
    rng = np.random.default_rng(20)
    group, x = np.repeat(np.arange(8), 12), rng.standard_normal(96)
    chance = 1 / (1 + np.exp(-(rng.standard_normal(8)[group] * 0.7 + 0.8 * x)))
    truth = rng.random(40) < 0.4
    right = np.array([0.9, 0.8, 0.85, 0.7, 0.75])
    design = rng.standard_normal((40, 6))
    symbols = (rng.random(80) < np.where(np.arange(80) // 16 % 2 == 1, 0.85, 0.15)).astype(np.int64)
    walk = np.exp(-1 + 0.1 * np.cumsum(rng.standard_normal(60)))
    counts = rng.poisson(np.exp(0.8 + 0.5 * x[:60])) * (rng.random(60) < 0.7)
    hares = np.array(
        [30, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22, 25.4]
    )  # Hewitt (1921), 1900 to 1909, thousands
    lynxes = np.array([4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1])
    return {
        "partially_pooled": {"at_bats": np.full(18, 45), "hits": HITS},
        "mixed_effects": {"group": group, "x": x, "y": (rng.random(96) < chance).astype(np.int64)},
        "predator_prey": {"times": np.arange(10.0), "sizes": np.stack([hares, lynxes], 1)},
        "hidden_markov": {"length": 80, "symbols": symbols},
        "dawid_skene": {
            "votes": np.where(rng.random((40, 5)) < right, truth[:, None], ~truth[:, None]).astype(
                np.int64
            )
        },
        "horseshoe": {
            "x": design,
            "y": design @ np.array([2.0, -1, 0, 0, 0, 0]) + 0.5 * rng.standard_normal(40),
        },
        "stochastic_volatility": {"returns": walk * rng.standard_normal(60)},
        "zero_inflated": {"x": x[:60], "counts": counts},
        "one_mean": {"y": np.array([1.5, 2.0, 1.5, 2.25])},
    }


DATA = _data()

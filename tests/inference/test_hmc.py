"""Whitened HMC: agreement with exact posteriors in every family, its ladder,
and posteriors that must be refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist

from veribayes import api, registry
from veribayes.inference._mcmc import Mcmc
from veribayes.inference.hmc import Hmc, laplace
from veribayes.inference.nuts import Nuts
from veribayes.models._priors import Dirichlet, UniformInterval
from veribayes.models._task import Design, Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.models.gaussian_process._hyper import LogUniform
from veribayes.models.gaussian_process._kernels import RBF
from veribayes.models.mtd import MTD
from veribayes.predictive import Array
from veribayes.tree import Branch

CHAIN = MTD(5, 3, matrix_seed=0)
FAMILIES = [
    (CHAIN, 24, "simplex_quadrature"),
    *(
        pytest.param(*case, marks=pytest.mark.study)
        for case in (
            (
                BayesianNetwork(["A", "B"], {"B": ["A"]}, prior=UniformInterval(0.1, 0.9)),
                6,
                "conjugate",
            ),
            (
                BayesianNetwork(["A", "B"], {"B": ["A"]}, [2, 3], prior=Dirichlet(1.0)),
                6,
                "conjugate",
            ),
            (GaussianProcess(RBF(1.0, 0.8), 0.3), 5, "cholesky"),
            (GaussianProcess(RBF(1.0, LogUniform(0.3, 2.0)), 0.2), 6, "cholesky"),
        )
    ),
]


@pytest.mark.parametrize("datasets", [60, pytest.param(200, marks=pytest.mark.study)])
@pytest.mark.parametrize(
    ("model", "size", "engine"), FAMILIES, ids=lambda v: getattr(v, "kind", str(v))
)
def test_agreement_with_the_exact_posterior(
    model: Any, size: int, engine: str, datasets: int
) -> None:
    """Every latent of the data sets within 4.2 Monte Carlo standard errors,
    z-scores with sd in [.8, 1.2].

    The mixture of transitions: sd 1.03, largest 3.7 of 768 (256 data sets at T = 64).
    """
    task = Task("audit", model, Design((size,), queries=1), engine, engine)
    data = task.simulate(range(datasets), seed=0, stream="audit").data
    exact = registry.load("engine", engine)()(task, data, seed=0)
    method = Hmc()
    run = method.run(method.ladder(task)[0], model, data, 0, seed=0)
    assert run.gates.passed.mean() > 0.9  # the others climb
    for name, found in run.latents.items():
        truth = exact.posterior[name]
        z = ((found["mean"] - truth["mean"][:, 0]) / found["mcse"])[run.gates.passed].ravel()
        z = z[np.isfinite(z)]
        assert z.size >= 0.9 * datasets
        assert np.abs(z).max() < 4.2
        assert 0.8 < z.std() < 1.2
        assert np.nanmedian(found["sd"] / truth["sd"][:, 0]) == pytest.approx(1.0, abs=0.02)


def test_a_normal_law_is_whitened_exactly() -> None:
    """The mode is the mean and the root is a root of the covariance;
    a law without a mode gives numbers all the same.
    """
    with jax.enable_x64(True):
        precision = jnp.array([[2.0, 0.9], [0.9, 1.0]])
        mode, root = laplace(
            lambda x: 0.5 * (x - 3.0) @ precision @ (x - 3.0), jnp.array([-40.0, 7.0])
        )
        np.testing.assert_allclose(mode, [3.0, 3.0], atol=1e-7)
        np.testing.assert_allclose(root @ root.T, np.linalg.inv(precision), rtol=1e-10)
        _, root = laplace(lambda x: jnp.log1p(x @ x) - x.sum(), jnp.zeros(2))
        assert np.all(np.isfinite(root))


# -- posteriors that must be refused ---------------------------------------------------------------


def two_lags(length: int = 900) -> np.ndarray:
    """A series that follows one permutation of its last symbol or another of the one before, by
    turns.
    """
    rng = np.random.default_rng(4)
    first, second = np.array([1, 2, 0]), np.array([2, 0, 1])
    y = [0, 1]
    for _ in range(length):
        follows = first[y[-1]] if rng.random() < 0.7 else second[y[-2]]
        y.append(int(follows) if rng.random() < 0.9 else int(rng.integers(3)))
    return np.array(y)


def shared_matrix(y: Any) -> None:
    """MTD(2) with one unknown matrix for both lags:
    as a function of the weight, the likelihood has separate modes.
    """
    weight = numpyro.sample("weight", dist.Beta(1, 1))
    matrix = numpyro.sample("matrix", dist.Dirichlet(jnp.ones(3)).expand([3]).to_event(1))
    chance = weight * matrix[y[1:-1], y[2:]] + (1 - weight) * matrix[y[:-2], y[2:]]
    numpyro.factor("symbols", jnp.log(chance).sum())


def funnel(effect: Any, error: Any) -> None:
    """Eight schools, centred (Rubin 1981): the scale of the group is a funnel that no step size
    fits.
    """
    mean = numpyro.sample("mean", dist.Normal(0, 5))
    scale = numpyro.sample("scale", dist.HalfCauchy(5))
    with numpyro.plate("schools", len(effect)):
        theta = numpyro.sample("theta", dist.Normal(mean, scale))
        numpyro.sample("effect", dist.Normal(theta, error), obs=effect)


SCHOOLS = {
    "effect": np.array([28.0, 8, -3, 7, -1, 1, 18, 12]),
    "error": np.array([15.0, 10, 16, 11, 9, 11, 10, 18]),
}


def poisoned(y: Any) -> None:
    """Density and gradient are fine, but what is derived from a latent is not a number in one
    draw of some thousands.
    """
    x = numpyro.sample("x", dist.Normal(0, 1))
    numpyro.deterministic("ratio", jnp.where(jnp.abs(x) > 3.0, jnp.nan, x))
    numpyro.sample("y", dist.Normal(x, 10.0), obs=y)


def log_posterior(y: Array, weight: Array, matrix: Array) -> Array:
    """Of `shared_matrix` in nats, up to a constant: both priors are flat."""
    return np.asarray(
        np.log(weight * matrix[y[1:-1], y[2:]] + (1 - weight) * matrix[y[:-2], y[2:]]).sum()
    )


def infer(function: Any, data: dict[str, Any], engine: Mcmc) -> Branch:
    task = api.task(function, data=data)
    return engine(task, task.simulate(range(1), seed=0).data, seed=0)


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param(Hmc(draws=200), marks=pytest.mark.study),
        pytest.param(Nuts(warmup=200, draws=200, chains=2), marks=pytest.mark.study),
    ],
    ids=["hmc", "nuts"],
)
def test_modes_far_apart_are_refused(engine: Mcmc, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the wood-pewee series: the pooled mean of the weight looks plausible,
    and R-hat is in the hundreds.

    Between the chains' means lie 82 nats: the lower mode has no posterior mass to speak of.
    """
    ladder = type(engine).ladder
    monkeypatch.setattr(
        type(engine), "ladder", lambda self, task: ladder(self, task)[:1]
    )  # the others cost minutes
    y = two_lags()
    branch = infer(shared_matrix, {"y": y}, replace(engine, keep=True))
    assert branch.certificate.verdict == "refused"
    assert branch.certificate.diagnostics["split_r_hat"] > 50
    assert any("chains stay in different places" in reason for reason in branch.certificate.reasons)
    assert 0.05 < branch.posterior["weight"]["mean"].item() < 0.95
    weight, matrix = (
        branch.posterior[name]["draws"][0, 0].mean(1) for name in ("weight", "matrix")
    )
    height = [log_posterior(y, w, m) for w, m in zip(weight, matrix, strict=True)]
    print(f"modes {max(height) - min(height):.0f} nats apart")
    assert max(height) - min(height) > 50


@pytest.mark.study
@pytest.mark.timeout(3000)
def test_a_funnel_is_refused() -> None:
    """No method of the ladder satisfies the gates:
    NUTS alone with small steps diverges in the neck too, or never enters it.
    """
    branch = infer(funnel, SCHOOLS, Hmc())
    assert branch.certificate.verdict == "refused"
    assert branch.certificate.diagnostics["nuts_alone_share"] == 1.0
    gates = ("divergent transitions", "E-BFMI", "rank R-hat", "bulk effective", "tail effective")
    assert any(reason.startswith(gates) for reason in branch.certificate.reasons[1:])


def test_draws_that_are_not_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hmc, "ladder", lambda self, task, whole=Hmc.ladder: whole(self, task)[:1])
    branch = infer(poisoned, {"y": np.zeros(1)}, Hmc())
    assert branch.certificate.verdict == "refused"
    assert any(reason.startswith("rank R-hat: nan") for reason in branch.certificate.reasons)


def correlation(draws: Array) -> Array:
    return np.corrcoef(draws.reshape(-1, 2).T)[0, 1]


def test_draws_are_kept_where_they_are_asked_for() -> None:
    def program(y: Any) -> None:
        x = numpyro.sample(
            "x", dist.MultivariateNormal(jnp.zeros(2), jnp.array([[1.0, 0.6], [0.6, 1.0]]))
        )
        numpyro.sample("y", dist.Normal(x.sum(), 100.0), obs=y)

    branch = infer(program, {"y": np.zeros(1)}, Hmc(draws=1000, keep=True))
    draws = branch.posterior["x"]["draws"]
    assert draws.shape == (1, 1, 4, 1000, 2)
    assert correlation(draws) == pytest.approx(0.6, abs=0.03)  # measured .587
    np.testing.assert_allclose(draws.mean((2, 3)), branch.posterior["x"]["mean"])

"""Gaussian processes: kernels against their formulas, simulation against theory,
program and conditional, errors.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import numpy as np
import pytest
from numpyro.infer.util import log_density
from scipy import stats

from veribayes.errors import InputError, ModelError
from veribayes.models._task import Design, hash_of
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.models.gaussian_process._hyper import Grid, LogNormal, LogUniform
from veribayes.models.gaussian_process._kernels import (
    RBF,
    Kernel,
    Linear,
    Matern12,
    Matern32,
    Matern52,
    Periodic,
    Product,
    Sum,
    kernel_from_spec,
)
from veribayes.tree import Data, Simulation

FIXED = GaussianProcess(RBF(1.0, 0.8), 0.2)
GRID = GaussianProcess(RBF(1.0, Grid((0.4, 0.8, 1.2))), Grid((0.1, 0.2, 0.3)))
CONTINUOUS = GaussianProcess(RBF(1.0, LogUniform(0.3, 2.0)), LogNormal(-1.5, 0.4))
COMPOSITE = GaussianProcess(
    Linear((2.0, 0.5)) + Matern32(0.7, Grid((0.5, 1.0))) * Periodic(1.0, 0.9, 1.3),
    0.3,
    2,
    "uniform",
)
DESIGN = Design((2, 12), queries=3)


@lru_cache
def drawn(model: GaussianProcess) -> Simulation:
    return model.simulate(DESIGN, 3, "verify", np.arange(1000))


X = np.array([[0.0, 0.0], [0.3, -0.2], [1.0, 0.5], [0.3, -0.2]])


def matrix(kernel: Kernel, theta: dict[str, float] | None = None) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(kernel(jax.numpy.asarray(X), jax.numpy.asarray(X), theta or {}))


# -- kernels ---------------------------------------------------------------------------------------

R = np.sqrt(((X[:, None] - X[None]) ** 2).sum(-1))
FORMULAS: list[tuple[Kernel, np.ndarray]] = [
    (Linear(2.0), 2 * X @ X.T),
    (Linear((2.0, 0.4)), X @ np.diag([2.0, 0.4]) @ X.T),
    (RBF(1.5, 0.8), 2.25 * np.exp(-(R**2) / 1.28)),
    (Matern12(1.5, 0.8), 2.25 * np.exp(-R / 0.8)),
    (Matern32(1.0, 0.5), (1 + 3**0.5 * R / 0.5) * np.exp(-(3**0.5) * R / 0.5)),
    (Matern52(1.0, 0.5), (1 + 5**0.5 * R / 0.5 + 5 * R**2 / 0.75) * np.exp(-(5**0.5) * R / 0.5)),
    (
        Periodic(1.2, 0.9, 1.3),
        1.44 * np.exp(-2 * (np.sin(np.pi * (X[:, None] - X[None]) / 1.3) ** 2).sum(-1) / 0.81),
    ),
    (RBF() + Linear() + Matern12(), np.exp(-(R**2) / 2) + X @ X.T + np.exp(-R)),
    (RBF() * Linear() * Matern12(), np.exp(-(R**2) / 2) * (X @ X.T) * np.exp(-R)),
]


@pytest.mark.parametrize(("kernel", "expected"), FORMULAS)
def test_a_kernel_is_its_formula(kernel: Kernel, expected: np.ndarray) -> None:
    found = matrix(kernel)
    assert np.abs(found - expected).max() < 1e-14
    assert np.linalg.eigvalsh(found).min() > -1e-12
    with jax.enable_x64(True):
        assert np.array_equal(np.asarray(kernel.variance(jax.numpy.asarray(X), {})), np.diag(found))
    assert kernel_from_spec(kernel.spec()) == kernel


def test_terms_of_a_sum_see_their_own_hyperparameters() -> None:
    kernel = RBF(1.0, Grid((0.5, 1.0))) + RBF(LogUniform(0.1, 1), 2.0) * Matern12(
        1.0, Grid((1.0, 3.0))
    )
    assert set(kernel.priors()) == {"0.lengthscale", "1.0.amplitude", "1.1.lengthscale"}
    found = matrix(kernel, {"0.lengthscale": 0.5, "1.0.amplitude": 0.7, "1.1.lengthscale": 3.0})
    assert np.abs(found - matrix(RBF(1.0, 0.5) + RBF(0.7, 2.0) * Matern12(1.0, 3.0))).max() < 1e-15
    assert kernel_from_spec(kernel.spec()) == kernel


def test_sums_and_products_stay_flat() -> None:
    assert (RBF() + Linear() + Matern12()) == Sum((RBF(), Linear(), Matern12()))
    assert (RBF() * Linear() * Matern12()) == Product((RBF(), Linear(), Matern12()))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rbf", "a mapping with 'kind' for a kernel"),
        ({"kind": "gauss"}, "kind of the kernel"),
        ({"kind": "rbf", "lengthscale": 0}, "'lengthscale' above 0"),
        ({"kind": "rbf", "lenghtscale": 1}, "did you mean 'lengthscale'"),
        ({"kind": "rbf", "lengthscale": float("inf")}, "finite"),
        ({"kind": "rbf", "lengthscale": None}, "a number"),
        ({"kind": "rbf", "lengthscale": {"kind": "grid", "values": []}}, "at least one"),
        ({"kind": "rbf", "lengthscale": {"kind": "grid", "values": [1, 1]}}, "different values"),
        ({"kind": "rbf", "lengthscale": {"kind": "normal"}}, "kind of the hyperprior"),
        (
            {"kind": "rbf", "lengthscale": {"kind": "log_uniform", "low": 2, "high": 1}},
            "'high' above 2",
        ),
        ({"kind": "rbf", "lengthscale": {"kind": "log_uniform", "low": 2}}, "low, high"),
        ({"kind": "sum", "terms": [{"kind": "rbf"}]}, "two or more terms"),
        ({"kind": "sum"}, "terms in the kernel 'sum'"),
        ({"kind": "linear", "diagonal": [1, -1]}, "above 0"),
        ({"kind": "linear", "diagonal": "x"}, "a list"),
    ],
)
def test_what_is_no_kernel_is_refused(spec: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        kernel_from_spec(spec)


# -- hyperparameters -------------------------------------------------------------------------------


def test_hyper_nodes_of_a_grid_are_exact() -> None:
    theta, weights = GRID.hyper_nodes()
    assert weights.shape == (9,)
    assert abs(weights.sum() - 1) < 1e-15
    assert {
        (a, b) for a, b in zip(theta["kernel.lengthscale"], theta["noise_sd"], strict=True)
    } == {(a, b) for a in (0.4, 0.8, 1.2) for b in (0.1, 0.2, 0.3)}


def test_hyper_nodes_integrate_continuous_priors() -> None:
    theta, weights = CONTINUOUS.hyper_nodes(12)
    assert abs(weights @ theta["kernel.lengthscale"] - 1.7 / np.log(2.0 / 0.3)) < 1e-13
    assert abs(weights @ theta["noise_sd"] - np.exp(-1.5 + 0.08)) < 1e-13


def test_fixed_hyperparameters_are_one_node() -> None:
    theta, weights = FIXED.hyper_nodes()
    assert weights.tolist() == [1.0]
    assert {n: v.tolist() for n, v in theta.items()} == {"noise_sd": [0.2]}
    assert [v.name for v in FIXED.latents] == ["f"]
    assert [v.name for v in CONTINUOUS.latents] == ["kernel.lengthscale", "noise_sd"]


# -- model -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [FIXED, GRID, CONTINUOUS, COMPOSITE])
def test_spec_round_trip(model: GaussianProcess) -> None:
    again = GaussianProcess.from_spec(model.spec())
    assert again == model
    assert hash(again) == hash(model)
    assert hash_of(again.spec()) == hash_of(model.spec())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"d": 0}, "'d' between 1"),
        ({"noise_sd": 0}, "'noise_sd' above 0"),
        ({"noise_sd": -1.0}, "above 0"),
        ({"input_law": "cauchy"}, "normal, uniform"),
        ({"kernel": "rbf"}, "a Kernel"),
        ({"kernel": Linear((1.0, 2.0))}, "1 entries of 'diagonal'"),
        ({"kernel": RBF() + Linear((1.0, 2.0))}, "1 entries of 'diagonal'"),
    ],
)
def test_what_is_no_model_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        GaussianProcess(**{"kernel": RBF(), "noise_sd": 0.1, **fields})


def test_shapes_and_purity() -> None:
    many = drawn(FIXED)
    few = FIXED.simulate(DESIGN, 3, "verify", np.array([33, 2]))
    assert {k: v.shape for k, v in many.data.arrays.items()} == {
        "x": (1000, 12, 1),
        "y": (1000, 12),
        "x_query": (1000, 3, 1),
    }
    assert many.outcome.shape == (1000, 2, 3)
    assert np.array_equal(many.outcome[:, 0], many.outcome[:, 1])
    assert many.data.arrays["y"].dtype == np.float64
    for name in ("x", "y", "x_query"):
        assert (
            np.abs(many.data.arrays[name][[33, 2]] - few.data.arrays[name]).max() < 1e-12
        )  # measured 0
    assert np.abs(many.latents["f"][[33, 2]] - few.latents["f"]).max() < 1e-12  # measured 0
    context, query = FIXED.inputs(many.data, 0)
    assert context.x.shape == (1000, 2, 1)
    assert context.y.shape == (1000, 2)
    assert query.shape == (1000, 3, 1)


@pytest.mark.parametrize("model", [FIXED, CONTINUOUS, COMPOSITE])
def test_data_follow_the_model(model: GaussianProcess) -> None:
    """Whitened by its declared covariance, y is standard normal, queries included;
    so are the residuals y - f.
    """
    n = 1000
    sim = drawn(model)
    a = sim.data.arrays
    x, y = np.concatenate([a["x"], a["x_query"]], 1), np.concatenate([a["y"], sim.outcome[:, 0]], 1)
    theta = {k: v for k, v in sim.latents.items() if k != "f"}
    noise = theta.get("noise_sd", np.full(n, model.noise_sd))
    with jax.enable_x64(True):
        each = jax.vmap(lambda points, values: model.covariance(points, points, values))
        k = np.asarray(each(x, {"noise_sd": noise, **theta}))
    z = np.linalg.solve(
        np.linalg.cholesky(k + noise[:, None, None] ** 2 * np.eye(15)), y[..., None]
    )[..., 0]
    scale = 4.5 / n**0.5
    assert np.abs(z.mean(0)).max() < scale
    assert np.abs((z**2).mean(0) - 1).max() < 2**0.5 * scale * 1.2
    assert np.abs((z[:, 1:] * z[:, :-1]).mean(0)).max() < scale
    assert (
        abs(((a["y"] - sim.latents["f"]) ** 2 / noise[:, None] ** 2).mean() - 1)
        < 4.5 * (2 / 12 / n) ** 0.5
    )
    if model.input_law == "normal":
        assert abs((a["x"] ** 2).sum(-1).mean() - 1) < 4.5 * (2 / 12 / n) ** 0.5
    else:
        assert abs(a["x"].mean() - 0.5) < 4.5 * (1 / 12 / 24 / n) ** 0.5
        assert 0 < a["x"].min() < a["x"].max() < 1


def test_hyperparameters_follow_their_priors() -> None:
    latents = drawn(CONTINUOUS).latents
    place = np.log(latents["kernel.lengthscale"] / 0.3) / np.log(2.0 / 0.3)
    assert stats.kstest(place, "uniform").pvalue > 1e-3
    assert stats.kstest((np.log(latents["noise_sd"]) + 1.5) / 0.4, "norm").pvalue > 1e-3
    with jax.enable_x64(True):
        chosen = np.asarray(Grid((0.4, 0.8, 1.2)).sample(jax.numpy.linspace(0.001, 0.999, 300)))
    assert [int((chosen == v).sum()) for v in (0.4, 0.8, 1.2)] == [100, 100, 100]


# -- program and conditional -----------------------------------------------------------------------


def closed_form(
    model: GaussianProcess, data: Data, position: int, theta: dict[str, float]
) -> tuple[np.ndarray, ...]:
    """Posterior mean and covariance of f at the context of data set 0;
    mean and variance of a noisy y at its queries.
    """
    (x, y), query = model.inputs(data, position)
    points = np.concatenate([x[0], query[0]])
    with jax.enable_x64(True):
        k = np.asarray(
            model.covariance(jax.numpy.asarray(points), jax.numpy.asarray(points), theta)
        )
    n, noise = x.shape[1], theta["noise_sd"] ** 2
    gain = np.linalg.solve(k[:n, :n] + noise * np.eye(n), k[:n]).T
    mean, cov = gain @ y[0], k - gain @ k[:n]
    return mean[:n], cov[:n, :n], mean[n:], np.diag(cov)[n:] + noise


def density(
    model: GaussianProcess, given: dict[str, Any], sites: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    value, trace = log_density(model.program, (), given, sites)
    return value, {name: site["value"] for name, site in trace.items()}


def test_latent_program_is_the_formula() -> None:
    data = drawn(FIXED).data.select(slice(1))
    z = np.linspace(-1, 1, 12)
    for position, n in ((0, 2), (1, 12)):
        given = {k: v[0] for k, v in FIXED.program_data(data, position).items()}
        with jax.enable_x64(True):
            value, trace = jax.jit(lambda given: density(FIXED, given, {"z": z}))(given)
            f = np.asarray(trace["f"])
            k = matrix_at(FIXED, data.arrays["x"][0, :n])
        expected = (
            stats.norm.logpdf(z).sum()
            + stats.norm.logpdf(data.arrays["y"][0, :n], f[:n], 0.2).sum()
        )
        assert abs(float(value) - expected) < 1e-10
        assert np.abs(given["root"][:n, :n] @ given["root"][:n, :n].T - k).max() < 1e-13
        assert np.all(f[n:] == 0)
        assert FIXED.latent_mask(data, position)["f"][0].sum() == n


def matrix_at(model: GaussianProcess, x: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(model.covariance(jax.numpy.asarray(x), jax.numpy.asarray(x), {}))


def test_marginal_program_is_the_formula() -> None:
    data = drawn(CONTINUOUS).data.select(slice(1))
    theta = {"kernel.lengthscale": 0.7, "noise_sd": 0.3}
    for position, n in ((0, 2), (1, 12)):
        given = {k: v[0] for k, v in CONTINUOUS.program_data(data, position).items()}
        with jax.enable_x64(True):
            value, _ = jax.jit(lambda given: density(CONTINUOUS, given, theta))(given)
        x, y = data.arrays["x"][0, :n], data.arrays["y"][0, :n]
        cov = np.exp(-((x - x.T) ** 2) / (2 * 0.49)) + 0.09 * np.eye(n)
        prior = -np.log(0.7 * np.log(2.0 / 0.3)) + stats.lognorm.logpdf(
            0.3, 0.4, scale=np.exp(-1.5)
        )
        assert (
            abs(float(value) - prior - stats.multivariate_normal.logpdf(y, np.zeros(n), cov))
            < 1e-10
        )


def test_a_grid_has_no_program() -> None:
    data = drawn(FIXED).data.select(slice(1))
    with pytest.raises(InputError, match="a continuous hyperprior"), jax.enable_x64(True):
        log_density(GRID.program, (), {k: v[0] for k, v in GRID.program_data(data, 0).items()}, {})


@pytest.mark.parametrize("position", [0, 1])
def test_conditional_on_f_averages_to_the_predictive(position: int) -> None:
    """Over points that carry the posterior's mean and covariance,
    the mixture has exactly the predictive's moments.
    """
    data = drawn(FIXED).data.select(slice(1))
    mean, cov, expected, variance = closed_form(FIXED, data, position, {"noise_sd": 0.2})
    values, vectors = np.linalg.eigh(cov)
    step = (vectors * np.sqrt(np.maximum(values, 0) * len(mean))).T
    draws = np.zeros((1, 2 * len(mean), 12))
    draws[0, :, : len(mean)] = np.concatenate([mean + step, mean - step])
    found = FIXED.conditional({"f": draws}, data, position)
    assert found.shape == (1, 3)
    off_mean = np.abs(found.expectation()[0] - expected).max()
    off_variance = np.abs(found.standard_deviation()[0] ** 2 - variance).max()
    assert off_mean < 1e-6  # measured 7e-8: f carries few digits along small eigenvalues
    assert off_variance < 1e-8  # measured 8e-11


def test_conditional_on_hyperparameters_is_the_predictive() -> None:
    data = drawn(CONTINUOUS).data.select(slice(1))
    draws = {"kernel.lengthscale": np.array([[0.5, 1.1]]), "noise_sd": np.array([[0.2, 0.4]])}
    found = CONTINUOUS.conditional(draws, data, 1).variables()
    for s in range(2):
        *_, mean, variance = closed_form(
            CONTINUOUS, data, 1, {n: v[0, s] for n, v in draws.items()}
        )
        assert np.abs(found["mean"][0, :, s] - mean).max() < 1e-12
        assert np.abs(found["sd"][0, :, s] ** 2 - variance).max() < 1e-12
    assert found["weights"].shape == (1, 3, 2)

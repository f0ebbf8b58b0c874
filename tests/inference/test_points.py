"""Gaussian processes: independent routes, closed forms, hyperparameters, kernel descent,
the floor of arXiv 2605.26713.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy.special import logsumexp, ndtr

from veribayes import registry
from veribayes.errors import InputError, ReferenceRefused, ShapeError
from veribayes.models._task import Design, Task
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.models.gaussian_process._hyper import Grid, LogNormal, LogUniform
from veribayes.models.gaussian_process._kernels import (
    RBF,
    Linear,
    Matern12,
    Matern32,
    Matern52,
    Periodic,
)
from veribayes.predictive import Array
from veribayes.tree import Data, merge_branches

BLR = GaussianProcess(
    Linear((2.0, 1.0, 1.0, 0.4, 0.4)), 0.2, 5
)  # the settings of arXiv 2605.26713: noise sd .2
FIXED = [
    GaussianProcess(RBF(1.0, 0.8), 0.2),
    BLR,
    GaussianProcess(
        RBF(1.0, 0.5) * Periodic(0.7, 1.0, 0.4) + Matern32(0.5, 1.0), 0.1, 2, "uniform"
    ),
    GaussianProcess(RBF(1.0, 0.6), 0.01, 5, "uniform"),
]
HYPER = [
    GaussianProcess(RBF(1.0, Grid((0.4, 0.8, 1.2))), Grid((0.1, 0.2, 0.3)), 2),
    GaussianProcess(RBF(1.0, LogUniform(0.2, 2.0)), 0.2, 1, "uniform"),
]


def task_of(model: GaussianProcess, *positions: int, queries: int = 4) -> Task:
    return Task("points", model, Design(positions, queries=queries), "cholesky", "sequential")


def run(name: str, task: Task, data: Data, **options: Any) -> Any:
    return registry.load("engine", name)(**options)(task, data, seed=0)


def dense(kernel: Any, data: Data, n: int, noise_sd: float) -> tuple[Array, Array, Array, float]:
    """Mean and sd of y at the queries, K and log evidence of the first data set,
    by solving with the inverse.
    """
    x, y, query = data.arrays["x"][0, :n], data.arrays["y"][0, :n], data.arrays["x_query"][0]
    k, across = kernel(x, x), kernel(x, query)
    inverse = np.linalg.inv(k + noise_sd**2 * np.eye(n))
    mean = across.T @ inverse @ y
    variance = (
        np.diag(kernel(query, query))
        + noise_sd**2
        - np.einsum("nq,nm,mq->q", across, inverse, across)
    )
    evidence = -0.5 * (y @ inverse @ y + np.linalg.slogdet(k + noise_sd**2 * np.eye(n))[1])
    return mean, np.sqrt(variance), k, float(evidence)


def rbf(lengthscale: float) -> Any:
    return lambda a, b: np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * lengthscale**2))


LATER = [pytest.param(model, marks=pytest.mark.study) for model in (BLR, FIXED[3])]
EVERY = [FIXED[0], FIXED[2], *HYPER, *LATER]


@pytest.mark.parametrize(
    "model", EVERY, ids=lambda m: f"{m.kernel.kind}{m.d}" + "h" * (not m.fixed)
)
def test_two_routes_agree_at_every_prefix(model: GaussianProcess) -> None:
    task = task_of(model, 24)
    data = replace(task.simulate(range(6), seed=0).data, positions=np.arange(25))
    exact, other = run("cholesky", task, data), run("sequential", task, data)
    assert (
        exact.predictive.form == other.predictive.form == ("normal" if model.fixed else "mixture")
    )
    for name, value in exact.predictive.variables().items():
        np.testing.assert_allclose(
            value, other.predictive.variables()[name], rtol=0, atol=2e-12
        )  # 8e-14
    for latent in exact.posterior:
        for key in ("mean", "sd"):  # an sd is a root of a difference of moments
            one, two = exact.posterior[latent][key], other.posterior[latent][key]
            np.testing.assert_allclose(
                one, two, rtol=0, atol=1e-11 if model.fixed else 1e-7
            )  # 2e-13, 5e-9
    assert exact.certificate.verdict == other.certificate.verdict == "trusted"


def test_fixed_hyperparameters_by_the_inverse() -> None:
    task = task_of(GaussianProcess(RBF(1.0, 0.8), 0.2), 0, 5, 20)
    data = task.simulate(range(3), seed=0).data
    branch = run("cholesky", task, data)
    np.testing.assert_allclose(branch.predictive.mean[:, 0], 0)
    np.testing.assert_allclose(branch.predictive.sd[:, 0], np.sqrt(1.04), rtol=1e-14)
    for place, n in ((1, 5), (2, 20)):
        mean, sd, k, _ = dense(rbf(0.8), data, n, 0.2)
        np.testing.assert_allclose(branch.predictive.mean[0, place], mean, atol=1e-12)
        np.testing.assert_allclose(branch.predictive.sd[0, place], sd, atol=1e-12)
        gain = k @ np.linalg.inv(k + 0.04 * np.eye(n))
        f = branch.posterior["f"]
        np.testing.assert_allclose(
            f["mean"][0, place, :n], gain @ data.arrays["y"][0, :n], atol=1e-12
        )
        np.testing.assert_allclose(f["sd"][0, place, :n] ** 2, np.diag(k - gain @ k), atol=1e-12)
        assert np.all(np.isnan(f["mean"][:, place, n:]))


def test_a_grid_of_hyperparameters_by_hand() -> None:
    lengths, noises = (0.4, 0.8, 1.2), (0.1, 0.2, 0.3)
    task = task_of(HYPER[0], 12)
    data = task.simulate(range(2), seed=0).data
    branch = run("cholesky", task, data)
    parts = [dense(rbf(a), data, 12, s) for a in lengths for s in noises]
    log_weight = np.array([p[3] for p in parts])
    weight = np.exp(log_weight - logsumexp(log_weight))
    np.testing.assert_allclose(
        branch.predictive.expectation()[0, 0], weight @ [p[0] for p in parts], atol=1e-12
    )
    scale = branch.posterior["kernel.lengthscale"]["mean"][0, 0]
    assert scale == pytest.approx(weight @ np.repeat(lengths, 3), rel=1e-12)


def test_the_order_and_the_subset_of_positions_do_not_matter() -> None:
    task = task_of(FIXED[0], 1, 4, 16)
    data = task.simulate(range(5), seed=0).data
    every = run("cholesky", task, data)
    shuffled = run("cholesky", task, replace(data, positions=np.array([16, 1])))
    np.testing.assert_allclose(
        shuffled.predictive.mean, every.predictive.mean[:, [2, 0]], atol=1e-13
    )
    first = run("cholesky", task, replace(data, positions=np.array([4])))
    np.testing.assert_allclose(
        first.posterior["f"]["mean"], every.posterior["f"]["mean"][:, 1:2], atol=1e-13
    )
    assert run("cholesky", task, data, latents=False).posterior == {}


def test_the_rounding_bound_holds_and_gives_way_to_a_measurement() -> None:
    """Noise of 1e-3 on 96 points of a smooth kernel:
    the bound is too wide, and points in reverse order round alike.
    """
    task = task_of(GaussianProcess(RBF(1.0, 0.6), 1e-3, 1, "uniform"), 5, 96)
    data = task.simulate(range(3), seed=0).data
    data = replace(data, positions=data.positions[::-1])  # in any order
    branch = run("cholesky", task, data)
    other = run("sequential", task, data)
    assert branch.certificate.bound_kind == "estimate"
    assert branch.certificate.verdict == "trusted"
    assert other.certificate.verdict == "refused"
    found = np.abs(branch.predictive.mean - other.predictive.mean) / other.predictive.sd
    assert found.max() < 10 * branch.certificate.error_bound < 1e-4  # 2e-9, 6e-8


def test_too_few_quadrature_nodes_are_refused() -> None:
    model = GaussianProcess(RBF(1.0, LogNormal(-1.0, 0.5)), LogNormal(-1.5, 0.3), 1, "uniform")
    task = task_of(model, 32)
    data = task.simulate(range(3), seed=0).data
    few = run("cholesky", task, data, nodes=4)
    assert (few.certificate.verdict, few.certificate.bound_kind) == ("refused", "estimate")
    enough = run("cholesky", task, data, nodes=16)
    assert enough.certificate.error_bound < few.certificate.error_bound / 10


def test_kernel_descent_is_the_recursion() -> None:
    """u <- (1 - eta s^2) u + eta G (v - u), for the mean and for the reduction of the variance."""
    task = task_of(FIXED[0], 10)
    data = task.simulate(range(1), seed=0).data
    branch = run("kernel_descent", task, data, steps=7, eta=0.05)
    x, y, query = data.arrays["x"][0], data.arrays["y"][0], data.arrays["x_query"][0]
    g, across = rbf(0.8)(x, x), rbf(0.8)(x, query)
    for q in range(4):
        moments = []
        for v in (y, across[:, q]):
            at_points, at_query = np.zeros(10), 0.0
            for _ in range(7):
                step = 0.05 * (v - at_points)
                at_query = (1 - 0.05 * 0.04) * at_query + across[:, q] @ step
                at_points = (1 - 0.05 * 0.04) * at_points + g @ step
            moments.append(at_query)
        assert branch.predictive.mean[0, 0, q] == pytest.approx(moments[0], abs=1e-12)
        assert branch.predictive.sd[0, 0, q] ** 2 == pytest.approx(1.04 - moments[1], abs=1e-12)


def test_kernel_descent_approaches_exact_bayes() -> None:
    task = task_of(FIXED[0], 0, 1, 16)
    data = task.simulate(range(20), seed=0).data
    exact = run("cholesky", task, data).predictive
    errors = [
        np.abs(run("kernel_descent", task, data, steps=k).predictive.mean - exact.mean).max()
        for k in (1, 8, 64, 100_000)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-8
    np.testing.assert_allclose(
        run("kernel_descent", task, data).predictive.sd[:, :2], exact.sd[:, :2], atol=1e-12
    )


def test_kernel_descent_that_diverges_is_refused() -> None:
    task = task_of(FIXED[0], 30)
    with pytest.raises(ReferenceRefused, match="diverges"):
        run("kernel_descent", task, task.simulate(range(2), seed=0).data, eta=0.5, steps=20)
    with pytest.raises(InputError, match="fixed hyperparameters"):
        run(
            "kernel_descent",
            task_of(HYPER[0], 4),
            task_of(HYPER[0], 4).simulate(range(2), seed=0).data,
        )


FLOOR = {
    16: -1.43,
    32: -2.11,
    64: -2.80,
    128: -3.50,
    256: -4.19,
}  # log E TV(exact bin masses as steps, exact density)


def test_discretisation_floor_of_linear_regression() -> None:
    """Bins of one width between the .001 and .999 quantiles of y; contexts of 128 to 512 points."""
    task = task_of(BLR, 128, 256, 512, queries=20)
    simulation = task.simulate(range(20), seed=0)
    exact = run("cholesky", task, simulation.data, latents=False).predictive
    y = task_of(BLR, 1, queries=100).simulate(range(2000), seed=0, stream="replicate").outcome
    low, high = np.quantile(y, (0.001, 0.999))
    for cells, wanted in FLOOR.items():
        fine = np.linspace(low, high, cells * 8 * max(1, 256 // cells) + 1)
        middle = (fine[1:] + fine[:-1]) / 2
        density = np.exp(exact.log_prob(np.broadcast_to(middle, (*exact.shape, middle.size))))
        steps = density.reshape(*exact.shape, cells, -1)
        distance = (
            np.abs(steps - steps.mean(-1, keepdims=True)).sum((-1, -2)) / 2 * (fine[1] - fine[0])
        )
        assert np.log(distance.mean()) == pytest.approx(wanted, abs=0.04)  # .025


@pytest.mark.parametrize(
    "model", [pytest.param(FIXED[0], marks=pytest.mark.study), HYPER[0]], ids=["fixed", "grid"]
)
def test_joint_predictives_agree_and_have_the_marginals(model: GaussianProcess) -> None:
    task = task_of(model, 0, 3, 12)
    simulation = task.simulate(range(5), seed=0)
    one, two = (run(name, task, simulation.data, joint=True) for name in ("cholesky", "sequential"))
    for name in ("weights", "mean", "covariance"):
        np.testing.assert_allclose(
            getattr(one.joint, name), getattr(two.joint, name), atol=1e-12
        )  # 1e-14
    marginal = one.joint.marginal()
    np.testing.assert_allclose(marginal.expectation(), one.predictive.expectation(), atol=1e-13)
    np.testing.assert_allclose(
        marginal.standard_deviation(), one.predictive.standard_deviation(), atol=1e-13
    )
    white = one.joint.whiten(simulation.outcome)
    first = ndtr(white[..., 0])  # the first query is whitened by its marginal
    np.testing.assert_allclose(
        first, one.predictive.cdf(simulation.outcome[..., None])[..., 0, 0], atol=1e-12
    )
    assert run("cholesky", task, simulation.data).joint is None
    halves = [
        run("cholesky", task, simulation.data.select(part), joint=True)
        for part in (slice(2), slice(2, None))
    ]
    np.testing.assert_allclose(
        merge_branches(halves).joint.covariance, one.joint.covariance, atol=1e-14
    )


def test_a_joint_predictive_by_the_inverse() -> None:
    task = task_of(FIXED[0], 8)
    data = task.simulate(range(1), seed=0).data
    joint = run("cholesky", task, data, joint=True).joint
    x, query = data.arrays["x"][0], data.arrays["x_query"][0]
    k, across, own = rbf(0.8)(x, x), rbf(0.8)(x, query), rbf(0.8)(query, query)
    wanted = own - across.T @ np.linalg.inv(k + 0.04 * np.eye(8)) @ across + 0.04 * np.eye(4)
    np.testing.assert_allclose(joint.covariance[0, 0, 0], wanted, atol=1e-13)


@pytest.mark.parametrize(
    "model", [pytest.param(FIXED[0], marks=pytest.mark.study), HYPER[0]], ids=["fixed", "grid"]
)
def test_outcomes_are_white_under_the_joint_and_not_under_the_marginals(
    model: GaussianProcess,
) -> None:
    task = task_of(model, 2, queries=3)
    simulation = task.simulate(range(600), seed=0)
    joint = run("cholesky", task, simulation.data, joint=True).joint
    white = joint.whiten(simulation.outcome)[:, 0]
    second = white.T @ white / 600
    assert np.abs(second - np.eye(3)).max() < 4.5 * (2 / 600) ** 0.5  # .26; at most .1
    alone = (
        simulation.outcome - joint.marginal().expectation()
    ) / joint.marginal().standard_deviation()
    assert np.corrcoef(alone[:, 0].T)[0, 1] > 0.1  # .3: neighbours share what is unknown


def test_divergence_of_joints() -> None:
    """Closed form against the average of the difference of log densities,
    and zero for the same law.
    """
    task = task_of(FIXED[0], 4)
    data = task.simulate(range(2), seed=0).data
    wide = run("cholesky", task_of(GaussianProcess(RBF(1.0, 1.0), 0.2), 4), data, joint=True).joint
    exact = run("cholesky", task, data, joint=True).joint
    np.testing.assert_allclose(exact.kl(exact), 0, atol=1e-13)
    noise = np.random.default_rng(0).standard_normal((2_000, 2, 1, 4))
    y = exact.mean[:, :, 0] + np.einsum("bpqr,sbpr->sbpq", exact.factor[:, :, 0], noise)
    gap = np.array([exact.log_prob(one) - wide.log_prob(one) for one in y])
    assert np.all(np.abs(gap.mean(0) - exact.kl(wide)) < 4.5 * gap.std(0) / len(y) ** 0.5)
    with pytest.raises(ShapeError):
        exact.log_prob(y)


def mpmath_posterior(data: Data, lengthscale: float, noise_sd: float) -> tuple[Array, Array]:
    """Mean and sd of y at the queries of the first data set, RBF kernel, with 80 digits."""
    with mpmath.workdps(80):
        x, query = (mpmath.matrix(data.arrays[k][0, :, 0].tolist()) for k in ("x", "x_query"))
        n, q = len(x), len(query)

        def k(a: Any, b: Any) -> Any:
            return mpmath.exp(-((a - b) ** 2) / (2 * mpmath.mpf(lengthscale) ** 2))

        noise = mpmath.mpf(noise_sd) ** 2
        a = mpmath.matrix(n, n)
        for i in range(n):
            for j in range(n):
                a[i, j] = k(x[i], x[j]) + (noise if i == j else 0)
        y = mpmath.matrix(data.arrays["y"][0].tolist())
        mean, sd = np.zeros(q), np.zeros(q)
        for i in range(q):
            across = mpmath.matrix([k(p, query[i]) for p in x])
            solved = mpmath.lu_solve(a, across)
            mean[i] = float((solved.T * y)[0])
            sd[i] = float(mpmath.sqrt(1 + noise - (solved.T * across)[0]))
        return mean, sd


@pytest.mark.parametrize("noise_sd", [0.2, 1e-3, 1e-6])
def test_ball_arithmetic_is_right_at_any_condition_number(noise_sd: float) -> None:
    """Condition numbers up to 2e13: balls against mpmath,
    and the Cholesky engine within its certified error.
    """
    model = GaussianProcess(RBF(1.0, 0.6), noise_sd, 1, "uniform")
    task = task_of(model, 20)
    drawn_from = task_of(
        replace(model, noise_sd=max(noise_sd, 1e-3)), 20
    )  # a simulator refuses less
    data = drawn_from.simulate(range(2), seed=0).data
    mean, sd = mpmath_posterior(data, 0.6, noise_sd)
    ball = run("ball", task, data)
    assert ball.certificate.bound_kind == "bound"
    wrong = np.abs(ball.predictive.mean[0, 0] - mean) / sd + np.abs(
        ball.predictive.sd[0, 0] / sd - 1
    )
    assert wrong.max() <= ball.certificate.error_bound  # 1e-16 of 4e-16, 6e-11 of 6e-10
    checked = run("cholesky", task, data, enclosed=2)
    wrong = np.abs(checked.predictive.mean[0, 0] - mean) / sd + np.abs(
        checked.predictive.sd[0, 0] / sd - 1
    )
    assert (
        wrong.max()
        <= checked.certificate.diagnostics["enclosed_error"]
        <= checked.certificate.error_bound
    )


@pytest.mark.parametrize("model", [FIXED[2], HYPER[0], *LATER], ids=lambda m: m.kernel.kind)
def test_ball_arithmetic_knows_every_kernel(model: GaussianProcess) -> None:
    terms = (Matern12(0.6, 0.7), Matern52(0.4, 0.5))
    extended = replace(model, kernel=model.kernel + terms[0] + terms[1])
    task = task_of(extended, 0, 6)
    data = task.simulate(range(2), seed=0).data
    ball, exact = run("ball", task, data), run("cholesky", task, data)
    for name, value in exact.predictive.variables().items():
        np.testing.assert_allclose(value, ball.predictive.variables()[name], atol=1e-12)  # 3e-14
    unknown = task_of(HYPER[1], 4)
    drawn = unknown.simulate(range(2), seed=0).data
    with pytest.raises(InputError, match="grids"):
        run("ball", unknown, drawn)


@pytest.mark.study
def test_quadrature_over_continuous_hyperparameters_agrees_with_nuts() -> None:
    task = task_of(
        GaussianProcess(RBF(1.0, LogUniform(0.2, 2.0)), LogNormal(-1.6, 0.3), 1, "uniform"), 12
    )
    data = task.simulate(range(8), seed=0).data
    exact, nuts = run("cholesky", task, data), run("nuts", task, data)
    assert exact.certificate.verdict == nuts.certificate.verdict == "trusted"
    for name, found in nuts.posterior.items():
        assert np.abs((found["mean"] - exact.posterior[name]["mean"]) / found["mcse"]).max() < 4
    np.testing.assert_allclose(
        nuts.predictive.expectation(), exact.predictive.expectation(), atol=0.02
    )

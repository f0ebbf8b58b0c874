"""Transformers written down weight by weight against the formulas that they are said to compute.

Data sets are drawn by NumPy: compiling the models' simulators for every shape would take longer
than all the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch

from veribayes import candidates, registry
from veribayes.errors import InputError
from veribayes.inference._rows import at_query, prefix_counts, query_of
from veribayes.models._priors import Dirichlet, UniformInterval
from veribayes.models._task import Design, Model, Task
from veribayes.models.bayesian_network import BayesianNetwork, RowQuery
from veribayes.models.gaussian_process import GaussianProcess, PointsContext
from veribayes.models.gaussian_process import _kernels as kernels
from veribayes.models.mtd import MTD
from veribayes.predictive import Array, as_predictive
from veribayes.transformer.constructions import (
    bn_maximum_likelihood,
    gp_gradient_descent,
    mtd_mirror_descent,
)
from veribayes.tree import Data

GENERAL5 = {"C": ["A", "B"], "D": ["A", "C"], "E": ["D"]}
RBF = kernels.RBF(1.0, 0.8)
Answer = Callable[[Any, Any], dict[str, Array]]


def task_of(model: Model, positions: tuple[int, ...]) -> Task:
    return Task("small", model, Design(positions), "conjugate", "row_quadrature")


def drawn(task: Task, datasets: int, seed: int = 0) -> Data:
    """Data sets of any family, with the law of the model where it matters."""
    rng, positions = np.random.default_rng(seed), np.array(task.design.positions)
    draw = {"bayesian_network": _rows, "mtd": _symbols, "gaussian_process": _points}[
        task.model.kind
    ]
    return Data(draw(task.model, rng, datasets, int(positions[-1])), positions, np.arange(datasets))


def _rows(model: Any, rng: np.random.Generator, datasets: int, n: int) -> dict[str, Any]:
    m = len(model.nodes)
    rows = rng.integers(0, model.cardinalities, (datasets, n + 1, m)).astype(np.int64)
    target = np.arange(m)
    query = np.where(np.arange(m) < target[:, None], rows[:, -1:], -1)
    return {"rows": rows[:, :-1], "query": query, "target": target}


def _symbols(model: Any, rng: np.random.Generator, datasets: int, n: int) -> dict[str, Any]:
    weights, y = (
        rng.dirichlet(np.ones(model.m), datasets),
        rng.integers(model.q, size=(datasets, n)),
    )
    for t in range(model.m, n):
        above = model.next_symbol(weights, y, t).cumsum(-1)
        y[:, t] = (rng.random((datasets, 1)) * above[:, -1:] >= above[:, :-1]).sum(-1)
    return {"y": y}


def _points(model: Any, rng: np.random.Generator, datasets: int, n: int) -> dict[str, Any]:
    x, query = (
        rng.standard_normal((datasets, n, model.d)),
        rng.standard_normal((datasets, 4, model.d)),
    )
    return {
        "x": x,
        "y": np.sin(2 * x).sum(-1) + 0.2 * rng.standard_normal((datasets, n)),
        "x_query": query,
    }


def answers(call: Answer, task: Task, data: Data) -> list[dict[str, Array]]:
    """One a design position."""
    return [call(*task.model.inputs(data, k)) for k in range(len(data.positions))]


def variables(name: str, task: Task, data: Data, **options: Any) -> dict[str, Array]:
    return cast(
        Any, registry.load("engine", name)(**options)(task, data, seed=0).predictive.variables()
    )


# -- Bayesian networks -----------------------------------------------------------------------------


NETWORKS = {
    "general5": BayesianNetwork(list("ABCDE"), GENERAL5, prior=UniformInterval(0.1, 0.9)),
    "mixed states": BayesianNetwork(list("ABCDE"), GENERAL5, [3, 2, 3, 4, 2], prior=Dirichlet(0.5)),
    "no edges": BayesianNetwork(list("AB"), {}, [2, 3], prior=Dirichlet(1.0)),
    "three parents": BayesianNetwork(list("ABCD"), {"D": ["A", "B", "C"]}, prior=Dirichlet(1.0)),
    "one node": BayesianNetwork(["A"], {}, 3, prior=Dirichlet(1.0)),
}


def matching(task: Task, data: Data) -> Array:
    """Rows with the query's parent configuration, (dataset, position, query, 1)."""
    model = cast(BayesianNetwork, task.model)
    counts = at_query(
        model, prefix_counts(model, data.arrays["rows"], data.positions), query_of(data)
    )
    return counts.sum(-1, keepdims=True).astype(np.float64)


@pytest.mark.parametrize("name", NETWORKS)
def test_two_layers_are_maximum_likelihood(name: str) -> None:
    task = task_of(NETWORKS[name], (1, 3, 10, 50))
    data = drawn(task, 40)
    counted, seen = variables("mle", task, data)["probs"], matching(task, data)
    found = np.stack(
        [a["probs"] for a in answers(bn_maximum_likelihood.PART()(task), task, data)], axis=1
    )
    assert np.where(seen > 0, np.abs(found - counted), 0).max() < 5e-14  # 3e-15
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-14)
    padding = (
        np.arange(found.shape[-1]) >= NETWORKS[name].cardinalities[data.arrays["target"]][:, None]
    )
    assert np.all(found[:, :, padding] == 0)


@pytest.mark.parametrize("beta", [0.5, 2.0, 6.0])
def test_the_error_is_within_its_bound(beta: float) -> None:
    task = task_of(NETWORKS["general5"], (2, 10, 50))
    data = drawn(task, 100)
    counted, seen = variables("mle", task, data)["probs"], matching(task, data)
    found = np.stack(
        [a["probs"] for a in answers(bn_maximum_likelihood.PART(beta)(task), task, data)], axis=1
    )
    bound = bn_maximum_likelihood.error_bound(
        beta, data.positions[:, None, None], np.maximum(seen, 1)
    )
    error = np.where(seen > 0, np.abs(found - counted), 0).max(-1, keepdims=True)
    assert np.all(error <= bound + 1e-14)
    assert (
        error[bound > 1e-6] / bound[bound > 1e-6]
    ).max() > 0.2  # .62, .88, .998: it says something


def test_unseen_configuration_averages_the_rows_that_agree_most() -> None:
    task = task_of(NETWORKS["three parents"], (4,))
    rows = np.array([[[0, 0, 0, 0], [0, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1]]])
    query = RowQuery(np.array([[[1, 1, 1, -1], [1, 1, 0, -1]]]), np.array([3, 3]))
    call = bn_maximum_likelihood.PART()(task)
    probs = call(rows, query)["probs"][0]
    np.testing.assert_allclose(
        probs[0], [0.5, 0.5], atol=1e-14
    )  # rows 2 and 3 agree on two parents
    np.testing.assert_allclose(probs[1], [0.5, 0.5], atol=1e-14)  # all agree on one
    assert np.array_equal(call(rows[:, :0], query)["probs"], np.full((1, 2, 2), 0.5))


def test_generation_is_the_chain_of_conditionals() -> None:
    """The same uniforms inverted through counted frequencies give the same rows."""
    task = task_of(NETWORKS["mixed states"], (60,))
    model, rows = cast(BayesianNetwork, task.model), drawn(task, 6).arrays["rows"]
    found = bn_maximum_likelihood.PART()(task).generate(rows, seed=3, draws=20)
    uniform = np.random.default_rng(3).random(found.shape)
    checked = 0
    for b, s, node in np.ndindex(found.shape):
        parents = list(model.parents[node])
        same = rows[b][(rows[b][:, parents] == found[b, s, parents]).all(-1), node]
        if same.size:
            share = np.bincount(same, minlength=len(model.states[node])) / same.size
            assert found[b, s, node] == (uniform[b, s, node] >= share.cumsum()[:-1]).sum()
            checked += 1
    assert checked > 500


# -- mixture of transition distributions -----------------------------------------------------------


@pytest.mark.parametrize("per_lag", [False, True])
@pytest.mark.parametrize(
    ("q", "m", "length"), [(3, 3, 32), (5, 3, 64), (4, 5, 40), (2, 1, 2), (3, 2, 2), (10, 3, 128)]
)
def test_three_layers_are_one_step_of_mirror_descent(
    q: int, m: int, length: int, per_lag: bool
) -> None:
    task = task_of(MTD(q, m, concentration=0.7, per_lag=per_lag), (length,))
    data = drawn(task, 12)
    for eta in (0.02, 1 / (0.7 * m + 1)):
        found = answers(mtd_mirror_descent.PART(eta=eta)(task), task, data)[0]["probs"]
        exact = variables("mirror_descent", task, data, eta=eta)["probs"][:, 0]
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-13)  # 2.4e-15
    by_name = answers(mtd_mirror_descent.PART(eta="theorem")(task), task, data)[0]["probs"]
    np.testing.assert_array_equal(by_name, found)


def test_attention_is_responsibility_then_average_then_weights() -> None:
    model = MTD(3, 2)
    y = np.random.default_rng(0).integers(3, size=(4, 9))
    network = mtd_mirror_descent.PART(eta=0.1)(task_of(model, (9,))).network(9)
    h = torch.nn.functional.one_hot(torch.tensor(y), 3).double()
    gamma = model.likelihood_terms(y)
    gamma = gamma / gamma.sum(-1, keepdims=True)
    attention = network.responsibilities.attention(h).numpy()
    for i in range(2, 9):
        np.testing.assert_allclose(attention[:, i, [i - 1, i - 2]], gamma[:, i], atol=1e-14)
    h = network.responsibilities(h)
    np.testing.assert_allclose(
        network.average.attention(h)[:, -1], np.repeat([[0, 1 / 7]], [2, 7], 1).repeat(4, 0)
    )
    attention = network.weights.attention(network.average(h))[:, -1].numpy()
    weights = np.exp(0.1 * 2 * gamma[:, 2:].sum(1))
    np.testing.assert_allclose(
        attention[:, [8, 7]], weights / weights.sum(-1, keepdims=True), atol=1e-14
    )


@pytest.mark.parametrize("per_lag", [False, True])
def test_impossible_transitions(per_lag: bool) -> None:
    """Zeros of the matrix are zeros of the responsibilities,
    and no NaN arises where the uniform start is impossible.
    """
    matrix = [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [0.3, 0.0, 0.7]]
    each = [matrix, np.roll(matrix, 1, axis=0).tolist(), np.eye(3).tolist()]
    task = task_of(MTD(3, 3, matrix=each if per_lag else matrix, per_lag=per_lag), (4, 20, 60))
    data = drawn(task, 40)
    for steps in (1, 3):
        found = answers(mtd_mirror_descent.PART(steps, 0.1)(task), task, data)
        exact = variables("mirror_descent", task, data, steps=steps, eta=0.1)["probs"]
        np.testing.assert_allclose(
            np.stack([f["probs"] for f in found], 1), exact, rtol=0, atol=1e-13
        )  # 3e-15


@pytest.mark.parametrize(("steps", "per_lag"), [(2, False), (5, True), (50, False)])
def test_more_layers_are_more_steps(steps: int, per_lag: bool) -> None:
    task = task_of(MTD(5, 3, per_lag=per_lag), (3, 8, 64))
    data = drawn(task, 12)
    found = answers(mtd_mirror_descent.PART(steps, 0.05)(task), task, data)
    exact = variables("mirror_descent", task, data, steps=steps, eta=0.05)["probs"]
    np.testing.assert_allclose(
        np.stack([f["probs"] for f in found], 1), exact, rtol=0, atol=1e-13
    )  # 3e-15
    deep = cast(Any, mtd_mirror_descent.PART(1, 0.05)(task))
    wide = mtd_mirror_descent.ManyStepNetwork(deep.model, 64, 0.05, 1)
    y = torch.tensor(data.arrays["y"])
    np.testing.assert_allclose(
        wide(y), deep.network(64)(y), atol=1e-13
    )  # 2e-15: the same step in another network


@pytest.mark.parametrize("per_lag", [False, True])
def test_without_a_step_size_it_takes_the_engines(per_lag: bool) -> None:
    task = task_of(MTD(3, 2, per_lag=per_lag), (4, 16))
    data = drawn(task, 10)
    candidate = candidates.resolve("mtd-mirror-descent", task)
    engine = candidates.resolve("mirror_descent", task)
    pair = [cast(Any, c.infer(task, data, 5).predictive).probs for c in (candidate, engine)]
    np.testing.assert_allclose(*pair, rtol=0, atol=1e-13)  # 2e-15


# -- Gaussian processes ----------------------------------------------------------------------------


KERNELS: dict[str, kernels.Kernel] = {
    "rbf": kernels.RBF(1.3, 0.8),
    "matern12": kernels.Matern12(0.7, 0.5),
    "matern32": kernels.Matern32(1.0, 0.9),
    "matern52": kernels.Matern52(1.1, 1.2),
    "periodic": kernels.Periodic(1.0, 0.8, 1.5),
    "linear": kernels.Linear((2.0, 1.0)),
    "composite": kernels.RBF(1.0, 0.8) * kernels.Periodic(0.9, 1.0, 0.7)
    + kernels.Matern32(0.5, 1.0)
    + kernels.Linear(0.4),
}


@pytest.mark.parametrize("name", KERNELS)
def test_scores_are_the_model_covariance(name: str) -> None:
    import jax

    x = np.random.default_rng(0).standard_normal((2, 6, 2))
    with jax.enable_x64(True):
        exact = np.stack(
            [np.asarray(GaussianProcess(KERNELS[name], 0.2, 2).covariance(a, a, {})) for a in x]
        )
    found = gp_gradient_descent.covariance(KERNELS[name], torch.tensor(x), torch.tensor(x)).numpy()
    np.testing.assert_allclose(found, exact, rtol=0, atol=5e-15)  # 1e-15
    assert np.diagonal(found, axis1=1, axis2=2).max() <= gp_gradient_descent.largest(
        KERNELS[name]
    ) * (1 + 1e-14)


def gram(model: GaussianProcess, *points: Array) -> Array:
    """Covariance of all points, (..., n, n)."""
    every = torch.tensor(np.concatenate(points, axis=-2))
    return cast(Array, gp_gradient_descent.covariance(model.kernel, every, every).numpy())


def exact(model: GaussianProcess, context: PointsContext, query: Array) -> dict[str, Array]:
    n, noise = context.x.shape[1], cast(float, model.noise_sd) ** 2
    k = gram(model, context.x, query)
    inverse = np.linalg.inv(k[:, :n, :n] + noise * np.eye(n)) @ k[:, :n, n:]
    variance = noise + k[:, n:, n:] - k[:, n:, :n] @ inverse
    return {
        "mean": (inverse.mT @ context.y[..., None])[..., 0],
        "sd": np.sqrt(np.diagonal(variance, axis1=1, axis2=2)),
    }


def closed(k: Array, y: Array, noise: float, etas: Array, floor: float | None) -> Array:
    """[I - prod (I - eta_l B)] B^-1 b for the context and the query together, (mean, variance)."""
    n = len(y)
    scale = np.ones(n + 1) if floor is None else np.maximum(k[:, :n].sum(1), floor * k.diagonal())
    b = np.hstack([k[:, :n], np.zeros((n + 1, 1))]) + noise * np.eye(n + 1)
    b = b / scale[:, None]
    right = k[:, :n] @ np.stack([y, k[:n, n]], axis=1) / scale[:, None]
    left = np.eye(n + 1)
    for eta in etas:
        left = left @ (np.eye(n + 1) - eta * b)
    mean, reduction = ((np.eye(n + 1) - left) @ np.linalg.solve(b, right))[n]
    return np.array([mean, noise + max(k[n, n] - reduction, 0)])


SCHEDULES: list[dict[str, Any]] = [
    {"layers": 9, "eta": 0.03},
    {"layers": 32},
    {"layers": 4, "eta": "0.01,0.02,0.03"},
    {"layers": 17, "eta": "chebyshev"},
    {"layers": 9, "eta": 0.9, "normalised": True},
    {"layers": 32, "normalised": True, "floor": 0.3},
    {"layers": 17, "eta": "chebyshev", "normalised": True, "lowest": 0.01},
]


@pytest.mark.parametrize("options", SCHEDULES, ids=str)
def test_layers_are_the_closed_formula(options: dict[str, Any]) -> None:
    model = GaussianProcess(kernels.RBF(1.2, 0.8), 0.2, 2)
    task = task_of(model, (1, 5, 30))
    data, part = drawn(task, 4), gp_gradient_descent.PART(**options)
    for k, found in enumerate(answers(part(task), task, data)):
        (x, y), query = model.inputs(data, k)
        etas = part.step_sizes(model, x.shape[1])
        for b, j in np.ndindex(found["mean"].shape):
            k_all = gram(model, x[b], query[b, j : j + 1])
            formula = closed(k_all, y[b], 0.04, etas, part.floor if part.normalised else None)
            close = 1e-12 * max(1.0, float(np.abs(formula).max()))
            np.testing.assert_allclose(
                [found["mean"][b, j], found["sd"][b, j] ** 2], formula, rtol=0, atol=close
            )  # 7e-14


def test_plain_attention_is_the_engine() -> None:
    task = task_of(GaussianProcess(RBF, 0.2), (1, 8, 32))
    data = drawn(task, 10)
    engine = variables("kernel_descent", task, data, steps=12, eta=0.03)
    found = answers(gp_gradient_descent.PART(13, eta=0.03)(task), task, data)
    for name in ("mean", "sd"):
        np.testing.assert_allclose(
            np.stack([f[name] for f in found], 1), engine[name], rtol=0, atol=1e-13
        )  # 4e-15


@pytest.mark.parametrize("eta", [None, "chebyshev"])
def test_the_variance_is_within_its_bound(eta: str | None) -> None:
    model = GaussianProcess(RBF, 0.5)
    task = task_of(model, (4, 16))
    data = drawn(task, 10)
    for layers, n in [(2, 4), (9, 4), (33, 4), (9, 16), (33, 16)]:
        part = gp_gradient_descent.PART(layers, eta=eta)
        context, query = task.model.inputs(data, (4, 16).index(n))
        spectrum = np.linspace(*part.spectrum(model, n), 5000)
        bound = np.abs(np.prod(1 - part.step_sizes(model, n)[:, None] * spectrum, axis=0)).max()
        error = np.abs(
            part(task)(context, query)["sd"] ** 2 - exact(model, context, query)["sd"] ** 2
        ).max()
        assert 1e-4 * bound < error <= bound + 1e-12


@pytest.mark.parametrize("normalised", [False, True])
def test_steps_reach_the_exact_posterior(normalised: bool) -> None:
    task = task_of(GaussianProcess(RBF, 0.5), (1, 20))
    data = drawn(task, 10)
    for k, found in enumerate(
        answers(gp_gradient_descent.PART(200, normalised, "chebyshev")(task), task, data)
    ):
        limit = exact(cast(GaussianProcess, task.model), *task.model.inputs(data, k))
        for name in ("mean", "sd"):
            np.testing.assert_allclose(found[name], limit[name], rtol=0, atol=1e-12)  # 3e-15


def test_without_a_floor_a_far_query_diverges() -> None:
    task = task_of(GaussianProcess(RBF, 0.2), (1,))
    context, query = task.model.inputs(drawn(task, 1), 0)
    far = query * 0 + context.x[:, :1] + 3.0
    with_floor = gp_gradient_descent.PART(40, True)(task)(context, far)
    without = gp_gradient_descent.PART(40, True, floor=0.0)(task)(context, far)
    assert np.abs(with_floor["mean"]).max() < 0.01
    assert np.abs(without["mean"]).max() > 1e3


def test_bins_are_the_softmax_of_a_normal() -> None:
    model = GaussianProcess(RBF, 0.2)
    task = task_of(model, (8,))
    data = drawn(task, 10)
    plain, binned = (
        answers(gp_gradient_descent.PART(bins=n)(task), task, data)[0] for n in (0, 64)
    )
    edges = binned["edges"]
    assert edges[-1] == pytest.approx(3.0902 * np.sqrt(1.04), rel=1e-4)
    middle = (edges[:-1] + edges[1:]) / 2
    density = np.exp(-0.5 * ((middle - plain["mean"][..., None]) / plain["sd"][..., None]) ** 2)
    np.testing.assert_allclose(
        binned["probs"], density / density.sum(-1, keepdims=True), rtol=0, atol=1e-14
    )
    form = as_predictive(binned, (10, 4), None)
    np.testing.assert_allclose(form.expectation(), plain["mean"], atol=0.02)


# -- all of them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", registry.names("construction"))
def test_by_name(name: str) -> None:
    models: dict[str, tuple[Model, dict[str, str], dict[str, str]]] = {
        "bayesian_network": (NETWORKS["general5"], {"beta": "30"}, {"beta": "-1"}),
        "mtd": (MTD(3, 2), {"eta": "1e-1"}, {"eta": "fast"}),
        "gaussian_process": (
            GaussianProcess(RBF, 0.2),
            {"eta": "0.1,0.2", "layers": "3"},
            {"eta": "0.1,0.2"},
        ),
    }
    kind = registry.load("construction", name).families[0]
    if kind not in models:
        pytest.skip(f"the tests of {kind} ask it")
    model, good, bad = models[kind]
    task = task_of(model, (4, 8))
    candidate = candidates.resolve(name, task, good)
    again = candidates.resolve(name, task, good)
    assert (candidate.kind, candidate.identity) == ("construction", again.identity)
    assert candidate.identity != candidates.resolve(name, task).identity
    data = drawn(task, 3)
    assert candidate.infer(task, data, 0).predictive.shape[:2] == (3, 2)
    with pytest.raises(InputError):
        candidates.resolve(name, task, bad)
    other = task_of(models["mtd" if kind != "mtd" else "gaussian_process"][0], (4,))
    with pytest.raises(InputError, match=kind):
        candidates.resolve(name, other).infer(other, drawn(other, 2), 0)
    part = registry.configured("construction", name, good)
    assert candidates.resolve(part, task).kind == "construction"
    weights = list(part(task).network(8).parameters())
    assert weights
    assert all(w.dtype == torch.float64 and not w.requires_grad for w in weights)

"""Engines that are wrong on purpose or by design:
prior only, wrong prior, finite draws, planted defects.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

from veribayes import registry
from veribayes.errors import InputError
from veribayes.models._spec import load_task
from veribayes.models._task import Design, Task
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.models.gaussian_process._hyper import Grid
from veribayes.models.gaussian_process._kernels import RBF
from veribayes.predictive import Categorical, Draws, Predictive
from veribayes.tree import Data
from veribayes.tree.method import Method

TASKS = ["bn-general5", "bn-asia", "mtd-q5-m3", "gp-rbf-1d"]


@cache
def prepared(name: str) -> tuple[Task, Data]:
    task = load_task(name)
    task = replace(
        task, design=Design(tuple(p for p in task.design.positions if p <= 20), task.design.queries)
    )
    return task, task.simulate(range(30), seed=0).data


def run(name: str, task: Task, data: Data, **options: Any) -> Any:
    return registry.load("engine", name)(**options)(task, data, seed=0)


def divergence(p: Predictive, q: Predictive) -> float:
    """Mean KL(p || q), nats."""
    if isinstance(p, Categorical):
        a, b = p.probs, q.variables()["probs"]
        ratio = np.divide(a, b, out=np.ones_like(a), where=a > 0)
        return float((a * np.log(ratio)).sum(-1).mean())
    ratio = p.standard_deviation() / q.standard_deviation()
    shift = (p.expectation() - q.expectation()) / q.standard_deviation()
    return float((-np.log(ratio) + (ratio**2 + shift**2 - 1) / 2).mean())


@pytest.mark.parametrize("name", TASKS)
def test_every_route_serves_every_shipped_task(name: str) -> None:
    task, data = prepared(name)
    exact, second = (run(engine, task, data) for engine in (task.reference, task.second_route))
    assert abs(divergence(exact.predictive, second.predictive)) < 1e-12
    for engine in ("prior_only", "wrong_prior", "temperature", *task.rivals):
        branch = run(engine, task, data)
        assert branch.predictive.shape == exact.predictive.shape
        assert branch.certificate.verdict == "trusted"
        if engine != "mle":  # infinite
            assert divergence(exact.predictive, branch.predictive) > 1e-4


@pytest.mark.parametrize("name", TASKS)
def test_the_references_are_float64_and_leave_the_flag_alone(name: str) -> None:
    task, data = prepared(name)
    before = jax.config.jax_enable_x64
    exact, other = (
        run(engine, task, data).predictive.expectation()
        for engine in (task.reference, task.second_route)
    )
    assert jax.config.jax_enable_x64 == before
    assert np.abs(exact - other).max() < 1e-12  # float32 would differ by 1e-7


@pytest.mark.parametrize("name", TASKS)
def test_answers_do_not_depend_on_the_batch(name: str) -> None:
    task, data = prepared(name)
    for engine in (task.reference, task.second_route, "prior_only", "finite_draws"):
        every, some = (
            run(engine, task, data),
            run(engine, task, data.select(datasets=np.array([4, 20]))),
        )
        for key, value in some.predictive.variables().items():
            np.testing.assert_allclose(
                every.predictive.variables()[key][[4, 20]], value, rtol=1e-9, atol=1e-12
            )


def test_the_prior_predictive_of_a_network_is_the_prior_mean() -> None:
    task, data = prepared("bn-general5")
    np.testing.assert_allclose(run("prior_only", task, data).predictive.probs, 0.5, atol=1e-13)


def test_the_prior_predictive_of_a_chain_weighs_the_last_symbols_equally() -> None:
    task, data = prepared("mtd-q5-m3")
    model: Any = task.model
    wanted = model.next_symbol(np.full((30, 3), 1 / 3), data.arrays["y"], 8)
    np.testing.assert_allclose(
        run("prior_only", task, data).predictive.probs[:, 1, 0], wanted, atol=1e-14
    )


def test_the_prior_predictive_of_a_process_keeps_its_hyperparameters_apart() -> None:
    model = GaussianProcess(RBF(1.0, 0.8), Grid((0.1, 0.3)))
    task = Task("points", model, Design((3, 5), queries=2), "cholesky", "sequential")
    found = run("prior_only", task, task.simulate(range(4), seed=0).data).predictive
    assert found.shape == (4, 2, 2)
    np.testing.assert_allclose(found.weights, 0.5)
    np.testing.assert_allclose(found.mean, 0)
    np.testing.assert_allclose(found.sd, np.broadcast_to(np.sqrt([1.01, 1.09]), found.sd.shape))


def test_the_wrong_prior_is_the_reference_on_another_model() -> None:
    task, data = prepared("gp-rbf-1d")
    model = GaussianProcess(RBF(1.0, 1.0), 0.2)
    other = replace(task, model=model)
    assert task.wrong_prior == {"kernel": {"kind": "rbf", "amplitude": 1.0, "lengthscale": 1.0}}
    np.testing.assert_array_equal(
        run("wrong_prior", task, data).predictive.mean, run("cholesky", other, data).predictive.mean
    )
    with pytest.raises(InputError, match="wrong_prior"):
        run("wrong_prior", replace(task, wrong_prior={}), data)


@pytest.mark.parametrize("name", TASKS)
def test_finite_draws_follow_the_engine_they_come_from(name: str) -> None:
    """Means of 4000 draws: z-scores have sd 1 (.93 to 1.08 here)."""
    task, data = prepared(name)
    exact = run(task.second_route, task, data).predictive
    found = run("finite_draws", task, data, draws=4000).predictive
    assert isinstance(found, Draws)
    assert found.draws.shape == (*exact.shape, 4000)
    z = (found.expectation() - exact.expectation()) / exact.standard_deviation() * np.sqrt(4000)
    assert 0.85 < z.std() < 1.15
    other = registry.load("engine", "finite_draws")(draws=4000)(task, data, seed=1).predictive
    assert not np.array_equal(other.draws, found.draws)


def test_temperature_and_shift_have_the_stated_effect() -> None:
    task, data = prepared("gp-rbf-1d")
    exact = run("cholesky", task, data).predictive
    warm = run("temperature", task, data, temperature=2.0).predictive
    np.testing.assert_allclose(warm.sd, exact.sd * np.sqrt(2), rtol=1e-10)
    assert divergence(exact, run("shifted", task, data, by=0.5).predictive) == pytest.approx(
        0.125, rel=1e-9
    )
    task, data = prepared("bn-general5")
    probs = run("temperature", task, data, temperature=0.5).predictive.probs
    square = run("conjugate", task, data).predictive.probs ** 2
    np.testing.assert_allclose(probs, square / square.sum(-1, keepdims=True), atol=1e-10)


@pytest.mark.parametrize(
    ("engine", "task"),
    [
        ("conjugate", "gp-rbf-1d"),
        ("cholesky", "mtd-q5-m3"),
        ("lag_counts", "bn-asia"),
        ("shifted", "bn-asia"),
        ("mle", "mtd-q5-m3"),
    ],
)
def test_the_wrong_family_is_refused(engine: str, task: str) -> None:
    with pytest.raises(InputError, match=r"a model of kind|predictions of real values"):
        run(engine, *prepared(task))


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("finite_draws", {"draws": 1}),
    ("temperature", {"temperature": 0.0}),
    ("simplex_quadrature", {"nodes": 1}),
    ("cholesky", {"nodes": 0}),
    ("elimination", {"memory": -1.0}),
    ("kernel_descent", {"steps": 0}),
    ("nuts", {"draws": 2}),
    ("nuts", {"target_accept": 1.0}),
    ("nuts", {"max_refused": 1.0}),
]


@pytest.mark.parametrize(("engine", "options"), OPTIONS)
def test_bad_options_are_refused(engine: str, options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        registry.load("engine", engine)(**options)


def test_every_engine_describes_itself() -> None:
    for name in registry.names("engine"):
        part = registry.load("engine", name)
        assert registry.summary("engine", name).endswith((".", ":"))
        assert isinstance(part.method, Method)
        assert isinstance(part.families, tuple)
        assert part() == part()  # frozen, comparable, every option has a default
        label, about = registry.words("engine", name)
        assert (label, about) == (getattr(part, "label", ""), getattr(part, "about", ""))


@pytest.mark.parametrize(
    ("word", "computes_posterior", "random"),
    [
        ("exact", True, False),
        ("quadrature", True, False),
        ("quasi_monte_carlo", True, True),
        ("mcmc", True, True),
        ("draws", False, True),
        ("estimator", False, False),
        ("prior", False, False),
        ("defect", False, False),
        ("variational", False, False),  # another distribution's own word
    ],
)
def test_a_method_is_known_by_its_word(word: str, computes_posterior: bool, random: bool) -> None:
    method = Method.of(word)
    assert method.computes_posterior is computes_posterior
    assert method.random is random
    assert str(method) in (word, "other")


def test_a_report_has_words_for_every_estimator() -> None:
    for name in registry.names("engine"):
        if registry.load("engine", name).method == Method.ESTIMATOR:
            label, about = registry.words("engine", name)
            assert label
            assert about
    assert registry.words("engine", "mle") == ("maximum likelihood", "relative frequencies")
    assert registry.words("engine", "junction_tree") == ("", "")
    assert registry.words("engine", "nothing_of_this_name") == ("", "")

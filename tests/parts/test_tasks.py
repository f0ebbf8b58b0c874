"""Every task that is shipped or plugged in, whatever its family:
what the rest of the package relies on.

A new task needs one file more: the hash of its model under `hashes/`, named like the task, since
checkpoints bind to it. The long form asks more data sets and every position.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from veribayes import registry
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.predictive import Array, Predictive
from veribayes.tree import Branch, Data, Simulation
from veribayes.tree.method import Method

HASHES = Path(__file__).with_name("hashes")
TASKS = registry.names("task")
MOST_POSITIONS = 3
FEW, MANY = 6, 200  # data sets
AGREEMENT = 1e-6  # of two exact routes, in nats; both state bounds far below it


@cache
def shortened(name: str) -> Task:
    """The task at its first, middle and last positions."""
    task = _spec.load_task(name)
    positions = task.design.positions
    chosen = sorted({positions[0], positions[len(positions) // 2], positions[-1]})
    return replace(task, design=replace(task.design, positions=tuple(chosen[:MOST_POSITIONS])))


@cache
def drawn(name: str) -> Simulation:
    return shortened(name).simulate(range(FEW), seed=11, stream="verify")


@cache
def answered(name: str) -> Branch:
    return answer(shortened(name), shortened(name).reference, drawn(name).data)


def answer(task: Task, engine: str, data: Data) -> Branch:
    branch: Branch = registry.engine(engine)(task, data, seed=11)
    return branch


def divergences(exact: Predictive, other: Predictive) -> Array:
    scores: Array = registry.load("metric", "kl").score(other, exact, np.zeros(exact.shape))
    return scores


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_its_file(name: str, tmp_path: Path) -> None:
    task = _spec.load_task(name)
    assert task.name == name
    assert _spec.task_from_dict(task.to_dict()) == task
    _spec.write_yaml(task, tmp_path / "task.yaml")
    assert _spec.load_task(tmp_path / "task.yaml").hash == task.hash
    if task.wrong_prior:
        assert _spec.replaced(task.model, task.wrong_prior) != task.model


@pytest.mark.parametrize("name", TASKS)
def test_the_hash_of_a_model_is_recorded(name: str) -> None:
    """What checkpoints bind to: a change here invalidates every published one."""
    recorded = (HASHES / name).read_text(encoding="utf-8").strip()
    assert _spec.load_task(name).model_hash == recorded


@pytest.mark.parametrize("name", TASKS)
def test_a_data_set_depends_on_its_number_alone(name: str) -> None:
    task, every = shortened(name), drawn(name)
    others = task.simulate(range(4, 4 + FEW), seed=11, stream="verify")
    for key, array in others.data.arrays.items():
        expected = every.data.arrays[key]
        rows = slice(None) if key in every.data.shared else slice(2)
        np.testing.assert_array_equal(
            array[rows], expected if key in every.data.shared else expected[4:]
        )
    np.testing.assert_array_equal(others.outcome[:2], every.outcome[4:])


@pytest.mark.parametrize("name", TASKS)
def test_shapes_are_those_of_the_design_and_the_layout(name: str) -> None:
    task, simulation = shortened(name), drawn(name)
    layout, data = task.model.layout, simulation.data
    assert set(data.arrays) == {column.name for column in layout.columns}
    assert data.shared == layout.shared
    leading = (FEW, len(task.design.positions), layout.queries(data.arrays))
    assert simulation.outcome.shape == leading
    assert answered(name).predictive.shape == leading


@pytest.mark.parametrize("name", TASKS)
def test_the_reference_earns_trust_and_leaves_its_data_alone(name: str) -> None:
    task, data = shortened(name), drawn(name).data
    before = {key: array.copy() for key, array in data.arrays.items()}
    branch = answer(task, task.reference, data)
    branch.certificate.require(task.reference)
    for key, array in data.arrays.items():
        np.testing.assert_array_equal(array, before[key])
    for key, values in branch.predictive.variables().items():
        np.testing.assert_array_equal(values, answered(name).predictive.variables()[key])


@pytest.mark.parametrize("name", TASKS)
def test_the_second_route_agrees(name: str) -> None:
    task, data = shortened(name), drawn(name).data
    if Method.of(registry.load("engine", task.second_route).method).random:
        pytest.skip("a sampler: its agreement is a study of its family")
    found = divergences(answered(name).predictive, answer(task, task.second_route, data).predictive)
    assert np.nanmax(np.abs(found)) < AGREEMENT


@pytest.mark.parametrize("name", TASKS)
def test_order_matters_as_the_layout_says(name: str) -> None:
    task, data = shortened(name), drawn(name).data
    layout = task.model.layout
    last = data.select(positions=slice(len(data.positions) - 1, None))
    size = int(last.positions[-1])
    if not layout.listed or size < 2:
        pytest.skip("observations that are no list")
    exact = answered(name).predictive[:, -1:]
    if layout.order == "set":
        order = np.tile(np.arange(size)[::-1], (FEW, 1))
        reordered = answer(task, task.reference, layout.permuted(last, order)).predictive
        assert np.nanmax(np.abs(divergences(exact, reordered))) < AGREEMENT
    else:
        reversed_data = layout.taken(last, np.arange(size)[::-1])
        other = answer(task, task.reference, reversed_data).predictive
        assert np.nanmax(divergences(exact, other)) > AGREEMENT


@pytest.mark.parametrize("name", TASKS)
def test_the_prior_predictive_knows_less_than_the_posterior(name: str) -> None:
    task, data = shortened(name), drawn(name).data
    prior = answer(task, "prior_only", data).predictive
    divergence = np.nanmean(divergences(answered(name).predictive, prior), axis=(0, 2))
    assert (divergence >= -AGREEMENT).all()
    assert divergence[-1] > 100 * AGREEMENT


@pytest.mark.study
@pytest.mark.parametrize("name", TASKS)
def test_the_exact_answer_scores_best_on_outcomes(name: str) -> None:
    """The mean log score of the reference is above that of the wrong prior,
    within three standard errors.
    """
    task = shortened(name)
    if not task.wrong_prior:
        pytest.skip("a task without a wrong prior")
    simulation = task.simulate(range(MANY), seed=12, stream="verify")
    metric = registry.load("metric", "log_score_regret")
    exact = answer(task, task.reference, simulation.data).predictive
    wrong = answer(task, "wrong_prior", simulation.data).predictive
    regrets = np.nanmean(metric.score(wrong, exact, simulation.outcome), axis=(1, 2))
    assert regrets.mean() > -3 * regrets.std() / np.sqrt(MANY)

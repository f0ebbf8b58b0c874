"""Known tables: elimination against enumeration, underflow, and refusals with numbers."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np
import pytest

from veribayes import registry
from veribayes.errors import InputError, ReferenceRefused
from veribayes.models._priors import Dirichlet
from veribayes.models._task import Design, Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.readers.bif import read_bif
from veribayes.tree import Data

SHARED = frozenset({"target"})


def published(name: str) -> BayesianNetwork:
    with resources.as_file(
        resources.files("pgmpy.utils.example_models") / f"{name}.bif.gz"
    ) as path:
        return read_bif(path)


def task_of(model: BayesianNetwork) -> Task:
    return Task("inference", model, Design((0,)), "elimination", "enumeration")


def run(name: str, task: Task, data: Data, **options: Any) -> Any:
    return registry.load("engine", name)(**options)(task, data, seed=0)


def evidence(*rows: list[int]) -> Data:
    found = np.array(rows)
    return Data(
        {"evidence": found, "target": np.arange(found.shape[1])},
        np.array([0]),
        np.arange(len(rows)),
        SHARED,
    )


@pytest.mark.parametrize("name", ["asia", "cancer", "survey", "sachs"])
def test_elimination_agrees_with_enumeration(name: str) -> None:
    task = task_of(published(name))
    data = task.simulate(range(200), seed=0).data
    exact, other = run("elimination", task, data), run("enumeration", task, data)
    np.testing.assert_allclose(
        exact.predictive.probs, other.predictive.probs, rtol=0, atol=1e-13
    )  # 6e-15
    assert exact.certificate.verdict == other.certificate.verdict == "trusted"
    assert exact.certificate.error_bound < 1e-12


def test_an_observed_node_is_certain_and_padding_is_zero() -> None:
    task = task_of(published("survey"))
    data = task.simulate(range(50), seed=0).data
    probs, seen = run("elimination", task, data).predictive.probs[:, 0], data.arrays["evidence"]
    dataset, node = np.nonzero(seen >= 0)
    assert np.all(probs[dataset, node, seen[dataset, node]] == 1)
    assert np.all(probs[:, np.arange(task.model.width) >= task.model.cardinalities[:, None]] == 0)


def test_tables_with_zeros() -> None:
    """Asia's `either` is a logical or; evidence on it makes some messages zero."""
    task = task_of(published("asia"))
    nodes = task.model.nodes
    either, tub, lung = nodes.index("either"), nodes.index("tub"), nodes.index("lung")
    row = [-1] * 8
    row[either] = task.model.states[either].index("no")
    probs = run("elimination", task, evidence(row)).predictive.probs[0, 0]
    for parent in (tub, lung):
        assert probs[parent, task.model.states[parent].index("yes")] == 0


def test_the_evidence_of_a_long_chain_does_not_underflow() -> None:
    """P(evidence) = 10^-1200 at 400 observed symptoms of one cause."""
    names = ["cause", *(f"s{i}" for i in range(400))]
    tables = [[0.5, 0.5], *([[0.999, 0.001], [0.9985, 0.0015]] for _ in range(400))]
    model = BayesianNetwork(names, [[], *([0] for _ in range(400))], cpts=tables)
    probs = run("elimination", task_of(model), evidence([-1, *([1] * 400)])).predictive.probs[
        0, 0, 0
    ]
    assert probs[0] == pytest.approx((2 / 3) ** 400 / (1 + (2 / 3) ** 400), rel=1e-10)


def test_rows_do_not_depend_on_their_batch() -> None:
    task = task_of(published("sachs"))
    data = task.simulate(range(1500), seed=0).data  # more than one chunk of lanes
    every = run("elimination", task, data).predictive.probs
    some = run("elimination", task, data.select(datasets=np.array([3, 1400]))).predictive.probs
    np.testing.assert_allclose(every[[3, 1400]], some, rtol=1e-14)


def test_a_network_beyond_the_memory_limit_is_refused_with_numbers() -> None:
    task = task_of(published("alarm"))
    data = task.simulate(range(2), seed=0).data
    with pytest.raises(
        ReferenceRefused, match=r"largest clique has 1\.44e\+02 entries and all tables need .* GiB"
    ):
        run("elimination", task, data, memory=1e-6)
    with pytest.raises(ReferenceRefused, match="joint table has"):
        run("enumeration", task, data)


@pytest.mark.parametrize("engine", ["elimination", "enumeration"])
def test_impossible_evidence_is_refused_by_name(engine: str) -> None:
    model = BayesianNetwork(["a", "b"], {"b": ["a"]}, cpts=[[1.0, 0.0], [[0.5, 0.5], [0.5, 0.5]]])
    with pytest.raises(
        ReferenceRefused, match="1 of 2 data sets has probability zero, first in number 1"
    ):
        run(engine, task_of(model), evidence([0, -1], [1, -1]))


@pytest.mark.parametrize("engine", ["elimination", "enumeration"])
def test_unknown_tables_are_refused(engine: str) -> None:
    task = Task(
        "learning",
        BayesianNetwork(["a"], {}, prior=Dirichlet(1.0)),
        Design((1,)),
        "conjugate",
        "row_quadrature",
    )
    with pytest.raises(InputError, match="with known tables"):
        run(engine, task, task.simulate(range(2), seed=0).data)


def test_the_marginal_without_evidence_is_the_prior_predictive() -> None:
    task = task_of(published("asia"))
    data = task.simulate(range(3), seed=0).data
    found = run("prior_only", task, data).predictive.probs
    nothing = replace(data, arrays={**data.arrays, "evidence": np.full((3, 8), -1)})
    np.testing.assert_allclose(
        found, run("elimination", task, nothing).predictive.probs, rtol=1e-14
    )

"""pgmpy as engine and as source of networks: agreement, names and orders of states, refusals."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import veribayes as vb
from veribayes import registry
from veribayes.errors import InputError, ModelError, ReferenceRefused
from veribayes.models import Dirichlet, _spec
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.tree import Data

SHARED = frozenset({"target"})

RAIN = BayesianNetwork(
    ["rain", "sprinkler", "alone", "grass"],
    {"sprinkler": ["rain"], "grass": ["rain", "sprinkler"]},
    {"rain": ["none", "light", "heavy"], "sprinkler": 2, "alone": 1, "grass": ["dry", "wet"]},
    cpts={
        "rain": [0.7, 0.2, 0.1],
        "sprinkler": [[0.6, 0.4], [0.9, 0.1], [1.0, 0.0]],
        "alone": [1.0],
        "grass": [[[1.0, 0.0], [0.1, 0.9]], [[0.3, 0.7], [0.05, 0.95]], [[0.1, 0.9], [0.0, 1.0]]],
    },
)


def evidence(*rows: list[int]) -> Data:
    found = np.array(rows)
    return Data(
        {"evidence": found, "target": np.arange(found.shape[1])},
        np.array([0]),
        np.arange(len(rows)),
        SHARED,
    )


@pytest.fixture(scope="module")
def theirs() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pgmpy's own deprecations
        from pgmpy.utils import get_example_model

        return get_example_model("asia")


def test_pgmpy_agrees_with_the_junction_tree(theirs: Any) -> None:
    for task, rows in ((vb.task(theirs), 12), (_spec.task_of(RAIN), 8)):
        data = task.simulate(range(rows), seed=0).data
        ours, other = (
            registry.engine(name)(task, data, seed=0) for name in ("junction_tree", "pgmpy")
        )
        np.testing.assert_allclose(
            ours.predictive.probs, other.predictive.probs, rtol=0, atol=1e-14
        )  # 3e-16
        assert other.certificate.verdict == "trusted"


def test_pgmpy_refuses_what_it_cannot_do() -> None:
    task = _spec.task_of(RAIN)
    with pytest.raises(
        ReferenceRefused, match="the evidence of data set 1 of the batch has probability zero"
    ):
        registry.engine("pgmpy")(task, evidence([0, -1, -1, -1], [2, 1, -1, -1]), seed=0)
    with pytest.raises(ReferenceRefused, match="GiB"):
        registry.engine("pgmpy", {"memory": "1e-9"})(task, evidence([-1, -1, -1, -1]), seed=0)
    learning = _spec.task_of(BayesianNetwork(["a"], {}, prior=Dirichlet(1.0)))
    with pytest.raises(InputError, match="with known tables"):
        registry.engine("pgmpy")(learning, evidence([-1]), seed=0)


def test_a_pgmpy_object_is_a_task(theirs: Any) -> None:
    task = vb.task(theirs)
    assert task.reference == "junction_tree"
    model = task.model
    assert isinstance(model, BayesianNetwork)
    for i, node in enumerate(model.nodes):
        cpd = theirs.get_cpds(node)
        assert [model.nodes[p] for p in model.parents[i]] == cpd.variables[1:]
        assert list(model.states[i]) == cpd.state_names[node]
        np.testing.assert_allclose(model.table(i), np.moveaxis(cpd.values, 0, -1), rtol=1e-7)


def wet(**changes: Any) -> Any:
    """A pgmpy network whose tables list the states of a parent in different orders."""
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.models import DiscreteBayesianNetwork

    given = {
        "rain": [[0.7], [0.3]],
        "grass": [[0.2, 0.9], [0.8, 0.1]],
        "edges": [("rain", "grass")],
        "names": {"grass": ["dry", "wet"], "rain": ["yes", "no"]},
        **changes,
    }
    net = DiscreteBayesianNetwork(given["edges"])
    net.add_cpds(TabularCPD("rain", 2, given["rain"], state_names={"rain": ["no", "yes"]}))
    if given["grass"] is not None:
        net.add_cpds(
            TabularCPD("grass", 2, given["grass"], ["rain"], [2], state_names=given["names"])
        )
    return net


def test_states_are_matched_by_name() -> None:
    model = vb.task(wet()).model
    assert isinstance(model, BayesianNetwork)
    assert model.states == (("no", "yes"), ("dry", "wet"))
    np.testing.assert_array_equal(model.table(1), [[0.9, 0.1], [0.2, 0.8]])


def test_states_are_matched_as_text() -> None:
    """One table calls the states of a node by numbers, another by the same numbers as text."""
    net = wet(names={"grass": [1, 0], "rain": ["yes", "no"]})
    child = net.get_cpds("grass")
    net.get_cpds("rain").state_names["rain"] = [0, 1]
    child.state_names["rain"] = ["1", "0"]
    model = vb.task(net).model
    assert model.states == (("0", "1"), ("1", "0"))
    np.testing.assert_array_equal(model.table(1), [[0.9, 0.1], [0.2, 0.8]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grass": None}, "a table for each node of the pgmpy network, got none for 'grass'"),
        (
            {"names": {"grass": ["dry", "wet"], "rain": ["yes", "maybe"]}},
            "states .'no', 'yes'. of 'rain' in the table of 'grass'",
        ),
        ({"rain": [[0.7], [0.7]]}, "sum to one in the table of 'rain'"),
        ({"rain": [[float("nan")], [0.7]]}, "got nan"),
    ],
)
def test_what_is_no_network_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        vb.task(wet(**changes))

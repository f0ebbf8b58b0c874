"""Learning tables: closed forms, independent routes, extreme counts,
and the reference numbers of arXiv 2501.02547.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest

from veribayes import registry
from veribayes.errors import InputError
from veribayes.inference._beta import beta_rule, log_interval
from veribayes.inference._rows import at_query, matching_counts, prefix_counts, query_of
from veribayes.models._priors import BIMODAL, Dirichlet, RowPrior, UniformInterval
from veribayes.models._task import Design, Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.predictive import Array
from veribayes.tree import Simulation

GENERAL5 = {"C": ["A", "B"], "D": ["A", "C"], "E": ["D"]}
CHAIN7 = {b: [a] for a, b in zip("ABCDEF", "BCDEFG", strict=True)}
POSITIONS = (1, 5, 10, 20, 50, 100)
PRIORS = [
    UniformInterval(0.1, 0.9),
    BIMODAL,
    Dirichlet(0.4),
    UniformInterval(0.0, 1.0),
    UniformInterval(0.01, 0.05),
]


def network(
    nodes: str, parents: dict[str, list[str]], prior: RowPrior, states: Any = 2, **design: Any
) -> Task:
    model = BayesianNetwork(list(nodes), parents, states, prior=prior)
    return Task(
        "learning",
        model,
        Design(**{"positions": POSITIONS, **design}),
        "conjugate",
        "row_quadrature",
    )


def run(name: str, task: Task, simulation: Simulation, **options: Any) -> Any:
    return registry.load("engine", name)(**options)(task, simulation.data, seed=0)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: str(p))
def test_two_routes_agree(prior: RowPrior) -> None:
    task = network("ABCDE", GENERAL5, prior, positions=(0, 1, 5, 20, 100, 500))
    simulation = task.simulate(range(40), seed=0)
    exact, other = run("conjugate", task, simulation), run("row_quadrature", task, simulation)
    np.testing.assert_allclose(
        exact.predictive.probs, other.predictive.probs, rtol=0, atol=5e-12
    )  # 7e-13
    assert exact.certificate.verdict == other.certificate.verdict == "trusted"
    assert exact.certificate.bound_kind == "bound"
    assert exact.certificate.error_bound < 2e-11


def test_two_routes_agree_where_numbers_of_states_differ() -> None:
    task = network(
        "ABCDE",
        GENERAL5,
        Dirichlet(0.1),
        states=[3, 2, 3, 4, 2],
        positions=(0, 1, 10, 300),
        queries=2,
    )
    simulation = task.simulate(range(40), seed=0)
    exact, other = run("conjugate", task, simulation), run("row_quadrature", task, simulation)
    np.testing.assert_allclose(
        exact.predictive.probs, other.predictive.probs, rtol=0, atol=5e-14
    )  # 2e-15
    target = simulation.data.arrays["target"]
    padding = np.arange(4) >= task.model.cardinalities[target][:, None]
    assert np.all(exact.predictive.probs[:, :, padding] == 0)
    theta = exact.posterior["theta"]
    assert np.all(np.isnan(theta["mean"][..., np.arange(4) >= task.model.row_states[:, None]]))
    np.testing.assert_allclose(np.nansum(theta["mean"], -1), 1, atol=1e-14)


def test_dirichlet_closed_form() -> None:
    """(n_v + c) / (n + K c), and the variance of the Dirichlet."""
    task = network("A", {}, Dirichlet(0.7), states=[3], positions=(12,))
    simulation = task.simulate(range(30), seed=3)
    branch = run("conjugate", task, simulation)
    counts = (simulation.data.arrays["rows"][:, :, 0, None] == np.arange(3)).sum(1)
    share = (counts + 0.7) / (12 + 2.1)
    np.testing.assert_allclose(branch.predictive.probs[:, 0, 0], share, rtol=1e-14)
    np.testing.assert_allclose(branch.posterior["theta"]["mean"][:, 0, 0], share, rtol=1e-14)
    np.testing.assert_allclose(
        branch.posterior["theta"]["sd"][:, 0, 0], np.sqrt(share * (1 - share) / 15.1), rtol=1e-12
    )


def test_posterior_of_an_interval_by_grid() -> None:
    """Mean and sd of theta against a fine midpoint rule."""
    task = network("A", {}, BIMODAL, positions=(0, 3, 40))
    simulation = task.simulate(range(10), seed=1)
    theta = run("conjugate", task, simulation).posterior["theta"]
    p = np.concatenate(
        [np.linspace(a, b, 40_001)[:-1] + (b - a) / 80_000 for a, b in BIMODAL.intervals]
    )
    for k, n in enumerate((0, 3, 40)):
        ones = simulation.data.arrays["rows"][:, :n, 0].sum(1)[:, None]
        weight = p**ones * (1 - p) ** (n - ones)
        weight /= weight.sum(1, keepdims=True)
        mean = weight @ p
        np.testing.assert_allclose(theta["mean"][:, k, 0, 1], mean, rtol=1e-8)
        np.testing.assert_allclose(
            theta["sd"][:, k, 0, 1], np.sqrt(weight @ p**2 - mean**2), rtol=1e-6
        )


@pytest.mark.parametrize(
    ("ones", "zeros"), [(0, 340), (0, 500), (500, 0), (7, 993), (1000, 0), (3, 40), (250, 250)]
)
@pytest.mark.parametrize(("low", "high"), [(0.1, 0.9), (0.7, 0.85), (0.0, 1.0), (0.4, 0.6)])
def test_interval_integrals_hold_where_the_literal_difference_fails(
    ones: int, zeros: int, low: float, high: float
) -> None:
    """The plain difference gives .1155 for (0, 340) on [.1, .9], and 0/0 for (0, 500)."""
    with mpmath.workdps(1200):

        def integral(more: int) -> Any:
            return mpmath.betainc(ones + 1 + more, zeros + 1, mpmath.mpf(low), mpmath.mpf(high))

        wanted = float(integral(1) / integral(0))
    a, b = np.array([ones + 1.0]), np.array([zeros + 1.0])
    found = np.exp(log_interval(a + 1, b, low, high)[0] - log_interval(a, b, low, high)[0])[0]
    assert found == pytest.approx(
        wanted, rel=5e-12
    )  # 1.4e-12 at 1000 observations: the size of log-gamma there
    if (ones, zeros, low) == (0, 340, 0.1):
        assert found == pytest.approx(0.1026, abs=5e-5)


@pytest.mark.parametrize(
    ("a", "b"),
    [(0.1, 0.3), (0.1, 0.1), (0.5, 0.5), (1.0, 1.0), (1.0, 2.0), (5.0, 10.0), (0.1, 20.0)],
)
def test_beta_rule_reproduces_posterior_means(a: float, b: float) -> None:
    at, weight = beta_rule(252, a, b)
    for ones, zeros in ((0, 500), (1, 499), (250, 250), (500, 0), (0, 0)):
        log_terms = np.log(weight) + ones * np.log(at) + zeros * np.log1p(-at)
        terms = np.exp(log_terms - log_terms.max())
        assert terms @ at / terms.sum() == pytest.approx(
            (a + ones) / (a + b + ones + zeros), rel=2e-12
        )  # 9e-13


def test_counts_agree_at_every_prefix() -> None:
    """One pass over the rows against comparison with each query,
    positions in any order and repeated.
    """
    task = network("ABCDE", GENERAL5, Dirichlet(1.0), positions=(30,), queries=2)
    data = replace(task.simulate(range(20), seed=0).data, positions=np.array([30, 0, 7, 7, 1]))
    model, query = task.model, query_of(data)
    relevant = np.array([[p in model.parents[t] for p in range(5)] for t in query.target])
    passed = at_query(model, prefix_counts(model, data.arrays["rows"], data.positions), query)
    assert np.array_equal(passed, matching_counts(model, data, relevant))
    assert np.array_equal(
        prefix_counts(model, data.arrays["rows"], data.positions)[:, 0],
        model.count(data.arrays["rows"]),
    )


# TV to the truth, averaged over nodes; unseen configurations score 1 for maximum likelihood.
# Rows: N = 1, 5, 10, 20, 50, 100.
TABLE = [
    (
        "general5",
        "ABCDE",
        GENERAL5,
        (0.604, 0.284, 0.191, 0.123, 0.074, 0.051),
        (0.182, 0.142, 0.120, 0.093, 0.064, 0.048),
    ),
    (
        "chain7",
        "ABCDEFG",
        CHAIN7,
        (0.615, 0.256, 0.162, 0.109, 0.067, 0.047),
        (0.183, 0.142, 0.116, 0.091, 0.061, 0.044),
    ),
]


@pytest.mark.parametrize(
    ("name", "nodes", "parents", "mle", "bayes"), TABLE, ids=[row[0] for row in TABLE]
)
def test_reference_table(
    name: str, nodes: str, parents: dict[str, list[str]], mle: Any, bayes: Any
) -> None:
    """1500 data sets have relative standard errors up to .009 here,
    and the table was printed to .0005.
    """
    del name
    task = network(nodes, parents, UniformInterval(0.1, 0.9))
    simulation = task.simulate(range(1500), seed=0)
    query = query_of(simulation.data)
    rows = task.model.query_rows(query)
    truth = np.take_along_axis(simulation.latents["theta"], rows[..., None], axis=1)[:, None]
    seen = matching_counts(task.model, simulation.data, _parents(task.model, query.target)).any(-1)

    def distance(engine: str) -> Array:
        return np.asarray(
            np.abs(run(engine, task, simulation).predictive.probs - truth).sum(-1) / 2
        )

    np.testing.assert_allclose(
        np.where(seen, distance("mle"), 1.0).mean((0, 2)), mle, rtol=0.03, atol=5e-4
    )  # 1.4 %
    np.testing.assert_allclose(
        distance("conjugate").mean((0, 2)), bayes, rtol=0.03, atol=5e-4
    )  # 1.6 %


def _parents(model: BayesianNetwork, target: Any) -> Any:
    return np.array([[p in model.parents[t] for p in range(len(model.nodes))] for t in target])


def test_maximum_likelihood_is_uniform_where_nothing_was_seen() -> None:
    task = network("ABCDE", GENERAL5, Dirichlet(1.0), states=[3, 2, 3, 4, 2], positions=(0, 2))
    simulation = task.simulate(range(20), seed=0)
    found = run("mle", task, simulation).predictive.probs
    states = task.model.cardinalities[simulation.data.arrays["target"]]
    np.testing.assert_allclose(
        found[:, 0],
        np.broadcast_to((np.arange(4) < states[:, None]) / states[:, None], found[:, 0].shape),
    )
    assert np.any(found[:, 1] == 0)


def test_all_predecessors_is_exact_for_the_complete_graph() -> None:
    complete = {"B": ["A"], "C": ["A", "B"], "D": ["A", "B", "C"]}
    task = network("ABCD", complete, UniformInterval(0.1, 0.9), positions=(1, 20))
    simulation = task.simulate(range(50), seed=0)
    exact, other = run("conjugate", task, simulation), run("all_predecessors", task, simulation)
    np.testing.assert_allclose(exact.predictive.probs, other.predictive.probs, rtol=0, atol=1e-13)


def test_known_tables_are_refused() -> None:
    model = BayesianNetwork(["A"], {}, cpts=[[0.3, 0.7]])
    task = Task("known", model, Design((0,)), "elimination", "enumeration")
    for engine in ("conjugate", "row_quadrature", "mle", "all_predecessors"):
        with pytest.raises(InputError, match="with a prior over its tables"):
            run(engine, task, task.simulate(range(2), seed=0))

"""Bayesian networks: layout, simulation against theory,
program and conditional against formulas, errors as a table.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import jax
import numpy as np
import pytest
from numpyro.infer.util import log_density
from scipy import stats

from veribayes.errors import InputError, ModelError
from veribayes.models._priors import (
    BIMODAL,
    Dirichlet,
    RowPrior,
    UniformInterval,
    UniformMixture,
    prior_from_spec,
)
from veribayes.models._task import Design, hash_of
from veribayes.models.bayesian_network import BayesianNetwork, RowQuery
from veribayes.tree import Data

GENERAL5: Any = [[], [], [0, 1], [0, 2], [3]]
PRIORS: list[RowPrior] = [Dirichlet(1.0), Dirichlet(0.4), UniformInterval(0.1, 0.9), BIMODAL]
RAIN = BayesianNetwork(
    ["rain", "sprinkler", "grass"],
    {"sprinkler": ["rain"], "grass": ["rain", "sprinkler"]},
    {"rain": ["none", "light", "heavy"], "sprinkler": 2, "grass": ["dry", "wet"]},
    cpts={
        "rain": [0.7, 0.2, 0.1],
        "sprinkler": [[0.6, 0.4], [0.9, 0.1], [1.0, 0.0]],
        "grass": [[[1.0, 0.0], [0.1, 0.9]], [[0.3, 0.7], [0.05, 0.95]], [[0.1, 0.9], [0.0, 1.0]]],
    },
)


def general5(prior: RowPrior) -> BayesianNetwork:
    return BayesianNetwork(list("ABCDE"), GENERAL5, prior=prior)


def mixed(prior: RowPrior) -> BayesianNetwork:
    """Variables with 2, 3 and 4 states."""
    return BayesianNetwork(["a", "b", "c"], {"b": ["a"], "c": ["a", "b"]}, [2, 3, 4], prior=prior)


# -- construction and layout -----------------------------------------------------------------------


def test_nodes_come_into_topological_order_and_tables_follow() -> None:
    turned = BayesianNetwork(
        ["grass", "sprinkler", "rain"],
        [[2, 1], [2], []],
        [["dry", "wet"], 2, ["none", "light", "heavy"]],
        cpts=[RAIN.table(2), RAIN.table(1), RAIN.table(0)],
    )
    assert turned.nodes == ("rain", "sprinkler", "grass")
    assert turned == RAIN
    assert hash_of(turned.spec()) == hash_of(RAIN.spec())


def test_layout_of_theta() -> None:
    assert (RAIN.n_rows, RAIN.width) == (1 + 3 + 6, 3)
    assert RAIN.offsets.tolist() == [0, 1, 4]
    assert RAIN.row_states.tolist() == [3] + [2] * 9
    assert RAIN.configuration(np.array([2, 1, 0])).tolist() == [0, 3, 4 + 2 * 2 + 1]
    assert np.array_equal(RAIN.theta[4:, :2], RAIN.table(2).reshape(6, 2))


def test_counts_agree_with_counting() -> None:
    model = mixed(Dirichlet())
    rows = model.simulate(Design((9,)), 1, "verify", np.arange(4)).data.arrays["rows"]
    expected = np.zeros((4, model.n_rows, model.width), dtype=np.int64)
    for b, row in np.ndindex(4, 9):
        for node, r in enumerate(model.configuration(rows[b, row])):
            expected[b, r, rows[b, row, node]] += 1
    assert np.array_equal(model.count(rows), expected)
    assert np.array_equal(model.count(rows[:, :0]), 0 * expected)


def test_a_long_chain_needs_no_recursion() -> None:
    n = 20_000
    model = BayesianNetwork(
        [f"v{i}" for i in reversed(range(n))],
        {f"v{i}": [f"v{i - 1}"] for i in range(1, n)},
        prior=Dirichlet(),
    )
    assert model.nodes[0] == "v0"
    assert model.n_rows == 2 * n - 1


@pytest.mark.parametrize("model", [RAIN, *map(general5, PRIORS), mixed(Dirichlet(0.5))])
def test_spec_round_trip(model: BayesianNetwork) -> None:
    again = BayesianNetwork.from_spec(model.spec())
    assert again == model
    assert hash(again) == hash(model)
    assert hash_of(again.spec()) == hash_of(model.spec())


def test_rounded_rows_are_renormalised_and_noted() -> None:
    model = BayesianNetwork(
        ["a", "b"], [[], []], 3, cpts=[[0.33333, 0.33333, 0.33333], [0.2, 0.3, 0.5]]
    )
    assert np.array_equal(model.table(0), np.full(3, 1 / 3))
    assert model.notes == (
        "rows of 1 tables were renormalised; the largest sum was off by 1e-05 ('a')",
    )


BAD_NETWORKS: list[tuple[dict[str, Any], str]] = [
    ({"nodes": []}, "at least one node"),
    ({"nodes": ["a", "a"]}, "different names, got 'a' twice"),
    ({"nodes": ["a", True]}, "a name for a node, got True"),
    ({"nodes": "ab"}, "a list for 'nodes'"),
    ({"parents": {"b": ["x"]}}, "a declared parent of 'b', got 'x'"),
    ({"parents": {"x": ["a"]}}, "known keys in parents, got 'x'"),
    ({"parents": {"b": ["a", "a"]}}, "each parent of 'b' once"),
    ({"parents": {"a": ["b"], "b": ["a"]}}, "without cycles, got (a -> b -> a|b -> a -> b)"),
    ({"parents": {"b": ["b"]}}, "without cycles, got b -> b"),
    ({"parents": [[], [2]]}, "'parents' between 0 and 1"),
    ({"parents": [[]]}, "parents of 2 nodes, got 1"),
    ({"states": {"a": 2}}, "the key 'b' in states"),
    ({"states": {"a": 2, "b": 0}}, "'states of b' between"),
    ({"states": {"a": 2, "b": ["x", "x"]}}, "different states of 'b'"),
    ({"states": {"a": 2, "b": [True, False]}}, "put it in quotes"),
    ({"states": 3, "prior": UniformInterval(0.1, 0.9)}, "two states in every variable"),
    (
        {"prior": Dirichlet(), "cpts": [[0.5, 0.5]] * 2},
        "either cpts or a prior over their rows, got both",
    ),
    ({"prior": None}, "got neither"),
    ({"prior": None, "cpts": {"a": [0.5, 0.5]}}, "the key 'b' in cpts"),
    ({"prior": None, "cpts": [[0.5, 0.5]]}, "tables of 2 nodes"),
    (
        {"prior": None, "cpts": [[0.5, 0.5], [0.3, 0.6]]},
        "rows that sum to one in the table of 'b', got 0.9 in row 1",
    ),
    ({"prior": None, "cpts": [[0.5, 0.5], [[0.5, 0.5], [0.5, 0.5]]]}, "1 rows of 2 probabilities"),
    (
        {"prior": None, "cpts": [[0.5, 0.5], [1.5, -0.5]]},
        "finite probabilities >= 0 in the table of 'b', got -0.5",
    ),
    ({"prior": None, "cpts": [[0.5, 0.5], [float("nan"), 1]]}, "got nan"),
    ({"prior": None, "cpts": [[0.5, 0.5], ["x", 1]]}, "numbers in the table of 'b'"),
    ({"prior": None, "cpts": [[0.5, 0.5], [[0.5], [0.5, 0.1]]]}, "numbers in the table of 'b'"),
    (
        {"nodes": [f"n{i}" for i in range(40)], "parents": {"n39": [f"n{i}" for i in range(39)]}},
        "table entries",
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD_NETWORKS)
def test_what_is_no_network_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        BayesianNetwork(
            **{"nodes": ["a", "b"], "parents": {}, "states": 2, "prior": Dirichlet(), **change}
        )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "beta"}, "dirichlet, uniform, uniform_mixture"),
        ("dirichlet", "kind of the prior"),
        ({"kind": "dirichlet", "concentration": 0}, "'concentration' above 0"),
        ({"kind": "dirichlet", "alpha": 1}, "known keys"),
        ({"kind": "uniform", "low": 0.9, "high": 0.1}, "low < high"),
        ({"kind": "uniform", "low": 0.1}, "low, high"),
        ({"kind": "uniform", "low": -0.1, "high": 0.5}, "0 <= low"),
        ({"kind": "uniform", "low": "x", "high": 0.5}, "a number"),
        ({"kind": "uniform_mixture", "intervals": []}, "intervals"),
        ({"kind": "uniform_mixture", "intervals": [[0.1]]}, "intervals"),
        (
            {"kind": "uniform_mixture", "intervals": [[0.1, 0.2]], "weights": [0.5]},
            "summing to one",
        ),
    ],
)
def test_what_is_no_prior_is_refused(spec: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        prior_from_spec(spec)


@pytest.mark.parametrize("prior", [*PRIORS, UniformMixture(((0.0, 0.2), (0.5, 1.0)), (0.3, 0.7))])
def test_priors_round_trip(prior: RowPrior) -> None:
    assert prior_from_spec(prior.spec()) == prior


# -- simulation ------------------------------------------------------------------------------------


def test_a_data_set_depends_on_its_own_number_alone() -> None:
    model = general5(UniformInterval(0.1, 0.9))
    many = model.simulate(Design((1, 30), queries=2), 5, "train", np.arange(100))
    few = model.simulate(Design((1, 30), queries=2), 5, "train", np.array([93, 4]))
    for name in ("rows", "query"):
        assert np.array_equal(many.data.arrays[name][[93, 4]], few.data.arrays[name])
    assert np.array_equal(many.outcome[[93, 4]], few.outcome)
    assert np.array_equal(many.latents["theta"][[93, 4]], few.latents["theta"])


def test_shapes_of_learning() -> None:
    model = general5(Dirichlet())
    sim = model.simulate(Design((0, 3, 8), queries=2), 0, "verify", np.arange(6))
    assert {k: v.shape for k, v in sim.data.arrays.items()} == {
        "rows": (6, 8, 5),
        "query": (6, 10, 5),
        "target": (10,),
    }
    assert sim.outcome.shape == (6, 3, 10)
    assert np.array_equal(sim.context[0], [0, 3, 8])
    context, query = model.inputs(sim.data, 1)
    assert context.shape == (6, 3, 5)
    assert isinstance(query, RowQuery)
    for q, target in enumerate(query.target):
        assert np.all(query.row[:, q, target:] == -1)
        assert np.all(query.row[:, q, :target] >= 0)
    # a later query of the same row reveals what the earlier one asked for
    assert np.array_equal(query.row[:, 4, 3], sim.outcome[:, 0, 3])


@pytest.mark.parametrize("prior", PRIORS)
def test_tables_follow_the_prior(prior: RowPrior) -> None:
    theta = (
        general5(prior)
        .simulate(Design((1,)), 0, "verify", np.arange(3000))
        .latents["theta"][..., 1]
        .ravel()
    )
    law: dict[str, tuple[float, float]] = {  # mean and variance of P(second state)
        "dirichlet": (0.5, 1 / (4 * (2 * getattr(prior, "concentration", 1.0) + 1))),
        "uniform": (0.5, 0.8**2 / 12),
        "uniform_mixture": (0.5, 0.275**2 + 0.15**2 / 12),
    }
    mean, variance = law[prior.kind]
    error = (variance / theta.size) ** 0.5
    assert abs(theta.mean() - mean) < 4.5 * error
    assert abs(theta.var() / variance - 1) < 0.03  # 36,000 draws: standard error below .008


@pytest.mark.parametrize("model", [general5(UniformInterval(0.1, 0.9)), mixed(Dirichlet(0.5))])
def test_rows_follow_the_tables(model: BayesianNetwork) -> None:
    """Standardised residuals of every cell have mean square one."""
    sim = model.simulate(Design((40,)), 2, "verify", np.arange(500))
    counts, theta = model.count(sim.data.arrays["rows"]), sim.latents["theta"]
    assert np.allclose(theta.sum(-1), 1)
    visits = counts.sum(-1, keepdims=True)
    use = (visits >= 5) & (theta > 0.02) & (theta < 0.98)
    square = (counts - visits * theta)[use] ** 2 / (visits * theta * (1 - theta))[use]
    assert abs(square.mean() - 1) < 0.05  # measured .005 and .030; standard error .02


def test_inference_follows_the_joint() -> None:
    n = 20_000
    sim = RAIN.simulate(Design((0,)), 0, "verify", np.arange(n))
    evidence, outcome = sim.data.arrays["evidence"], sim.outcome[:, 0]
    assert np.array_equal(np.isnan(outcome), evidence >= 0)
    assert np.array_equal(sim.context[:, 0], (evidence >= 0).sum(1))
    assert np.all(sim.context < 3)
    assert np.all(np.abs((evidence >= 0).mean(0) - 0.5 * (1 - 1 / 3)) < 4.5 * (0.25 / n) ** 0.5)
    row = np.where(evidence >= 0, evidence, np.nan_to_num(outcome)).astype(int)
    for states in product(range(3), range(2), range(2)):
        p = RAIN.table(0)[states[0]] * RAIN.table(1)[states[:2]] * RAIN.table(2)[states]
        share = np.all(row == states, axis=1).mean()
        assert abs(share - p) <= 4.5 * (p * (1 - p) / n) ** 0.5, (
            states
        )  # impossible states never occur


def test_inference_has_one_position() -> None:
    with pytest.raises(InputError, match="one position"):
        RAIN.simulate(Design((1, 2)), 0, "verify", np.arange(2))


# -- program and conditional -----------------------------------------------------------------------


def density_and_theta(
    model: BayesianNetwork, counts: np.ndarray, sites: dict[str, Any]
) -> tuple[Any, Any]:
    value, trace = log_density(model.program, (), {"counts": counts}, sites)
    return value, trace["theta"]["value"]


@pytest.mark.parametrize("model", [general5(BIMODAL), mixed(Dirichlet(0.5))])
def test_program_is_the_formula(model: BayesianNetwork) -> None:
    """The density of theta under the program, at a point, is prior times likelihood."""
    sim = model.simulate(Design((6,)), 0, "verify", np.arange(1))
    counts = model.program_data(sim.data, 0)["counts"][0]
    level = np.linspace(0.05, 0.95, model.n_rows)
    with jax.enable_x64(True):
        if isinstance(model.prior, Dirichlet):
            sites, prior = {}, 0.0
            for k in np.unique(model.row_states):
                rows = stats.dirichlet.rvs(
                    np.ones(k), (model.row_states == k).sum(), random_state=0
                )
                sites[f"rows_of_{k}"] = rows
                prior += sum(
                    stats.dirichlet.logpdf(r, np.full(k, model.prior.concentration)) for r in rows
                )
        else:
            sites, prior = {"level": level}, 0.0
        value, theta = jax.jit(lambda sites: density_and_theta(model, counts, sites))(sites)
        theta = np.asarray(theta)
    inside = model.latent_mask(sim.data, 0)["theta"][0]
    assert np.allclose(theta.sum(-1), 1)
    assert np.all(theta[~inside] == 0)
    likelihood = np.sum(counts[inside] * np.log(theta[inside]))
    assert abs(float(value) - prior - likelihood) < 1e-10


def test_levels_of_an_interval_prior_are_its_quantiles() -> None:
    with jax.enable_x64(True):
        rows = np.asarray(BIMODAL._rows(jax.numpy.array([0.0, 0.25, 0.4999999, 0.5, 0.75])))
    assert np.allclose(rows[:, 1], [0.15, 0.225, 0.3, 0.7, 0.775], atol=1e-6)


def test_known_tables_have_no_program() -> None:
    with pytest.raises(InputError, match="nothing is left to learn"):
        RAIN.program(np.zeros((10, 3)))
    assert RAIN.latents == ()


def test_conditional_is_the_posterior_predictive() -> None:
    """Averaged over exact posterior draws it is (n_v + a) / (n + K a)."""
    model, draws = mixed(Dirichlet(0.5)), 4000
    data: Data = model.simulate(Design((3, 6)), 4, "verify", np.arange(1)).data
    counts = model.count(data.arrays["rows"])
    posterior = np.where(model.latent_mask(data, 1)["theta"], counts + 0.5, 0.0)
    gamma = np.random.default_rng(0).gamma(
        posterior[:, None], size=(1, draws, *posterior.shape[1:])
    )
    found = model.conditional({"theta": gamma / gamma.sum(-1, keepdims=True)}, data, 1)
    exact = posterior / posterior.sum(-1, keepdims=True)
    rows = model.query_rows(RowQuery(data.arrays["query"], data.arrays["target"]))
    expected = np.take_along_axis(exact, rows[..., None], axis=1)
    assert found.shape == (1, 3)
    assert (
        np.abs(found.variables()["probs"] - expected).max() < 4.5 * 0.5 / draws**0.5
    )  # measured .009

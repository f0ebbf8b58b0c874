"""What enters an engine: codes outside the states, numbers that are none, wrong axes; defaults;
singular matrices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist

from veribayes import registry
from veribayes.errors import InputError, ReferenceRefused, VeribayesError
from veribayes.models._priors import Dirichlet, UniformInterval, UniformMixture
from veribayes.models._spec import load_task, task_of
from veribayes.models._task import Task, Tolerance
from veribayes.models.bayesian_network import BayesianNetwork, Edges
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.models.gaussian_process._hyper import Grid, LogNormal
from veribayes.models.gaussian_process._kernels import RBF, Linear, Matern32
from veribayes.models.mtd import MTD
from veribayes.models.numpyro_model import NumPyroModel
from veribayes.run import pipeline
from veribayes.tree import Data
from veribayes.tree.method import Method

CHAIN = {"b": ["a"], "c": ["b"]}
TABLES = [[0.4, 0.6], [[0.1, 0.9], [0.7, 0.3]], [[0.5, 0.5], [0.2, 0.8]]]
TASKS: dict[str, Task] = {
    "learning": task_of(
        BayesianNetwork(list("abc"), CHAIN, 2, prior=Dirichlet(1.0)), positions=[0, 4]
    ),
    "graph": task_of(
        BayesianNetwork(list("abc"), "unknown", 2, prior=Dirichlet(1.0), edges=Edges(0.2, 0.8)),
        positions=[0, 4],
    ),
    "inference": task_of(BayesianNetwork(list("abc"), CHAIN, 2, cpts=TABLES)),
    "mtd": task_of(MTD(q=3, m=2), positions=[2, 8]),
    "gp": task_of(GaussianProcess(RBF(1.0, 0.8), 0.2), positions=[1, 4], queries=2),
}
ENGINES = {
    "learning": [
        "conjugate",
        "row_quadrature",
        "nuts",
        "hmc",
        "mle",
        "naive_mle",
        "smoothed_mle",
        "all_predecessors",
        "prior_only",
        "wrong_prior",
        "finite_draws",
        "ignores_parent",
        "temperature",
        "forgets_context",
    ],
    "graph": [
        "structure_averaging",
        "graph_enumeration",
        "all_predecessors",
        "mle",
        "naive_mle",
        "prior_only",
    ],
    "inference": [
        "junction_tree",
        "elimination",
        "enumeration",
        "likelihood_weighting",
        "pgmpy",
        "prior_only",
        "finite_draws",
    ],
    "mtd": [
        "simplex_quadrature",
        "lag_counts",
        "lag_quasi_monte_carlo",
        "nuts",
        "hmc",
        "n_gram",
        "mirror_descent",
        "expectation_maximization",
        "prior_only",
        "wrong_prior",
        "finite_draws",
        "off_by_one_lag",
        "forgets_context",
    ],
    "gp": [
        "cholesky",
        "sequential",
        "ball",
        "nuts",
        "hmc",
        "kernel_descent",
        "nadaraya_watson",
        "preconditioned_descent",
        "prior_only",
        "wrong_prior",
        "finite_draws",
        "narrow",
    ],
}
ARRAYS = {"learning": "rows", "graph": "rows", "inference": "evidence", "mtd": "y", "gp": "y"}
WRONG: dict[str, list[Any]] = {
    "learning": [-1, 2, 7, 1.5, np.nan],
    "graph": [-1, 2, 1.5],
    "inference": [-2, 2, 7, 0.5],
    "mtd": [-1, 3, 1.5],
    "gp": [np.nan, np.inf],
}


@cache
def simulated(kind: str) -> Data:
    return TASKS[kind].simulate(range(3), seed=0).data


def spoiled(data: Data, name: str, place: tuple[int, ...], value: Any) -> Data:
    """The batch with one number replaced; a fraction makes the whole array one of floats."""
    array = np.array(data.arrays[name])
    array = array.astype(np.float64) if isinstance(value, float) else array
    array[place] = value
    return replace(data, arrays={**data.arrays, name: array})


@pytest.mark.parametrize(
    ("kind", "engine"), [(k, e) for k, engines in ENGINES.items() for e in engines]
)
def test_every_engine_refuses_what_is_no_state(kind: str, engine: str) -> None:
    task, data, name = TASKS[kind], simulated(kind), ARRAYS[kind]
    for value in WRONG[kind]:
        bad = spoiled(data, name, (1, 0, 0)[: data.arrays[name].ndim], value)
        with pytest.raises(InputError, match=f"in '{name}'"):
            registry.engine(engine)(task, bad, seed=0)


@pytest.mark.parametrize("kind", TASKS)
def test_the_message_says_where_and_wrong_axes_are_named(kind: str) -> None:
    task, data, name = TASKS[kind], simulated(kind), ARRAYS[kind]
    last = np.array(data.arrays[name])[2:]
    engine = registry.engine(task.reference)
    with pytest.raises(InputError, match=f"'{name}' with the axes"):
        engine(task, replace(data, arrays={**data.arrays, name: last}), seed=0)
    with pytest.raises(InputError, match="with the axes"):
        engine(task, replace(data, arrays={}), seed=0)
    moved = replace(
        spoiled(data, name, (2, 1, 0)[: last.ndim], WRONG[kind][1]), index=np.array([10, 20, 30])
    )
    with pytest.raises(InputError, match="at data set 30"):
        engine(task, moved, seed=0)
    if data.positions.size > 1:
        with pytest.raises(InputError, match="positions between 0 and"):
            engine(task, replace(data, positions=np.array([0, 999])), seed=0)


def test_queries_and_targets_are_checked() -> None:
    data = simulated("learning")
    for name, place, value in (
        ("query", (0, 2, 0), -1),
        ("query", (0, 0, 0), 5),
        ("target", (0,), 3),
        ("target", (0,), -1),
    ):
        with pytest.raises(InputError, match=f"in '{name}'"):
            registry.engine("conjugate")(
                TASKS["learning"], spoiled(data, name, place, value), seed=0
            )
    with pytest.raises(InputError, match="in 'target'"):
        registry.engine("junction_tree")(
            TASKS["inference"], spoiled(simulated("inference"), "target", (0,), 3), seed=0
        )
    model: Any = TASKS["inference"].model
    with pytest.raises(InputError, match="in 'evidence'"):
        registry.engine("junction_tree").log_evidence(model, np.array([[0, 7, -1]]))
    for name in ("x", "x_query"):
        with pytest.raises(InputError, match=f"in '{name}'"):
            registry.engine("cholesky")(
                TASKS["gp"], spoiled(simulated("gp"), name, (0, 0, 0), np.nan), seed=0
            )


# -- defaults --------------------------------------------------------------------------------------

UNKNOWN = Edges(0.2, 0.8)
UNIFORM, MIXTURE = UniformInterval(0.1, 0.9), UniformMixture(((0.1, 0.3), (0.6, 0.9)), (0.4, 0.6))


def network(
    nodes: int, *, states: int = 2, prior: Any = None, graph: str = "chain"
) -> BayesianNetwork:
    names = [f"v{i}" for i in range(nodes)]
    if graph == "unknown":
        return BayesianNetwork(
            names, "unknown", states, prior=prior or Dirichlet(1.0), edges=UNKNOWN
        )
    parents = {n: names[max(0, i - 2) : i] for i, n in enumerate(names)}
    if prior is not None:
        return BayesianNetwork(names, parents, states, prior=prior)
    rng = np.random.default_rng(nodes)
    tables = {n: rng.dirichlet(np.ones(states), size=states ** len(p)) for n, p in parents.items()}
    return BayesianNetwork(names, parents, states, cpts=tables)


MODELS: dict[str, Any] = {
    **{
        f"mtd m={m} q={q}": MTD(q=q, m=m)
        for m, q in ((1, 2), (2, 20), (3, 3), (4, 2), (5, 3), (8, 4))
    },
    "mtd own matrix": MTD(q=2, m=3, matrix=[[0.9, 0.1], [0.2, 0.8]]),
    "mtd per lag": MTD(q=3, m=6, per_lag=True),
    "mtd sparse": MTD(q=3, m=2, concentration=0.1),
    **{f"gp d={d}": GaussianProcess(RBF(1.0, 0.8), 0.2, d=d) for d in (1, 3, 10)},
    "gp linear": GaussianProcess(Linear([1.0, 0.5]), 0.3, d=2),
    "gp Matern": GaussianProcess(Matern32(1.0, 0.5), 0.1),
    "gp grid": GaussianProcess(RBF(1.0, Grid([0.5, 1.0])), 0.2),
    "gp continuous": GaussianProcess(RBF(1.0, LogNormal(0.0, 0.5)), LogNormal(-1.5, 0.3)),
    "gp noise .01": GaussianProcess(RBF(1.0, 0.8), 0.01),
    "gp uniform": GaussianProcess(RBF(1.0, 0.8), 0.2, input_law="uniform"),
    **{f"bn known {n}": network(n) for n in (2, 5, 37)},
    "bn known, three states": network(8, states=3),
    **{f"bn learned {n}": network(n, prior=Dirichlet(1.0)) for n in (2, 5, 37)},
    "bn three states": network(4, states=3, prior=Dirichlet(0.5)),
    "bn uniform": network(4, prior=UNIFORM),
    "bn mixture": network(4, prior=MIXTURE),
    **{f"bn unknown {n}": network(n, graph="unknown") for n in (2, 5)},
}


QUICK = (
    "mtd m=1 q=2",
    "gp continuous",
    "bn known 37",
    "bn learned 37",
    "bn three states",
    "bn mixture",
    "bn unknown 5",
)


def program(y: Any) -> None:
    numpyro.sample("y", dist.Normal(numpyro.sample("x", dist.Normal(0, 1)), 1), obs=y)


def test_every_default_reference_computes_the_posterior() -> None:
    """Of every family, and of every task that is shipped: as a word alone, no engine runs."""
    tasks = [load_task(name) for name in registry.names("task")]
    models = [*MODELS.values(), NumPyroModel(program, {"y": np.zeros(3)})]
    models += [task.model for task in tasks]
    assert {model.kind for model in models} == {
        registry.load("family", name).kind for name in registry.names("family")
    }
    references = {model.defaults()["reference"] for model in models}
    references |= {task.reference for task in tasks}
    for name in sorted(references):
        engine = registry.load("engine", name)
        assert isinstance(engine.method, Method), name
        assert engine.method.computes_posterior, name


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.study) for n in MODELS]
)
def test_every_default_reference_resolves_and_earns_a_certificate(name: str) -> None:
    task = task_of(MODELS[name])
    assert registry.load("engine", task.reference).method.computes_posterior
    short = replace(task, design=replace(task.design, positions=task.design.positions[:2]))
    data = short.simulate(range(2), seed=0).data
    for engine in (
        task.reference,
        *(() if task.second_route == "nuts" else (task.second_route,)),
        *task.rivals,
        "prior_only",
        *(("wrong_prior",) if task.wrong_prior else ()),
    ):
        branch = registry.engine(engine)(short, data, seed=0)
        assert (
            np.isfinite(branch.predictive.expectation()).all()
            if task.model.n_categories is None
            else True
        )
        if engine in (task.reference, task.second_route):
            branch.certificate.require(engine)


def test_many_lags_have_a_default_reference() -> None:
    """Nothing took quasi-Monte Carlo for a reference, which is the default from five lags on."""
    task = task_of(MTD(q=3, m=5), positions=[5])
    options = pipeline.Options(datasets=2, audit=0, reference_options={"points": "512"})
    tree = pipeline.reference(task, options)
    assert "quasi_monte_carlo" in tree.attrs["result"]


@pytest.mark.study
@pytest.mark.parametrize(
    ("changes", "candidate", "datasets"),
    [
        pytest.param({"rivals": (), "wrong_prior": {}}, "n_gram", 4, id="alone"),
        pytest.param({}, "mirror_descent", 10, id="with rivals"),
        pytest.param({"tolerance": None}, "mirror_descent", 10, id="with a tolerance to find"),
    ],
)
def test_a_chain_of_many_lags_has_a_default_run(
    changes: dict[str, Any], candidate: str, datasets: int
) -> None:
    task = task_of(MTD(q=3, m=5), positions=[5, 20])
    task = replace(task, **{"tolerance": Tolerance(0.01, 0.01), **changes})
    tree = pipeline.run(task, candidate, pipeline.Options(datasets=datasets, audit=0, tests="none"))
    assert "quasi_monte_carlo" in tree.attrs["result"]


def grid_of(side: int) -> BayesianNetwork:
    names = [f"{i} {j}" for i in range(side) for j in range(side)]
    parents = {
        f"{i} {j}": [f"{i - 1} {j}"] * (i > 0) + [f"{i} {j - 1}"] * (j > 0)
        for i in range(side)
        for j in range(side)
    }
    tables = {n: np.full((2 ** len(parents[n]), 2), 0.5) for n in names}
    return BayesianNetwork(names, parents, 2, cpts=tables)


@pytest.mark.parametrize("engine", ["junction_tree", "elimination", "enumeration", "pgmpy"])
def test_a_network_that_is_too_wide_is_refused_with_an_estimate(engine: str) -> None:
    side = 28  # cliques of 2^28 entries
    task = task_of(grid_of(side))
    data = Data(
        {"evidence": np.full((1, side**2), -1), "target": np.arange(side**2)},
        np.zeros(1, dtype=int),
        np.zeros(1, dtype=int),
    )
    with pytest.raises(ReferenceRefused, match="entries"):
        registry.engine(engine)(task, data, seed=0)


@pytest.mark.parametrize("engine", ["enumeration", "elimination", "junction_tree"])
def test_a_chain_of_many_nodes(engine: str) -> None:
    n = 5000
    names = [f"v{i}" for i in range(n)]
    model = BayesianNetwork(
        names,
        {b: [a] for a, b in pairwise(names)},
        2,
        cpts=[[0.5, 0.5]] + [[[0.9, 0.1], [0.2, 0.8]]] * (n - 1),
    )
    data = Data(
        {"evidence": np.full((1, n), -1), "target": np.arange(n)},
        np.zeros(1, dtype=int),
        np.zeros(1, dtype=int),
    )
    if engine == "enumeration":
        with pytest.raises(ReferenceRefused, match=r"10\^1505 entries"):
            registry.engine(engine)(task_of(model), data, seed=0)
    else:
        branch = registry.engine(engine)(task_of(model), data, seed=0)
        branch.certificate.require(engine)
        np.testing.assert_allclose(branch.predictive.probs[0, 0, -1], [2 / 3, 1 / 3], atol=1e-12)


# -- singular covariances --------------------------------------------------------------------------

SINGULAR: Mapping[str, GaussianProcess] = {
    "noise 1e-8": GaussianProcess(RBF(1.0, 0.8), 1e-8),
    "linear": GaussianProcess(Linear([1.0]), 1e-9),
    "long": GaussianProcess(RBF(1.0, 1e7), 1e-8),
    "prior": GaussianProcess(RBF(1.0, Grid([0.5, 1.0])), 1e-8),
}


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("noise 1e-8", "cholesky"),
        ("noise 1e-8", "sequential"),
        *(
            pytest.param(n, e, marks=pytest.mark.study)
            for n in ("linear", "long", "prior")
            for e in ("cholesky", "sequential")
        ),
    ],
)
def test_a_singular_covariance_is_a_refused_reference(name: str, engine: str) -> None:
    task = task_of(SINGULAR[name], positions=[2, 40], queries=2)
    data = task.simulate(range(3), seed=0).data
    twice = replace(
        data, arrays={**data.arrays, "x": np.repeat(data.arrays["x"][:, ::2], 2, axis=1)}
    )
    for one in (data, twice):
        with pytest.raises(ReferenceRefused) as caught:
            registry.engine(engine)(task, one, seed=0).certificate.require(engine)
        assert "not positive definite" in str(caught.value) or "error bound" in str(caught.value)


def test_what_is_simulated_from_a_singular_covariance_has_its_law() -> None:
    model = GaussianProcess(Linear([1.0]), 1e-9)
    y = task_of(model, positions=[40], queries=1).simulate(range(400), seed=0)
    slope = y.data.arrays["y"] / y.data.arrays["x"][..., 0]
    assert np.isfinite(y.outcome).all()
    assert np.abs(slope - slope[:, :1]).max() < 1e-3  # a line through the origin
    assert 0.85 < slope[:, 0].std() < 1.15  # 4 standard errors


def test_no_noise_at_all_is_no_model() -> None:
    for noise in (0.0, -1.0, np.nan):
        with pytest.raises(VeribayesError, match="noise_sd"):
            GaussianProcess(RBF(1.0, 0.8), noise)

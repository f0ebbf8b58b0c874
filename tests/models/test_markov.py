"""Markov chains: data follow the model, two routes agree for every kind of rows and start, pools
are read and refused, rivals and defects are found.
"""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import veribayes as vb
from veribayes import registry
from veribayes.errors import InputError, ModelError, ReferenceRefused
from veribayes.inference import markov_pool
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.models.markov import Markov, _chains, _pool, _program
from veribayes.predictive import Array
from veribayes.tree import Branch, Data, Simulation

POOL = {"size": 50, "seed": 1}
MODELS = {
    "counts": Markov(3),
    "second": Markov(2, order=2, concentration=0.5),
    "urn": Markov(4, order=0, concentration=2.0),
    "padded": Markov(3, order=2, start="first"),
    "orders": Markov(2, order=[0, 1, 2], order_weights=[0.2, 0.5, 0.3]),
    "pool": Markov(3, rows="pool", pool=POOL),
    "long_run": Markov(2, order=2, rows="pool", pool=POOL, start="stationary", concentration=0.5),
    "urns": Markov(2, order=0, rows="pool", pool={"size": 16}),
    "known": Markov(3, rows="known", matrix_seed=4, start="stationary"),
    "unknown_start": Markov(2, start="stationary"),
}
CONJUGATE = ("counts", "second", "urn", "padded", "orders")
POOLED = ("pool", "long_run", "urns", "known")
SHORT = (0, 1, 2, 5, 30)


def task_of(name: str, *positions: int) -> Task:
    return _spec.task_of(MODELS[name], name=name, positions=positions or SHORT)


@cache
def drawn(name: str) -> Simulation:
    return task_of(name).simulate(range(40), seed=3)


def answer(engine: str, task: Task, data: Data, **options: Any) -> Branch:
    branch: Branch = registry.load("engine", engine)(**options)(task, data, seed=3)
    return branch


def probabilities(branch: Branch) -> Array:
    probs: Array = branch.predictive.variables()["probs"]
    return probs[:, :, 0]


# -- the model -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_spec_round_trip(name: str) -> None:
    model = MODELS[name]
    again = _spec.model_from_spec({"kind": "markov", **model.spec()})
    assert again == model
    assert hash(again) == hash(model)
    assert _spec.replaced(model, task_of(name).wrong_prior) != model


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"symbols": 1}, "symbols"),
        ({"symbols": 2, "order": -1}, "order"),
        ({"symbols": 2, "order": [1, 0]}, "increasing"),
        ({"symbols": 2, "order": "x"}, "list for 'order'"),
        ({"symbols": 4, "order": 12}, "histories"),
        ({"symbols": 2, "rows": "guessed"}, "rows"),
        ({"symbols": 2, "start": "middle"}, "start"),
        ({"symbols": 2, "order": 0, "start": "stationary"}, "start: uniform of an urn"),
        ({"symbols": 2, "order": [0, 1], "start": "stationary"}, "with several orders"),
        ({"symbols": 2, "order_weights": [1.0]}, "order_weights of one order"),
        ({"symbols": 2, "order": [0, 1], "order_weights": [0.5, 0.6]}, "sum to one"),
        ({"symbols": 2, "concentration": 0}, "concentration"),
        ({"symbols": 2, "pool": POOL}, "no 'pool'"),
        ({"symbols": 2, "rows": "pool"}, "a size and a seed"),
        ({"symbols": 2, "rows": "pool", "pool": {"size": 4, "file": "a.npz"}}, "size and a seed"),
        ({"symbols": 2, "rows": "pool", "pool": {"size": 0}}, "size"),
        ({"symbols": 2, "rows": "pool", "pool": {"file": "none.npz"}}, "readable pool file"),
        ({"symbols": 2, "rows": "known", "matrix": [[0.5, 0.5]]}, "of shape"),
        ({"symbols": 2, "rows": "known", "matrix": [[0.5, 0.6]] * 2}, "sum to one"),
        ({"symbols": 2, "rows": "known", "matrix": [["a", 1]] * 2}, "numbers for 'matrix'"),
        ({"symbols": 2, "rows": "known", "matrix": np.eye(2), "matrix_seed": 1}, "either"),
        ({"symbols": 2, "rows": "known", "matrix": np.eye(2), "start": "stationary"}, "long-run"),
    ],
)
def test_what_is_no_model_is_refused(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(ModelError, match=word):
        Markov(**fields)


@pytest.mark.parametrize("name", ["known", "long_run"])
def test_data_follow_known_tables(name: str) -> None:
    """Frequencies of the first symbols and of moves within four standard errors of 4,000
    sequences.
    """
    model = MODELS[name]
    if name == "long_run":
        model = replace(model, pool={"size": 1, "seed": 1})
    simulation = _spec.task_of(model, positions=(4, 8)).simulate(range(4000), seed=1)
    y, (table,), order = simulation.data.arrays["y"], model.members[0], max(model.orders)
    starts = _chains.starts(table, order, model.start)
    codes = np.bincount(_chains.prefix_codes(y, model.symbols, order), minlength=len(table))
    error = 4 * np.sqrt(0.25 / 4000)
    assert np.abs(codes / 4000 - starts[order]).max() < error
    counts = _chains.counts(y, model.symbols, order, order, y.shape[1]).sum(0)
    totals = counts.sum(-1, keepdims=True)
    assert (np.abs(counts / totals - table) < 4 * np.sqrt(0.25 / totals)).all()


def test_rows_of_own_are_dirichlet_and_orders_have_their_weights() -> None:
    """Moments of an entry and shares of orders, within four standard errors of 4,000 sequences."""
    rows = task_of("second", 2).simulate(range(4000), seed=2).latents["rows"]
    np.testing.assert_allclose(rows.sum(-1), 1.0, atol=1e-12)
    assert abs(rows[:, 1, 0].mean() - 0.5) < 4 * np.sqrt(0.125 / 4000)
    assert abs(rows[:, 1, 0].var() / 0.125 - 1) < 0.1
    order = task_of("orders", 2).simulate(range(4000), seed=2).latents["order"]
    shares = np.bincount(order, minlength=3) / 4000
    assert np.abs(shares - [0.2, 0.5, 0.3]).max() < 4 * np.sqrt(0.25 / 4000)


def test_members_of_a_pool_do_not_depend_on_its_size() -> None:
    few, many = (_pool.drawn_tables(size, 3, (2, 2), 0.5) for size in (4, 9))
    np.testing.assert_array_equal(few, many[:4])
    spread = _pool.drawn_tables(4000, 0, (1, 2), 0.5)[:, 0, 0]
    assert abs(spread.var() / 0.125 - 1) < 0.1


def test_a_pool_is_read_from_a_file_and_bound_to_its_content(tmp_path: Path) -> None:
    tables = _pool.drawn_tables(6, 0, (2, 2), 1.0)
    file = tmp_path / "tasks.npz"
    np.savez(file, tables=tables, weights=np.arange(1, 7) / 21)
    model = Markov(2, rows="pool", pool={"file": str(file), "weights": "file"})
    np.testing.assert_array_equal(model.members[0], tables)
    np.testing.assert_allclose(np.exp(model.members[1]), np.arange(1, 7) / 21)
    spec = model.spec()
    assert _spec.model_from_spec({"kind": "markov", **spec}) == model
    np.savez(file, tables=tables[::-1])
    with pytest.raises(ModelError, match="it was changed"):
        Markov.from_spec(spec)
    with pytest.raises(ModelError, match="array of numbers 'weights'"):
        Markov(2, rows="pool", pool={"file": str(file), "weights": "file"})
    with pytest.raises(ModelError, match=r"shape \(member, 3, 3\)"):
        Markov(3, rows="pool", pool={"file": str(file)})
    np.savez(file, tables=tables * 1.1)
    with pytest.raises(ModelError, match="sum to one"):
        Markov(2, rows="pool", pool={"file": str(file)})
    file.write_bytes(b"no archive")
    with pytest.raises(ModelError, match="plain arrays"):
        Markov(2, rows="pool", pool={"file": str(file)})


# -- two routes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*CONJUGATE, *POOLED])
def test_two_routes_agree(name: str) -> None:
    """40 sequences; largest difference of a probability measured: 4e-15."""
    engines = ("markov_counts", "markov_quadrature")
    if name in POOLED:
        engines = ("markov_pool", "markov_sequential")
    task, data = task_of(name), drawn(name).data
    first, second = (answer(engine, task, data) for engine in engines)
    for engine, branch in zip(engines, (first, second), strict=True):
        branch.certificate.require(engine)
    assert np.abs(probabilities(first) - probabilities(second)).max() < 1e-13


def test_counts_are_the_rule_of_succession() -> None:
    """By hand: after 0 1 0 0 the row of 0 has seen 1 and 0 once each."""
    task = task_of("counts", 4)
    data = Data({"y": np.array([[0, 1, 0, 0]])}, np.array([4]), np.arange(1))
    said = probabilities(answer("markov_counts", task, data))[0, 0]
    np.testing.assert_allclose(said, [2 / 5, 2 / 5, 1 / 5])


def test_a_stationary_start_is_no_matter_of_counts() -> None:
    """Weighted draws agree with the integral over the square within five standard errors of 4,000
    draws, and counts do not: largest differences measured .0142 and .073.
    """
    task, data = task_of("unknown_start"), drawn("unknown_start").data
    exact = answer("markov_quadrature", task, data)
    exact.certificate.require("markov_quadrature")
    draws = answer("markov_importance", task, data)
    draws.certificate.require("markov_importance")
    sd = np.sqrt(1 / 12 / 4000)  # of a uniform row; later ones are narrower
    assert np.abs(probabilities(exact) - probabilities(draws)).max() < 5 * sd
    counted = answer("markov_counts", replace(task, model=Markov(2)), data)
    assert np.abs(probabilities(exact) - probabilities(counted)).max() > 0.05
    with pytest.raises(InputError, match="tells nothing of the rows"):
        answer("markov_counts", task, data)


def test_weighted_draws_have_equal_weights_where_the_start_says_nothing() -> None:
    task, data = task_of("counts"), drawn("counts").data
    draws = answer("markov_importance", task, data)
    assert draws.certificate.diagnostics["ess"] == pytest.approx(2000)
    exact = answer("markov_counts", task, data)
    assert np.abs(probabilities(exact) - probabilities(draws)).max() < 5 * np.sqrt(1 / 18 / 4000)
    for moment, atol in (("mean", 0.03), ("sd", 0.03)):
        expected, found = (b.posterior["rows"][moment] for b in (exact, draws))
        np.testing.assert_allclose(found, expected, atol=atol)
    starved = answer("markov_importance", task, data, draws=100)
    with pytest.raises(ReferenceRefused, match="effective draws"):
        starved.certificate.require("markov_importance")


def test_the_program_is_the_model() -> None:
    """Its long-run law is the one by elimination, and its counts are those of the prefix."""
    import jax

    rng = np.random.default_rng(0)
    tables = rng.dirichlet(np.ones(3), (4, 9))
    by_elimination = _chains.stationary(tables, 2)
    with jax.enable_x64(True):
        solved = np.stack([np.asarray(_program.stationary(table, 2)) for table in tables])
    np.testing.assert_allclose(by_elimination, solved, atol=1e-14)
    data = drawn("unknown_start").data
    arrays = MODELS["unknown_start"].program_data(data, 3)
    assert (arrays["counts"].sum((1, 2)) == 4).all()
    np.testing.assert_array_equal(arrays["begun"].argmax(-1), data.arrays["y"][:, 0])
    with pytest.raises(InputError, match="Dirichlet rows of one order"):
        MODELS["pool"].program_data(drawn("pool").data, 1)


@pytest.mark.study
@pytest.mark.parametrize("name", ["counts", "unknown_start"])
def test_hmc_agrees(name: str) -> None:
    """Certified, and the mean divergence of 40 sequences within the noise of the draws."""
    task, data = task_of(name, 1, 5, 30), drawn(name).data
    data = replace(data, positions=np.array([1, 5, 30]))
    exact = answer(task.reference, task, data)
    sampled = answer("hmc", task, data)
    sampled.certificate.require("hmc")
    metric = registry.load("metric", "kl")
    nothing = np.zeros(exact.predictive.shape)
    assert metric.score(sampled.predictive, exact.predictive, nothing).mean() < 2e-4


def test_blocks_of_a_pool_are_one_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven tables at a time say what all at once do, latents too."""
    task, data = task_of("long_run"), drawn("long_run").data
    whole = answer("markov_pool", task, data)
    monkeypatch.setattr(markov_pool, "BLOCK", 7)
    monkeypatch.setattr(markov_pool, "CELLS", 70)
    parts = answer("markov_pool", task, data)
    np.testing.assert_allclose(probabilities(parts), probabilities(whole), atol=1e-14)
    for moment, values in whole.posterior["rows"].items():
        np.testing.assert_allclose(parts.posterior["rows"][moment], values, atol=1e-7)


@pytest.mark.parametrize("engine", ["markov_pool", "markov_sequential"])
def test_impossible_symbols_are_refused(engine: str) -> None:
    model = Markov(2, rows="known", matrix=[[0, 1], [1, 0]])
    task = _spec.task_of(model, name="alternating", positions=(3,))
    data = Data({"y": np.array([[0, 1, 0], [0, 1, 1]])}, np.array([3]), np.arange(2))
    with pytest.raises(ReferenceRefused, match="data set 1"):
        answer(engine, task, data)
    with pytest.raises(InputError, match="Dirichlet rows"):
        answer("markov_counts", task, data)


@pytest.mark.parametrize("name", ["counts", "padded", "long_run", "unknown_start", "orders"])
def test_draws_of_latents_average_to_the_predictive(name: str) -> None:
    """The prior weighted by the likelihood of five symbols, by counts of 40,000 of its draws."""
    model = MODELS[name]
    task = task_of(name, 5)
    data = drawn(name).data.select(datasets=slice(4))
    data = replace(data, positions=np.array([5]))
    exact = probabilities(answer(task.reference, task, data))[:, 0]
    latents = task.model.simulate(task.design, 7, "verify", np.arange(40_000)).latents
    if name == "orders":
        posterior = answer("markov_counts", task, data).posterior["order"]["probs"][:, 0]
        rng = np.random.default_rng(0)
        picked = np.stack([rng.choice(3, 40_000, p=p) for p in posterior])
        said = model.conditional({"order": picked}, data, 0)
    else:
        rows, order = latents["rows"], max(model.orders)
        y = data.arrays["y"]
        picked = []
        for row in y:
            weights = np.ones(len(rows))
            for t in range(5):
                law = _chains.ahead(rows[None], row[None], model.symbols, order, model.start, t)
                weights = weights * law[0, :, row[t]]
            rng = np.random.default_rng(0)
            picked.append(rows[rng.choice(len(rows), 4000, p=weights / weights.sum())])
        said = model.conditional({"rows": np.stack(picked)}, data, 0)
    np.testing.assert_allclose(said.variables()["probs"][:, 0], exact, atol=0.03)


# -- rivals and defects ----------------------------------------------------------------------------


def test_counts_of_the_right_order_are_exact_and_a_pool_is_memorised() -> None:
    task, data = task_of("counts"), drawn("counts").data
    same = answer("markov_order", task, data, order=1)
    exact = answer("markov_counts", task, data)
    np.testing.assert_allclose(probabilities(same), probabilities(exact), atol=1e-15)
    assert (probabilities(answer("uniform_symbol", task, data)) == 1 / 3).all()
    task, data = task_of("pool"), drawn("pool").data
    memorised = answer("memorising", task, data)
    exact = answer("markov_pool", task, data)
    np.testing.assert_allclose(probabilities(memorised), probabilities(exact), atol=1e-15)
    generalised = probabilities(answer("generalising", task, data))
    counted = answer("markov_counts", task_of("counts"), data)
    np.testing.assert_allclose(generalised, probabilities(counted), atol=1e-15)
    for name in ("memorising", "generalising"):
        with pytest.raises(InputError, match="rows: pool"):
            answer(name, task_of("counts"), drawn("counts").data)


def test_counts_of_a_transposed_table() -> None:
    """By hand: before 0 stood 1 and 0, once each, in 0 1 0 0; and a symmetric prefix hides it."""
    task = task_of("counts", 4)
    data = Data({"y": np.array([[0, 2, 1, 0], [0, 1, 0, 0]])}, np.array([4]), np.arange(2))
    said = probabilities(answer("transposed_counts", task, data))[:, 0]
    np.testing.assert_allclose(said, [[1 / 4, 2 / 4, 1 / 4], [2 / 5, 2 / 5, 1 / 5]])


def test_the_second_route_is_equivalent_and_a_transposed_table_different() -> None:
    task = task_of("counts", 4, 16)
    options: dict[str, Any] = {"datasets": 400, "audit": 0, "tests": "none"}
    assert vb.verify(task, "markov_quadrature", **options).verdict == "equivalent"
    assert vb.verify(task, "transposed_counts", **options).verdict == "different"


@pytest.mark.parametrize("name", ["markov-3", "markov-pool-3x64"])
def test_planted_defects_have_twice_the_effect_that_is_tolerated(name: str) -> None:
    """The mean over 250 sequences less two standard errors; the smallest measured was 20 times the
    tolerance.
    """
    task = _spec.load_task(name)
    data = task.simulate(range(250), seed=5).data
    exact, metric = answer(task.reference, task, data), registry.load("metric", "kl")
    assert task.tolerance is not None
    defects = ["stale_history", "permuted_classes", "forgets_context", "wrong_prior"]
    if name == "markov-3":
        defects.append("transposed_counts")
    for defect in defects:
        said = answer(defect, task, data).predictive
        scores = metric.score(said, exact.predictive, np.zeros(said.shape)).mean((1, 2))
        low = scores.mean() - 2 * scores.std() / np.sqrt(250)
        assert low > 2 * task.tolerance.kl, (defect, low)


@pytest.mark.parametrize("name", MODELS)
def test_readers_are_told_what_is_there(name: str) -> None:
    model, data = MODELS[name], drawn(name).data
    assert ("urn" if model.orders == (0,) else "Markov chain") in model.sentence()
    inside = sum(group.astype(int) for group in model.groups(data, {}).values())
    np.testing.assert_array_equal(np.asarray(inside)[:, 1:, 0], 1)
    for table in model.known_tables(6):
        said = answer("markov_pool", task_of(name, 6), _asked(table.context))
        np.testing.assert_allclose(probabilities(said)[:, 0], table.true)


def _asked(context: Any) -> Data:
    return Data({"y": context}, np.array([6]), np.arange(len(context)))


@pytest.mark.study
def test_a_large_pool_takes_little_memory() -> None:
    """65,536 tables and 200 prefixes of up to 100 symbols: measured 28 MB beside the
    tables, where all weights of one position alone are 105 MB; the first ten agree with the second
    route.
    """
    model = Markov(3, rows="pool", pool={"size": 2**16, "seed": 0}, start="stationary")
    task = _spec.task_of(model, name="large", positions=(1, 10, 100))
    data = task.simulate(range(200), seed=0).data
    assert model.members[0].shape == (2**16, 3, 3)
    tracemalloc.start()
    branch = answer("markov_pool", task, data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6, peak
    few = data.select(datasets=slice(10))
    checked = answer("markov_sequential", task, few)
    assert np.abs(probabilities(checked) - probabilities(branch)[:10]).max() < 1e-12

"""Candidates that answer with draws or quantiles:
who may be equivalent, who may not be different, and what is said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from veribayes import registry
from veribayes.candidates import Candidate, recorded
from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.predictive import Array, Categorical, Draws, Predictive, Quantiles
from veribayes.run import pipeline, results, tolerance
from veribayes.storage import store
from veribayes.tree import Branch, Data
from veribayes.validation import decision, draws

OPTIONS = pipeline.Options(datasets=400, audit=0, tests="none")
Uniforms = Callable[[np.random.Generator, tuple[int, ...], int], Array]


@cache
def task(name: str) -> Task:
    """A task with one position and nobody to compare with, so that a run is quick."""
    found = _spec.load_task(name)
    design = replace(found.design, positions=found.design.positions[3:4], queries=2, shard=100)
    limit = 0.001 if found.model.n_categories else 0.005
    return replace(
        found, design=design, rivals=(), tolerance=replace(_frozen(found), kl=limit, draws=limit)
    )


def _frozen(found: Task) -> Any:
    assert found.tolerance is not None
    return found.tolerance


def independent(rng: np.random.Generator, shape: tuple[int, ...], count: int) -> Array:
    return rng.random((*shape, count))


def systematic(rng: np.random.Generator, shape: tuple[int, ...], count: int) -> Array:
    return rng.permuted((np.arange(count) + rng.random((*shape, 1))) / count, axis=-1)


def antithetic(rng: np.random.Generator, shape: tuple[int, ...], count: int) -> Array:
    half = rng.random((*shape, count // 2))
    return rng.permuted(np.concatenate([half, 1 - half], -1), axis=-1)


def doubled(rng: np.random.Generator, shape: tuple[int, ...], count: int) -> Array:
    return np.repeat(rng.random((*shape, count // 2)), 2, axis=-1)


def shared(rng: np.random.Generator, shape: tuple[int, ...], count: int) -> Array:
    return np.broadcast_to(rng.random((1, *shape[1:], count)), (*shape, count))


def candidate(
    engine: str, uniforms: Uniforms, count: int, *, seeded: bool = True, fixed: bool = False
) -> Candidate:
    """Draws from an engine's predictive, with a seed or from a generator that nobody sees."""
    own = np.random.default_rng(77)

    def infer(task: Task, data: Data, seed: int) -> Branch:
        branch = registry.engine(engine)(task, data, seed=0)
        rng = (
            np.random.default_rng([5 if fixed else seed, int(data.index[0])])
            if seeded or fixed
            else own
        )
        law = branch.predictive
        return replace(
            branch,
            predictive=Draws(law.quantile(uniforms(rng, law.shape, count))),
            posterior={},
            joint=None,
        )

    return Candidate(engine, None, infer, "callable", takes_seed=seeded)


def entry(name: str, judged: Candidate, **changes: Any) -> dict[str, Any]:
    tree = pipeline.run(task(name), judged, replace(OPTIONS, **changes))
    return dict(json.loads(tree.attrs["result"]))


def named(result: Mapping[str, Any]) -> set[str]:
    return {f["name"] for f in result["findings"]}


# -- draws -----------------------------------------------------------------------------------------


def test_a_coin_that_ignores_the_context_is_different() -> None:
    """Debiased as if its draws were independent,
    its divergence was below zero and its recovery above one.
    """

    def coin(context: Any, query: Any) -> dict[str, Array]:
        return {"draws": np.tile([0.0, 0.0, 1.0, 1.0], (len(context), len(query.target), 1))}

    result = dict(json.loads(pipeline.run(task("bn-general5"), coin, OPTIONS).attrs["result"]))
    assert result["verdict"] == "different"
    assert result["recovery"]["high"] < 1
    assert result["draws"] == {
        "answers": 2,
        "seeded": False,
        "statement": True,
        "level": 0.01,
        "tests": {},
        "times_needed": None,
    }
    assert "draws_repeat" in named(result)


@pytest.mark.parametrize(
    "name", ["bn-general5", pytest.param("gp-rbf-1d", marks=pytest.mark.study)]
)
@pytest.mark.parametrize("uniforms", [systematic, antithetic, doubled])
def test_draws_that_are_not_independent_are_never_equivalent(name: str, uniforms: Uniforms) -> None:
    exact = entry(name, candidate(task(name).second_route, uniforms, 40))
    wrong = entry(name, candidate("wrong_prior", uniforms, 40))
    assert exact["verdict"] == "undecided"
    assert "draws_dependent" in named(exact)
    assert wrong["verdict"] != "equivalent"
    assert "draw_scatter" in next(
        f["text"] for f in wrong["findings"] if f["name"] == "draws_dependent"
    )


@pytest.mark.parametrize("name", ["bn-general5", "gp-rbf-1d"])
@pytest.mark.parametrize(
    ("count", "verdicts"), [(10, ("equivalent", "undecided")), (400, ("equivalent",))]
)
def test_independent_draws_are_not_different_and_equivalent_where_they_say_enough(
    name: str, count: int, verdicts: tuple[str, ...]
) -> None:
    result = entry(name, candidate(task(name).second_route, independent, count))
    assert result["verdict"] in verdicts
    assert result["draws"]["seeded"]
    assert not named(result) & {"draws_dependent", "draws_on_trust", "draws_repeat"}


def test_few_draws_from_a_wrong_law_are_different() -> None:
    assert entry("gp-rbf-1d", candidate("prior_only", independent, 10))["verdict"] == "different"


def test_without_a_seed_equivalent_rests_on_the_candidates_word() -> None:
    result = entry("gp-rbf-1d", candidate("sequential", independent, 100, seeded=False))
    assert result["verdict"] == "equivalent"
    assert "draws_on_trust" in named(result)


def test_data_sets_that_share_their_noise_get_no_verdict() -> None:
    """The interval counts each as its own: it would be ten times too narrow."""
    for seed in range(3):
        result = entry("gp-rbf-1d", candidate("sequential", shared, 10), seed=seed)
        assert result["verdict"] == "undecided"
        assert result["draws"]["tests"]["draw_shift"] < 0.01


def test_ten_draws_that_never_change_are_a_coarse_statement() -> None:
    result = entry("gp-rbf-1d", candidate("sequential", independent, 10, fixed=True))
    assert result["verdict"] == "different"
    assert result["draws"]["statement"]


def test_an_impossible_category_is_infinite_in_either_answer() -> None:
    metric = registry.load("metric", "half_chi_square")
    exact = Categorical(np.array([[[[0.5, 0.5, 0.0]]]]))
    good, bad = np.array([[[[0.0, 1.0]]]]), np.array([[[[0.0, 2.0]]]])
    for said in (Draws(good, bad), Draws(bad, good), Draws(bad)):
        assert metric.score(said, exact, np.zeros((1, 1, 1))).item() == np.inf
    assert (
        metric.score(
            Categorical(np.array([[[[0.5, 0.4, 0.1]]]])), exact, np.zeros((1, 1, 1))
        ).item()
        == np.inf
    )


def test_recorded_draws_keep_both_answers_and_one_answer_is_tested_within(tmp_path: Path) -> None:
    tree = pipeline.run(
        task("gp-rbf-1d"),
        candidate("sequential", independent, 20),
        replace(OPTIONS, keep_predictions=True),
        out=tmp_path,
    )
    first = json.loads(tree.attrs["result"])
    stored = store.read_tree(tmp_path / "run.nc")
    both = entry("gp-rbf-1d", recorded(stored, "both"))
    assert both["primary"]["estimate"] == pytest.approx(first["primary"]["estimate"], abs=1e-12)
    assert both["draws"]["answers"] == 2
    assert not both["draws"]["seeded"]

    def one_answer(change: Callable[[Array], Array]) -> dict[str, Any]:
        said = store.predictive_of(stored["candidate"].to_dataset())
        assert isinstance(said, Draws)
        lone = stored.copy()
        group = store.predictive_dataset(Draws(change(said.draws)))
        lone["candidate"] = type(stored)(
            group.assign_attrs(made_for=stored["candidate"].attrs["made_for"])
        )
        return entry("gp-rbf-1d", recorded(lone, "one"))

    alone = one_answer(lambda x: x)
    assert alone["draws"]["answers"] == 1
    assert set(alone["draws"]["tests"]) == {"draw_order", "draw_halves"}
    assert alone["verdict"] == "undecided" or "draws_on_trust" in named(alone)
    in_order = one_answer(lambda x: np.sort(x, -1))
    assert in_order["verdict"] == "undecided"
    assert "draws_dependent" in named(in_order)


def test_the_second_request_has_another_seed_and_must_have_the_same_form() -> None:
    seeds: list[int] = []

    def infer(task: Task, data: Data, seed: int) -> Branch:
        seeds.append(seed)
        branch = registry.engine("sequential")(task, data, seed=0)
        form: Predictive = (
            Draws(np.zeros((*branch.predictive.shape, 2))) if len(seeds) == 1 else branch.predictive
        )
        return replace(branch, predictive=form)

    asked = draws.twice(Candidate("x", None, infer, "callable", takes_seed=True))
    with pytest.raises(InputError, match="draws again"):
        asked.infer(task("gp-rbf-1d"), task("gp-rbf-1d").simulate(range(2), seed=0).data, 3)
    assert seeds == [3, draws.another(3)]
    assert len({draws.another(seed) for seed in range(100)}) == 100


# -- quantiles -------------------------------------------------------------------------------------


def quantile_candidate(engine: str, levels: tuple[float, ...]) -> Candidate:
    def infer(task: Task, data: Data, seed: int) -> Branch:
        branch = registry.engine(engine)(task, data, seed=seed)
        law, wanted = branch.predictive, np.array(levels)
        values = law.quantile(np.broadcast_to(wanted, (*law.shape, wanted.size)))
        return replace(branch, predictive=Quantiles(wanted, values), posterior={}, joint=None)

    return Candidate(engine, None, infer, "callable", takes_seed=True)


@pytest.mark.parametrize(
    "levels",
    [(0.1, 0.5, 0.9), pytest.param(tuple(np.arange(1, 10) / 10), marks=pytest.mark.study)],
)
def test_exact_quantiles_are_equivalent_however_coarse(levels: tuple[float, ...]) -> None:
    result = entry("gp-rbf-1d", quantile_candidate("sequential", levels), tests="standard")
    assert result["verdict"] == "equivalent"
    assert result["primary"]["metric"] == "quantile_score"
    assert abs(result["primary"]["estimate"]) < 1e-9
    assert not result["rivals"]["prior_only"]["passes"]
    assert abs(result["rivals"]["prior_only"]["recovery"]["estimate"]) < 1e-12
    assert "levels" in named(result)
    wrong = entry("gp-rbf-1d", quantile_candidate("wrong_prior", levels))
    assert wrong["verdict"] == "different"


def test_the_tolerance_of_quantiles_is_theirs_and_enters_no_hash() -> None:
    found = tolerance.frozen_tolerance(_spec.load_task("gp-rbf-1d"), OPTIONS)
    assert found.tolerance is not None
    assert found.tolerance.quantiles is None
    with_it = replace(found, tolerance=replace(found.tolerance, quantiles=0.1))
    assert with_it.hash == found.hash
    assert results.endpoint(with_it, "quantiles", (0.1, 0.9)).tolerance == 0.1
    assert results.endpoint(found, "quantiles").metric == "crps"  # nobody has asked at their levels
    levels = ((0.1, 0.5, 0.9), tuple(np.arange(1, 100) / 100))
    few, many = (tolerance.quantile_tolerance(found, each, datasets=100) for each in levels)
    dense = tolerance.compute_tolerance(found, datasets=100).draws
    assert many == pytest.approx(
        dense, rel=0.03
    )  # twice the mean over many levels is the CRPS divergence
    assert few != many


def test_levels_that_change_during_a_run_are_refused() -> None:
    calls: list[int] = []

    def infer(task: Task, data: Data, seed: int) -> Branch:
        calls.append(1)
        made = quantile_candidate("sequential", (0.1, 0.9) if len(calls) == 1 else (0.2, 0.9))
        return made.infer(task, data, seed)

    with pytest.raises(InputError, match="same 'levels'"):
        entry("gp-rbf-1d", Candidate("x", None, infer, "callable"), datasets=200)


def products(rng: np.random.Generator, datasets: int, size: int) -> Array:
    """Half the chi-square divergence of an exact candidate by two answers of `size` draws,
    (dataset,).
    """
    p = rng.dirichlet(np.ones(5), datasets).clip(1e-3)
    p /= p.sum(-1, keepdims=True)
    one, other = (rng.multinomial(size, p) / size for _ in range(2))
    return np.asarray((0.5 * (one - p) * (other - p) / p).sum(-1))


def test_few_draws_are_told_how_many_more_would_settle_it() -> None:
    """Their mean may be below zero or many tolerances above:
    data sets planned from it settled one run in ten.
    """
    rng, tolerance = np.random.default_rng(0), 5e-3
    drawn = draws.Drawn(None, seeded=True)
    settled = []
    for _ in range(8):
        values = products(rng, 400, 5)
        decided = decision.decide(values, tolerance=tolerance)
        found, said = drawn.limited(decided, values, None)
        if decided.verdict == "undecided":
            assert said.datasets_needed is None
            assert f"about {found.times} times as many draws" in found.findings(said)[0][1]
            assert found.times is not None
            assert found.on is not None
            settled.append(
                decision.decide(
                    products(rng, found.on, 5 * found.times), tolerance=tolerance
                ).verdict
            )
    assert len(settled) >= 6
    assert settled.count("equivalent") >= 0.6 * len(settled)  # planned: 80 %
    many = products(rng, 1000, 40)
    assert draws.times_needed(many, tolerance) is None


def test_a_mean_below_zero_is_not_expected_to_stay() -> None:
    values = np.random.default_rng(1).normal(0, 0.02, 400)
    low, middle = (
        decision.datasets_needed(values - values.mean() - shift, 5e-3) for shift in (4e-3, 0.0)
    )
    assert low == middle

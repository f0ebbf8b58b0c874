"""A mean alone: what it may be, what it is judged by, what is not asked of it, and how often a
verdict about it is right.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import veribayes as vb
from veribayes import candidates, registry
from veribayes.cli import terminal
from veribayes.errors import EntryError, InputError, ShapeError
from veribayes.models import _spec
from veribayes.models._task import Design, Task
from veribayes.predictive import (
    Array,
    Categorical,
    Draws,
    Normal,
    NormalMixture,
    Point,
    Predictive,
    as_predictive,
)
from veribayes.report import write
from veribayes.run import identification, pipeline, tolerance
from veribayes.run.scoring import score
from veribayes.validation import decision, monte_carlo, repeats

DATASETS = 400
TOLERANCE = 0.01  # of `regression`, about what the rule gives
WEIGHTS = np.array([2.0, 1.0, 1.0, 0.4, 0.4])  # prior variances
NOISE = 0.2
ENOUGH = 1000  # data sets with which half a tolerance is called equivalent
RUNS = 100

Answer = Callable[..., Mapping[str, Any]]


@cache
def regression() -> Task:
    """Bayesian linear regression at two context sizes, its tolerance of a mean given."""
    task = _spec.load_task("gp-blr-5d")
    assert task.tolerance is not None
    given = replace(task.tolerance, point=TOLERANCE)
    return replace(task, design=Design((8, 32), 2, 200), rivals=(), tolerance=given)


def ridge(context: Any, query: Any, variances: Array = WEIGHTS) -> Array:
    """The mean of the exact predictive, by the normal equations."""
    x, y = context.x, context.y
    precision = np.einsum("bni,bnj->bij", x, x) / NOISE**2 + np.diag(1 / variances)
    moment = np.einsum("bni,bn->bi", x, y) / NOISE**2
    weights = np.linalg.solve(precision, moment[..., None])
    return np.asarray((query @ weights)[..., 0])


def exact(context: Any, query: Any) -> dict[str, Array]:
    return {"mean": ridge(context, query)}


def wrong_prior(context: Any, query: Any) -> dict[str, Array]:
    return {"mean": ridge(context, query, 0.02 * np.ones(5))}


def prior_only(context: Any, query: Any) -> dict[str, Array]:
    return {"mean": np.zeros(query.shape[:2])}


def constant(context: Any, query: Any) -> dict[str, Array]:
    return {"mean": np.full(query.shape[:2], 0.7)}


def random_numbers(context: Any, query: Any) -> dict[str, Array]:
    return {"mean": np.random.default_rng().normal(size=query.shape[:2])}


def looks_at_its_batch(context: Any, query: Any) -> dict[str, Array]:
    """Next to nothing in a large batch, and .2 of the answer itself alone."""
    mean = ridge(context, query)
    return {"mean": mean - 0.2 * mean.mean(0)}


def counts_its_order(context: Any, query: Any) -> dict[str, Array]:
    return {"mean": ridge(context, query) + 0.3 * context.y[:, :1]}


def noisy(context: Any, query: Any, seed: int) -> dict[str, Array]:
    """Exact plus noise of three tolerances."""
    mean = ridge(context, query)
    noise = np.random.default_rng(seed).normal(size=mean.shape)
    return {"mean": mean + np.sqrt(3 * TOLERANCE) * noise}


@cache
def entry(candidate: Answer, tests: str = "standard") -> dict[str, Any]:
    run = vb.verify(regression(), candidate, datasets=DATASETS, audit=0, tests=tests)
    return dict(run.entry)


def named(result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {finding["name"]: finding for finding in result["findings"]}


# -- the form --------------------------------------------------------------------------------------


def test_a_mean_alone_is_a_point() -> None:
    point = as_predictive({"mean": np.zeros((2, 3), np.float32)}, (2, 3), None)
    assert isinstance(point, Point)
    assert point.mean.dtype == np.float64
    np.testing.assert_array_equal(point.expectation(), point.mean)


def test_what_needs_a_spread_is_refused() -> None:
    point = Point([[0.5]])
    levels = [[[0.5]]]
    ways: list[Callable[[], object]] = [
        point.standard_deviation,
        lambda: point.quantile(levels),
        lambda: point.cdf(levels),
        lambda: point.sample(np.random.default_rng(0), 2),
    ]
    for way in ways:
        with pytest.raises(InputError, match="a form with a spread"):
            way()
    with pytest.raises(InputError, match="density"):
        point.log_prob(levels)


def test_a_point_for_categories_is_refused() -> None:
    with pytest.raises(InputError, match=r"support \(categories\), got 'point'; return probs"):
        as_predictive({"mean": np.zeros((2, 3))}, (2, 3), 4)


def corner(context: Any, query: Any) -> dict[str, Array]:
    mean = ridge(context, query)
    if context.y.shape[1] == 32:
        mean[7, 1] = np.nan
    return {"mean": mean}


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (corner, EntryError, r"NaN in 1 of 400 .* data set 7, position 1 \(n = 32\), query 1"),
        (lambda c, q: {"mean": ridge(c, q) + 0j}, ShapeError, "complex128 is not real"),
        (lambda c, q: {"mean": ridge(c, q)[..., None]}, ShapeError, "never broadcast"),
        (lambda c, q: {"mean": ridge(c, q)[:, 0]}, ShapeError, "query=2"),
        (lambda c, q: {"mean": 1e200 + ridge(c, q)}, EntryError, "at most 1e\\+150"),
        (lambda c, q: {"mean": ridge(c, q), "var": ridge(c, q)}, InputError, "return sd"),
    ],
)
def test_bad_means_are_refused_with_their_place(
    answer: Answer, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        vb.verify(regression(), answer, datasets=200, audit=0, tests="none")


# -- the metric ------------------------------------------------------------------------------------


def test_squared_error_by_hand() -> None:
    """Of N(1, 2^2), and of a mixture whose mean is .25 (-1) + .75 (3) = 2."""
    metric = registry.load("metric", "squared_error")
    outcome = np.zeros((1, 1, 1))
    normal = Normal([[[1.0]]], [[[2.0]]])
    mixture = NormalMixture([[[[0.25, 0.75]]]], [[[[-1.0, 3.0]]]], [[[[1.0, 1.0]]]])
    point = Point([[[1.5]]])
    assert metric.score(point, normal, outcome).item() == pytest.approx(0.25)
    assert metric.score(point, mixture, outcome).item() == pytest.approx(0.25)
    assert metric.score(mixture, normal, outcome).item() == pytest.approx(1.0)
    twice = Draws([[[[1.0, 2.0]]]], [[[[2.0, 4.0]]]])  # errors .5 and 2 of the two answers
    assert metric.score(twice, normal, outcome).item() == pytest.approx(1.0)
    blind = Normal([[[1.0]]], [[[50.0]]])  # another spread is not seen
    assert metric.score(blind, normal, outcome).item() == 0.0


def test_it_is_the_excess_of_the_squared_prediction_error() -> None:
    rng = np.random.default_rng(0)
    shape = (200_000, 1, 1)
    law = Normal(np.full(shape, 0.3), np.full(shape, 0.8))
    outcome = rng.normal(0.3, 0.8, shape)
    point = Point(np.full(shape, 0.5))
    excess = (outcome - point.mean) ** 2 - (outcome - law.mean) ** 2
    error = excess.std() / np.sqrt(excess.size)
    score = registry.load("metric", "squared_error").score(point, law, outcome)
    assert abs(excess.mean() - score.mean()) < 4 * error


def test_the_noise_of_a_sampled_reference_is_taken_off() -> None:
    """Raw it is half of the variance of a run's mean; corrected nothing, within 4 errors."""
    rng = np.random.default_rng(1)
    shape = (20_000, 1, 1)
    runs = [Normal(0.3 * rng.normal(size=shape), np.ones(shape)) for _ in range(2)]
    both = monte_carlo.average(*runs)
    point, outcome = Point(np.full(shape, 0.1)), np.zeros(shape)
    raw = registry.load("metric", "squared_error").score(point, both, outcome)
    corrected = monte_carlo.corrected_squares(point, (runs[0], runs[1]), outcome)
    assert raw.mean() == pytest.approx(0.01 + 0.045, rel=0.05)
    error = corrected.std() / np.sqrt(corrected.size)
    assert abs(corrected.mean() - 0.01) < 4 * error
    difference = 0.25 * (runs[0].mean - runs[1].mean) ** 2
    np.testing.assert_allclose(corrected, raw - difference, atol=1e-12)


def test_jeffreys_by_hand() -> None:
    """.5 log 2 + .5 log(2/3), and .25 log(1/2) + .75 log(3/2) the other way; normals in closed
    form; and quadrature where one of them is written as a mixture.
    """
    metric = registry.load("metric", "jeffreys")
    outcome = np.zeros((1, 1, 1))
    even, odd = Categorical([[[[0.5, 0.5]]]]), Categorical([[[[0.25, 0.75]]]])
    by_hand = 0.5 * np.log(2) + 0.5 * np.log(2 / 3) + 0.25 * np.log(0.5) + 0.75 * np.log(1.5)
    for one, other in ((even, odd), (odd, even)):
        assert metric.score(one, other, outcome).item() == pytest.approx(by_hand, rel=1e-12)
    first, second = Normal([[[0.0]]], [[[1.0]]]), Normal([[[1.0]]], [[[2.0]]])
    # (s^2 + d^2) / (2 t^2) + (t^2 + d^2) / (2 s^2) - 1 with s = 1, t = 2, d = 1
    assert metric.score(first, second, outcome).item() == pytest.approx(2 / 8 + 5 / 2 - 1)
    mixture = NormalMixture([[[[0.5, 0.5]]]], [[[[0.0, 0.0]]]], [[[[1.0, 1.0]]]])
    assert metric.score(mixture, second, outcome).item() == pytest.approx(1.75, rel=1e-8)
    zero = Categorical([[[[1.0, 0.0]]]])
    assert metric.score(zero, even, outcome).item() == np.inf
    assert metric.score(even, zero, outcome).item() == np.inf


# -- what a run says -------------------------------------------------------------------------------


def test_the_tolerance_is_one_per_cent_of_the_priors() -> None:
    """By the rule, and once more by hand: the prior's mean is zero everywhere."""
    task = regression()
    size = tolerance.point_tolerance(task, datasets=400)
    simulation = task.simulate(range(400), seed=0, stream="replicate")
    exact_law = registry.engine("cholesky")(task, simulation.data, seed=0).predictive
    squares = exact_law.expectation() ** 2
    assert size == pytest.approx(0.01 * squares.mean(), rel=1e-3)
    assert size == pytest.approx(TOLERANCE, rel=0.3)
    law: Predictive = Point(np.zeros(squares.shape))
    again = score("squared_error", law, exact_law, simulation)
    assert size == pytest.approx(0.01 * decision.cluster_means(again).mean(), rel=1e-3)


def test_a_model_without_a_tolerance_gets_one_for_its_mean_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Divergences of the prior, which cost minutes for large mixtures, are not computed."""
    few = partial(tolerance.point_tolerance, datasets=100)
    monkeypatch.setattr(tolerance, "point_tolerance", few)
    monkeypatch.setattr(tolerance, "compute_tolerance", None)
    task = replace(regression(), tolerance=None)
    found = tolerance.frozen_tolerance(task, pipeline.Options(), form="point").tolerance
    assert found is not None
    assert found.point == pytest.approx(TOLERANCE, rel=0.5)
    given = tolerance.frozen_tolerance(regression(), pipeline.Options(), form="point")
    assert given.tolerance is regression().tolerance


def test_a_context_that_tells_nothing_about_the_mean_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    same = registry.engine("prior_only")
    task = regression()

    def priors(*arguments: Any) -> Any:
        simulation = task.simulate(range(50), seed=0)
        law = same(task, simulation.data, seed=0).predictive
        yield law, law, simulation

    monkeypatch.setattr(tolerance, "priors", priors)
    with pytest.raises(InputError, match="tells something about the mean"):
        tolerance.point_tolerance(task)


def test_the_exact_mean_is_equivalent_and_nothing_is_silently_left_out() -> None:
    result = entry(exact)
    assert result["verdict"] == "equivalent"
    primary = result["primary"]
    assert (primary["metric"], primary["unit"]) == ("squared_error", "squared unit of y")
    assert 0 <= primary["estimate"] < 1e-26  # rounding of a mean of size one, measured 2e-30
    assert result["recovery"]["estimate"] == pytest.approx(1.0)
    assert result["calibration"]["coverage"] == []
    assert result["calibration"]["reason"] == "not asked: a point has no spread"
    assert result["secondary"]["tests"] == {}
    unasked = named(result)["point"]["not_asked"]
    assert {"coverage", "pit_uniform", "e_process", "kl", "crps", "pit"} <= set(unasked)
    assert not {"squared_error", "mean_error"} & set(unasked)
    assert set(result["scores"]) == {"squared_error", "mean_error"}
    endpoints = result["secondary"]["endpoints"]
    assert set(endpoints) == {"repeatability", "batch_dependence", "order_dependence"}
    for each in endpoints.values():
        assert (each["verdict"], each["unit"]) == ("equivalent", "squared unit of y")
        assert each["tolerance"] == TOLERANCE
    assert "no_stable_limit" not in named(result)
    json.dumps(result, allow_nan=False)
    assert "squared error" in terminal.row(result)[3]


@pytest.mark.parametrize("answer", [wrong_prior, prior_only, constant])
def test_other_means_are_different(answer: Answer) -> None:
    result = entry(answer, "none")
    assert result["verdict"] == result["primary"]["verdict"] == "different"
    prior = result["rivals"]["prior_only"]
    assert not prior["passes"]
    assert prior["recovery"]["estimate"] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("answer", "endpoint"),
    [
        (random_numbers, "repeatability"),
        (looks_at_its_batch, "batch_dependence"),
        (counts_its_order, "order_dependence"),
    ],
)
def test_answers_that_move_are_found_in_their_unit(answer: Answer, endpoint: str) -> None:
    result = entry(answer)
    found = result["secondary"]["endpoints"][endpoint]
    assert result["verdict"] == found["verdict"] == "different"
    assert found["unit"] == "squared unit of y"


def test_noise_costs_what_it_adds() -> None:
    """Half the squared distance of two noisy answers is the noise's variance."""
    rng = np.random.default_rng(2)
    shape = (4000, 1, 1)
    one, other = (Point(0.3 * rng.normal(size=shape)) for _ in range(2))
    apart = repeats.divergence(one, other, np.ones(shape, bool))
    assert repeats.repeat(apart).mean() == pytest.approx(0.09, rel=0.1)
    seeded = entry(noisy)
    assert seeded["secondary"]["endpoints"]["repeatability"]["estimate"] == 0.0
    assert seeded["secondary"]["again"]["noise"] == pytest.approx(3 * TOLERANCE, rel=0.2)
    assert "seed_noise" in named(seeded)
    assert seeded["verdict"] == "different"


def test_recorded_means_and_their_report(tmp_path: Path) -> None:
    made = vb.verify(regression(), exact, datasets=DATASETS, audit=0, keep_predictions=True)
    assert set(made.tree["candidate"].data_vars) == {"mean"}
    recorded = vb.verify(regression(), made.tree, datasets=DATASETS, audit=0).entry
    assert recorded["verdict"] == "equivalent"
    assert recorded["secondary"]["endpoints"] == {}  # nothing may be asked again
    assert recorded["multiplicity"]["secondary"].startswith("Holm over 0")
    assert recorded["primary"]["estimate"] == made.entry["primary"]["estimate"]
    write([made.tree], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Not asked: a point has no spread." in page
    assert "squared error of the mean" in page


@pytest.mark.study
@pytest.mark.parametrize(("share", "verdict"), [(1.0, "equivalent"), (0.8, "different")])
def test_the_mean_of_a_program(share: float, verdict: str) -> None:
    """Linear regression as a NumPyro program: three weights N(0, 1), noise .5."""

    def candidate(context: Any, query: Any) -> dict[str, Array]:
        x, y = context.x, context.y
        precision = np.einsum("bni,bnj->bij", x, x) / 0.25 + np.eye(x.shape[-1])
        moment = np.einsum("bni,bn->bi", x, y) / 0.25
        weights = np.linalg.solve(precision, moment[..., None])
        return {"mean": share * (query.x @ weights)[..., 0]}

    task = vb.task("examples/programs/linear_regression_normal.yaml")
    entry = vb.verify(task, candidate, datasets=DATASETS, audit=0, tests="none").entry
    assert entry["verdict"] == verdict


@pytest.mark.study
def test_it_is_named() -> None:
    task = regression()
    for answer, name in ((exact, "cholesky"), (prior_only, "prior_only")):
        judged = candidates.resolve(answer, task)
        found = identification.identify(task, judged, datasets=200)
        assert found["nearest"] == name
        assert found["unit"] == "squared unit of y"
        assert {row["name"] for row in found["predictors"]} >= {"cholesky", "wrong_prior"}


# -- how often it is right -------------------------------------------------------------------------


@pytest.mark.parametrize(("tolerances", "verdict"), [(0.5, "equivalent"), (2.0, "different")])
def test_small_noise_is_equivalent_and_large_noise_different(
    tolerances: float, verdict: str
) -> None:
    """Exact means plus normal noise, 8 predictions a data set, 100 runs of 1,000 data sets; all
    100 as they should be, both times.
    """
    rng = np.random.default_rng(3)
    shape = (ENOUGH * RUNS, 1, 8)
    law = Normal(rng.normal(size=shape), np.ones(shape))
    noise = np.sqrt(tolerances * TOLERANCE) * rng.normal(size=shape)
    scores = score_of(Point(law.mean + noise), law)
    clusters = decision.cluster_means(scores).reshape(ENOUGH, RUNS)
    bounds = decision.bounds(clusters, 100 * TOLERANCE)
    found = decision.verdicts(bounds, ENOUGH, TOLERANCE)
    assert (found == verdict).sum() >= 0.97 * RUNS


def score_of(point: Point, law: Normal) -> Array:
    metric = registry.load("metric", "squared_error")
    return np.asarray(metric.score(point, law, np.zeros(law.shape)))

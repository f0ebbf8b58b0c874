"""Which algorithm is it: every predictor is known by its answers,
and what lies between two is not given a name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from veribayes import candidates, registry
from veribayes.cli import app
from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.models._task import Design, Task
from veribayes.predictive import Array, Categorical, NormalMixture, Predictive, Quantiles
from veribayes.report.identification import markdown
from veribayes.run import identification, predictors
from veribayes.tree import Branch, Certificate, Data
from veribayes.validation import bootstrap, decision, fitting, lengths, nearness


def small(name: str, *positions: int, queries: int = 1) -> Task:
    return replace(_spec.load_task(name), design=Design(positions, queries))


def named(
    task: Task, engine: str, datasets: int = decision.FEWEST_EQUIVALENT, **options: str
) -> dict[str, Any]:
    return identification.identify(
        task, candidates.resolve(engine, task, options), datasets=datasets
    )


def between(task: Task, one: str, other: str, share: float) -> candidates.Candidate:
    """A mixture of two engines' predictives."""
    pair = [registry.engine(name) for name in (one, other)]

    def infer(task: Task, data: Data, seed: int) -> Branch:
        p, q = (engine(task, data, seed=seed).predictive for engine in pair)
        return Branch(mixed(p, q, share), Certificate("trusted", "candidate", 0.0))

    return candidates.Candidate("between", None, infer, "callable")


def mixed(p: Predictive, q: Predictive, share: float) -> Predictive:
    if isinstance(p, Categorical):
        return Categorical((1 - share) * p.probs + share * q.variables()["probs"])
    parts = [
        np.stack([a, b], axis=-1)
        for a, b in (
            (p.expectation(), q.expectation()),
            (p.standard_deviation(), q.standard_deviation()),
        )
    ]
    return NormalMixture(np.broadcast_to([1 - share, share], parts[0].shape), *parts)


ENOUGH = decision.FEWEST_EQUIVALENT  # data sets from which a name can be given
NETWORK = small("bn-general5", 5, 20)
ROWS = [
    ("row_quadrature", {}, "bayes", "conjugate"),
    ("naive_mle", {}, "other", "naive_mle"),
]


@pytest.mark.parametrize(("engine", "options", "conclusion", "name"), ROWS)
def test_networks(engine: str, options: dict[str, str], conclusion: str, name: str) -> None:
    entry = named(NETWORK, engine, **options)
    assert (entry["conclusion"], entry["nearest"]) == (conclusion, name)
    assert [row["nearest"] for row in entry["by_context"]] == [name, name]
    assert all(row["first"] for row in entry["by_context"])


def test_the_construction_is_maximum_likelihood_at_every_length() -> None:
    """Attention over agreements backs off to the rows that agree most;
    every other predictor is infinitely far from it.
    """
    task = small("bn-general5", 1, 2, 5, 20, 100)
    entry = named(task, "bn_maximum_likelihood", ENOUGH)
    assert (entry["conclusion"], entry["nearest"]) == ("other", "mle(backoff=nearest)")
    assert (entry["metric"], entry["reason"], entry["fit"]["verdict"]) == ("kl", "", "equivalent")
    assert [row["nearest"] for row in entry["by_context"]] == ["mle(backoff=nearest)"] * 5
    assert all(row["first"] for row in entry["by_context"])
    rows = {row["name"]: row for row in entry["predictors"]}
    assert rows["conjugate"]["infinite_share"] == 1
    assert rows["conjugate"]["js"]["estimate"] > rows["mle"]["js"]["estimate"] > 0
    assert json.dumps(entry, allow_nan=False)
    page = markdown(entry)
    order = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")][1:]
    assert order.index("mle") < order.index("conjugate")  # among infinite ones JS orders


def altered(change: Callable[[Task, Data], Array]) -> candidates.Candidate:
    """A candidate with probabilities of its own."""

    def infer(task: Task, data: Data, seed: int) -> Branch:
        del seed
        return Branch(Categorical(change(task, data)), Certificate("trusted", "candidate", 0.0))

    return candidates.Candidate("altered", None, infer, "callable")


def clipped(task: Task, data: Data, every: int = 10) -> Array:
    """Exact Bayes that calls the less probable outcome impossible in one of `every` data sets."""
    exact = registry.engine("conjugate")(task, data, seed=0).predictive.probs
    sure = (exact == exact.max(-1, keepdims=True)).astype(np.float64)
    chosen = (data.index % every == 0)[:, None, None, None]
    return np.where(chosen, sure / sure.sum(-1, keepdims=True), exact)


def slightly_clipped(task: Task, data: Data) -> Array:
    return clipped(task, data, 50)


def first_state(task: Task, data: Data) -> Array:
    """Maximum likelihood that says the first state where it is not defined:
    a back-off that nobody has registered.
    """
    counted = registry.engine("mle")(task, data, seed=0).predictive.probs
    other = registry.engine("mle", {"backoff": "nearest"})(task, data, seed=0).predictive.probs
    unseen = (counted != other).any(-1, keepdims=True)
    return np.where(unseen, np.eye(2)[0], counted)


@pytest.mark.parametrize(
    ("change", "nearest"), [(clipped, ("conjugate", "smoothed_mle")), (first_state, ("mle",))]
)
def test_an_infinite_divergence_orders_nothing(
    change: Callable[[Task, Data], Array], nearest: tuple[str, ...]
) -> None:
    """KL is infinite for every predictor: JS says who is nearest,
    and the reason for another measure is given.
    """
    entry = identification.identify(NETWORK, altered(change), datasets=100)
    assert (entry["metric"], entry["conclusion"]) == ("js", "none")
    assert NETWORK.tolerance is not None
    assert entry["tolerance"] == pytest.approx(NETWORK.tolerance.kl / 4)
    assert entry["nearest"].startswith(nearest)
    assert (
        entry["nearest"] == min(entry["predictors"], key=lambda row: row["js"]["estimate"])["name"]
    )
    assert "KL is infinite for every predictor" in entry["sentence"]
    assert all(row["kl"]["estimate"] is None for row in entry["predictors"])
    assert json.dumps(entry, allow_nan=False)
    assert "JS, nats" in markdown(entry)


def test_what_calls_the_possible_impossible_is_not_exact_bayes() -> None:
    """Within the tolerance of exact Bayes in JS, infinitely far in KL:
    `verify` says different, and this must not say 0.
    """
    wide = candidates.with_tolerance(NETWORK, 0.05)
    entry = identification.identify(wide, altered(slightly_clipped), datasets=ENOUGH)
    assert (entry["conclusion"], entry["nearest"], entry["fit"]["verdict"]) == (
        "none",
        "conjugate",
        "equivalent",
    )
    assert identification.exit_code(entry) == 1
    assert "within the tolerance" in entry["sentence"]


def test_where_only_some_are_infinite() -> None:
    """A frequency is infinitely far from what smooths, and the others are compared as ever."""
    entry = named(NETWORK, "mle", ENOUGH)
    assert (entry["conclusion"], entry["nearest"], entry["metric"]) == ("other", "mle", "kl")
    runner, rivals = entry["runner_up"], {r["name"]: r for r in entry["rivals"]}
    assert rivals["conjugate"]["infinite"]
    assert rivals["conjugate"]["beaten"]
    assert rivals["conjugate"]["estimate"] is None
    assert (
        runner["name"]
        == min(entry["rivals"], key=lambda r: (r["infinite"], r["estimate"] or 0.0))["name"]
    )


def test_the_uniform_law_is_the_prior() -> None:
    even = altered(
        lambda task, data: np.full_like(
            registry.engine("mle")(task, data, seed=0).predictive.probs, 0.5
        )
    )
    entry = identification.identify(NETWORK, even, datasets=ENOUGH)
    assert (entry["conclusion"], entry["nearest"]) == ("other", "prior_only")


@pytest.mark.parametrize("datasets", [2, 9])
def test_few_data_sets_give_numbers_that_json_knows(datasets: int) -> None:
    """Limits over two data sets are infinite; they are null, and beat nobody."""
    for engine in ("row_quadrature", "mle"):
        entry = named(NETWORK, engine, datasets)
        assert json.dumps(entry, allow_nan=False)
        assert entry["conclusion"] == "undecided"
        assert not any(
            r["beaten"] and not r["infinite"] and r["low"] is None for r in entry["rivals"]
        )
        assert markdown(entry)


@pytest.mark.parametrize("datasets", ["-1", "0", "1"])
@pytest.mark.parametrize("command", ["identify", "probe"])
def test_too_few_data_sets_are_refused_by_the_option_s_name(command: str, datasets: str) -> None:
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, [command, "bn-general5", "--datasets", datasets])
    assert done.exit_code == 2
    assert "--datasets" in done.output


def test_a_pseudo_count_is_found_on_other_data() -> None:
    """The fitted value is the one the candidate uses,
    without ever seeing the data sets of the comparison.
    """
    entry = named(NETWORK, "smoothed_mle", concentration="0.4")
    row = next(r for r in entry["predictors"] if r["name"] == entry["nearest"])
    found = [at["concentration"] for at in row["fitted"]]
    np.testing.assert_allclose(
        found, 0.4, rtol=0.1
    )  # .394, .389: a parabola through three points of a coarse grid
    assert row["kl"]["estimate"] < 1e-5


def test_half_way_is_none_of_these_and_with_a_wide_tolerance_undecided() -> None:
    middle = between(NETWORK, "conjugate", "all_predecessors", 0.5)
    entry = identification.identify(NETWORK, middle, datasets=ENOUGH)
    assert entry["conclusion"] == "none"
    assert {row["fit"] for row in entry["by_context"]} == {"none"}
    assert "none of these" in entry["sentence"]
    wide = candidates.with_tolerance(NETWORK, 0.006)  # .0030 and .0029 from the two
    entry = identification.identify(wide, middle, datasets=ENOUGH)
    assert entry["conclusion"] == "undecided"
    assert "not separated from all_predecessors" in entry["sentence"]


def test_few_data_sets_name_nothing() -> None:
    assert named(NETWORK, "row_quadrature", 30)["conclusion"] == "undecided"
    with pytest.raises(InputError):
        named(NETWORK, "row_quadrature", 1)


def test_a_defect_is_named_when_it_is_asked_for() -> None:
    judged = candidates.resolve("permuted_classes", NETWORK)
    assert identification.identify(NETWORK, judged, datasets=ENOUGH)["conclusion"] == "none"
    entry = identification.identify(NETWORK, judged, datasets=ENOUGH, against=["permuted_classes"])
    assert (entry["conclusion"], entry["nearest"]) == ("other", "permuted_classes")
    with pytest.raises(InputError, match="list engines"):
        predictors.known(NETWORK, ["tarot"])


def test_recorded_predictions_are_not_fitted() -> None:
    """They answer the data sets of the comparison and no others."""
    judged = replace(candidates.resolve("mle", NETWORK), kind="predictions", askable=False)
    entry = identification.identify(NETWORK, judged, datasets=ENOUGH)
    assert entry["nearest"] == "mle"
    assert all(row["fitted"] == [] for row in entry["predictors"])


def test_where_nothing_was_asked_nobody_is_nearest() -> None:
    found = nearness.Distances(
        "kl", "nats", 1.0, np.full((2, 20, 1), np.nan), np.zeros((2, 2, 2)), np.zeros((2, 20))
    )
    row = lengths.Lengths(found, 0).row(0, [])
    assert (row["nearest"], row["estimate"], row["first"]) == (None, None, False)
    assert nearness.nearest(np.array([np.inf, np.nan])) is None
    assert nearness.nearest(np.array([np.inf, 2.0, np.nan, 2.0])) == 1
    assert nearness.nearest(np.array([np.inf, 2.0, np.nan, 2.0]), 3) == 3


def test_no_option_is_fitted_to_infinite_losses() -> None:
    """The second loss decides where the first is infinite for every value,
    and the default stays where all are.
    """
    data = NETWORK.simulate(range(4), seed=0).data
    exact = registry.engine("smoothed_mle", {"concentration": "0.4"})(
        NETWORK, data, seed=0
    ).predictive.probs

    def apart(guess: Predictive, position: int) -> float:
        return float(np.abs(guess.variables()["probs"] - exact[:, position]).mean())

    def infinite(guess: Predictive, position: int) -> float:
        del guess, position
        return np.inf

    predictor = predictors.Predictor("smoothed_mle")
    found = predictor.fit(NETWORK, data, [infinite, apart], 0).fitted
    np.testing.assert_allclose([at["concentration"] for at in found], 0.4, rtol=0.3)
    assert predictor.fit(NETWORK, data, [infinite, infinite], 0).fitted == ({}, {})
    with pytest.raises(InputError, match="finite loss"):
        fitting.vertex(np.arange(1.0, 4.0), np.full(3, np.inf))


def test_fitting_goes_to_the_vertex() -> None:
    grid = np.geomspace(0.01, 10, 14)
    assert fitting.vertex(grid, (np.log(grid) - np.log(0.7)) ** 2) == pytest.approx(0.7, rel=1e-12)
    assert fitting.vertex(grid, np.arange(14.0)) == 0.01
    assert fitting.vertex(grid, np.where(grid < 1, -grid, np.inf)) == grid[grid < 1][-1]


def test_the_command(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    path = tmp_path / "small.yaml"
    _spec.write_yaml(NETWORK, path)
    arguments = [
        "identify",
        str(path),
        "--candidate",
        "mle",
        "--datasets",
        str(ENOUGH),
        "--out",
        str(tmp_path),
        "--json",
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["schema"] == identification.SCHEMA
    (entry,) = document["results"]
    assert (entry["conclusion"], entry["nearest"], entry["datasets"]) == ("other", "mle", ENOUGH)
    assert entry["predictors"][0]["name"] == entry["bayes"] == "conjugate"
    (folder,) = (p for p in tmp_path.iterdir() if p.is_dir())
    assert json.loads((folder / "identify.json").read_text()) == document
    page = (folder / "identify.md").read_text()
    assert page == markdown(entry)
    assert "is mle.\n" in page
    assert "infinite in" in page  # what the frequencies call impossible, the others do not


@pytest.mark.parametrize(
    ("checkpoint", "nearer", "farther"),
    [("bn-general5", "conjugate", "mle"), ("bn-general5+mle", "mle", "conjugate")],
)
def test_the_loss_decides_what_is_learned(checkpoint: str, nearer: str, farther: str) -> None:
    """At N = 20, in total variation: the network trained on exact targets by KL is Bayes,
    on frequencies by L1 the MLE.
    """
    task = small("bn-general5", 20)
    simulation = task.simulate(range(300), seed=0)
    said = candidates.resolve(checkpoint, task).infer(task, simulation.data, 0).predictive
    metric, apart = registry.load("metric", "total_variation"), []
    for name in (nearer, farther):
        other = registry.engine(name)(task, simulation.data, seed=0).predictive
        apart.append(decision.cluster_means(metric.score(said, other, simulation.outcome)))
    found = bootstrap.difference(apart[1], apart[0])
    assert found.low > 0.02


def test_a_network_that_almost_says_impossible() -> None:
    """The L1 network gives small probabilities where the MLE gives none:
    finite leads over an infinite separation.
    """
    entry = named(NETWORK, "bn-general5+mle")
    assert (entry["conclusion"], entry["nearest"]) == ("other", "mle")
    assert json.dumps(entry, allow_nan=False)
    assert all(row["first"] for row in entry["by_context"])


def test_who_is_near_in_either_direction_is_not_told_apart() -> None:
    """From 0 to 1 it is infinite and back .1; 2 is .3 and .4 away;
    3 at the tolerance itself is another.
    """
    apart = np.full((4, 4), 9.0)
    apart[0, 1:], apart[1:, 0] = [np.inf, 0.3, 0.2], [0.1, 0.4, 0.2]
    assert nearness.split(apart, 0, 0.2) == ([1], [2, 3])
    assert nearness.split(apart, 0, 0.35) == ([1, 2, 3], [])
    assert nearness.split(apart, 2, 9.1) == ([0, 1, 3], [])


LAGS = small("mtd-q5-m3", 16, 64)
POINTS = small("gp-rbf-1d", 4, 16, queries=4)
STUDY: list[tuple[Task, str, dict[str, str], str, str]] = [
    (NETWORK, "mle", {}, "other", "mle"),
    (NETWORK, "all_predecessors", {}, "other", "all_predecessors"),
    (
        NETWORK,
        "smoothed_mle",
        {"concentration": "0.4"},
        "other",
        "smoothed_mle(predecessors=false)",
    ),
    (
        NETWORK,
        "smoothed_mle",
        {"concentration": "0.4", "predecessors": "true"},
        "other",
        "smoothed_mle(predecessors=true)",
    ),
    (NETWORK, "prior_only", {}, "other", "prior_only"),
    (NETWORK, "wrong_prior", {}, "other", "wrong_prior"),
    (LAGS, "lag_counts", {}, "bayes", "simplex_quadrature"),
    (LAGS, "mirror_descent", {"steps": "1", "eta": "0.1"}, "other", "mirror_descent(steps=1)"),
    (LAGS, "expectation_maximization", {}, "other", "expectation_maximization(steps=0)"),
    (
        LAGS,
        "expectation_maximization",
        {"steps": "1"},
        "other",
        "expectation_maximization(steps=1)",
    ),
    (LAGS, "n_gram", {"order": "1", "concentration": "3"}, "other", "n_gram(order=1)"),
    (LAGS, "prior_only", {}, "other", "prior_only"),
    (LAGS, "wrong_prior", {}, "other", "wrong_prior"),
    (POINTS, "sequential", {}, "bayes", "cholesky"),
    (POINTS, "kernel_descent", {"steps": "4", "eta": "0.05"}, "other", "kernel_descent(steps=4)"),
    (POINTS, "kernel_descent", {"steps": "8"}, "other", "kernel_descent(steps=8)"),
    (
        POINTS,
        "preconditioned_descent",
        {"steps": "4", "eta": "0.8"},
        "other",
        "preconditioned_descent(steps=4)",
    ),
    (POINTS, "nadaraya_watson", {}, "other", "nadaraya_watson"),
    (POINTS, "prior_only", {}, "other", "prior_only"),
    (POINTS, "wrong_prior", {}, "other", "wrong_prior"),
]


@pytest.mark.study
@pytest.mark.parametrize(("task", "engine", "options", "conclusion", "name"), STUDY)
def test_every_predictor_is_known_by_its_answers(
    task: Task, engine: str, options: dict[str, str], conclusion: str, name: str
) -> None:
    entry = named(task, engine, **options)
    assert (entry["conclusion"], entry["nearest"]) == (conclusion, name), entry["sentence"]


@pytest.mark.study
@pytest.mark.parametrize(
    ("task", "one", "other"),
    [
        (LAGS, "simplex_quadrature", "expectation_maximization"),
        (POINTS, "cholesky", "nadaraya_watson"),
    ],
)
def test_half_way_between_others(task: Task, one: str, other: str) -> None:
    assert (
        identification.identify(task, between(task, one, other, 0.5), datasets=ENOUGH)["conclusion"]
        == "none"
    )


@pytest.mark.study
@pytest.mark.parametrize("datasets", [50, 200])
def test_half_way_is_rarely_given_a_name(datasets: int) -> None:
    """A candidate for which two predictors are equally near on average:
    how often is one of them called significantly nearer?

    2,000 replications drawn from 20,000 data sets;
    a plain paired test is right to call it in 5 %, and no rule is asked to.
    """
    data = NETWORK.simulate(range(20_000), seed=1, stream="replicate")
    p, q = (
        registry.engine(n)(NETWORK, data.data, seed=0).predictive.probs
        for n in ("conjugate", "all_predecessors")
    )

    def near(truth: Array, share: float) -> Array:
        return decision.cluster_means(
            (truth * np.log(truth / ((1 - share) * p + share * q))).sum(-1)
        )

    low, high = 0.0, 1.0
    for _ in range(50):
        share = (low + high) / 2
        low, high = (share, high) if (near(q, share) - near(p, share)).mean() > 0 else (low, share)
    gap, needed = (
        near(q, share) - near(p, share),
        0.1 * decision.cluster_means((q * np.log(q / p)).sum(-1)).mean(),
    )
    rng, plain, called = np.random.default_rng(0), 0, 0
    for _ in range(2_000):
        found = bootstrap.interval(rng.choice(gap, datasets), seed=0)
        plain += found.low > 0 or found.high < 0
        called += found.low > needed or found.high < -needed
    assert plain / 2000 < 0.09
    assert called / 2000 < 0.01


def test_quantiles_are_compared_at_their_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as a distribution function that is linear between three levels,
    exact quantiles are far from exact Bayes.
    """
    task, levels = small("gp-rbf-1d", 5, queries=2), np.array([0.1, 0.5, 0.9])
    assert task.tolerance is not None
    task = replace(task, tolerance=replace(task.tolerance, quantiles=1e-3))
    exact, some = registry.engine("cholesky"), predictors.known(task)[:2]
    monkeypatch.setattr(predictors, "known", lambda task, against: some)

    def infer(task: Task, data: Data, seed: int) -> Branch:
        law = exact(task, data, seed=seed).predictive
        said = Quantiles(levels, law.quantile(np.broadcast_to(levels, (*law.shape, 3))))
        return Branch(said, Certificate("trusted", "candidate", 0.0))

    entry = identification.identify(
        task, candidates.Candidate("quantiles", None, infer, "callable"), datasets=40
    )
    assert (entry["metric"], entry["tolerance"], entry["nearest"]) == (
        "quantile_score",
        1e-3,
        "cholesky",
    )
    assert entry["fit"]["estimate"] == pytest.approx(0.0, abs=1e-12)

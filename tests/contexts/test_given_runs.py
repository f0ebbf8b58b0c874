"""Runs on contexts that somebody has: recorded predictions are judged on them by their keys, and
nothing else about a file counts.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

import veribayes as vb
from veribayes import cli
from veribayes.errors import InputError
from veribayes.models._contexts import Contexts, read_contexts
from veribayes.models._task import Task
from veribayes.predictive import Normal, Predictive
from veribayes.run.options import Options
from veribayes.run.plausibility import REPLICATES, plausibility_of, ranks_of, uniform_p_value
from veribayes.run.roles import plain_reference, reference_of

SPEC = importlib.util.spec_from_file_location("_tables", Path(__file__).with_name("_tables.py"))
assert SPEC is not None
assert SPEC.loader is not None
tables = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tables)
Row = dict[str, Any]
QUICK = {"audit": 0, "tests": "none"}


@cache
def task(name: str) -> Task:
    return vb.task(name)


def contexts_of(
    name: str, counts: dict[int, int], path: Path, *, outcomes: bool = False, queries: int = 1
) -> Contexts:
    """So many data sets of each size, written to a file and read from it."""
    rows: list[Row] = []
    for size, count in counts.items():
        simulation = tables.drawn(task(name), size, count, queries=queries, seed=size)
        keys = [f"{size}-{number}" for number in range(count)]
        rows += tables.rows_of(task(name), simulation, keys, outcomes=outcomes)
    return read_contexts(task(name), tables.write(rows, path))


def exact(name: str, contexts: Contexts) -> Predictive:
    """What the reference says of the contexts."""
    given = replace(task(name), contexts=contexts)
    return reference_of(given, Options()).infer(given, contexts.whole.data, 0).predictive


def recorded(predictive: Predictive, contexts: Contexts, path: Path) -> Path:
    """The predictions as a table."""
    written: Path = tables.write(tables.answers(predictive, contexts), path)
    return written


def shuffled(path: Path, to: Path) -> Path:
    """The same table with its rows in another order."""
    head, *rows = path.read_text().splitlines()
    order = np.random.default_rng(0).permutation(len(rows))
    to.write_text("\n".join([head, *(rows[i] for i in order)]) + "\n")
    return to


SWITCH = "context-switch"


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Contexts, Path]:
    """Forty contexts of three sizes with outcomes, and exact predictions of them."""
    folder = tmp_path_factory.mktemp("switch")
    counts = {2: 14, 3: 13, 6: 13}
    contexts = contexts_of(SWITCH, counts, folder / "contexts.csv", outcomes=True, queries=2)
    predictions = recorded(exact(SWITCH, contexts), contexts, folder / "exact.csv")
    return folder, contexts, predictions


def without(entry: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in names}


def test_the_same_rows_in_another_order_give_the_identical_result(
    switch: tuple[Path, Contexts, Path],
) -> None:
    folder, _, predictions = switch
    (folder / "other").mkdir()
    turned = shuffled(folder / "contexts.csv", folder / "other" / "contexts.csv")
    first = vb.verify(SWITCH, predictions, contexts=folder / "contexts.csv", audit=0).entry
    other = shuffled(predictions, folder / "other" / "exact.csv")
    second = vb.verify(SWITCH, other, contexts=turned, audit=0).entry
    assert first == second
    assert first["datasets"] == 40
    assert first["curve"]["context"] == [2, 3, 6]
    assert first["contexts"]["outcomes"]
    assert "log_score_regret" in first["scores"]
    named = {finding["name"] for finding in first["findings"]}
    assert {"contexts_given", "plausibility", "not_asked_again"} <= named
    assert all(
        worst["key"] in first["contexts"]["digest"] or worst["key"] for worst in first["worst"]
    )


def test_a_planted_defect_is_different_and_says_where(switch: tuple[Path, Contexts, Path]) -> None:
    folder, contexts, _ = switch
    law = exact(SWITCH, contexts)
    wide = type(law)(**{**law.variables(), "sd": 1.6 * law.variables()["sd"]})
    path = recorded(wide, contexts, folder / "wide.csv")
    result = vb.verify(SWITCH, path, contexts=contexts, **QUICK)
    assert result.verdict == "different"
    assert {row["key"] for row in result.entry["worst"]} <= set(contexts.keys)


def test_half_a_file_is_refused_by_the_keys_that_are_missing(
    switch: tuple[Path, Contexts, Path],
) -> None:
    folder, contexts, predictions = switch
    rows = predictions.read_text().splitlines()
    half = folder / "half.csv"
    half.write_text("\n".join(rows[: len(rows) // 2]) + "\n")
    message = r"prediction of every query in 'half.csv', got none of \d+ of 80, first data set"
    with pytest.raises(InputError, match=message):
        vb.verify(SWITCH, half, contexts=contexts, **QUICK)
    half.write_bytes(predictions.read_bytes()[: predictions.stat().st_size // 2])
    with pytest.raises(InputError, match=r"half.csv"):
        vb.verify(SWITCH, half, contexts=contexts, **QUICK)


def change(rows: list[str], number: int, text: str) -> list[str]:
    return [*rows[:number], text, *rows[number + 1 :]]


BAD = {
    "twice": (lambda rows: [*rows, rows[3]], r"each query once .* a second time, first in row 3"),
    "surplus": (
        lambda rows: [*rows, "nobody,q0,0.0,1.0"],
        r"predictions of the contexts in 'contexts.csv' alone, got 1 of others, .* 'nobody'",
    ),
    "nan": (
        lambda rows: change(rows, 2, ",".join([*rows[2].split(",")[:2], "0.5", "nan"])),
        r"finite number|a number in column 'sd' of row 2 of 'bad.csv'",
    ),
    "negative": (
        lambda rows: change(rows, 2, ",".join([*rows[2].split(",")[:2], "0.5", "-1"])),
        r"in row 2 of 'bad.csv'",
    ),
    "no key": (lambda rows: ["a" + rows[0], *rows[1:]], r"key column 'dataset'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_predictions_are_refused_with_their_place(
    name: str, switch: tuple[Path, Contexts, Path]
) -> None:
    folder, contexts, _ = switch
    law = exact(SWITCH, contexts)
    normal = Normal(law.expectation(), law.standard_deviation())
    rows = recorded(normal, contexts, folder / "normal.csv").read_text().splitlines()
    spoil, message = BAD[name]
    (folder / "bad.csv").write_text("\n".join(spoil(rows)) + "\n")
    with pytest.raises(InputError, match=message):
        vb.verify(SWITCH, folder / "bad.csv", contexts=contexts, **QUICK)


def test_recorded_rows_without_contexts_say_what_is_missing(
    switch: tuple[Path, Contexts, Path],
) -> None:
    _, _, predictions = switch
    with pytest.raises(InputError, match="--contexts FILE"):
        vb.verify(SWITCH, vb.recorded(predictions), datasets=40)


def run(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> int:
    monkeypatch.setattr(sys, "argv", ["veribayes", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_the_command_line_judges_and_refuses(
    switch: tuple[Path, Contexts, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, _, predictions = switch
    monkeypatch.chdir(tmp_path)
    words = ["verify", SWITCH, "--audit", "0", "--tests", "none", "--json"]
    words += ["--contexts", str(folder / "contexts.csv"), "--candidate", str(predictions)]
    assert run(monkeypatch, [*words, "--out", "first"]) == 3
    document = json.loads(capsys.readouterr().out)
    entry = document["results"][0]
    assert entry["contexts"]["file"] == "contexts.csv"
    assert entry["verdict"] == "undecided"
    assert run(monkeypatch, [*words, "--out", "first"]) == 3  # the shards that are there
    assert json.loads(capsys.readouterr().out)["results"] == document["results"]
    assert "contexts of contexts.csv" in Path("first/report.html").read_text()
    (tmp_path / "bad.csv").write_text("dataset,c,cue\n1,zero,\n")
    words[words.index("--contexts") + 1] = "bad.csv"
    assert run(monkeypatch, [*words, "--out", "second"]) == 2
    error = json.loads(capsys.readouterr().out)["errors"][0]["message"]
    assert "a number in column 'c' of row 1 of 'bad.csv', got 'zero'" in error
    assert not Path("second/report.html").exists()
    assert run(monkeypatch, [*words[:-4], "--datasets", "7", *words[-4:], "--out", "third"]) == 2


def test_few_contexts_have_figures_and_no_verdict(switch: tuple[Path, Contexts, Path]) -> None:
    folder, _, _ = switch
    few = contexts_of(SWITCH, {3: 5}, folder / "few.csv", queries=2)
    path = recorded(exact(SWITCH, few), few, folder / "few-exact.csv")
    entry = vb.verify(SWITCH, path, contexts=few, **QUICK).entry
    assert entry["verdict"] == "undecided"
    named = {finding["name"]: finding["text"] for finding in entry["findings"]}
    assert "too few for a verdict" in named["few_contexts"]
    assert "log_score_regret" in named["no_outcomes"]
    assert "log_score_regret" not in entry["scores"]
    assert entry["calibration"]["coverage"] == []
    one = contexts_of(SWITCH, {3: 1}, folder / "one.csv", queries=2)
    with pytest.raises(InputError, match="between 2 and"):
        vb.verify(SWITCH, "switch_quadrature", contexts=one, **QUICK)


def test_a_callable_sees_each_context_at_its_own_size(switch: tuple[Path, Contexts, Path]) -> None:
    _, contexts, _ = switch
    sizes = []

    def candidate(context: Any, query: Any) -> dict[str, Any]:
        sizes.append(context.shape)
        return {"mean": np.zeros(query.shape), "sd": np.ones(query.shape)}

    vb.verify(SWITCH, candidate, contexts=contexts, **QUICK)
    assert sorted(set(sizes)) == [(13, 3), (13, 6), (14, 2)]


@pytest.mark.study
def test_other_contexts_are_another_request(
    switch: tuple[Path, Contexts, Path], tmp_path: Path
) -> None:
    folder, contexts, _ = switch
    vb.verify(SWITCH, "switch_quadrature", contexts=contexts, out=tmp_path / "run", **QUICK)
    other = contexts_of(SWITCH, {3: 40}, folder / "other.csv", queries=2)
    with pytest.raises(InputError, match="--out"):
        vb.verify(SWITCH, "switch_quadrature", contexts=other, out=tmp_path / "run", **QUICK)


# -- how plausible they are ------------------------------------------------------------------------


@pytest.mark.study
def test_ranks_of_what_the_model_draws_are_uniform() -> None:
    rng = np.random.default_rng(3)
    p_values = []
    for seed in range(400):
        values = rng.normal(size=(50, REPLICATES + 1)).round(1)  # ties
        ranks = ranks_of(values[:, 0], values[:, 1:], seed)
        p_values.append(uniform_p_value(ranks, REPLICATES, seed))
    rejected = np.mean(np.array(p_values) <= 0.05)
    assert rejected <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert min(p_values) >= 1 / 10_000


def test_contexts_of_another_model_are_implausible(switch: tuple[Path, Contexts, Path]) -> None:
    _, contexts, _ = switch
    given = replace(task(SWITCH), contexts=contexts)
    truth = plain_reference(given, Options())
    own = plausibility_of(given, truth, 0)
    assert own is not None
    assert own.p_value > 0.01
    data = contexts.whole.data
    wider = replace(data, arrays={**data.arrays, "c": 2 * data.arrays["c"]})
    doubled = replace(contexts, whole=replace(contexts.whole, data=wider))
    other = plausibility_of(replace(given, contexts=doubled), truth, 0)
    assert other is not None
    assert other.p_value < 0.01
    assert other.mean_rank < 0.4


# -- against a quadrature of its own ---------------------------------------------------------------

HYPER = "gp-hyper-1d"


def mixture(context_x: Any, context_y: Any, query: float) -> tuple[Any, Any, Any]:
    """Weights, means and sds of the exact predictive, by the textbook and scipy."""
    model: Any = task(HYPER).model
    lengthscale, noise = model.kernel.lengthscale, model.noise_sd
    weights, means, sds = [], [], []
    for length in lengthscale.values:  # both have equal prior weights
        for sd in noise.values:

            def k(a: Any, b: Any, length: float = length) -> Any:
                return model.kernel.amplitude**2 * np.exp(
                    -0.5 * ((a[:, None] - b[None]) / length) ** 2
                )

            covariance = k(context_x, context_x) + sd**2 * np.eye(len(context_x))
            cross = k(context_x, np.array([query]))[:, 0]
            solved = np.linalg.solve(covariance, np.stack([context_y, cross], axis=1))
            means.append(cross @ solved[:, 0])
            variance = model.kernel.amplitude**2 + sd**2 - cross @ solved[:, 1]
            sds.append(np.sqrt(variance))
            zero = np.zeros(len(context_x))
            density = multivariate_normal(zero, covariance).logpdf(context_y)
            weights.append(density)
    shifted = np.exp(np.array(weights) - np.max(weights))
    return shifted / shifted.sum(), np.array(means), np.array(sds)


def divergence(law: tuple[Any, Any, Any], mean: float, sd: float) -> float:
    """KL(mixture || normal) by adaptive quadrature."""
    weights, means, sds = law

    def term(y: float) -> float:
        density = float(weights @ norm.pdf(y, means, sds))
        return density * (np.log(density) - norm.logpdf(y, mean, sd)) if density > 0 else 0.0

    low, high = (means - 12 * sds).min(), (means + 12 * sds).max()
    return float(quad(term, low, high, points=np.sort(means), limit=400, epsabs=1e-11)[0])


@pytest.mark.study
def test_divergence_by_context_size_agrees_with_another_quadrature(tmp_path: Path) -> None:
    """Normals with the exact moments are judged on given contexts of unknown hyperparameters."""
    contexts = contexts_of(HYPER, {1: 4, 3: 4, 6: 4}, tmp_path / "contexts.csv", queries=2)
    law = exact(HYPER, contexts)
    moments = Normal(law.expectation(), 1.1 * law.standard_deviation())
    predictions = recorded(moments, contexts, tmp_path / "moments.csv")
    entry = vb.verify(HYPER, predictions, contexts=tmp_path / "contexts.csv", **QUICK).entry
    data = contexts.whole.data
    by_size: dict[int, list[float]] = {}
    for b, size in enumerate(contexts.sizes.tolist()):
        x, y = data.arrays["x"][b, :size, 0], data.arrays["y"][b, :size]
        for q in range(2):
            other = mixture(x, y, data.arrays["x_query"][b, q, 0])
            said = float(moments.mean[b, 0, q]), float(moments.sd[b, 0, q])
            by_size.setdefault(size, []).append(divergence(other, *said))
    error = entry["reference"]["certificate"]["error_bound"]
    assert error < 1e-9
    for size, estimate in zip(entry["curve"]["context"], entry["curve"]["estimate"], strict=True):
        assert abs(estimate - np.mean(by_size[size])) < max(error, 1e-9), size


@pytest.mark.study
@pytest.mark.parametrize("name", [SWITCH, HYPER, "mtd-q3-m3", "bn-general5", "hmm-3x4"])
def test_exact_answers_on_400_contexts_are_equivalent_and_a_defect_is_different(
    name: str, tmp_path: Path
) -> None:
    sizes = (4, 8) if name != HYPER else (1, 2, 4, 8)
    counts = dict.fromkeys(sizes, 400 // len(sizes))
    contexts = contexts_of(name, counts, tmp_path / "contexts.csv", outcomes=True)
    law = exact(name, contexts)
    path = recorded(law, contexts, tmp_path / "exact.csv")
    result = vb.verify(name, path, contexts=tmp_path / "contexts.csv", audit=0)
    assert result.verdict == "equivalent"
    changed = dict(law.variables())
    if law.form == "categorical":
        changed["probs"] = changed["probs"] ** 1.3 / (changed["probs"] ** 1.3).sum(
            -1, keepdims=True
        )
        changed.pop("log_probs", None)
    else:
        changed["sd"] = 1.4 * changed["sd"]
    planted = recorded(type(law)(**changed), contexts, tmp_path / "planted.csv")
    again = vb.verify(name, planted, contexts=tmp_path / "contexts.csv", audit=0)
    assert again.verdict == "different"
    turned = shuffled(path, tmp_path / "turned.csv")
    assert without(
        vb.verify(name, turned, contexts=tmp_path / "contexts.csv", audit=0).entry, "candidate"
    ) == without(result.entry, "candidate")

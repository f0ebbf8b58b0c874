"""Claims of the literature: what an outcome is, what is stored and read back,
and how a command ends.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from veribayes import registry
from veribayes.cli import main
from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.report import claims as pages
from veribayes.run import claims
from veribayes.run.laboratory import Laboratory
from veribayes.validation.claims import _claim
from veribayes.validation.claims._claim import Claim, Measurement, Paper, Threshold


def measured(low: float, high: float) -> Measurement:
    return Measurement("somewhere", (low + high) / 2, low, high, 100)


def claim(name: str = "one", **changes: Any) -> Claim:
    usual: dict[str, Any] = {
        "statement": "Numbers are small.",
        "read_in": "ours",
        "statistic": "a number",
        "threshold": Threshold(at_most=1.0),
        "expected": "holds",
        "measure": lambda lab: [measured(0.0, 0.5)],
    }
    return Claim(name, **{**usual, **changes})


@pytest.mark.parametrize(
    ("threshold", "low", "high", "outcome"),
    [
        (Threshold(at_most=1.0), 0.0, 1.0, "holds"),
        (Threshold(at_most=1.0), 0.9, 1.1, "undecided"),
        (Threshold(at_most=1.0), 1.01, 1.1, "fails"),
        (Threshold(at_least=1.0), 1.0, 2.0, "holds"),
        (Threshold(at_least=1.0), 0.0, 0.99, "fails"),
        (Threshold(0.9, 1.1), 0.95, 1.05, "holds"),
        (Threshold(0.9, 1.1), 0.8, 1.2, "undecided"),
        (Threshold(0.9, 1.1), 1.2, 1.3, "fails"),
        (Threshold(at_most=1.0), math.nan, 0.5, "undecided"),
        (Threshold(at_most=1.0), 0.5, math.nan, "undecided"),
        (Threshold(at_most=1.0), 0.5, math.inf, "undecided"),
        (Threshold(at_most=1.0), math.inf, math.inf, "fails"),
    ],
)
def test_the_whole_interval_decides(
    threshold: Threshold, low: float, high: float, outcome: str
) -> None:
    assert threshold.outcome(low, high) == outcome


def test_one_setting_that_fails_is_enough_and_one_that_is_open_is_not() -> None:
    good, open_, bad = measured(0, 0.5), measured(0.5, 1.5), measured(2, 3)
    assert claim().outcome([good, good]) == "holds"
    assert claim().outcome([good, open_]) == "undecided"
    assert claim().outcome([good, open_, bad]) == "fails"
    assert claim().outcome([]) == "undecided"


@pytest.mark.parametrize("read_in", ["paper", "abstract", "code"])
def test_only_what_was_read_is_false_as_stated(read_in: str) -> None:
    assert claim(read_in=read_in).reading("fails") == "false as stated"
    for other in ("secondhand", "ours"):
        assert claim(read_in=other).reading("fails") == "a tempting reading that fails"


def test_what_a_claim_refuses() -> None:
    with pytest.raises(InputError, match="read_in"):
        claim(read_in="hearsay")
    with pytest.raises(InputError, match="expected"):
        claim(expected="undecided")
    with pytest.raises(InputError, match="threshold"):
        Threshold(at_least=2.0, at_most=1.0)
    with pytest.raises(InputError, match="different names"):
        Paper("doi", "title", (claim(), claim()))


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([("holds", "holds"), ("fails", "fails")], 0),
        ([("holds", "holds"), ("holds", "fails")], 1),
        ([("undecided", "holds"), ("holds", "fails")], 1),
        ([("undecided", "holds"), ("holds", "holds")], 3),
        ([], 0),
    ],
)
def test_exit_codes(rows: list[tuple[str, str]], code: int) -> None:
    entries = [{"outcome": outcome, "expected": expected} for outcome, expected in rows]
    assert claims.exit_code(entries) == code


@pytest.mark.parametrize("repetitions", [60, pytest.param(1000, marks=pytest.mark.study)])
def test_limits_hold_for_all_settings_together(repetitions: int) -> None:
    """Of 5 settings whose means are 0, all intervals hold 0 in 95 % of repetitions,
    with each of the two ways.
    """
    rng = np.random.default_rng(1)
    held = np.zeros(2)
    for _ in range(repetitions):
        columns = rng.standard_normal((60, 5))
        together = _claim.means([str(i) for i in range(5)], columns)
        apart = [_claim.mean(str(i), columns[:, i], of=5) for i in range(5)]
        for way, measurements in enumerate((together, apart)):
            held[way] += all(m.low <= 0 <= m.high for m in measurements)
    error = np.sqrt(0.95 * 0.05 / repetitions)
    assert (held / repetitions >= 0.95 - 3 * error).all()
    assert (held / repetitions <= 0.95 + 3 * error).all()


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A paper of another distribution with three claims,
    and the names of the claims that were measured.
    """
    measured_claims: list[str] = []

    def measure(name: str, low: float, high: float) -> Any:
        def count(lab: Any) -> list[Measurement]:
            measured_claims.append(name)
            return [measured(low, high)]

        return count

    paper = Paper(
        "doi:10.1/x",
        "On <b>numbers</b>",
        (
            claim("small", measure=measure("small", 0, 0.5)),
            claim("large", measure=measure("large", 2, 3), expected="fails"),
            claim("open", measure=measure("open", 0.5, 1.5)),
        ),
    )
    module = ModuleType("someone")
    module.PART = paper  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "someone", module)
    names, load = registry.usable, registry.load
    monkeypatch.setattr(
        registry, "usable", lambda kind: ["on_numbers"] if kind == "claim" else names(kind)
    )
    monkeypatch.setattr(
        registry, "load", lambda kind, name: paper if name == "on_numbers" else load(kind, name)
    )
    return measured_claims


def test_a_second_call_reads_what_the_first_has_found(plugged: list[str], tmp_path: Path) -> None:
    first = claims.run(out=tmp_path)
    assert plugged == ["small", "large", "open"]
    assert [row["outcome"] for row in first["claims"]] == ["holds", "fails", "undecided"]
    assert first["exit_code"] == 3
    again = claims.run(["on-numbers.open", "on_numbers.small"], out=tmp_path)
    assert plugged == ["small", "large", "open"]
    assert [row["name"] for row in again["claims"]] == ["on_numbers.small", "on_numbers.open"]
    kept = json.loads((tmp_path / "claims.json").read_text())
    assert kept["claims"] == first["claims"]  # a folder loses nothing by a smaller request
    assert kept["exit_code"] == 3


def test_a_damaged_outcome_is_measured_again(plugged: list[str], tmp_path: Path) -> None:
    claims.run(["on_numbers.small"], out=tmp_path)
    path = tmp_path / "outcomes" / "on_numbers.small.json"
    for damage in ("{", "[]", json.dumps({**json.loads(path.read_text()), "row": None})):
        path.write_text(damage)
        claims.run(["on_numbers.small"], out=tmp_path)
    assert plugged == ["small"] * 4


def test_a_folder_of_another_seed_or_form_is_refused(plugged: list[str], tmp_path: Path) -> None:
    claims.run(out=tmp_path)
    with pytest.raises(InputError, match="another --out"):
        claims.run(out=tmp_path, seed=1)
    with pytest.raises(InputError, match="another --out"):
        claims.run(out=tmp_path, full=True)
    assert len(plugged) == 3


def test_names(plugged: list[str]) -> None:
    assert [each.name for each in claims.selected(["on_numbers"])] == [
        "on_numbers.small",
        "on_numbers.large",
        "on_numbers.open",
    ]
    with pytest.raises(InputError, match=r"on_numbers\.small"):
        claims.selected(["on_numbers.tiny"])


def test_the_command(
    plugged: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, code in (
        (["--list"], 0),
        (["--json"], 3),
        (["on_numbers.large"], 0),
        (["nothing"], 2),
    ):
        monkeypatch.setattr(sys, "argv", ["veribayes", "claims", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == code, arguments
        printed = capsys.readouterr().out
        if arguments == ["--json"]:
            document = json.loads(printed)
            assert document["schema"] == "veribayes.claims/1"
            assert document["claims"][1]["reading"] == "a tempting reading that fails"
    page = (tmp_path / "runs/claims/claims.html").read_text()
    assert "On &lt;b&gt;numbers&lt;/b&gt;" in page
    assert "<b>numbers" not in page


def test_lines_fit_a_terminal(plugged: list[str]) -> None:
    ledger = claims.run()
    assert max(map(len, pages.text(ledger).splitlines())) <= 80
    assert max(map(len, pages.listing(ledger["claims"]).splitlines())) <= 80
    shipped = [listed.entry() for listed in claims.known()]
    assert max(map(len, pages.listing(shipped).splitlines())) <= 80


def test_a_name_is_no_path(tmp_path: Path) -> None:
    listed = claims.Listed("../../up", Paper("doi", "title", ()), claim("a/../b"))
    assert claims._path(tmp_path, listed).parent == tmp_path / "outcomes"


def test_every_shipped_claim_names_tasks_that_are_shipped() -> None:
    """And each has a sentence, a statistic and a threshold of its own."""
    shipped = claims.known()
    assert len(shipped) >= 11
    for listed in shipped:
        for task in listed.claim.tasks:
            assert registry.task_path(task) is not None
        assert listed.claim.statement.endswith(".")
        assert listed.of.source.startswith(("arXiv", "doi"))


@pytest.mark.parametrize(
    "name", ["simulate_mle.construction", "mirror_descent_in_context.construction"]
)
def test_a_shipped_identity_holds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a construction that is off by a thousandth does not."""
    (listed,) = claims.selected([name])
    laboratory = Laboratory(full=False, seed=0)
    assert listed.claim.outcome(listed.claim.measure(laboratory)) == "holds"
    ask = Laboratory.ask

    def bent(self: Laboratory, task: Any, candidate: object, data: Any, **options: Any) -> Any:
        answer = ask(self, task, candidate, data, **options)
        if candidate in registry.names("construction"):
            answer.predictive.probs[..., 0] += 1e-3
        return answer

    monkeypatch.setattr(Laboratory, "ask", bent)
    assert listed.claim.outcome(listed.claim.measure(laboratory)) == "fails"


def test_the_laboratory_scores_as_a_run_does() -> None:
    laboratory = Laboratory(full=False, seed=3)
    task = laboratory.task("bn-general5", positions=(2, 5))
    assert task.design.positions == (2, 5)
    data = laboratory.simulate(task, 50).data
    truth = laboratory.truth(task, data)
    scores = laboratory.score("kl", truth, laboratory.ask(task, "prior_only", data))
    assert scores.shape[:2] == (50, 2)
    whole = laboratory.verify(
        _spec.load_task("bn-general5"), "prior_only", 50, audit=0, tests="none"
    )
    assert whole["verdict"] == "different"


def test_a_network_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("veribayes.run.training.MEASURE_DATASETS", 20)
    laboratory = Laboratory(full=False, seed=0, folder=tmp_path)
    task = laboratory.task("mtd-q3-m3", positions=(4, 8))
    recipe = {
        "steps": 2,
        "batch": 2,
        "learning_rate": 1e-3,
        "network": {"width": 8, "layers": 1, "heads": 1},
    }
    first = laboratory.train(task, recipe, seed=1)
    written = (first / "card.json").stat().st_mtime_ns
    assert laboratory.train(task, recipe, seed=1) == first
    assert (first / "card.json").stat().st_mtime_ns == written
    data = laboratory.simulate(task, 3).data
    assert laboratory.ask(task, first, data).predictive.shape == (3, 2, 1)


@pytest.mark.study
def test_every_quick_outcome_is_the_expected_one(tmp_path: Path) -> None:
    ledger = claims.run(out=tmp_path)
    print(pages.text(ledger))
    assert ledger["exit_code"] == 0

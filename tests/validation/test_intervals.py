"""Coverage of every interval that a run states, in the reduced form that fits a test run.

The full table (10,000 runs at n = 50 / 200 / 1000) is printed by `veribayes calibrate-tests`;
docs/calibration.md has it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import stats

from veribayes.validation import intervals
from veribayes.validation.intervals import INTERVALS, Job

RUNS = 125
CASES = [
    (name, law) for name, kind in INTERVALS.items() if name != "mean" for law in kind.laws
]  # mean: test_calibration.py


@pytest.mark.parametrize(("name", "law"), CASES, ids=lambda part: str(part))
def test_coverage_at_200(name: str, law: str) -> None:
    """Not below what 93 % would give in 999 of 1,000 tests;
    measured over 10,000: docs/calibration.md.
    """
    found = Job(200, RUNS, 1, interval=name, law=law).measure()
    assert found["covered"] >= stats.binom.ppf(0.001, RUNS, 0.93)
    if "rejected" in found:
        assert found["rejected"] <= stats.binom.ppf(0.999, RUNS, 0.06)


def test_positions_of_a_sequence_are_no_data_sets() -> None:
    found = Job(50, RUNS, 1, interval="sequences", law="autocorrelation 0.9").measure()
    assert found["by_position"] < 0.7 * RUNS


def test_blocks_are_parts_of_one_measurement() -> None:
    """Nine blocks or one, on one core or two: the same counts."""
    whole = Job(50, 500, 0, interval="difference", law="signed, mean 0.2")
    parts = [
        Job(50, 250, 0, first, interval="difference", law="signed, mean 0.2") for first in (0, 250)
    ]
    assert whole.measure() == {k: sum(p.measure()[k] for p in parts) for k in whole.measure()}


def test_files_are_reused_until_their_sources_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo = intervals.jobs(20, 0, ["difference"])
    first = intervals.run(todo, tmp_path, lambda done: None, workers=1)
    assert len(list(tmp_path.glob("interval-difference-*.json"))) == len(todo) == 6
    monkeypatch.setattr(Job, "measure", lambda job: pytest.fail("measured again"))
    assert intervals.run(todo, tmp_path, lambda done: None, workers=1) == first
    for damage in ("{", "[]", '{"job": 1}', ""):
        broken = todo[0].path(tmp_path)
        broken.write_text(damage)
        monkeypatch.setattr(Job, "measure", lambda job: first[0].counts)
        assert intervals.run(todo, tmp_path, lambda done: None, workers=1) == first
        assert "covered" in broken.read_text()
    monkeypatch.setattr(Job, "measure", lambda job: {"covered": 0, "above": 0, "below": 0})
    monkeypatch.setattr(intervals, "source_digest", lambda interval: "other")
    assert {
        m.counts["covered"] for m in intervals.run(todo, tmp_path, lambda done: None, workers=1)
    } == {0}

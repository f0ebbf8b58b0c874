"""Coverage of every interval that a run states, in the reduced form that fits a test run.

The full table (10,000 runs at n = 50 / 200 / 1000) is printed by `veribayes calibrate-tests`; docs/calibration.md has it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from veribayes.validation import intervals
from veribayes.validation.intervals import INTERVALS, Job, Measured, counts

RUNS = 125
CASES = [(name, law) for name, kind in INTERVALS.items() if name != "mean" for law in kind.laws]  # mean: test_calibration.py


@pytest.mark.parametrize(("name", "law"), CASES, ids=lambda part: str(part))
def test_coverage_at_200(name: str, law: str) -> None:
    """Not below what 93 % would give in 999 of 1,000 tests; measured over 10,000: docs/calibration.md."""
    found = Job(200, RUNS, 1, interval=name, law=law).measure()
    assert found["covered"] >= stats.binom.ppf(0.001, RUNS, 0.93)
    if "rejected" in found:
        assert found["rejected"] <= stats.binom.ppf(0.999, RUNS, 0.06)


def test_positions_of_a_sequence_are_no_data_sets() -> None:
    found = Job(50, RUNS, 1, interval="sequences", law="autocorrelation 0.9").measure()
    assert found["by_position"] < 0.7 * RUNS


def test_a_miss_is_counted_on_its_side() -> None:
    low, high = np.array([0.0, 2.0, 0.0, 0.0]), np.array([2.0, 3.0, 0.5, 1.0])
    assert counts((low, high), 1.0) == {"covered": 2, "above": 1, "below": 1}


def test_a_band_misses_where_any_point_does() -> None:
    low = np.zeros((2, 3))
    high = np.array([[2.0, 2.0, 2.0], [2.0, 2.0, 0.5]])
    assert counts((low, high), np.ones(3)) == {"covered": 1, "above": 0, "below": 1}


def test_blocks_are_parts_of_one_measurement() -> None:
    """Nine blocks or one, on one core or two: the same counts."""
    whole = Job(50, 500, 0, interval="difference", law="signed, mean 0.2")
    parts = [Job(50, 250, 0, first, interval="difference", law="signed, mean 0.2") for first in (0, 250)]
    assert whole.measure() == {k: sum(p.measure()[k] for p in parts) for k in whole.measure()}


def test_files_are_reused_until_their_sources_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert {m.counts["covered"] for m in intervals.run(todo, tmp_path, lambda done: None, workers=1)} == {0}


def test_tables_have_a_line_for_each_job() -> None:
    mean = {"covered": 960, "above": 20, "below": 20, "false_equivalent": 5, "false_different": 20, "power_at_half": 990}
    found = [
        Measured(Job(50, 1000, 0, interval="mean", law="gamma 1"), mean),
        Measured(Job(200, 1000, 0, interval="reliability", law="x"), {"covered": 1, "above": 2, "below": 3, "rejected": 4}),
    ]
    text = intervals.tables(found)
    assert "| mean divergence | gamma 1 | 50 | 0.9600 | 0.0200 | 0.0200 | 1000 |" in text
    assert "| mean divergence | gamma 1 | 50 | 0.0050 | 0.0200 | 0.9900 | 1000 |" in text
    assert "| reliability band | x | 200 | 0.0040 | 1000 |" in text
    assert "what is taken" not in text
    plain = found[0].plain()
    assert plain["covered_low"] < plain["covered"] == 0.96 < plain["covered_high"]

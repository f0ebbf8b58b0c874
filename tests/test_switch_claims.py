"""Claims about sinks and diagonals: how masses are summed up, and that a bent network is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from veribayes.run import claims
from veribayes.run.laboratory import Laboratory
from veribayes.tree import Data
from veribayes.validation.claims import context_switch as paper

QUICK = Laboratory(full=False, seed=0)


def outcome(name: str) -> str:
    (listed,) = claims.selected([f"context_switch.{name}"])
    return listed.claim.outcome(listed.claim.measure(QUICK))


def test_the_largest_deviation_lies_within_its_limits() -> None:
    rng = np.random.default_rng(0)
    quiet = 1e-3 * rng.standard_normal((200, 3))
    off = quiet + np.array([0.0, -0.02, 0.001])
    none, one = paper.largest(["quiet", "off"], [quiet, off], 0)
    assert none.low == 0 <= none.estimate <= none.high < 5e-4
    assert one.low <= one.estimate <= one.high
    assert one.low > 0.019
    assert one.high < 0.021


@pytest.mark.study
def test_its_limits_hold_in_95_of_100_cases() -> None:
    """Largest means .01 and .004, 300 repetitions; 95 % less three standard errors."""
    rng, held = np.random.default_rng(1), 0
    first, second = np.array([0.01, 0.0, -0.008]), np.array([0.004, -0.004])
    for number in range(300):
        noise = 0.05 * rng.standard_normal((100, 5))
        both = paper.largest(["a", "b"], [first + noise[:, :3], second + noise[:, 3:]], number)
        inside = [m.low <= truth <= m.high for m, truth in zip(both, (0.01, 0.004), strict=True)]
        held += all(inside)
    assert held / 300 >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 300)


def test_means_over_the_queries_of_a_cue() -> None:
    """A data set without such a query is left out; hidden cues count all."""
    values = np.arange(12.0).reshape(3, 2, 2)  # (dataset, position, query)
    cue = np.array([[1, 1], [0, 1], [0, 0]])
    data = Data({"c": np.zeros((3, 4)), "cue": cue}, np.array([1, 4]), np.arange(3))
    on = paper.over_queries(values, paper.asked(data, on=True))
    np.testing.assert_array_equal(on, [[0.5, 2.5], [5, 7]])
    off = paper.over_queries(values, paper.asked(data, on=False))
    np.testing.assert_array_equal(off, [[4, 6], [8.5, 10.5]])
    hidden = Data({"c": np.zeros((3, 4))}, np.array([1, 4]), np.arange(3))
    assert paper.asked(hidden, on=True).all()
    assert not paper.asked(hidden, on=False).any()


def test_a_bent_network_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth more on the sink, and a mean that is a hundredth too large."""
    attention, ask = Laboratory.attention, Laboratory.ask

    def bent(self: Laboratory, *arguments: Any, **options: Any) -> Any:
        found = attention(self, *arguments, **options)
        for (weights,), first in found:
            weights[..., :first] += 0.01
        return found

    def bent_answer(self: Laboratory, task: Any, candidate: object, data: Data, **o: Any) -> Any:
        answer = ask(self, task, candidate, data, **o)
        if candidate == "switch_sink":
            answer.predictive.mean[...] *= 1.01
        return answer

    assert outcome("sink-mass") == "holds"
    monkeypatch.setattr(Laboratory, "attention", bent)
    monkeypatch.setattr(Laboratory, "ask", bent_answer)
    assert outcome("sink-mass") == "fails"
    assert outcome("construction") == "fails"


def test_a_head_that_switches_is_not_one_that_cannot() -> None:
    """The claim about neither fails of a head with a sink, that about the diagonal of neither."""
    (neither,) = claims.selected(["context_switch.neither"])
    (restored,) = claims.selected(["context_switch.diagonal-restores"])
    with_sink = paper.off_divergence("sink")(QUICK)
    without = paper.off_divergence("neither")(QUICK)
    assert neither.claim.outcome(with_sink) == "fails"
    assert restored.claim.outcome(without) == "fails"


@pytest.mark.study
def test_every_outcome_is_the_expected_one(tmp_path: Path) -> None:
    ledger = claims.run(["context_switch"], seed=1, out=tmp_path)
    assert {row["name"]: row["outcome"] for row in ledger["claims"] if not row["as_expected"]} == {}

"""What intervals are measured on: every sample has the law and the truth that it is said to
have. No interval is computed.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from veribayes.predictive import Array
from veribayes.validation import bootstrap, intervals, summaries
from veribayes.validation.intervals import INTERVALS, LENGTH, QUERIES, Job, Measured, counts

N, RUNS, FIRST, SEED = 60, 3, 125, 4


class Kept:
    """Stands for an interval: keeps what it is given and answers with the same limits to
    everything.
    """

    def __init__(self, answer: Any) -> None:
        self.answer, self.given, self.options = answer, list[Any](), list[dict[str, Any]]()

    def __call__(self, *given: Any, **options: Any) -> Any:
        self.given.append(given)
        self.options.append(options)
        return self.answer(*given) if callable(self.answer) else self.answer


def test_a_band_is_of_a_curve_that_falls_and_half_of_it_is_common(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Means 1 / position; any two positions share half of each value,
    so their correlation is 1/2.
    """
    kept = Kept(
        lambda values: (
            None,
            *np.broadcast_to(np.array([0.2, 0.5])[:, None, None], (2, *values.shape[1:])),
        )
    )
    monkeypatch.setattr(bootstrap, "band", kept)
    found = INTERVALS["band"].counts("gamma 0.5", 2000, FIRST, RUNS, SEED)
    ((values,),) = kept.given
    assert values.shape == (2000, RUNS, 7)
    assert kept.options == [{"seed": SEED}]
    np.testing.assert_allclose(values.mean((0, 1)) * np.arange(1, 8), 1.0, atol=0.1)
    correlation = np.corrcoef(values.reshape(-1, 7).T)
    assert correlation[0, 1:].mean() == pytest.approx(0.5, abs=0.06)
    assert found == {
        "covered": 0,
        "above": RUNS,
        "below": RUNS,
    }  # [.2, .5] lies below 1 and above 1/7


def test_sequences_are_autocorrelated_and_their_scores_log_normal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """log score: variance 1 at every position, correlation .9 to the next;
    the truth is exp(1/2) = 1.649.
    """
    answers = iter(
        [(np.full(RUNS, 1.6), np.full(RUNS, 1.7)), (np.full(RUNS, 1.7), np.full(RUNS, 1.8))]
    )
    kept = Kept(lambda values: next(answers))
    monkeypatch.setattr(bootstrap, "limits", kept)
    found = INTERVALS["sequences"].counts("autocorrelation 0.9", 2000, FIRST, RUNS, SEED)
    (means,), (scores,) = kept.given
    assert means.shape == (2000, RUNS)
    assert scores.shape == (LENGTH * 2000, RUNS)
    z = np.log(scores).reshape(LENGTH, 2000, RUNS)
    np.testing.assert_allclose(np.exp(z).mean(0), means)
    np.testing.assert_allclose(z.std((1, 2)), 1.0, atol=0.04)
    lagged = [np.corrcoef(z[i - 1].ravel(), z[i].ravel())[0, 1] for i in range(1, LENGTH)]
    np.testing.assert_allclose(lagged, 0.9, atol=0.01)
    assert kept.options == [{"seed": SEED}] * 2
    assert found == {"covered": RUNS, "above": 0, "below": 0, "by_position": 0}


def test_places_are_uniform_and_a_data_set_shares_half_of_their_variance() -> None:
    z = norm.ppf(intervals._together(np.random.default_rng(0), 4000))
    assert z.shape == (4000, 1, QUERIES)
    assert z.std() == pytest.approx(1.0, abs=0.03)
    assert np.corrcoef(z[:, 0].T)[0, 1:] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("law", INTERVALS["reliability"].laws)
def test_reliability_is_measured_on_a_calibrated_candidate(
    law: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hits as often as said; where queries share an outcome their hits go together.
    Rejected: p-values up to .05.
    """
    p_values = iter([0.05, 0.07, 0.01])
    limits = (np.zeros(10), np.ones(10), np.full(10, 0.5))

    def answer(said: Array, hit: Array) -> Any:
        return SimpleNamespace(
            **dict(zip(("low", "high", "hit"), limits, strict=True)), p_value=next(p_values)
        )

    kept = Kept(answer)
    monkeypatch.setattr(summaries, "reliability", kept)
    found = INTERVALS["reliability"].counts(law, 3000, FIRST, RUNS, SEED)
    assert found == {"covered": RUNS, "above": 0, "below": 0, "rejected": 2}
    assert kept.options == [{"seed": SEED}] * RUNS
    for said, hit in kept.given:
        assert set(np.unique(hit)) == {0.0, 1.0}
        assert hit.mean() == pytest.approx(said.mean(), abs=0.02)
        residual = (hit - said)[:, 0]
        together = np.corrcoef(residual.T)[0, 1:].mean()
        assert together == pytest.approx(
            0.33 if "share" in law else 0.0, abs=0.06
        )  # two normals at .5 agree in a third


def test_a_proven_distance_is_that_of_two_normals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Total variation .2 of N(0, 1) and N(d, 1) is 2 Phi(d / 2) - 1, so d = .507;
    in the first of four coordinates.
    """
    kept = Kept(SimpleNamespace(measured={"total_variation_low": 0.15}))
    monkeypatch.setattr(intervals, "c2st", SimpleNamespace(PART=SimpleNamespace(run=kept)))
    found = INTERVALS["proven"].counts("total variation 0.2", 5000, FIRST, RUNS, SEED)
    assert found == {"covered": RUNS, "above": 0, "below": 0}
    assert kept.options == [
        {"thin": False, "permutations": 1, "seed": FIRST + i} for i in range(RUNS)
    ]
    for x, y in kept.given:
        assert x.shape == y.shape == (5000, 4)
        np.testing.assert_allclose(y.mean(0) - x.mean(0), [0.507, 0, 0, 0], atol=0.08)
        np.testing.assert_allclose(np.std([x, y], axis=1), 1.0, atol=0.05)
    first = kept.given[1][0]
    INTERVALS["proven"].counts("total variation 0.2", 5000, FIRST + 1, 1, SEED)
    np.testing.assert_array_equal(
        kept.given[-1][0], first
    )  # the second run of the first block is the first of the next


def test_a_recovery_is_of_ninety_nine_per_cent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divergences of .01 of a baseline whose variation they share by half."""
    kept = Kept(bootstrap.Interval(0.99, 0.98, 0.995))
    monkeypatch.setattr(bootstrap, "recovery", kept)
    found = INTERVALS["recovery"].counts("gamma 0.5", 4000, FIRST, RUNS, SEED)
    assert found == {"covered": RUNS, "above": 0, "below": 0}
    assert kept.options == [{"seed": SEED}] * RUNS
    for divergence, baseline in kept.given:
        assert divergence.mean() == pytest.approx(0.01, rel=0.06)
        assert baseline.mean() == pytest.approx(1.0, rel=0.06)
        assert np.cov(divergence, baseline)[0, 1] == pytest.approx(
            0.005 * 0.5, rel=0.2
        )  # half a gamma of shape 2


@pytest.mark.parametrize(("law", "level"), [("50% regions", 0.5), ("90% regions", 0.9)])
def test_coverage_is_that_of_its_level(
    law: str, level: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits about .6: they lie above a level of .5 and below one of .9."""
    p_values = iter([0.05, 0.07, 0.01])

    def answer(scores: dict[str, Array]) -> Any:
        assert scores["pit"].shape == (N, 1, QUERIES)
        p = next(p_values)
        limits = bootstrap.Interval(0.6, 0.55, 0.65)
        return [
            summaries.Coverage("central", at, limits, p if at == level else 1.0)
            for at in summaries.LEVELS
        ]

    kept = Kept(answer)
    monkeypatch.setattr(summaries, "coverage", kept)
    found = INTERVALS["coverage"].counts(law, N, FIRST, RUNS, SEED)
    assert found == {
        "covered": 0,
        "above": RUNS * (level == 0.5),
        "below": RUNS * (level == 0.9),
        "rejected": 2,
    }
    assert kept.options == [{"seed": SEED}] * RUNS


def test_a_mean_also_counts_its_verdicts() -> None:
    """Fifty data sets are too few to be equivalent;
    where the truth is the tolerance hardly any run is different.
    """
    found = INTERVALS["mean"].counts("gamma 2", 50, 0, 40, SEED)
    assert set(found) == {
        "covered",
        "above",
        "below",
        "false_equivalent",
        "false_different",
        "power_at_half",
    }
    assert found["covered"] + found["above"] + found["below"] == 40
    assert found["covered"] >= 34
    assert (found["false_equivalent"], found["power_at_half"]) == (0, 0)
    assert found["false_different"] <= 4


def test_jobs_are_all_laws_at_three_sizes_and_know_their_sources() -> None:
    made = intervals.jobs(20, 7, ["recovery", "difference"])
    assert [(job.interval, job.n) for job in made[:3]] == [("recovery", n) for n in (50, 200, 1000)]
    assert {(job.interval, job.law) for job in made} == {
        (k, law) for k in ("recovery", "difference") for law in INTERVALS[k].laws
    }
    assert {(job.replicates, job.seed) for job in made} == {(20, 7)}
    assert len(intervals.jobs(20, 0)) == 3 * sum(len(kind.laws) for kind in INTERVALS.values())
    digests = {name: intervals.source_digest(name) for name in INTERVALS}
    assert len(set(digests.values())) == len(INTERVALS)
    assert {len(digest) for digest in digests.values()} == {16}
    assert made[0].source() == digests["recovery"]


def test_a_miss_is_counted_on_its_side() -> None:
    low, high = np.array([0.0, 2.0, 0.0, 0.0]), np.array([2.0, 3.0, 0.5, 1.0])
    assert counts((low, high), 1.0) == {"covered": 2, "above": 1, "below": 1}


def test_a_band_misses_where_any_point_does() -> None:
    low = np.zeros((2, 3))
    high = np.array([[2.0, 2.0, 2.0], [2.0, 2.0, 0.5]])
    assert counts((low, high), np.ones(3)) == {"covered": 1, "above": 0, "below": 1}


def test_tables_have_a_line_for_each_job() -> None:
    mean = {
        "covered": 960,
        "above": 20,
        "below": 20,
        "false_equivalent": 5,
        "false_different": 20,
        "power_at_half": 990,
    }
    found = [
        Measured(Job(50, 1000, 0, interval="mean", law="gamma 1"), mean),
        Measured(
            Job(200, 1000, 0, interval="reliability", law="x"),
            {"covered": 1, "above": 2, "below": 3, "rejected": 4},
        ),
    ]
    text = intervals.tables(found)
    assert "| mean divergence | gamma 1 | 50 | 0.9600 | 0.0200 | 0.0200 | 1000 |" in text
    assert "| mean divergence | gamma 1 | 50 | 0.0050 | 0.0200 | 0.9900 | 1000 |" in text
    assert "| reliability band | x | 200 | 0.0040 | 1000 |" in text
    assert "what is taken" not in text
    for table in text.split("\n\n"):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    plain = found[0].plain()
    assert plain["covered_low"] < plain["covered"] == 0.96 < plain["covered_high"]

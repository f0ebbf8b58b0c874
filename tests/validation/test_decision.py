"""The decision table, step by step, and where the candidate is worst."""

from __future__ import annotations

import numpy as np
import pytest

from veribayes.errors import InputError, ShapeError
from veribayes.predictive import Array
from veribayes.validation import bootstrap, decision, profiles


def sample(n: int, mean: float = 1.0, sd: float = 0.7, seed: int = 0) -> Array:
    x = np.exp(sd * np.random.default_rng(seed).normal(size=n))
    return np.asarray(mean * x / x.mean())


@pytest.mark.parametrize(
    ("n", "mean", "verdict"),
    [
        (400, 0.01, "equivalent"),
        (1000, 0.5, "equivalent"),
        (4000, 0.8, "equivalent"),  # mean in units of the tolerance
        (200, 3.0, "different"),
        (30, 3.0, "different"),
        (1000, 1.3, "different"),
        (399, 0.01, "undecided"),
        (29, 3.0, "undecided"),
        (400, 1.0, "undecided"),
        (8, 0.1, "undecided"),
        (1, 0.1, "undecided"),
        (400, 0.3, "undecided"),
        (1000, 0.8, "undecided"),  # contexts that were not seen may cost what the prior costs
    ],
)
def test_verdicts(n: int, mean: float, verdict: str) -> None:
    assert decision.decide(sample(n, mean), tolerance=1.0).verdict == verdict


@pytest.mark.parametrize(
    ("lower", "upper", "clusters", "error", "verdict"),
    [
        (0.0, 1.9, 400, 1.0, "equivalent"),
        (0.0, 2.0, 400, 1.0, "undecided"),
        (0.0, 1.9, 399, 1.0, "undecided"),
        (4.1, 9.0, 30, 1.0, "different"),
        (4.0, 9.0, 30, 1.0, "undecided"),
        (4.1, 9.0, 29, 1.0, "undecided"),
        (0.0, 0.1, 400, 1.001, "undecided"),
        (9.0, 9.1, 30, 1.001, "undecided"),
    ],
)
def test_limits_on_the_border(
    lower: float, upper: float, clusters: int, error: float, verdict: str
) -> None:
    """Tolerance 3: a reference error of exactly a third of it decides,
    a limit that exactly reaches it does not.
    """
    found = decision.Bounds(*(np.array([v]) for v in (lower, upper, lower, upper)))
    assert decision.verdicts(found, clusters, 3.0, error).tolist() == [verdict]


def test_a_secondary_endpoint_has_a_floor_of_its_own_and_no_prior() -> None:
    x = sample(200, 0.3)
    assert (
        decision.decide(x, tolerance=1.0, worst=0.0, fewest=decision.FEWEST_SECONDARY).verdict
        == "equivalent"
    )
    assert (
        decision.decide(x[1:], tolerance=1.0, worst=0.0, fewest=decision.FEWEST_SECONDARY).verdict
        == "undecided"
    )


@pytest.mark.parametrize(
    ("worst", "verdict"), [(20.0, "equivalent"), (100.0, "equivalent"), (300.0, "undecided")]
)
def test_what_the_prior_costs_bounds_what_was_not_seen(worst: float, verdict: str) -> None:
    """1,000 exact answers: one more could cost what the prior costs,
    with a weight of up to 3.7 / n.
    """
    x = np.zeros(1000)
    found = decision.decide(x, tolerance=1.0, worst=worst)
    assert found.upper == pytest.approx(worst * np.log(40) / 1000, rel=0.02)
    assert found.verdict == verdict


def test_the_reference_error_counts_against_either_claim() -> None:
    x = sample(4000, 0.8)
    assert decision.decide(x, tolerance=1.0, reference_error=0.15).verdict == "undecided"
    y = sample(1000, 1.3)
    assert decision.decide(y, tolerance=1.0, reference_error=0.25).verdict == "undecided"
    hopeless = decision.decide(sample(1000, 1.05), tolerance=1.0, reference_error=0.1)
    assert hopeless.datasets_needed is None
    assert "more data sets cannot settle it" in hopeless.findings[0]


def test_numbers_of_a_decision() -> None:
    x = sample(400, 0.2)
    found, limits = (
        decision.decide(x, tolerance=1.0, seed=4, worst=50.0),
        bootstrap.interval(x, seed=4),
    )
    assert (found.estimate, found.low, found.high) == pytest.approx(
        (limits.estimate, limits.low, limits.high)
    )
    assert found.upper == pytest.approx(decision.unseen(x, 50.0, seed=4).item())
    assert decision.decide(x, tolerance=1.0, seed=4, worst=0.0).upper == pytest.approx(
        limits.high + 2 * x.max() / 400
    )
    assert found.minimum_detectable == pytest.approx(2.8 * x.std(ddof=1) / 20)
    assert (found.clusters, found.infinite_share, found.datasets_needed) == (400, 0.0, None)
    assert found.statements == (
        "defects in fewer than 0.92% of contexts (ln 40/n = 3.7/n) are not excluded",
    )


def test_unseen_tails_can_prevent_equivalence() -> None:
    x = sample(200, 0.5)
    x[0] = (
        30.0  # mean .65, but a third of it is one data set: 2 max / n = .3 beside what `high` holds
    )
    assert decision.decide(x, tolerance=1.0, worst=0.0, fewest=200).verdict == "undecided"
    found = decision.bounds(x[:, None], 0.0)
    assert (found.upper - found.high).item() == pytest.approx(0.3)


def test_infinite_divergences_are_different_and_named() -> None:
    x = sample(50, 0.01)
    x[:5] = np.inf
    found = decision.decide(x, tolerance=1.0, zero_mass=0.03)
    assert (found.verdict, found.estimate, found.low, found.high, found.upper) == (
        "different",
        None,
        None,
        None,
        None,
    )
    assert found.infinite_share == 0.1
    assert found.findings == (
        "zero_probability: the candidate calls possible outcomes impossible in 10.0% of the data "
        "sets; the exact mass concerned is 0.03",
    )
    for nothing in (
        None,
        0.0,
    ):  # a normal has no zeros: what is beyond float64 is called by its name
        (finding,) = decision.decide(x, tolerance=1.0, zero_mass=nothing).findings
        assert (
            finding == "infinite_divergence: the divergence is infinite in 10.0% of the data sets"
        )


def test_what_a_number_type_may_hide_counts_against_equivalence_alone() -> None:
    near, far = sample(400, 0.3), sample(400, 3.0)
    assert decision.decide(near, tolerance=1.0, worst=0.0).verdict == "equivalent"
    hidden = decision.decide(near, tolerance=1.0, worst=0.0, unheld=0.9)
    assert (hidden.verdict, hidden.datasets_needed) == ("undecided", None)
    assert decision.decide(far, tolerance=1.0, unheld=0.9).verdict == "different"


def test_rounding_alone_is_equivalent_without_a_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(bootstrap, "limits")
    rounding = 1e-16 * np.random.default_rng(0).integers(-3, 4, 400).astype(float)
    found = decision.decide(rounding, tolerance=1e-3, reference_error=1e-12)
    assert found.verdict == "equivalent"
    assert (
        decision.decide(rounding[:399], tolerance=1e-3, reference_error=1e-12).datasets_needed
        == 400
    )
    assert decision.decide(rounding, tolerance=1e-3, reference_error=1e-2).verdict == "undecided"


def test_exact_zeros_need_no_bootstrap_and_two_data_sets_have_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two, one = (decision.decide(np.array(v), tolerance=1.0) for v in ([1.0, 1.1], [1.0]))
    assert two.low is not None
    assert (one.low, one.high, one.upper, one.minimum_detectable) == (None, None, None, None)
    alone = decision._bounds(np.ones(1), 0.0, 1.0, 0)
    assert (alone.low, alone.high, alone.lower, alone.upper) == (-np.inf, np.inf, -np.inf, np.inf)
    monkeypatch.delattr(bootstrap, "limits")
    assert decision.decide(np.zeros(400), tolerance=1.0).verdict == "equivalent"
    rounding = np.linspace(0, 3e-16, 400)
    found = decision.decide(rounding, tolerance=1.0, reference_error=3e-16, worst=0.0)
    assert found.upper == pytest.approx(
        3e-16 * (1 + 2 / 400), rel=1e-6, abs=0
    )  # the largest, and the rule of three beyond it


@pytest.mark.parametrize("mean", [0.5, 0.85, 1.2, 2.0])
@pytest.mark.parametrize("n", [8, 29, 100])
def test_data_sets_needed_settle_it(n: int, mean: float) -> None:
    """Ask for the number, then simulate that many: it should settle in 80 %."""
    first = decision.decide(sample(n, mean), tolerance=1.0)
    if first.verdict != "undecided":
        return
    needed = first.datasets_needed
    assert needed is not None
    assert needed >= (400 if mean < 1 else 30)
    assert mean > 1 or needed >= 370 / (1 - mean)
    rng = np.random.default_rng(n)
    again = rng.choice(sample(n, mean), (needed, 40))
    settled = decision.verdicts(decision.bounds(again, 100.0), needed, 1.0) != "undecided"
    assert np.mean(settled) >= 0.6  # nominal .8, standard error .06


@pytest.mark.parametrize(
    ("values", "error", "needed"),
    [
        (
            [1.0, 1.4],
            0.02,
            58,
        ),  # sd .283, gap 1.2 log(1.2 / 1.1) = .104: (2.8 * .283 / .104)^2 = 57.5
        ([1.2], 0.02, 1036),  # its sd is taken for its mean: (2.8 * 1.2 / .104)^2
        (
            [-1.0, 3.4],
            0.02,
            7634,
        ),  # signed: gap .1, sd 3.11: 7589.2, and 2 (1.2 + 1) / .1 = 44 for the tail below
        ([5.0, 5.1], 0.02, 30),
        ([1.2, 1.2], 0.02, 30),
        ([5.0, 5.1], 0.361, None),  # more than a third of the tolerance
        ([5.0, 5.1], 0.36, 30),
    ],
)
def test_data_sets_needed_to_be_different_by_hand(
    values: list[float], error: float, needed: int | None
) -> None:
    assert decision.datasets_needed(np.array(values), 1.08, error) == needed


def test_data_sets_needed_to_be_equivalent_by_hand() -> None:
    """Exact answers: ln 40 = 3.69 times what an unseen context may cost,
    a hundred tolerances unless it is known.
    """
    exact = np.zeros(10)
    assert decision.datasets_needed(exact, 0.5, fewest=1) == 369
    assert decision.datasets_needed(exact, 0.5) == 400
    assert decision.datasets_needed(exact, 0.5, worst=10.0, fewest=1) == 74
    assert (
        decision.datasets_needed(exact, 5.0, 1.0, worst=10.0, fewest=1) == 10
    )  # 3.69 * 10 / (5 - 1) = 9.2
    assert (
        decision.datasets_needed(np.full(10, 1.07), 1.08, 0.02) is None
    )  # within the reference's own error


def test_an_undecided_run_never_needs_fewer_data_sets_than_it_has() -> None:
    x = np.full(500, 0.1)
    x[:2] = 60.0  # mean .34, no limit on the tail
    found = decision.decide(x, tolerance=1.0, worst=0.0)
    assert found.verdict == "undecided"
    assert found.datasets_needed is not None
    assert found.datasets_needed > 500


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.array([1.0, np.nan]), {"tolerance": 1.0}, "NaN"),
        (np.array([1.0, -np.inf]), {"tolerance": 1.0}, "-inf"),
        (np.ones(3), {"tolerance": 0.0}, "positive tolerance"),
        (np.ones(3), {"tolerance": 1.0, "reference_error": np.inf}, "reference error"),
    ],
)
def test_bad_input(values: Array, options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        decision.decide(values, **options)  # type: ignore[arg-type]
    with pytest.raises(ShapeError):
        decision.decide(np.empty(0), tolerance=1.0)


def test_cluster_means_weigh_queries_then_positions_equally() -> None:
    scores = np.array(
        [[[1.0, 3.0], [5.0, np.nan]], [[np.nan, np.nan], [4.0, 6.0]], [[np.nan] * 2] * 2]
    )
    np.testing.assert_array_equal(decision.cluster_means(scores), [(2 + 5) / 2, 5.0, np.nan])
    scores[0, 0, 0] = np.inf
    assert decision.cluster_means(scores)[0] == np.inf


def test_curve_and_shares_with_contexts_that_differ_between_data_sets() -> None:
    rng = np.random.default_rng(1)
    context = rng.integers(0, 5, (400, 1))
    scores = np.exp(rng.normal(size=(400, 1, 6))) / (1 + context[..., None])
    scores[rng.random(scores.shape) < 0.4] = np.nan
    scores[:, :, 0] = 1.0  # every data set has a query
    found = profiles.curve(scores, context)
    np.testing.assert_array_equal(found.key, np.arange(5))
    means = decision.cluster_means(scores)
    for k in range(5):
        assert found.estimate[k] == pytest.approx(means[context[:, 0] == k].mean())
        assert found.share[k] == pytest.approx(means[context[:, 0] == k].sum() / means.sum())
    assert found.share.sum() == pytest.approx(1)
    assert found.clusters.sum() == 400
    assert ((found.low < found.estimate) & (found.estimate < found.high)).all()


def test_where_points_at_the_planted_defect() -> None:
    rng = np.random.default_rng(2)
    context = np.broadcast_to([1, 10, 100], (300, 3))
    scores = 0.01 * np.exp(rng.normal(size=(300, 3, 4)))
    scores[:, 2, 1] *= 20  # query 1 at context 100
    scores[7, 0, 3] = 50.0  # one data set
    found = profiles.where(scores, context, worst=3)
    assert found.by_query.key[np.argmax(found.by_query.low)] == 1
    assert found.by_context.key[np.argmax(found.by_context.low)] == 100
    assert len(found.worst) == 3
    first = found.worst[0]
    assert (first.dataset, first.position, first.query, first.score) == (7, 0, 3, 50.0)
    assert first.mean == pytest.approx(scores[7].mean())
    merged = profiles.where(scores, context, label=np.array([0, 1, 0, 1]))
    np.testing.assert_array_equal(merged.by_query.key, [0, 1])
    assert merged.by_query.estimate[1] == pytest.approx(scores[:, :, [1, 3]].mean())


def test_queries_that_never_apply_are_left_out_and_infinite_ones_shown() -> None:
    scores = np.ones((50, 2, 3))
    scores[:, :, 1] = np.nan
    scores[4, 1, 2] = np.inf
    found = profiles.where(scores, np.broadcast_to([1, 2], (50, 2)))
    np.testing.assert_array_equal(found.by_query.key, [0, 2])
    np.testing.assert_array_equal(found.by_query.estimate, [1.0, np.inf])
    np.testing.assert_array_equal(found.by_context.estimate, [1.0, np.inf])
    assert found.worst[0].score == np.inf
    with pytest.raises(ShapeError):
        profiles.curve(scores, np.zeros(50, dtype=np.int64))


def test_a_reference_that_is_wrong_by_more_than_a_third_of_the_tolerance_decides_nothing() -> None:
    for mean in (0.1, 5.0):
        found = decision.decide(sample(2000, mean), tolerance=1.0, reference_error=0.34)
        assert (found.verdict, found.datasets_needed) == ("undecided", None)
        assert "more than a third of the tolerance" in found.findings[0]
        assert (
            decision.decide(sample(2000, mean), tolerance=1.0, reference_error=0.33).verdict
            != "undecided"
        )


def test_a_p_value_inverts_the_lower_limit() -> None:
    """Rejecting at 2.5 % is what the two-sided interval does;
    where no verdict can be `different` it is 1.
    """
    for seed in range(40):
        values = np.random.default_rng([9, seed]).lognormal(size=200)
        found = decision.decide(values, tolerance=1.3, seed=seed)
        assert (decision.exceeds(values, tolerance=1.3, seed=seed) <= 0.025) == (
            found.verdict == "different"
        )
    assert decision.exceeds(values, tolerance=0.1) == 1 / 2000
    assert decision.exceeds(np.append(values, np.inf), tolerance=0.1) == 1 / 2000
    assert decision.exceeds(values[:29], tolerance=0.1) == 1
    assert decision.exceeds(values, tolerance=0.1, reference_error=0.04) == 1
    assert decision.exceeds(np.full(50, 2.0), tolerance=1.0) == 1 / 2000


def test_a_p_value_knows_the_reference_error_and_a_tail_below() -> None:
    """What `different` takes off, the p-value takes off:
    rejected at 2.5 % exactly where the verdict is given.
    """
    both = set()
    for seed in range(25):
        rng = np.random.default_rng([10, seed])
        signed = 2.9 - rng.lognormal(sigma=0.8, size=200)  # mean about 1.5, a long tail below
        for values, error in ((rng.lognormal(size=200), 0.15), (signed, 0.0), (signed, 0.1)):
            options = {"tolerance": 1.2, "reference_error": error, "seed": seed}
            verdict = decision.decide(values, **options).verdict
            assert (decision.exceeds(values, **options) <= 0.025) == (verdict == "different")
            both.add((verdict, error))
    assert len(both) == 6  # each of the three cases is decided either way


def test_a_reference_error_of_exactly_a_third_is_not_more_than_a_third() -> None:
    found = decision.decide(sample(1000, 2.5), tolerance=3.0, reference_error=1.0)
    assert (found.verdict, found.datasets_needed) == ("undecided", None)
    assert "more data sets cannot settle it" in found.findings[0]


def test_an_interval_below_zero_gives_no_verdict() -> None:
    """No divergence is negative: what was taken off for the noise of draws is too much."""
    found = decision.decide(-sample(1000, 0.05), tolerance=1.0)
    assert (found.verdict, found.datasets_needed) == ("undecided", None)
    assert found.findings[0].startswith("below_zero: ")
    assert "no divergence can lie" in found.findings[0]
    around = 0.05 * np.random.default_rng(0).standard_normal(1000)
    assert decision.decide(around, tolerance=1.0).verdict == "equivalent"
    assert (
        decision.decide(np.full(1000, -1e-17), tolerance=1e-3).verdict == "equivalent"
    )  # rounding
    assert (
        decision.decide(np.full(1000, -1e-4), tolerance=1e-3, reference_error=2e-4).verdict
        == "equivalent"
    )


def test_a_limit_without_support_is_not_shown_and_still_counts() -> None:
    x = np.full(1000, 0.01)
    x[0] = 40.0
    found = decision.decide(x, tolerance=1.0)
    assert (found.verdict, found.high) == ("undecided", None)
    assert found.plain()["high"] is None
    assert found.plain()["reason"] == found.reason
    assert found.upper is not None
    assert found.upper > 5 * x.mean()
    assert found.findings[0].startswith(
        "no_stable_limit: no stable upper limit at this sample size: mean 0.05"
    )
    heavy = decision.decide(1 / np.random.default_rng(1).random(1000), tolerance=1.0)
    assert any(text.startswith("heavy_tail: ") for text in heavy.findings)


def test_a_left_tail_is_allowed_for() -> None:
    x = 2 - sample(200, 1.0, sd=1.5)
    found, limits = decision.decide(x, tolerance=0.5), bootstrap.interval(x)
    assert found.low == pytest.approx(limits.low - 2 * (x.mean() - x.min()) / 200)
    assert decision.left_tail(np.array([[-1.0, 0.0], [0.0, 1.0], [4.0, 5.0]])).tolist() == [
        2 * 2 / 3,
        0.0,
    ]  # nothing negative
    positive = sample(200)
    assert decision.decide(positive, tolerance=0.5).low == bootstrap.interval(positive).low


def test_a_zero_that_rounding_made_negative_has_no_tail_below() -> None:
    rng = np.random.default_rng(1)
    values = rng.lognormal(-4, 1, 100)
    limits = []
    for zero in (1e-17, -1e-17):
        values[0] = zero
        limits.append(decision.decide(values, tolerance=1.0))
    one, other = limits
    assert other.low == pytest.approx(one.low, rel=1e-9)
    assert other.high == pytest.approx(one.high, rel=1e-9)
    values[0] = -0.05
    assert decision.left_tail(values) > 0

"""Coverage, reliability and their correction; scores of joint draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from veribayes import registry
from veribayes.errors import ShapeError
from veribayes.predictive import Categorical, Normal, Quantiles
from veribayes.validation import joint, summaries
from veribayes.validation.checks._null import generator


def said(n: int, temperature: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Confidences of a categorical law and hits of outcomes that five positions of a data set
    share.
    """
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(3), (n, 1, 1))
    outcome = np.repeat(Categorical(p).sample(rng, 1)[..., 0], 5, axis=1)
    warm = np.repeat(p, 5, axis=1) ** (1 / temperature)
    law = Categorical(warm / warm.sum(-1, keepdims=True))
    made = [
        registry.load("metric", name).score(law, law, outcome) for name in ("confidence", "hit")
    ]
    return made[0], made[1]


def test_coverage_of_the_exact_law_and_of_one_that_is_too_wide() -> None:
    rng, size = np.random.default_rng(0), (500, 2, 3)
    exact, y = Normal(np.zeros(size), np.ones(size)), rng.standard_normal(size)
    for law, held in ((exact, True), (Normal(np.zeros(size), np.full(size, 1.3)), False)):
        scores = {
            name: registry.load("metric", name).score(law, exact, y) for name in ("pit", "hpd")
        }
        found = summaries.coverage(scores)
        assert [(c.kind, c.level) for c in found] == [
            ("central", 0.5),
            ("central", 0.9),
            ("hpd", 0.5),
            ("hpd", 0.9),
        ]
        assert all((c.limits.low <= c.level <= c.limits.high) == held for c in found)
        p = summaries.p_values(found, None)
        assert (min(p.values()) <= 0.05 / len(p)) != held


@pytest.mark.parametrize(("level", "enough"), [(0.5, 40), (0.9, 200)])
def test_coverage_has_a_p_value_from_twenty_data_sets_outside_on(level: float, enough: int) -> None:
    """All outcomes lie inside: p = 2 Phi(-z),
    z = (1 - level) / sqrt((1 - level)^2 / n) = sqrt n.
    """
    for n in (enough - 1, enough):
        covered = summaries.coverage({"pit": np.full((n, 1, 1), 0.5)})
        (p,) = (c.p_value for c in covered if c.level == level)
        assert p == pytest.approx(2 * norm.sf(n**0.5) if n == enough else 1.0)


def test_a_share_that_is_the_level_everywhere_is_no_evidence() -> None:
    """Of two queries one lies inside, in every data set."""
    inside, _ = summaries.coverage({"pit": np.broadcast_to([0.5, 0.99], (50, 1, 2))})
    assert (inside.level, inside.limits.estimate, inside.p_value) == (0.5, 0.5, 1.0)


def test_levels_that_miss_a_sum_of_one_by_rounding_are_symmetric() -> None:
    assert summaries.central_levels((0.4, 0.6 + 8e-10)) == pytest.approx((0.2,))
    assert summaries.central_levels((0.4, 0.6 + 2e-9)) == ()


@pytest.mark.parametrize(
    ("levels", "stated"),
    [
        ((0.1, 0.5, 0.9), (0.8,)),
        ((0.05, 0.25, 0.5, 0.75, 0.95), (0.5, 0.9)),
        (tuple(np.arange(1, 100) / 100), (0.5, 0.9)),
        ((0.1, 0.2, 0.5), ()),
        ((0.5, 0.6), ()),
    ],
)
def test_quantiles_state_the_intervals_between_their_levels(
    levels: tuple[float, ...], stated: tuple[float, ...]
) -> None:
    """Exact quantiles at .1, .5, .9 were told that half of the outcomes must lie where they say
    nothing.
    """
    rng, size = np.random.default_rng(1), (1000, 2, 3)
    exact, y = Normal(np.zeros(size), np.ones(size)), rng.standard_normal(size)
    given = Quantiles(
        np.array(levels), exact.quantile(np.broadcast_to(levels, (*size, len(levels))))
    )
    pit = registry.load("metric", "pit").score(given, exact, y)
    found = summaries.coverage({"pit": pit}, levels=levels)
    assert [c.level for c in found] == pytest.approx(list(stated))
    assert all(c.limits.low <= c.level <= c.limits.high and c.p_value > 0.01 for c in found)
    assert (
        registry.load("check", "pit_uniform").run(pit[:, 0, 0]).p_value > 0.01
    )  # interpolated: < 1e-6 at .1, .5, .9


def test_quantiles_that_are_too_narrow_are_seen_at_their_own_levels() -> None:
    rng, size, levels = np.random.default_rng(1), (1000, 1, 3), (0.1, 0.5, 0.9)
    exact, y = Normal(np.zeros(size), np.ones(size)), rng.standard_normal(size)
    narrow = Normal(np.zeros(size), np.full(size, 0.7))
    given = Quantiles(np.array(levels), narrow.quantile(np.broadcast_to(levels, (*size, 3))))
    (covered,) = summaries.coverage(
        {"pit": registry.load("metric", "pit").score(given, exact, y)}, levels=levels
    )
    assert covered.p_value < 1e-6


def test_reliability_of_calibrated_and_of_overconfident_candidates() -> None:
    calibrated, sure = (summaries.reliability(*said(400, t, 3)) for t in (1.0, 0.5))
    assert calibrated.p_value > 0.05
    assert calibrated.smooth_error < calibrated.floor
    assert sure.p_value <= 0.01
    assert sure.smooth_error > sure.floor
    assert (np.diff(sure.confidence) >= 0).all()
    for found in (calibrated, sure):
        confidence, hit = said(400, 1.0 if found is calibrated else 0.5, 3)
        brier = float(((confidence - hit) ** 2).mean())
        assert found.miscalibration - found.discrimination + found.uncertainty == pytest.approx(
            brier
        )
        assert found.miscalibration >= 0


def smooth_error(residual: np.ndarray) -> float:
    """The definition, width after width: the first at which the smoothed residual is not larger
    than the width.
    """
    grid, below = np.arange(201) / 200, 0.0
    for k in range(28):
        width, smoothed = 1e-3 * 500 ** (k / 27), np.zeros(201)
        for i in np.flatnonzero(residual):
            bell = sum(
                np.exp(-0.5 * ((image - grid) / width) ** 2)
                for image in (i / 200, -i / 200, 2 - i / 200)
            )
            smoothed += residual[i] * bell / (np.sum(bell) / 201)
        size = np.abs(smoothed).sum() / 201
        if size <= width:
            return float(max(below, size))
        below = width
    raise AssertionError


def test_the_smooth_calibration_error_is_where_it_equals_the_width() -> None:
    rows = np.zeros((4, 201))
    rows[0, [20, 60, 61, 150]] = [0.1, -0.2, 0.15, 0.05]  # cancels where it is smoothed over
    rows[1, 180] = 0.3
    rows[2, [100, 101]] = [1e-5, -1e-5]  # below the smallest width, and less at every other
    np.testing.assert_allclose(
        summaries.smooth_errors(rows), [*(smooth_error(row) for row in rows[:3]), 0.0], rtol=1e-9
    )


def test_the_band_is_that_of_random_signs_of_whole_data_sets() -> None:
    """Ten groups of confidences: sums of residuals over a group's size,
    in standard errors over data sets; largest of ten.
    """
    rng, n = np.random.default_rng(6), 40
    confidence = rng.uniform(0.3, 0.9, (n, 2, 1))
    confidence.reshape(-1)[np.argsort(confidence.reshape(-1))[-8:]] = 1.0
    hit = (rng.random(confidence.shape) < confidence).astype(
        float
    )  # the eight that are sure are right: nothing varies there
    found = summaries.reliability(confidence, hit, seed=3)
    order = np.argsort(confidence.reshape(-1), kind="stable").reshape(10, 8)
    said, happened, residual = (v.reshape(-1)[order] for v in (confidence, hit, hit - confidence))
    np.testing.assert_allclose(found.confidence, said.mean(1))
    np.testing.assert_allclose(found.hit, happened.mean(1))
    sums = np.zeros((10, n))
    for group in range(10):
        for row, value in zip(order[group] // 2, residual[group], strict=True):
            sums[group, row] += value / 8
    error = np.sqrt((sums**2).sum(1))
    signs = generator(3, "reliability").choice([-1.0, 1.0], (499, n))
    steep = [max(abs(sums[g] @ sign) / error[g] for g in range(9)) for sign in signs]
    half = np.sort(steep)[474] * error  # the 475th of 499: (B + 1) .95
    assert half[9] == 0
    np.testing.assert_allclose(found.low, found.confidence - half)
    np.testing.assert_allclose(found.high, found.confidence + half)


def test_the_smallest_p_values() -> None:
    assert summaries.least("reliability", 1) == 1 / 500
    assert summaries.least("central coverage 50%", 1) == 0.0


def test_size_of_the_reliability_test_with_shared_outcomes() -> None:
    """Five positions share an outcome: a null that ignores it rejects in most runs."""
    rejected = [
        summaries.reliability(*said(150, 1.0, seed), seed=seed).p_value <= 0.05
        for seed in range(60)
    ]
    assert np.mean(rejected) <= 0.134  # nominal .05, three standard errors


def test_joint_scores_are_unbiased_and_see_dependence() -> None:
    rng, n, draws = np.random.default_rng(4), 400, 30
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
    root = np.linalg.cholesky(covariance)
    y, other = (rng.standard_normal((n, draws, 2)) @ root.T for _ in range(2))
    alone = rng.standard_normal((n, draws, 2))
    same, dropped = joint.energy_divergence(y, other), joint.energy_divergence(alone, other)
    assert abs(same.mean()) < 4 * same.std() / n**0.5
    assert dropped.mean() > 10 * dropped.std() / n**0.5
    outcome = rng.standard_normal((n, 2)) @ root.T
    gap = joint.energy_score(alone, outcome) - joint.energy_score(y, outcome)
    assert gap.mean() > -4 * gap.std() / n**0.5
    assert joint.sliced_wasserstein(alone, other).mean() > joint.sliced_wasserstein(y, other).mean()
    mean, exact = np.zeros((n, 2)), np.broadcast_to(covariance, (n, 2, 2))
    wrong, right = (joint.covariance_error(d, mean, exact).mean() for d in (alone, y))
    assert wrong == pytest.approx(0.8 / 2**0.5, rel=0.15)  # two entries are off by .8, over d = 2
    assert right < 0.15
    with pytest.raises(ShapeError):
        joint.energy_score(y, outcome[:, :1])
    with pytest.raises(ShapeError):
        joint.sliced_wasserstein(y, other[:, 1:])


def test_the_fair_energy_score_is_the_crps_in_one_dimension() -> None:
    draws, y = np.array([[[0.0], [1.0], [3.0]]]), np.array([[2.0]])
    assert joint.energy_score(draws, y).item() == pytest.approx(
        (2 + 1 + 1) / 3 - 0.5 * (1 + 3 + 2) / 3
    )


def test_reliability_can_be_rejected_in_a_family_of_any_size() -> None:
    """With 499 replicates no p-value is below .002: by Holm over thirty, .06."""
    for size in (1, 25, 30, 200):
        adjusted = size * summaries.reliability(*said(200, 0.2, 3), family=size).p_value
        assert adjusted <= summaries.ALPHA * (1 + 1e-9)
        assert size * summaries.least("reliability", size) <= summaries.ALPHA * (1 + 1e-9)

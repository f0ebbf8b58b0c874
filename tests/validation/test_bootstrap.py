"""Intervals and bands: a slow transcription of the formula, their invariances,
and the cases at the edge.
"""

from __future__ import annotations

import numpy as np
import pytest

from veribayes.errors import InputError, ShapeError
from veribayes.predictive import Array
from veribayes.statistics.pareto import mean_beyond
from veribayes.validation import bootstrap, resampling, stability


def sample(n: int = 200, sd: float = 1.0, seed: int = 0) -> Array:
    return np.exp(sd * np.random.default_rng(seed).normal(size=n))


def test_the_formula_written_out() -> None:
    """T* = (log m* - log m) / (s* / (m* sqrt n)), limits m exp(-T* s / (m sqrt n)),
    on the same resamples; and the tail.
    """
    x, n = sample(40), 40
    sums = resampling.resampled(np.stack([x, x**2], -1), seed=0)
    means = sums[:, 0] / n
    spreads = np.sqrt((sums[:, 1] - n * means**2) / (n - 1))
    t = np.sort((np.log(means) - np.log(x.mean())) / (spreads / (means * np.sqrt(n))))
    step = x.std(ddof=1) / (x.mean() * np.sqrt(n))
    found = bootstrap.interval(x)
    assert found.low == pytest.approx(
        x.mean() * np.exp(-t[1949] * step), rel=1e-10
    )  # (B + 1) .975 = 1950
    one_more = (x.max() - x.mean()) / n * mean_beyond(np.sort(x))
    assert found.high == pytest.approx(x.mean() * np.exp(-t[49] * step) + one_more, rel=1e-10)


def test_no_limit_lies_above_the_farthest_data_set_to_come() -> None:
    """One of 200 data sets holds nearly everything: resamples without it make t explode."""
    x = np.append(np.full(199, 1e-6) * np.linspace(1, 2, 199), 1.0)
    assert x.mean() < bootstrap.interval(x).high <= 20 * x.max()
    assert bootstrap.interval(x[-20:]).high > 20 * x.max()  # too few to say so


def test_scale_and_order_do_not_matter_and_the_seed_decides() -> None:
    x = sample()
    one, scaled = bootstrap.interval(x), bootstrap.interval(1e-9 * x)
    assert (scaled.low, scaled.high) == pytest.approx((1e-9 * one.low, 1e-9 * one.high), rel=1e-9)
    assert one == bootstrap.interval(x)
    assert one != bootstrap.interval(x, seed=1)
    assert one.low < one.estimate < one.high


def test_chunks_do_not_change_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    x = sample()[:, None]
    whole = resampling.resampled(x, seed=3)
    monkeypatch.setattr(resampling, "CHUNK", 7 * 200)
    np.testing.assert_allclose(resampling.resampled(x, seed=3), whole, rtol=1e-12)


def test_columns_are_analysed_as_if_alone() -> None:
    x, y = sample(seed=1), sample(seed=2)
    low, high = bootstrap.limits(np.stack([x, y], -1))
    for i, column in enumerate((x, y)):
        found = bootstrap.interval(column)
        assert (low[i], high[i]) == pytest.approx((found.low, found.high), rel=1e-12)


def test_a_signed_column_beside_a_positive_one_keeps_its_tail_below() -> None:
    positive, signed = sample(seed=1), 1.0 - sample(seed=2)
    low, high = bootstrap.limits(np.stack([positive, signed], -1))
    for i, column in enumerate((positive, signed)):
        found = bootstrap.interval(column)
        assert (low[i], high[i]) == pytest.approx((found.low, found.high), rel=1e-12)


def test_columns_with_missing_values_have_tails_of_their_own() -> None:
    """(largest deviation) / (n (1 - k)) over the values that are there;
    24 are too few for a shape k above zero.
    """
    deviations = np.full((40, 3), np.nan)
    deviations[:24, 0] = np.linspace(-2, 3, 24)
    deviations[16:, 1] = np.linspace(-1, 6, 24)
    deviations[:, 2] = np.linspace(-1, 8, 40)  # no heavy tail
    np.testing.assert_allclose(bootstrap._one_more(deviations), [3 / 24, 6 / 24, 8 / 40])


def test_one_value_in_a_column_is_its_mean_and_two_have_an_interval() -> None:
    column = np.array([[7.0], [np.nan], [np.nan]])
    assert bootstrap.studentised(column, seed=0).mean.tolist() == [7.0]
    assert bootstrap.interval(np.array([1.0, 2.0])).estimate == 1.5


def test_from_thirty_data_sets_on_no_limit_lies_above_where_the_next_may_lie() -> None:
    """One far value makes t explode; the farthest is then m + (max - m) / (1 - k),
    k = .95 at most.
    """
    for n, cut in ((30, True), (29, False)):
        x = np.append(np.full(n - 1, 1e-3), 1.0)
        high = bootstrap.limits(x)[1]
        farthest = x.mean() + (x.max() - x.mean()) * mean_beyond(np.sort(x))
        assert (high <= farthest * (1 + 1e-12)) == cut


def test_what_is_truly_negative_is_not_lifted() -> None:
    """By a thousandth of the mean, 1 of 1000:
    smaller sizes count as nothing, and are brought to that.
    """
    mean, smallest = np.full(5, 1000.0), np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    assert bootstrap._lift(mean, smallest).tolist() == [0.0, 1.5, 1.0, 0.5, 0.0]
    assert bootstrap._lift(-mean, smallest).tolist() == [0.0] * 5


def test_the_posterior_point_of_nothing_but_the_unseen_is_that_of_beta() -> None:
    """The weight of one further value beside n is Beta(1, n),
    whose 97.5 % point is 1 - .025^(1/n); equal values stay.
    """
    for n in (1, 10, 400):
        point = resampling.posterior_point(np.zeros((n, 2)), np.array([1.0, 5.0]), 0)
        assert point == pytest.approx((1 - 0.025 ** (1 / n)) * np.array([1.0, 5.0]), rel=0.01)
    assert resampling.posterior_point(np.full((20, 1), 3.0), np.array([3.0]), 0) == pytest.approx(
        3.0
    )


def test_nothing_is_lifted_on_the_signed_scale() -> None:
    x = np.zeros(50)
    x[0] = 1.0
    found = bootstrap.studentised(np.stack([1.0 - sample(50), x, sample(50)], -1), seed=0)
    assert found.log.tolist() == [False, True, True]
    assert found.lift == pytest.approx([0.0, x.mean() / 1000, 0.0])


def test_signed_quantities_stay_on_their_own_scale() -> None:
    x = np.random.default_rng(3).normal(0.0, 1.0, 300)
    found, negated = bootstrap.interval(x), bootstrap.interval(-x)
    assert found.low < 0 < found.high
    assert (-negated.high, -negated.low) == pytest.approx((found.low, found.high))
    paired = bootstrap.difference(sample(seed=4), sample(seed=4) * 1.5)
    assert paired.high < 0
    assert paired.estimate == pytest.approx(-0.5 * sample(seed=4).mean())


def test_one_spike_among_zeros_has_no_upper_limit() -> None:
    """A resample without the spike has mean zero:
    nothing bounds the tail, and a reader is told so.
    """
    x = np.zeros(200)
    x[17] = 1.0
    found = bootstrap.interval(x)
    assert found.high > x.max()
    plain = found.plain()
    assert (plain["estimate"], plain["high"]) == (0.005, None)
    assert plain["low"] >= 0
    assert "no stable upper limit at this sample size" in plain["reason"]
    assert "largest of 200 data sets 1" in plain["reason"]


@pytest.mark.parametrize("nothing", [0.0, 1e-18, -1e-18, 1e-9])
def test_values_next_to_nothing_keep_the_logarithm(nothing: float) -> None:
    """Three of a hundred contexts go wrong: a resample without them has mean 0,
    which is no reason to leave the log scale.
    """
    x = np.full(200, nothing)
    x[:6] = np.array([0.5, 0.8, 1.0, 1.0, 1.3, 2.0])
    found, lifted = bootstrap.interval(x), bootstrap.interval(np.maximum(x, 0) + x.mean() / 1000)
    assert found.low == pytest.approx(lifted.low - x.mean() / 1000, rel=1e-5)
    assert found.high == pytest.approx(lifted.high - x.mean() / 1000, rel=1e-5)
    assert 0 < found.low < found.estimate < found.high < np.inf
    assert found.estimate - found.low < found.high - found.estimate  # skewed, as the values are


def test_the_lift_reaches_bands_and_recoveries() -> None:
    x, base = np.zeros(300), sample(300)
    x[:9] = 0.1 * sample(9)
    estimate, low, high = bootstrap.band(x[:, None])
    assert 0 < low[0] < estimate[0] < high[0]
    found = bootstrap.recovery(x, base)
    assert found is not None
    assert found.estimate == pytest.approx(1 - x.mean() / base.mean())
    assert found.low < found.estimate < found.high < 1


class TestSupport:
    """A limit that the sample does not support is no figure."""

    def test_a_limit_above_every_value_or_five_times_the_mean(self) -> None:
        heavy = np.append(np.linspace(1e-4, 2e-4, 199), 1.0)
        for x in (heavy, np.append(np.linspace(1, 1.1, 195), [60.0] * 5)[::40]):
            found = bootstrap.interval(x)
            assert found.high > min(x.max(), 5 * x.mean())
            assert found.plain()["high"] is None
            assert found.plain()["low"] == found.low

    def test_ordinary_samples_and_equal_values_are_supported(self) -> None:
        for x in (sample(), sample(50, 0.3), np.full(40, 0.1), np.zeros(10), -np.full(40, 0.1)):
            plain = bootstrap.interval(x).plain()
            assert "reason" not in plain
            assert plain["high"] is not None
        one, other = bootstrap.interval(sample()), bootstrap.interval(-sample())
        assert (other.plain()["low"], other.plain()["high"]) == pytest.approx(
            (-one.high, -one.low), rel=0.2
        )

    def test_the_other_side_of_a_signed_quantity(self) -> None:
        x = -np.append(np.full(29, 1e-3), 1.0)
        plain = bootstrap.interval(x).plain()
        assert plain["low"] is None
        assert "no stable lower" in plain["reason"]

    def test_limits_that_were_found_elsewhere(self) -> None:
        x = np.array([-1.0, 0.0, 1.0, 2.0])
        assert bootstrap.stated(x, -0.9, 1.9).supported == (True, True)
        assert bootstrap.stated(x, -1.1, 1.9).supported == (False, True)
        assert bootstrap.stated(x, -0.9, 2.1).supported == (True, False)

    def test_a_share_ends_where_shares_end(self) -> None:
        x = np.append(np.ones(39), 0.0)
        plain = bootstrap.interval(x, within=(0.0, 1.0)).plain()
        assert plain["high"] == 1.0
        assert "reason" not in plain

    def test_a_recovery_without_a_lower_limit(self) -> None:
        divergence = np.append(np.linspace(1e-6, 2e-6, 199), 0.5)
        found = bootstrap.recovery(divergence, sample())
        assert found is not None
        plain = found.plain()
        assert plain["low"] is None
        assert plain["high"] is not None
        assert "reason" in plain

    def test_what_would_be_needed(self) -> None:
        """Where the law has a mean, that many data sets support a limit in nearly every sample."""
        rng = np.random.default_rng(8)
        samples = (np.exp(2 * rng.normal(size=60)) for _ in range(200))
        unstable = next(x for x in samples if not bootstrap.interval(x).supported[1])
        needed = stability.data_sets(unstable)
        assert needed is not None
        assert 120 <= needed <= 20_000
        held = [
            bootstrap.interval(np.exp(2 * rng.normal(size=needed))).supported[1] for _ in range(20)
        ]
        assert np.mean(held) >= 0.8
        assert (
            stability.data_sets(1 / rng.random(400) ** 1.5) is None
        )  # Pareto with shape 1.5 has no mean


def test_a_p_value_inverts_the_lower_limit_on_either_scale() -> None:
    for seed in range(30):
        rng = np.random.default_rng([11, seed])
        rare = np.where(rng.random(60) < 0.2, rng.random(60), 0)
        for x in (rng.lognormal(size=60), 1.8 - rng.lognormal(size=60), rare):
            bound = x.mean() - 0.9 * (x.mean() - bootstrap.interval(x, seed=seed).low)
            for factor in (0.5, 1.0, 1.5):
                limit = x.mean() - factor * (x.mean() - bound)
                p = bootstrap.exceedance(x, limit, seed=seed)
                assert (p <= 0.025) == (bootstrap.interval(x, seed=seed).low > limit)


def test_a_p_value_turns_at_the_lower_limit_itself() -> None:
    """Also where values were lifted: .025 or less just below the limit, more just above;
    1 from the mean on.
    """
    for seed in range(10):
        rng = np.random.default_rng([12, seed])
        for x in (rng.lognormal(size=60), np.where(rng.random(60) < 0.2, rng.random(60), 0)):
            low = bootstrap.interval(x, seed=seed).low
            assert bootstrap.exceedance(x, low * (1 - 1e-9), seed=seed) <= 0.025
            assert bootstrap.exceedance(x, low * (1 + 1e-9), seed=seed) > 0.025
    assert bootstrap.exceedance(np.array([1.0, 2.0, 3.0]), 2.0) == 1.0
    assert bootstrap.exceedance(np.array([1.0, 2.0, 3.0]), 1.999) < 1.0


class TestRecovery:
    def test_the_formula_written_out(self) -> None:
        """log of the ratio r* = D* / B* of each resample,
        studentised by its residuals d - r* b (the delta method).
        """
        n = 40
        b, own = sample(n), sample(n, 0.5, seed=9)
        d = 0.1 * (b + own)
        weights = resampling.resampled(np.eye(n), seed=0)  # how often each data set occurs
        ratio = d.mean() / b.mean()
        ratios = (weights @ d) / (weights @ b)
        squares = (weights * (d - ratios[:, None] * b) ** 2).sum(1) / n
        errors = np.sqrt(squares / (n - 1)) / (weights @ b / n) / ratios
        t = np.sort(np.log(ratios / ratio) / errors)
        rest = (d - ratio * b) / b.mean()
        error = np.sqrt((rest**2).mean() / (n - 1)) / ratio
        tail = rest.max() / n * mean_beyond(np.sort(rest))
        found = bootstrap.recovery(d, b)
        assert found is not None
        assert found.estimate == pytest.approx(1 - ratio, rel=1e-12)
        assert found.high == pytest.approx(1 - ratio * np.exp(-t[1949] * error), rel=1e-10)
        assert found.low == pytest.approx(1 - ratio * np.exp(-t[49] * error) - tail, rel=1e-10)

    def test_known_ratios(self) -> None:
        base = sample(400)
        noisy = 0.02 * base * sample(400, 0.5, seed=9)
        found = bootstrap.recovery(noisy, base)
        assert found is not None
        assert found.low < found.estimate < found.high < 1
        assert found.estimate == pytest.approx(1 - noisy.mean() / base.mean())

    def test_the_tail_of_the_divergence_lowers_the_recovery(self) -> None:
        """What one more data set beyond the farthest adds is lost:
        it moves the lower limit of the recovery.
        """
        base, x = np.ones(300), 0.02 * sample(300, 1.2, seed=3)
        found, mean = bootstrap.recovery(x, base), bootstrap.interval(x)
        assert found is not None
        assert (1 - found.low, 1 - found.high) == pytest.approx((mean.high, mean.low), rel=5e-3)
        plain = bootstrap.studentised(x[:, None], seed=0)
        bare = float(plain.at(np.sort(plain.t[:, 0])[49])[0])
        one_more = (x.max() - x.mean()) / 300 * mean_beyond(np.sort(x))
        assert 1 - found.low == pytest.approx(bare + one_more, rel=5e-3)
        assert 1 - found.low > bare + 0.9 * one_more

    @pytest.mark.parametrize(("factor", "wanted"), [(0.0, 1.0), (1.0, 0.0), (3.0, -2.0)])
    def test_proportional_divergences_leave_no_doubt(self, factor: float, wanted: float) -> None:
        found = bootstrap.recovery(factor * sample(), sample())
        assert found is not None
        assert (found.low, found.estimate, found.high) == pytest.approx(
            (wanted, wanted, wanted), abs=1e-6
        )

    def test_proportionality_leaves_exactly_nothing(self) -> None:
        """The rounding of a baseline that is 1,000 times its mean is rounding still."""
        base = np.append(sample(1999), 4e6)
        found, rest = bootstrap._ratio(0.3 * base, base, 0)
        assert not rest.any()
        assert found.error == 0

    def test_a_baseline_that_a_resample_may_miss_raises_no_flag(self) -> None:
        """One context of eight has a baseline: a third of the resamples hold none,
        and some of those no divergence either.
        """
        base = np.append(np.zeros(7), 1.0)
        for divergence in (np.append(np.zeros(6), [0.3, 0.1]), np.append(np.zeros(7), 0.1)):
            found = bootstrap.recovery(divergence, base)
            assert found is not None
            assert found.estimate == pytest.approx(1 - divergence.sum())

    def test_divergences_next_to_nothing_are_lifted_by_a_share_of_the_baseline(self) -> None:
        base, x = np.ones(100), np.zeros(100)
        x[:3] = [0.1, 0.2, 0.3]
        found, lifted = (
            bootstrap.recovery(x, base),
            bootstrap.recovery(x + 6e-6, base),
        )  # a thousandth of the mean .006
        assert found is not None
        assert lifted is not None
        assert (found.low - 6e-6, found.high - 6e-6) == pytest.approx(
            (lifted.low, lifted.high), abs=1e-6
        )

    def test_debiased_divergences_may_recover_more_than_everything(self) -> None:
        base = sample(400)
        found = bootstrap.recovery(1e-3 * np.random.default_rng(5).normal(size=400), base)
        assert found is not None
        assert found.low < 1 < found.high

    def test_infinite_and_undefined(self) -> None:
        base, bad = sample(), sample()
        bad[3] = np.inf
        found = bootstrap.recovery(bad, base)
        assert found is not None
        assert (found.estimate, found.low, found.high) == (-np.inf, -np.inf, -np.inf)
        assert (
            bootstrap.recovery(base, np.zeros(200)) is None
        )  # context 0: the prior predictive is exact
        assert bootstrap.recovery(base, bad) is None

    def test_coverage(self) -> None:
        """Ratio .05 of two correlated log-normal means, n = 200."""
        rng, held = np.random.default_rng(6), 0
        for i in range(300):
            common, own = rng.normal(size=(2, 200))
            base, mine = np.exp(0.7 * common), 0.05 * np.exp(0.7 * common + 0.5 * own - 0.125)
            found = bootstrap.recovery(mine, base, seed=i)
            held += found is not None and found.low <= 0.95 <= found.high
        assert held / 300 >= 0.91  # nominal .95, standard error .013; measured .957


class TestBand:
    def test_it_is_wider_than_each_interval_and_narrower_than_bonferroni(self) -> None:
        x = np.stack([sample(seed=i) for i in range(8)], -1)
        estimate, low, high = bootstrap.band(x)
        alone_low, alone_high = bootstrap.limits(x)
        np.testing.assert_allclose(estimate, x.mean(0))
        assert (np.log(high / low) > np.log(alone_high / alone_low)).all()
        assert (
            np.log(high / low) < 1.6 * np.log(alone_high / alone_low)
        ).all()  # normal theory: 2.73 / 1.96

    def test_a_perfectly_dependent_curve_needs_no_correction(self) -> None:
        x = sample()[:, None] * np.array([1.0, 0.5, 0.25])
        _, low, high = bootstrap.band(x)
        one_low, one_high = (v[0] for v in bootstrap.band(x[:, :1])[1:])
        np.testing.assert_allclose(low, one_low * np.array([1.0, 0.5, 0.25]), rtol=1e-9)
        np.testing.assert_allclose(high, one_high * np.array([1.0, 0.5, 0.25]), rtol=1e-9)

    def test_ten_data_sets_have_limits_and_nine_have_none(self) -> None:
        x = np.full((40, 2), np.nan)
        x[:10, 0], x[:9, 1] = sample(10), sample(9)
        _, low, high = bootstrap.band(x)
        assert np.isfinite([low[0], high[0]]).all()
        assert np.isnan([low[1], high[1]]).all()

    def test_missing_few_and_infinite_columns(self) -> None:
        rng = np.random.default_rng(7)
        x = np.stack([sample(seed=i) for i in range(4)], -1)
        full = bootstrap.band(x[:, :1])
        x[rng.random(200) < 0.5, 1] = np.nan
        x[5:, 2] = np.nan  # five data sets
        x[0, 3] = np.inf
        estimate, low, high = bootstrap.band(x)
        assert estimate[1] == pytest.approx(np.nanmean(x[:, 1]))
        assert low[1] < estimate[1] < high[1]
        assert estimate[2] == pytest.approx(x[:5, 2].mean())
        assert np.isnan([low[2], high[2], low[3]]).all()
        assert estimate[3] == high[3] == np.inf
        assert low[0] <= full[1][0] + 1e-12  # two usable columns: wider than one


def test_bad_input_is_named() -> None:
    with pytest.raises(ShapeError, match="dataset"):
        bootstrap.interval(np.ones((3, 2)))
    with pytest.raises(InputError, match="at least two data sets"):
        bootstrap.interval(np.ones(1))
    with pytest.raises(InputError, match="infinite divergence has no interval"):
        bootstrap.interval(np.array([1.0, np.inf]))
    for divergence, baseline in (
        (np.ones(3), np.ones(4)),
        (np.ones(2), np.array([1, np.nan])),
        (np.array([1, np.nan]), np.ones(2)),
    ):
        with pytest.raises(InputError, match="one baseline"):
            bootstrap.recovery(divergence, baseline)


def test_a_constant_column_beside_a_very_rare_one_has_its_value_for_an_interval() -> None:
    """Most resamples hold nothing of the rare column, whose studentised mean is then infinite."""
    rare = np.append(np.zeros(39), 1.0)
    for value in (0.0, 0.1):
        estimate, low, high = bootstrap.band(np.stack([np.full(40, value), rare], -1))
        assert [low[0], high[0]] == pytest.approx([value, value], abs=1e-15)
        assert low[1] <= estimate[1] <= high[1]


def test_columns_of_rounding_do_not_widen_a_band() -> None:
    rng = np.random.default_rng(0)
    real = rng.lognormal(-4, 1, (200, 2))
    for scale in (1e-17, 1e-16):
        rounding = scale * rng.standard_normal((200, 3))
        alone = bootstrap.band(real)
        beside = bootstrap.band(np.concatenate([rounding, real], 1))
        for one, other in zip(alone, beside, strict=True):
            assert other[3:] == pytest.approx(one, rel=1e-12)
            assert np.abs(other[:3]).max() < 1e-15

"""Published defects that our code must not share,
in the order of the museum in the validation design; and our own.

Each test holds the published formula (`…_published` or a few lines in the test), shows on data what
it does wrong, and that ours does not. Measured values stand beside the asserts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import special, stats
from scipy.spatial.distance import cdist

from veribayes import registry
from veribayes.errors import InputError
from veribayes.predictive import Array, Bins, Categorical, Draws, Normal
from veribayes.validation import bootstrap, decision, latents, repeats, resampling
from veribayes.validation.checks import _classifier, _null, _planted, _two_sample, ecdf_band
from veribayes.validation.checks._family import family
from veribayes.validation.checks._planted import NULL
from veribayes.validation.checks._problems import PROBLEMS
from veribayes.validation.checks._test import Outcome
from veribayes.validation.metrics._metric import Metric

ONE = (1, 1, 1)


def outcome(name: str, *arrays: Array, **options: Any) -> Outcome:
    found = registry.load("check", name).run(*arrays, **options)
    assert isinstance(found, Outcome)
    return found


def metric(name: str) -> Metric:
    found = registry.load("metric", name)
    assert isinstance(found, Metric)
    return found


def at_most_nominal(rejected: int, nulls: int) -> bool:
    """Within the 99.9 % limit of a test with size .05."""
    return bool(rejected <= stats.binom.ppf(0.999, nulls, 0.05))


def gauss(x: Array, y: Array) -> Array:
    """Kernel of bandwidth 1, diagonal kept."""
    return np.asarray(np.exp(-0.5 * cdist(x, y, "sqeuclidean")))


def u_statistic(x: Array, y: Array) -> float:
    """Ours: squared MMD of two samples, no draw being its own partner."""
    both = np.concatenate([x, y])
    kernel = gauss(both, both)
    np.fill_diagonal(kernel, 0.0)
    return float(_two_sample.unbiased(kernel, np.repeat([1.0, 0.0], [len(x), len(y)])[None])[0])


def tarp_published(truth: Array, draws: Array, rng: np.random.Generator) -> float:
    """Two grids compared: expected coverage at the edges of bins against these edges,
    as if both were samples.
    """
    low, high = truth.min(0), truth.max(0)
    points = rng.uniform(low, high, truth.shape)
    far, gap = (
        np.linalg.norm(draws - points[:, None], axis=-1),
        np.linalg.norm(truth - points, axis=-1),
    )
    inside, edges = np.histogram((far < gap[:, None]).mean(1), bins=len(truth) // 10, density=True)
    return float(stats.kstest(np.r_[0.0, inside.cumsum() / inside.sum()], edges).pvalue)


@pytest.mark.parametrize("defect", ["sd x 1.25", "posterior = prior"])
def test_1_a_p_value_from_comparing_two_grids(defect: str) -> None:
    (truth, draws, x), _ = PROBLEMS["tarp"].draw(np.random.default_rng(1), 400, defect)
    assert tarp_published(truth, draws, np.random.default_rng(1)) > 0.5  # measured: .93 and 1.00
    assert outcome("tarp", truth, draws, x).p_value < 0.01


def test_2_a_continuous_kolmogorov_smirnov_on_discrete_ranks() -> None:
    ranks = np.random.default_rng(2).integers(0, 21, (100, 1000)).astype(float)
    published = sum(stats.kstest(r, stats.uniform(0, 20).cdf).pvalue <= 0.05 for r in ranks)
    assert published > 90  # measured: 99 of 100 exact runs
    found = sum(outcome("sbc_rank", r[:, None], draws=20).p_value <= 0.05 for r in ranks)
    assert at_most_nominal(found, 100)


def test_3_an_unbiased_mmd_with_the_diagonal_kept() -> None:
    published, ours = [], []
    for i in range(200):
        x, y = np.random.default_rng([3, i]).standard_normal((2, 50, 2))
        published.append(
            gauss(x, x).sum() / 2450 + gauss(y, y).sum() / 2450 - 2 * gauss(x, y).mean()
        )
        ours.append(u_statistic(x, y))
    error = np.std(ours) / np.sqrt(len(ours))
    assert np.mean(published) == pytest.approx(2 / 49, abs=4 * error)  # measured: .042
    assert abs(np.mean(ours)) < 4 * error  # measured: .9 of them


def test_3_nor_does_a_score_of_draws_keep_it() -> None:
    """A CRPS of draws that keeps pairs of a draw with itself is biased by E|X - X'| / (2 S);
    the fair one is not.
    """
    rng = np.random.default_rng(3)
    shape, draws = (20_000, 1, 1), 5
    exact = Normal(np.zeros(shape), np.ones(shape))
    scores = metric("crps").score(Draws(rng.normal(size=(*shape, draws))), exact, np.zeros(shape))
    error = scores.std() / np.sqrt(scores.size)
    assert abs(scores.mean()) < 4 * error  # measured: .3 standard errors
    assert (1 / np.sqrt(np.pi)) / draws > 50 * error  # what the biased one would show, 0.113
    assert (scores < 0).any()  # unbiased at zero cannot mean non-negative


@pytest.mark.parametrize(("factor", "shift"), [(1.0, 1.0), (2.0, 0.0), (1.0, 3.0)])
def test_4_a_threshold_that_never_rejects(factor: float, shift: float) -> None:
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((60, 2)), factor * rng.standard_normal((60, 2)) + shift
    published = (
        4 / np.sqrt(60) * np.sqrt(-np.log(0.05))
    )  # .89, and the MMD^2 of a bounded kernel rarely gets there
    assert u_statistic(x, y) < published  # measured: .28, .10 and .65
    assert outcome("mmd_permutation", x, y, thin=False).p_value == 1 / 200


def test_5_a_p_value_of_zero_and_rows_that_are_not_exchangeable() -> None:
    (truth, draws, x), _ = PROBLEMS["local_c2st"].draw(
        np.random.default_rng(5), 100, "posterior = prior"
    )
    assert (
        np.mean(np.array([0.9]) < np.zeros(100)) == 0
    )  # mean(T < T_null): certainty from a hundred draws
    assert (
        outcome("local_c2st", truth, draws, x, permutations=99).p_value == 2 * 0.01
    )  # Holm over two parts
    assert _null.p_value(np.inf, np.zeros(99)) == 0.01
    labels = _classifier.swapped(np.random.default_rng(5), 100, 99)
    assert (
        labels[:, :100] == -labels[:, 100:]
    ).all()  # one of each at every x; permuted rows give half of the x two alike


def test_6_identical_samples_that_are_minus_ten_apart() -> None:
    x = np.random.default_rng(6).standard_normal((40, 2))
    scales = np.logspace(-6, 6, 11)

    def kernel(a: Array, b: Array) -> Array:
        return np.asarray(np.exp(-0.5 * cdist(a, b, "sqeuclidean")[..., None] / scales).sum(-1))

    m, all_pairs = 40, kernel(x, x).sum()
    published = 2 * all_pairs / (m * (m + 1)) - 2 * (2 * all_pairs / m**2)
    assert published < -10  # measured: -11.1
    assert -2 / m <= u_statistic(x, x) <= 0  # a U-statistic of a kernel in [0, 1] lies there
    assert outcome("mmd_permutation", x, x, thin=False).p_value > 0.5


def test_7_a_null_that_bootstraps_the_reference_against_itself() -> None:
    """Resampled draws occur in the reference,
    so they lie nearer to it than any other sample of the same law.
    """
    published = ours = 0
    for i in range(40):
        rng = np.random.default_rng([7, i])
        x, reference = rng.standard_normal((2, 100, 2))
        null = [narrow(rng.choice(reference, 100), reference) for _ in range(39)]
        published += np.mean(np.array(null) >= narrow(x, reference)) <= 0.05
        ours += outcome("energy_permutation", x, reference, thin=False).p_value <= 0.05
    assert published >= 20  # measured: 40 of 40 exact candidates
    assert at_most_nominal(ours, 40)


def narrow(x: Array, y: Array) -> float:
    """Squared MMD, diagonal kept, of a kernel so narrow that it sees which draws are the same."""
    return float(
        gauss(10 * x, 10 * x).mean()
        + gauss(10 * y, 10 * y).mean()
        - 2 * gauss(10 * x, 10 * y).mean()
    )


def test_8_a_classifier_stopped_on_the_fold_that_scores_it() -> None:
    """The best of several epochs on the scoring fold, and max(acc, 1 - acc):
    no accuracy is below one half.
    """
    published, ours = [], []
    for i in range(60):
        rng = np.random.default_rng([8, i])
        x, y = rng.standard_normal((2, 50, 3))
        guesses = rng.integers(0, 2, (10, 20)) == rng.integers(
            0, 2, 20
        )  # ten epochs, twenty rows, nothing to learn
        published.append(max(guesses.mean(1).max(), 1 - guesses.mean(1).min()))
        ours.append(outcome("c2st", x, y, thin=False, permutations=19).statistic)
    assert np.mean(published) > 0.58  # measured: .70
    assert np.mean(ours) == pytest.approx(0.5, abs=4 * np.std(ours) / np.sqrt(60))  # measured: .512
    assert min(ours) < 0.48


def test_9_a_continuous_band_around_discrete_ranks() -> None:
    """Ranks over L have atoms of mass 1 / (L + 1) at 0 and 1,
    where a continuous band has no width.
    """
    n, draws = 200, 100
    counts = (
        np.random.default_rng(9).multinomial(n, np.full(draws + 1, 1 / (draws + 1)), 400).cumsum(-1)
    )
    level = np.arange(draws + 1) / draws
    gamma = 0.0016  # pointwise level of a simultaneous band over 100 points, well below .05
    low, high = (special.bdtrik(q, n, level[1:-1]) for q in (gamma / 2, 1 - gamma / 2))
    wide = ((counts[:, 1:-1] >= np.floor(low)) & (counts[:, 1:-1] <= np.ceil(high))).all(-1)
    published = wide & (counts[:, 0] == 0) & (counts[:, -2] == n)
    assert published.mean() < 0.05  # measured: .005; nearly all exact runs leave
    below, above = ecdf_band.band(n, draws)
    ours = ((below <= counts[:, :-1]) & (counts[:, :-1] <= above)).all(-1).mean()
    assert ours == pytest.approx(0.95, abs=0.04)  # standard error .011; measured .95


def test_10_a_seed_inside_the_bootstrap_loop() -> None:
    values = np.random.default_rng(10).normal(size=(50, 1))
    published = [np.random.default_rng(10).choice(values, 50).sum() for _ in range(50)]
    assert np.unique(published).size == 1
    sums = resampling.resampled(values, seed=0)
    assert sums.shape == (1999, 1)
    assert np.unique(sums).size == 1999


def kl_published(x: Array, y: Array) -> float:
    """Nearest-neighbour KL(x || y) in one dimension, clipped at zero."""
    own = np.sort(np.abs(x[:, None] - x), axis=1)[:, 1]
    other = np.abs(x[:, None] - y).min(1)
    tiny = np.finfo(np.float64).tiny
    return float(
        max(
            0.0,
            np.log(np.maximum(other, tiny) / np.maximum(own, tiny)).mean()
            + np.log(len(y) / (len(x) - 1)),
        )
    )


def test_11_a_divergence_clipped_at_zero_and_broken_by_duplicates() -> None:
    rng = np.random.default_rng(11)
    null = [kl_published(*rng.standard_normal((2, 100))) for _ in range(200)]
    assert np.mean(null) > 0.04  # measured: .08 for one law
    repeated = np.repeat(rng.standard_normal(50), 4)  # a chain that stays put
    assert kl_published(repeated, rng.standard_normal(200)) > 100
    p = Categorical(np.broadcast_to([0.5, 0.3, 0.2], (4000, 1, 1, 3)))
    few = metric("kl_draws").score(Draws(p.sample(rng, 200)), p, np.zeros((4000, 1, 1)))
    assert few.min() < 0
    assert abs(few.mean()) < 4 * few.std() / np.sqrt(few.size)  # measured: .2 standard errors
    normal = Normal(np.zeros(ONE), np.ones(ONE))
    ours = metric("crps").score(Draws(repeated[None, None, None]), normal, np.zeros(ONE))
    assert abs(ours.item()) < 0.02  # finite and small: measured .005


def passes_published(chains: Array) -> bool:
    """Classical R-hat of (chain, draw): a comparison with NaN is false, so nothing is wrong."""
    n = chains.shape[1]
    within, between = chains.var(1, ddof=1).mean(), n * chains.mean(1).var(ddof=1)
    with np.errstate(invalid="ignore"):
        r_hat = np.sqrt((n - 1) / n + np.divide(between, n * within))
    return not r_hat > 1.01


def test_12_diagnostics_that_pass_on_nan_constants_and_one_mode() -> None:
    rng = np.random.default_rng(12)
    one_mode = rng.standard_normal((4, 100)) + 4
    broken = one_mode.copy()
    broken[0, 0] = np.nan
    constant = np.ones((4, 100))
    assert passes_published(broken)
    assert passes_published(constant)
    assert passes_published(rng.standard_normal((4, 1000)) + 4)
    both = rng.standard_normal((400, 1)) + np.where(rng.random((400, 1)) < 0.5, -4, 4)
    for name in ("energy_permutation", "mmd_permutation", "sliced_wasserstein", "c2st"):
        with pytest.raises(InputError, match="NaN"):
            outcome(name, broken.reshape(-1, 1), both)
        with pytest.raises(InputError, match="constant"):
            outcome(name, np.ones((400, 1)), np.ones((400, 1)), thin=False)
        assert outcome(name, one_mode.reshape(-1, 1), both, thin=False).p_value < 0.01
    (z, x), _ = PROBLEMS["rosenblatt"].draw(rng, 50, NULL)
    with pytest.raises(InputError, match="constant"):
        outcome("rosenblatt", z, np.c_[x, np.full(50, 0.1)])
    assert outcome("rosenblatt", np.zeros_like(z), x).p_value < 1e-10


def test_13_a_divergence_of_sorted_samples_and_a_w2_that_is_w1() -> None:
    rng = np.random.default_rng(13)
    x, y = np.sort(rng.standard_normal((2, 200)))
    with np.errstate(invalid="ignore", divide="ignore"):
        assert np.isnan((x * np.log(x / y)).sum())  # draws taken for probabilities
    assert (
        abs((np.exp(x) * (x - y)).mean()) > 0.05
    )  # and where they are positive; one law. Measured: .48
    exact = Normal(np.zeros(ONE), np.ones(ONE))
    scores = [
        metric("crps").score(Draws(d[None, None, None]), exact, np.zeros(ONE))
        for d in (x, rng.permuted(x))
    ]
    np.testing.assert_allclose(*scores, rtol=0, atol=1e-14)  # order carries nothing
    far = 3 * y[:, None]
    pooled = np.concatenate([x[:, None], far])
    gaps = np.abs(x - np.sort(far[:, 0])) / pooled.std()
    ours = outcome("sliced_wasserstein", x[:, None], far, thin=False).statistic
    assert ours == pytest.approx((gaps**2).mean())  # measured: .75
    assert ours > 1.2 * gaps.mean() ** 2  # what W1 squared would be: .44


def test_14_a_local_test_of_the_data_averaged_posterior() -> None:
    """Draws paired with *new* data simulated from them:
    the prior is then perfect, since its joint law is the true one.
    """
    rng = np.random.default_rng(14)
    (truth, draws, x), _ = PROBLEMS["local_c2st"].draw(rng, 200, "posterior = prior")
    simulated = draws[:, 0] + rng.standard_normal(x.shape) / np.sqrt(_planted.OBSERVATIONS)
    published = outcome("c2st", np.c_[truth, x], np.c_[draws[:, 0], simulated], thin=False)
    assert published.p_value > 0.05  # measured: .16
    assert outcome("local_c2st", truth, draws, x).p_value == 2 / 200
    assert outcome("c2st", np.c_[truth, x], np.c_[draws[:, 0], x], pairs=True).p_value == 1 / 200


def test_15_a_density_that_is_its_inverse() -> None:
    """Bins twice too wide lose half of the density, so regret is log 2;
    with the inverse it is -log 2.
    """
    quarter = np.full((*ONE, 4), 0.25)
    exact, spread = Bins(quarter, np.linspace(0.0, 2.0, 5)), Bins(quarter, np.linspace(0.0, 4.0, 5))
    density = np.exp(exact.log_prob(np.full((*ONE, 1), 0.7)).item())
    published = np.log(1 / density) - np.log(1 / (density / 2))
    assert published == pytest.approx(-np.log(2))
    assert density == pytest.approx(0.5)
    assert metric("log_score_regret").score(
        spread, exact, np.full(ONE, 0.7)
    ).item() == pytest.approx(np.log(2))


def guarded_published(score: Callable[[], float]) -> float:
    try:
        return score()
    except:  # noqa: E722  the defect itself
        return float("nan")


def test_16_a_bare_except_that_answers_nan() -> None:
    values = np.ones(300)
    values[7] = np.nan
    assert np.isnan(guarded_published(lambda: float("none")))
    for ask in (decision_of, bootstrap.interval, lambda v: bootstrap.recovery(v, np.ones(300))):
        with pytest.raises(InputError, match=r"NaN|finite"):
            ask(values)


def decision_of(values: Array) -> object:
    return decision.decide(values, tolerance=2.0)


@pytest.mark.parametrize("values", [np.zeros(500), np.full(500, 0.1), np.full(500, 1e-300)])
def test_16_no_spread_is_not_a_division_by_zero(values: npt.NDArray[np.float64]) -> None:
    """Equal values have a standard deviation of 1e-17 by rounding;
    studentised, that is noise of any size.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        published = (values - values.mean()) / values.std()
    assert not (published == 0).all()  # NaN, or one standard deviation away from themselves
    found = bootstrap.interval(values)
    assert (found.low, found.high) == pytest.approx(
        (found.estimate, found.estimate), rel=1e-12, abs=0
    )
    assert decision.decide(values, tolerance=1.0).verdict == "equivalent"


# -- holes of our own first version ----------------------------------------------------------------


def noisy_answers(noise: float, order: float, datasets: int = 200) -> tuple[Array, Array, Array]:
    """Divergences (a, a'), (a, b), (a', b) of answers with noise and an order effect that cost
    so many tolerances of .01.
    """
    rng, shape = np.random.default_rng(17), (datasets, 1, 1)

    def answer(effect: Array) -> Normal:
        return Normal(effect + np.sqrt(0.02 * noise) * rng.standard_normal(shape), np.ones(shape))

    one, other = (np.sqrt(0.02 * order) * rng.standard_normal(shape) for _ in range(2))
    a, again, turned = answer(one), answer(one), answer(other)
    applies = np.ones(shape, dtype=bool)
    pairs = ((a, again), (a, turned), (again, turned))
    first, second, third = (repeats.divergence(x, y, applies) for x, y in pairs)
    return first, second, third


def test_order_dependence_without_the_repeat_floor() -> None:
    """Noise within the tolerance was called an effect of order, of twice its size."""
    floor, across, more = noisy_answers(noise=0.9, order=0.0)
    published = decision.cluster_means(across)
    assert decision.exceeds(published, tolerance=0.01) < 1e-3
    ours = decision.cluster_means(repeats.beyond_repeat([across, more], [floor]))
    assert decision.exceeds(ours, tolerance=0.01) == 1.0
    assert decision.exceeds(decision.cluster_means(repeats.repeat(floor)), tolerance=0.01) > 0.05
    floor, across, more = noisy_answers(noise=0.6, order=2.0)
    assert (
        decision.exceeds(
            decision.cluster_means(repeats.beyond_repeat([across, more], [floor])), tolerance=0.01
        )
        < 0.01
    )


def test_nan_in_latents_dropped_as_padding() -> None:
    """Three sds off where it says anything, and nothing in 95 % of data sets."""
    exact = {"mean": np.zeros((200, 1)), "sd": np.ones((200, 1))}
    said = {"mean": np.where(np.arange(200)[:, None] < 10, 0.0, np.nan), "sd": np.ones((200, 1))}
    known = np.isfinite(said["mean"])
    assert (0.5 * (said["mean"] - exact["mean"]) ** 2)[
        known
    ].mean() == 0  # what was looked at: nothing is wrong
    assert np.isposinf(latents.normal_kl(exact, said)).sum() == 190
    drawn = np.full((1, 1, 1, 4), np.nan)
    assert latents.leaked_mass(drawn, "real").item() == 1.0


def test_infinity_is_no_number_to_take_the_smallest_of() -> None:
    """argmin over divergences that are all infinite names the first one, whoever that is."""
    from veribayes.validation.fitting import vertex

    infinite = np.full(3, np.inf)
    assert int(np.argmin(infinite)) == 0  # what our first version called the nearest
    with pytest.raises(InputError, match="finite loss"):
        vertex(np.arange(1.0, 4.0), infinite)
    assert vertex(np.arange(1.0, 4.0), np.array([np.nan, np.inf, 2.0])) == 3.0


def test_own_1_a_level_that_permutations_cannot_reach() -> None:
    """Holm over two tests makes the smallest p of 199 permutations .01;
    a rule `p < .01` then never rejects anything.
    """
    x, y = np.random.default_rng(1).standard_normal((2, 300, 1))
    found = {
        name: outcome(name, x, y + 5.0, permutations=199)
        for name in ("energy_permutation", "mmd_permutation")
    }
    published = _null.holm({name: o.p_value for name, o in found.items()})
    assert not any(p < 0.01 for p in published.values())  # five sds apart, and equivalent
    least = {name: o.least for name, o in found.items()}
    assert least == dict.fromkeys(found, 1 / 200)
    _null.attainable(0.05, least)
    for level in (0.0099, 0.005):
        with pytest.raises(InputError, match="take at least"):
            _null.attainable(level, least)
    with pytest.raises(InputError, match="take at least 399 resamples"):
        family(found).rejected(0.005)


@pytest.mark.parametrize("quantities", [1, 10, 51, 600])
def test_own_1_simulated_ranks_reach_their_level_for_many_quantities(quantities: int) -> None:
    """9,999 simulated nulls and Holm over 51 quantities:
    no rank, however far off, could reach .005.
    """
    ranks = np.zeros((20, quantities))
    found = outcome("sbc_rank", ranks, draws=9)
    assert found.p_value == pytest.approx(found.least)
    assert found.least <= 0.001
    _null.attainable(0.01, {"sbc_rank": found.least, "pit_uniform": 1e-4})


@pytest.mark.parametrize("name", [n for n, p in PROBLEMS.items() if p.n <= 1000])
def test_every_test_says_the_smallest_p_that_it_can_have(name: str) -> None:
    """On its own worst planted defect no test falls below what it says,
    and each can reject at .05 alone.
    """
    problem = PROBLEMS[name]
    arrays, options = problem.draw(np.random.default_rng(0), problem.n, [*problem.defects, NULL][0])
    found = outcome(problem.test, *arrays, **options)
    assert found.least <= 0.05
    assert found.least <= found.p_value * (1 + 1e-9)

"""Tests of tests: reduced size and power, oracles for their statistics, and how they fail.

The full table (10,000 nulls, three sample sizes) is printed by `veribayes calibrate-tests`;
docs/calibration.md has it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import signal, special, stats

from veribayes import cli, registry
from veribayes.errors import InputError, ShapeError
from veribayes.predictive import Array
from veribayes.validation import intervals
from veribayes.validation.checks import (
    _classifier,
    _measure,
    _null,
    _planted,
    _ranks,
    _two_sample,
    ecdf_band,
    exchangeability,
    pit_uniform,
)
from veribayes.validation.checks import g_test as multinomial
from veribayes.validation.checks._family import family
from veribayes.validation.checks._measure import Job, Rate
from veribayes.validation.checks._planted import NULL, POSTERIORS
from veribayes.validation.checks._problems import PROBLEMS
from veribayes.validation.checks._test import Outcome, with_spread

NULLS = 200  # of which 22 may reject: 99.9 % limit of a binomial with .05
NAMES = registry.names("check")


def outcome(name: str, *arrays: Array, **options: Any) -> Outcome:
    found = registry.load("check", name).run(*arrays, **options)
    assert isinstance(found, Outcome)
    return found


def given(
    problem: str, n: int, seed: int = 0, defect: str = NULL
) -> tuple[tuple[Array, ...], dict[str, Any]]:
    return PROBLEMS[problem].draw(np.random.default_rng(seed), n, defect)


def rejections(problem: str, defect: str, n: int, replicates: int) -> int:
    return Job(n, replicates, 1, problem=problem, defect=defect).measure()["rejected"]


class TestEveryTest:
    @pytest.mark.parametrize("name", NAMES)
    def test_it_is_documented_and_measured(self, name: str) -> None:
        part = registry.load("check", name)
        assert part.name == name
        assert part.exactness in ("exact", "conservative", "asymptotic")
        assert part.needs
        assert part.null
        assert part.citation
        assert name in {p.test for p in PROBLEMS.values()}

    @pytest.mark.parametrize("problem", [p for p in PROBLEMS if PROBLEMS[p].looks == 1])
    def test_size(self, problem: str) -> None:
        """Measured with 10,000 nulls: docs/calibration.md."""
        assert rejections(problem, NULL, PROBLEMS[problem].sizes[0], NULLS) <= stats.binom.ppf(
            0.999, NULLS, 0.05
        )

    @pytest.mark.parametrize("problem", PROBLEMS)
    def test_it_fails_closed_on_nan(self, problem: str) -> None:
        arrays, options = given(problem, PROBLEMS[problem].sizes[0])
        for i in range(len(arrays)):
            broken = [a.copy() for a in arrays]
            broken[i].flat[0] = np.nan
            with pytest.raises(InputError, match="NaN"):
                outcome(PROBLEMS[problem].test, *broken, **options)

    @pytest.mark.parametrize(
        "problem", [p for p in PROBLEMS if registry.load("check", PROBLEMS[p].test).minimum > 1]
    )
    def test_it_refuses_too_few_units(self, problem: str) -> None:
        arrays, options = given(problem, PROBLEMS[problem].sizes[0])
        few = registry.load("check", PROBLEMS[problem].test).minimum - 1
        with pytest.raises(InputError, match="at least"):
            outcome(PROBLEMS[problem].test, *(a[:few] for a in arrays), **options)

    @pytest.mark.parametrize("problem", PROBLEMS)
    def test_it_is_a_function_of_the_seed_and_never_certain(self, problem: str) -> None:
        arrays, options = given(problem, PROBLEMS[problem].sizes[0], seed=5)
        first, again = (outcome(PROBLEMS[problem].test, *arrays, **options) for _ in range(2))
        assert first == again
        assert 0 < first.p_value <= 1
        assert first.n >= 10


class TestPower:
    @pytest.mark.parametrize("defect", [d for d in POSTERIORS if d != NULL])
    def test_the_battery_sees_every_planted_posterior(self, defect: str) -> None:
        """200 data sets, 100 draws; measured over 200: 1.00 for all eleven."""
        assert rejections("rosenblatt", defect, 200, 20) == 20

    def test_parameters_alone_do_not_see_the_prior_but_the_likelihood_does(self) -> None:
        assert rejections("sbc_rank", "posterior = prior", 200, 100) <= 14  # measured over 200: .02
        assert (
            rejections("sbc_rank-likelihood", "posterior = prior", 200, 20) == 20
        )  # measured: 1.00
        assert rejections("ecdf_band", "posterior = prior", 200, 20) == 20  # measured: 1.00

    @pytest.mark.parametrize(
        ("problem", "defect", "n", "least"),
        [
            ("tarp", "posterior = prior", 200, 20),  # measured over 200: 1.00
            ("energy_permutation", "shift .3, one", 300, 13),  # measured: 17 of 20; .98 at 500
            ("mmd_permutation", "shift .3, one", 300, 13),  # measured: 17 of 20; .97 at 500
            ("pit_uniform", "t3 outcomes", 200, 16),  # measured: .96
            ("g_test", "temperature 1.5", 400, 15),  # measured: 19 of 20; .63 at 200
            ("e_process", "temperature 0.67", 300, 14),  # measured: 18 of 20; .86 at 200
        ],
    )
    def test_others_see_what_they_are_for(
        self, problem: str, defect: str, n: int, least: int
    ) -> None:
        assert rejections(problem, defect, n, 20) >= least

    def test_the_battery_names_what_is_wrong(self) -> None:
        for defect, component in [
            ("sd x 1.10", "variance 0"),
            ("shift .10 sd", "mean 1"),
            ("correlation .3", "correlation 0, 1"),
            ("x-dependent bias .5 sd", "mean 0 on x"),
            ("heteroscedastic 1.3 / .7", "scale on x"),
        ]:
            arrays, options = given("rosenblatt", 200, defect=defect)
            assert outcome("rosenblatt", *arrays, **options).components[component] < 0.01


class TestOracles:
    def test_pit_statistics_are_those_of_scipy(self) -> None:
        u = np.sort(np.random.default_rng(0).random(37))
        ks, cvm, ad = pit_uniform.statistics(u)
        assert ks == pytest.approx(stats.kstest(u, "uniform").statistic)
        assert cvm == pytest.approx(stats.cramervonmises(u, "uniform").statistic)
        i = np.arange(1, 38)
        assert ad == pytest.approx(
            -37 - ((2 * i - 1) / 37 * np.log(u) + (2 * (37 - i) + 1) / 37 * np.log1p(-u)).sum()
        )

    def test_pit_of_exactly_zero_is_evidence(self) -> None:
        u = np.random.default_rng(1).random(40)
        u[3] = 0.0
        assert outcome("pit_uniform", u).p_value < 0.001
        with pytest.raises(InputError, match=r"\[0, 1\]"):
            outcome("pit_uniform", u - 0.5)

    def test_g_is_that_of_scipy_and_its_p_value_that_of_chi2(self) -> None:
        rng = np.random.default_rng(2)
        p = np.array([[0.5, 0.3, 0.2]])
        counts = rng.multinomial(400, [0.45, 0.32, 0.23])[None].astype(float)
        value = stats.power_divergence(counts[0], 400 * p[0], lambda_="log-likelihood")
        found = outcome("g_test", counts, p, replicates=9999)
        assert found.statistic == pytest.approx(value.statistic)
        assert found.p_value == pytest.approx(value.pvalue, abs=0.02)  # standard error .005

    def test_g_of_an_impossible_count(self) -> None:
        assert np.isinf(multinomial.statistic(np.array([[1.0, 4.0]]), np.array([[0.0, 1.0]])))
        assert outcome("g_test", np.array([[1.0, 4.0]]), np.array([[0.0, 1.0]])).p_value == 0.001
        with pytest.raises(InputError, match="sum to one"):
            outcome("g_test", np.array([[1.0, 4.0]]), np.array([[0.5, 0.6]]))

    def test_holm_is_that_of_statsmodels(self) -> None:
        from statsmodels.stats.multitest import multipletests

        p = np.random.default_rng(3).random(7) ** 3
        mine = _null.holm({str(i): v for i, v in enumerate(p)})
        np.testing.assert_allclose(
            [mine[str(i)] for i in range(7)], multipletests(p, method="holm")[1]
        )

    def test_the_u_statistic_written_out(self) -> None:
        rng, m = np.random.default_rng(4), 5
        kernel = np.exp(-rng.random((12, 12)))
        kernel = kernel + kernel.T
        np.fill_diagonal(kernel, 0.0)
        labels = np.r_[np.ones(m), np.zeros(7)][None]
        xx, yy, xy = (
            kernel[:m, :m].sum() / (5 * 4),
            kernel[m:, m:].sum() / (7 * 6),
            kernel[:m, m:].mean(),
        )
        assert _two_sample.unbiased(kernel, labels) == pytest.approx(xx + yy - 2 * xy)

    def test_a_band_holds_whole_ecdfs(self) -> None:
        """Museum 9: exact runs left a continuous band in 97 % of the cases (200 data sets,
        100 draws).
        """
        low, high = ecdf_band.band(200, 100)
        counts = (
            np.random.default_rng(5)
            .multinomial(200, np.full(101, 1 / 101), 2000)
            .cumsum(-1)[:, :-1]
        )
        inside = ((low <= counts) & (counts <= high)).all(-1)
        assert 0.935 <= inside.mean() <= 0.965  # standard error .005; measured .945
        assert (low <= high).all()
        ranks = [
            np.repeat(np.arange(101.0), np.diff(c, prepend=0, append=200)) for c in counts[:200]
        ]
        p = np.array([outcome("ecdf_band", r, draws=100).p_value for r in ranks])
        assert ((p > 0.05) == inside[:200]).all()

    def test_wealth_is_the_likelihood_ratio_and_impossible_outcomes_are_proofs(self) -> None:
        exact, candidate = np.log([0.5, 0.2, 0.9]), np.log([0.25, 0.4, 0.1])
        found = outcome("e_process", exact, candidate)
        assert found.p_value == pytest.approx(1 / 9)
        assert outcome("e_process", exact, np.r_[candidate[:2], -np.inf]).p_value == 0
        assert outcome("e_process", np.r_[-np.inf, exact[1:]], candidate).p_value == 1
        with pytest.raises(InputError, match="one of the two"):
            outcome("e_process", np.array([-np.inf]), np.array([-np.inf]))

    def test_wealth_that_was_reached_counts_after_it_is_lost(self) -> None:
        """2, then 10, then 1: one may stop at 10."""
        found = outcome("e_process", np.log([0.5, 0.5, 0.05]), np.log([0.25, 0.1, 0.5]))
        assert found.p_value == pytest.approx(0.1)
        assert found.statistic == pytest.approx(np.log(10))

    def test_every_component_of_the_battery_is_uniform_under_the_null(self) -> None:
        """Adjusted values times their order undo Holm only for the smallest,
        so components are taken alone.
        """
        from veribayes.validation.checks import rosenblatt

        found: dict[str, list[float]] = {}
        for i in range(400):
            (z, x), _ = given("rosenblatt", 30, seed=i)
            squares = (z**2).sum(-1)
            columns, basis = z.reshape(-1, 2).T, rosenblatt._basis(x)
            p = (
                rosenblatt._margins(columns)
                | rosenblatt._correlations(columns)
                | rosenblatt._radius(squares.ravel(), 2)
            )
            p["mean on x"] = rosenblatt._explained(10 * z.mean(1)[:, 0], basis)
            p["scale on x"] = rosenblatt._explained(
                rosenblatt._normal_scores(squares.sum(1), 200), basis
            )
            for name, value in p.items():
                found.setdefault(name, []).append(value)
        for name, values in found.items():
            assert stats.kstest(values, "uniform").pvalue > 1e-3, (
                name
            )  # eight components; smallest measured: .17

    def test_ranks_break_ties_at_random(self) -> None:
        """A constant quantity says nothing, and its ranks are uniform."""
        found = _ranks.ranks(np.zeros((4000, 1)), np.zeros((4000, 9, 1)))
        assert stats.chisquare(np.bincount(found[:, 0], minlength=10)).pvalue > 1e-3
        assert (
            _ranks.ranks(np.full((3, 2), 0.5), np.broadcast_to(np.arange(4.0)[:, None], (3, 4, 2)))
            == 1
        ).all()

    @pytest.mark.parametrize(
        ("rho", "low", "high"), [(0.0, 1, 2), (0.3, 2, 6), (0.6, 5, 13), (0.9, 20, 70)]
    )
    def test_thinning_follows_the_autocorrelation(self, rho: float, low: int, high: int) -> None:
        """What leaves .02 of an AR(1) chain: 1, 4, 8 and 38 steps."""
        noise = np.random.default_rng(6).standard_normal((5000, 2))
        assert (
            low <= _two_sample.thinning(signal.lfilter([1.0], [1.0, -rho], noise, axis=0)) <= high
        )

    def test_units_move_together(self) -> None:
        """Ten rows a unit that share a shift: permuting rows rejects the null nearly always,
        permuting units at .05.
        """
        unit = np.repeat(np.arange(12), 10)
        wrong, right = 0, 0
        for i in range(60):
            rng = np.random.default_rng([7, i])
            x, y = (
                rng.standard_normal((120, 1)) + rng.standard_normal((12, 1))[unit] for _ in range(2)
            )
            wrong += outcome("energy_permutation", x, y, thin=False).p_value <= 0.05
            right += outcome("energy_permutation", x, y, units=(unit, unit)).p_value <= 0.05
        assert wrong >= 15  # of 60; measured: 27
        assert right <= 9  # 99.9 % limit of a binomial with .05; measured: 2
        with pytest.raises(ShapeError, match="unit labels"):
            outcome("energy_permutation", x, y, units=(unit, unit[1:]))
        with pytest.raises(InputError, match="at least 10"):
            outcome("energy_permutation", x[:90], y[:90], units=(unit[:90], unit[:90]))


def test_ranks_out_of_range_are_refused() -> None:
    for bad in (0.5, -1.0, 21.0):
        with pytest.raises(InputError, match="integer ranks"):
            outcome("sbc_rank", np.full((20, 1), bad), draws=20)


def test_collinear_covariates_add_nothing() -> None:
    (z, x), _ = given("rosenblatt", 50)
    assert outcome("rosenblatt", z, np.c_[x, x]).p_value == pytest.approx(
        outcome("rosenblatt", z, x).p_value
    )


class TestClassifiers:
    def test_the_default_is_the_ridge_classifier_of_scikit_learn(self) -> None:
        from sklearn.linear_model import RidgeClassifier

        rng = np.random.default_rng(20)
        train, rows = rng.standard_normal((60, 7)), rng.standard_normal((30, 7))
        labels = np.where(rng.random((4, 60)) < 0.4, 1.0, -1.0)
        mine = _classifier.predicted(None, train, labels, rows)
        peer = (
            RidgeClassifier(alpha=_classifier.RIDGE * 60)
            .fit(train, labels[0])
            .decision_function(rows)
        )
        np.testing.assert_allclose(mine[0], peer, atol=1e-12)

    def test_any_learner_has_the_same_null(self) -> None:
        from sklearn.neighbors import KNeighborsRegressor

        rng = np.random.default_rng(21)
        x, y = rng.standard_normal((2, 60, 2))
        found = outcome(
            "c2st", x, y + 2, thin=False, learner=KNeighborsRegressor(5), permutations=99
        )
        assert found.p_value == 0.01
        assert found.statistic > 0.8  # measured: .87; the best possible accuracy is .92
        wrong = 0
        for i in range(60):
            x, y = np.random.default_rng([21, i]).standard_normal((2, 20, 2))
            learner = KNeighborsRegressor(3)
            wrong += (
                outcome("c2st", x, y, thin=False, learner=learner, permutations=19, seed=i).p_value
                <= 0.05
            )
        assert wrong <= stats.binom.ppf(0.999, 60, 0.05)  # measured: 0

    def test_folds_hold_out_what_they_score(self) -> None:
        """A learner that remembers its rows is right about half of the others."""
        from sklearn.neighbors import KNeighborsRegressor

        x, y = np.random.default_rng(22).standard_normal((2, 400, 1))
        found = outcome("c2st", x, y, thin=False, learner=KNeighborsRegressor(1), permutations=19)
        assert abs(found.statistic - 0.5) < 4 * 0.5 / np.sqrt(
            800
        )  # measured: .50; seen rows would give 1

    @pytest.mark.parametrize(("m", "n"), [(200, 200), (600, 150)])
    def test_the_limit_on_total_variation_is_one(self, m: int, n: int) -> None:
        """Shift .5 in one coordinate: TV = 2 Phi(.25) - 1 = .197;
        the limit is above it in at most 5 % of the runs.
        """
        above, informed = 0, 0
        for i in range(60):
            rng = np.random.default_rng([23, m, i])
            x, y = rng.standard_normal((m, 1)), rng.standard_normal((n, 1)) + 0.5
            low = outcome("c2st", x, y, thin=False, permutations=1).measured["total_variation_low"]
            above, informed = above + (low > 0.197), informed + (low > 0)
        assert above <= stats.binom.ppf(0.999, 60, 0.05)  # measured: 4 and 0
        assert informed >= 50  # measured: 60 and 60

    def test_pairs_that_share_x_are_exchanged_and_not_shuffled(self) -> None:
        """Partners with equal x in different folds teach a learner the wrong class;
        whole pairs in a fold do not.
        """
        rng = np.random.default_rng(24)
        shared = rng.standard_normal((100, 3))
        x, y = (np.c_[rng.standard_normal(100), shared] for _ in range(2))
        found = outcome("c2st", x, y, pairs=True, permutations=99)
        assert abs(found.statistic - 0.5) < 0.15
        with pytest.raises(ShapeError, match="pairs of equal number"):
            outcome("c2st", x, y[1:], pairs=True)
        with pytest.raises(InputError, match="folds"):
            outcome("c2st", x, y, folds=50)

    def test_the_local_test_points_to_where_it_is_wrong(self) -> None:
        """Draws off by one sd where the first covariate is large, right elsewhere."""
        rng = np.random.default_rng(25)
        scene = _planted.scene(rng, 1000)
        mean, sd = _planted.posterior(scene.mean, 4)
        wrong = scene.mean[:, 0] > 1
        draws = mean + sd * (rng.standard_normal((1000, 5, 2)) + wrong[:, None, None])
        found = outcome("local_c2st", scene.truth, draws, scene.mean, permutations=99)
        assert found.p_value == 0.02  # two parts by Holm
        blamed = np.array([found.components[f"dataset {i}"] <= 0.05 for i in range(1000)])
        assert blamed[wrong].mean() > 0.6  # measured: .81
        assert blamed[~wrong].mean() < 0.1  # measured: .03, beside the border


class TestInContext:
    def test_a_bayes_predictor_is_a_martingale_also_under_a_wrong_prior(self) -> None:
        """Beta(5, 1) for coins with a uniform prior: it believes its own continuations."""
        wrong = 0
        for i in range(100):
            rng = np.random.default_rng([30, i])
            heads = np.repeat(rng.binomial(20, rng.random((100, 1))), 10, axis=1)
            tosses, found = 20, [(5 + heads) / 26]
            for _ in range(6):
                heads, tosses = heads + (rng.random(heads.shape) < found[-1]), tosses + 1
                found.append((5 + heads) / (6 + tosses))
            wrong += (
                outcome("martingale", np.stack(found, -1)[..., None], flips=199).p_value <= 0.05
            )
        assert wrong <= stats.binom.ppf(0.999, 100, 0.05)  # measured: 4

    def test_drift_and_scatter_see_different_defects(self) -> None:
        for defect, seen, other in [
            ("leans to heads by .02", "drift", None),
            ("forgets, weight .9 a toss", "scatter", "drift"),
            ("too sure, power 1.5", "scatter", "drift"),
        ]:
            (values,), options = given("martingale", 300, defect=defect)
            components = outcome("martingale", values, **options).components
            assert components[seen] < 0.01
            assert other is None or components[other] > 0.05

    def test_what_it_refuses(self) -> None:
        (values,), _ = given("martingale", 50)
        with pytest.raises(InputError, match="two paths"):
            outcome("martingale", values[:, :1])
        with pytest.raises(InputError, match="one prediction a prompt"):
            outcome("martingale", values[:, :, 1:])
        with pytest.raises(InputError, match="that move"):
            outcome("martingale", np.repeat(values[:, :, :1], 4, axis=2))

    def test_exact_bayes_does_not_depend_on_the_order_and_a_forgetful_predictor_does(self) -> None:
        exact, forgetful = (
            (given("exchangeability", 200, defect=d)[0][0]) for d in ("exact Bayes", NULL)
        )
        assert exchangeability.order_dependence(exact).max() < 1e-15
        assert outcome("exchangeability", exact, tolerance=1e-6).p_value < 1e-10
        assert (
            outcome("exchangeability", forgetful, tolerance=0.005).p_value > 0.99
        )  # its mean is .0091 nats
        assert outcome("exchangeability", forgetful, tolerance=0.02).p_value < 0.01

    def test_order_dependence_that_is_infinite_or_seen_once_is_not_excused(self) -> None:
        (probs,), _ = given("exchangeability", 100, defect="exact Bayes")
        broken = probs.copy()
        broken[0, 3] = [1.0, 0.0]
        found = outcome("exchangeability", broken, tolerance=0.1)
        assert np.isinf(found.statistic)
        assert found.p_value == 1
        with pytest.raises(InputError, match="positive tolerance"):
            outcome("exchangeability", probs, tolerance=0.0)
        with pytest.raises(InputError, match="sum to one"):
            outcome("exchangeability", 2 * probs, tolerance=0.1)


def test_atoms_are_spread_and_the_cdf_alone_is_not_uniform() -> None:
    below, upto = given("pit_uniform-atoms", 500)[0]
    assert outcome("pit_uniform", upto).p_value < 1e-3
    assert outcome("pit_uniform", below, upto).p_value > 0.01  # measured: .52
    assert outcome("pit_uniform", below, upto, seed=1) != outcome(
        "pit_uniform", below, upto, seed=2
    )
    with pytest.raises(InputError, match=r"F\(y-\) <= F\(y\)"):
        outcome("pit_uniform", upto, below)


def test_sliced_w2_on_a_line_is_w2() -> None:
    from scipy.stats import wasserstein_distance

    rng = np.random.default_rng(31)
    x, y = rng.standard_normal((30, 1)), rng.standard_normal((30, 1)) + 4
    pooled = with_spread(np.concatenate([x, y]), "both")
    found = outcome("sliced_wasserstein", x, y, thin=False)
    order = np.sort(pooled[:30, 0]), np.sort(pooled[30:, 0])
    assert found.statistic == pytest.approx(((order[0] - order[1]) ** 2).mean())
    assert found.statistic >= wasserstein_distance(*order) ** 2


def test_a_family_is_corrected_and_states_its_number() -> None:
    (z, x), _ = given("rosenblatt", 50)
    first = outcome("rosenblatt", z, x)
    made = family(
        {"battery": first, "pit": Outcome(1.0, 0.02, 50), "counts": Outcome(2.0, 0.03, 50)}
    )
    assert made.adjusted["pit"] == pytest.approx(0.04 if first.p_value < 0.02 else 0.06)
    assert made.rejected() == [] or made.rejected() == ["battery"]
    assert (
        str(made).splitlines()[-1]
        == f"3 tests of {len(first.components) + 2} parts; Holm over tests, parts within their test"
    )
    with pytest.raises(InputError, match="at least one"):
        family({})


def test_optional_stopping_costs_a_fixed_sample_test_its_size() -> None:
    """Ten looks at 100 nulls; measured over 1,000: docs/calibration.md."""
    looks, anytime = (
        rejections(problem, NULL, 100, 100) for problem in ("pit_uniform-looks", "e_process-looks")
    )
    assert looks > stats.binom.ppf(0.999, 100, 0.05)  # measured: 25
    assert anytime <= stats.binom.ppf(0.999, 100, 0.05)  # measured: 0


class TestBetsAgainstTheTolerance:
    def test_wealth_by_hand_and_at_any_moment(self) -> None:
        from veribayes.validation.checks.e_mean import STAKES, log_wealth

        values = np.array([0.5, 3.0, 2.0])
        by_hand = np.log(np.mean([np.cumprod(1 + s * (values / 2 - 1)) for s in STAKES], axis=0))
        np.testing.assert_allclose(log_wealth(values, 2.0), by_hand, rtol=1e-12)
        assert outcome("e_mean", values, tolerance=2.0).statistic == pytest.approx(
            max(0.0, by_hand.max())
        )
        assert outcome("e_mean", np.array([0.5, np.inf]), tolerance=2.0).p_value == 0
        with pytest.raises(InputError, match="not negative"):
            outcome("e_mean", values - 1, tolerance=2.0)

    def test_wealth_that_was_reached_counts_after_it_is_lost(self) -> None:
        """Five tolerances, then nothing: the first factor is 1 + 4 s,
        over the stakes 2.05 on average; others are below 1.
        """
        found = outcome("e_mean", np.array([5.0, 0.0, 0.0, 0.0, 0.0]), tolerance=1.0)
        assert found.p_value == pytest.approx(
            1 / (1 + 4 * np.mean([0.02, 0.05, 0.1, 0.2, 0.4, 0.8]))
        )

    def test_it_holds_at_every_moment_where_a_mean_is_the_tolerance(self) -> None:
        """A tenth of a percent of the data sets holds half of the mean:
        nothing is assumed of the law.
        """
        rng, early = np.random.default_rng(40), 0
        for _ in range(400):
            values = 0.5 * rng.exponential(size=500) + 500 * (rng.random(500) < 0.001)
            early += outcome("e_mean", values, tolerance=1.0).p_value <= 0.05
        assert early <= stats.binom.ppf(0.999, 400, 0.05)  # measured: 5

    def test_waiting_times_are_those_of_the_running_wealth(self) -> None:
        (values,), options = given("e_mean", 1000, defect="1.5 times the tolerance")
        part = registry.load("check", "e_mean")
        first = _measure._first(part, (values,), options)
        rejected = [part.run(values[:n], **options).p_value <= 0.05 for n in range(1, 1001)]
        assert first == rejected.index(True) + 1
        assert _measure._first(part, (values[:5] * 0,), options) == np.inf
        (row,) = [w for w in _measure.waiting(0, 5) if w.defect == "5 times the tolerance"]
        assert row.mean < 20
        assert "e_mean: 5 times the tolerance" in _measure.waiting_table([row])


def test_standardising_ignores_the_order_and_scale() -> None:
    x = np.random.default_rng(8).standard_normal((50, 3))
    np.testing.assert_allclose(
        with_spread(1e-9 * x[::-1] + 5e-9, "x")[::-1], with_spread(x, "x"), rtol=1e-7
    )
    assert with_spread(x, "x").std(0) == pytest.approx(np.ones(3))


class TestMeasure:
    JOBS = _measure.jobs(20, 0, ["e_process", "pit_uniform"])

    def test_shards_are_reused_and_bound_to_the_sources(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = _measure.run(self.JOBS, tmp_path, _nothing, workers=1)
        assert len(list(tmp_path.glob("*.json"))) == len(self.JOBS) == 12
        (tmp_path / "e_process-none-50-0.json").unlink()
        measured: list[Job] = []
        monkeypatch.setattr(Job, "measure", lambda job: measured.append(job) or {"rejected": 0})
        again = _measure.run(self.JOBS, tmp_path, _nothing, workers=1)
        assert [job.path(tmp_path).name for job in measured] == ["e_process-none-50-0.json"]
        assert again[1:3] == first[1:3]
        monkeypatch.setattr(_measure, "source_digest", lambda test=None: "other")
        _measure.run(self.JOBS, tmp_path, _nothing, workers=1)
        assert len(measured) == 1 + len(self.JOBS)

    def test_processes_do_not_change_the_result(self, tmp_path: Path) -> None:
        jobs = self.JOBS[:4]
        seen: list[int] = []
        spread = _measure.run(jobs, tmp_path, seen.append, workers=2)
        assert spread == [Rate(job, **job.measure()) for job in jobs]
        assert seen == [0, 1, 2, 3, 4]

    def test_a_size_that_is_too_large_is_said(self) -> None:
        job = Job(50, 10_000, 0, problem="sbc_rank", defect=NULL)
        assert Rate(job, 600).sound
        assert not Rate(job, 601).sound
        exact = Job(
            30, 10_000, 0, problem="g_test", defect=NULL
        )  # must lie in the band on both sides
        assert [Rate(exact, k).sound for k in (429, 430, 573, 574)] == [False, True, True, False]
        assert Rate(job, 500).limits == pytest.approx((0.0458, 0.0545), abs=1e-4)
        assert "too large" in _measure.tables([Rate(job, 700)])
        with pytest.raises(InputError, match="20 nulls"):
            _measure.jobs(0, 0)

    def test_the_command(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(
            _measure, "PROBLEMS", {k: PROBLEMS[k] for k in ("e_process", "sbc_rank")}
        )
        few = {name: intervals.INTERVALS[name] for name in ("difference", "sequences")}
        monkeypatch.setattr(intervals, "INTERVALS", few)
        command = [
            "veribayes",
            "calibrate-tests",
            "--nulls",
            "20",
            "--out",
            str(tmp_path),
            "--workers",
            "1",
        ]
        texts = []
        for more in ([], ["--json"]):
            monkeypatch.setattr(sys, "argv", command + more)
            with pytest.raises(SystemExit) as end:
                cli.main()
            assert not end.value.code
            texts.append(capsys.readouterr().out)
        assert "| sbc_rank | conservative | 50 |" in texts[0]
        assert "| posterior = prior |" in texts[0]
        document = json.loads(texts[1])
        assert document["schema"] == "veribayes.calibration/1"
        assert {(s["test"], s["n"]) for s in document["size"]} == {
            (name, n) for name in ("e_process", "sbc_rank") for n in PROBLEMS[name].sizes
        }
        assert all(0 <= p["low"] <= p["rate"] <= p["high"] <= 1 for p in document["power"])
        assert {row["interval"] for row in document["intervals"]} == set(few)
        assert "| difference | signed, mean 0 | 50 |" in texts[0]
        assert json.loads((tmp_path / "calibration.json").read_text()) == document
        assert (tmp_path / "calibration.md").read_text().strip() == texts[0].strip()
        drawn = (tmp_path / "calibration.svg").read_text()
        assert drawn.count("<svg") == 1
        assert "e_process" in drawn
        assert "difference: signed, mean 0" in (tmp_path / "coverage.svg").read_text()


def _nothing(done: int) -> None:
    del done


def test_problems_are_what_they_say() -> None:
    """z is whitened: transforming it back gives the planted posterior."""
    scene = _planted.scene(np.random.default_rng(9), 4000)
    z = np.random.default_rng(10).standard_normal((4000, 50, 2))
    mean, sd = _planted.posterior(scene.mean, 4)
    prior = mean + sd * POSTERIORS["posterior = prior"](scene, z)
    np.testing.assert_allclose(prior, z, atol=1e-12)
    error = (scene.truth - mean[:, 0]) / sd
    assert error.std() == pytest.approx(1, abs=0.03)  # standard error .008
    assert abs((error * scene.mean).mean()) < 0.05
    correlated = POSTERIORS["correlation .6"](scene, z).reshape(-1, 2)
    assert np.corrcoef(correlated.T)[0, 1] == pytest.approx(0.6, abs=0.01)
    tails: Callable[..., Array] = _planted.SAMPLES["t5 tails, unit variance"]
    assert tails(np.random.default_rng(11), 100_000).std() == pytest.approx(1, abs=0.02)
    assert special.ndtr(0.0) == 0.5

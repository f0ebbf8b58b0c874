"""Properties that hold for every metric, and the rules of the frame:
what applies, NaN, blocks, infinities.
"""

from __future__ import annotations

import numpy as np
import pytest

from veribayes import registry
from veribayes.errors import InputError, ShapeError
from veribayes.predictive import (
    Array,
    Bins,
    Categorical,
    Draws,
    Normal,
    NormalMixture,
    Predictive,
    Quantiles,
)
from veribayes.validation.metrics._cells import log_masses
from veribayes.validation.metrics._metric import Metric

SHAPE = (6, 3, 4)
DIVERGENCES = ("kl", "kl_density", "kl_reverse", "js", "hellinger", "total_variation", "crps")
EDGES = np.linspace(-3.0, 3.0, 41)


def metric(name: str) -> Metric:
    found = registry.load("metric", name)
    assert isinstance(found, Metric)
    return found


def random_law(form: str, seed: int) -> Predictive:
    rng = np.random.default_rng(seed)
    if form == "categorical":
        return Categorical(rng.dirichlet(np.ones(5), SHAPE))
    if form == "normal":
        return Normal(rng.normal(size=SHAPE), rng.uniform(0.2, 2.0, SHAPE))
    if form == "mixture":
        size = (*SHAPE, 3)
        return NormalMixture(
            rng.dirichlet(np.ones(3), SHAPE), rng.normal(size=size), rng.uniform(0.2, 2.0, size)
        )
    if form == "bins":
        return Bins(rng.dirichlet(np.ones(42), SHAPE), EDGES, np.array([0.5, 0.5]))
    if form == "quantiles":
        return Quantiles(np.linspace(0.1, 0.9, 9), np.sort(rng.normal(size=(*SHAPE, 9)), -1))
    if form == "draws of categories":
        return Draws(rng.integers(0, 5, (*SHAPE, 50)).astype(float))
    return Draws(rng.normal(size=(*SHAPE, 50)))


PAIRS = [(n, q, p) for n in DIVERGENCES for q, p in sorted(metric(n).kernels)]


@pytest.mark.parametrize(("name", "q", "p"), PAIRS)
def test_divergences_are_not_negative_and_ignore_blocks(
    name: str, q: str, p: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = "draws of categories" if (q, p) == ("draws", "categorical") else q
    candidate, reference, outcome = random_law(drawn, 1), random_law(p, 2), np.zeros(SHAPE)
    scores = metric(name).score(candidate, reference, outcome)
    assert scores.shape == SHAPE
    if q != "draws":  # unbiased estimators may be negative
        assert scores.min() > 0
    if name in ("hellinger", "total_variation"):
        assert scores.max() <= 1
    if name == "js":
        assert scores.max() <= np.log(2)
    monkeypatch.setattr("veribayes.validation.metrics._metric.BLOCK", 1)  # a row at a time
    np.testing.assert_allclose(
        metric(name).score(candidate, reference, outcome), scores, rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize(("name", "form"), sorted({(n, q) for n, q, p in PAIRS if q == p}))
def test_divergences_vanish_at_equality(name: str, form: str) -> None:
    law = random_law(form, 3)
    if form == "bins" and name == "kl_density":
        return
    # measured: 4e-16 at most, sign as rounding leaves it; a distance is its square root
    assert np.abs(metric(name).score(law, law, np.zeros(SHAPE))).max() < (
        1e-7 if name == "hellinger" else 5e-15
    )


@pytest.mark.parametrize("name", [n for n in DIVERGENCES if n != "crps"])
def test_a_mixture_of_equal_components_is_its_normal(name: str) -> None:
    law, other = random_law("normal", 4), random_law("normal", 5)
    assert isinstance(law, Normal)
    same = NormalMixture(
        np.full((*SHAPE, 2), 0.5), np.stack([law.mean] * 2, -1), np.stack([law.sd] * 2, -1)
    )
    for candidate, reference, twin in ((law, other, (same, other)), (other, law, (other, same))):
        wanted = metric(name).score(candidate, reference, np.zeros(SHAPE))
        np.testing.assert_allclose(
            metric(name).score(twin[0], twin[1], np.zeros(SHAPE)), wanted, rtol=1e-9, atol=1e-12
        )


def test_inequalities_between_divergences() -> None:
    p, q, outcome = random_law("categorical", 6), random_law("categorical", 7), np.zeros(SHAPE)
    kl, tv, js, h = (
        metric(n).score(q, p, outcome) for n in ("kl", "total_variation", "js", "hellinger")
    )
    assert (2 * tv**2 <= kl).all()  # Pinsker
    assert (h**2 <= tv).all()
    assert (tv <= np.sqrt(2) * h).all()
    assert (js <= tv * np.log(2)).all()


def test_bins_in_the_limit_of_fine_exact_masses_are_the_normal() -> None:
    rng = np.random.default_rng(8)
    reference, other = (
        Normal(rng.normal(size=SHAPE), rng.uniform(0.6, 1.5, SHAPE)) for _ in range(2)
    )
    fine = np.linspace(-12.0, 12.0, 2401)
    shape_only = Bins(np.full((*SHAPE, 2402), 1 / 2402), fine, np.ones(2))
    bins = Bins(
        np.exp(log_masses(other, shape_only)), fine, np.ones(2)
    )  # a difference of cdfs would round to zero
    for name in DIVERGENCES:
        found, wanted = (
            metric(name).score(law, reference, np.zeros(SHAPE)) for law in (bins, other)
        )
        np.testing.assert_allclose(
            found, wanted, rtol=1e-4, atol=2e-4
        )  # measured: 2e-4 absolute for KL, 7e-6 for the rest


def test_zero_probabilities_are_infinite_and_their_mass_is_told() -> None:
    p = Categorical(np.array([[[[0.7, 0.3, 0.0]]]]))
    q = Categorical(np.array([[[[0.9, 0.0, 0.1]]]]))
    outcome = np.zeros((1, 1, 1))
    score = {
        name: metric(name).score(q, p, outcome).item()
        for name in registry.names("metric")
        if metric(name).applies(q.form, p.form)
    }
    assert score["kl"] == np.inf
    assert score["kl_reverse"] == np.inf
    assert score["missed_mass"] == pytest.approx(0.3)
    assert score["impossible_mass"] == pytest.approx(0.1)
    assert score["js"] < np.log(2)
    padded = Categorical(np.array([[[[0.6, 0.4, 0.0]]]]))  # 0 log 0 = 0 in padding
    assert np.isfinite(metric("kl").score(padded, p, outcome)).all()
    assert np.isfinite(metric("kl_reverse").score(padded, p, outcome)).all()


def test_bins_without_tails_are_compared_inside_and_the_rest_is_told() -> None:
    reference = Normal(np.zeros((1, 1, 1)), np.ones((1, 1, 1)))
    edges = np.linspace(-1.0, 1.0, 21)
    inside = np.diff(reference.cdf(edges.reshape(1, 1, 1, -1)).ravel())
    bins = Bins((inside / inside.sum()).reshape(1, 1, 1, -1), edges)
    outcome = np.zeros((1, 1, 1))
    assert metric("kl").score(bins, reference, outcome).item() == pytest.approx(0.0, abs=1e-15)
    assert metric("missed_mass").score(bins, reference, outcome).item() == pytest.approx(
        1 - inside.sum()
    )
    assert metric("total_variation").score(bins, reference, outcome).item() == pytest.approx(
        1 - inside.sum()
    )


def test_far_cells_neither_underflow_nor_cancel() -> None:
    """A reference forty standard deviations from the bins: masses exist only as logarithms."""
    bins = Bins(np.full((1, 1, 1, 10), 0.1), np.linspace(0.0, 1.0, 11))
    reference = Normal(np.full((1, 1, 1), -40.0), np.ones((1, 1, 1)))
    assert metric("kl").score(bins, reference, np.zeros((1, 1, 1))).item() == pytest.approx(
        np.log(10), abs=0.1
    )
    assert np.isfinite(metric("kl_reverse").score(bins, reference, np.zeros((1, 1, 1)))).all()


def test_queries_that_do_not_apply_are_nan_and_nothing_else_is() -> None:
    outcome = np.zeros(SHAPE)
    outcome[::2, 0, 1] = np.nan
    for name in registry.names("metric"):
        for q, p in sorted(metric(name).kernels):
            if "draws" in (q, p) or "quantiles" in (q, p):
                continue
            scores = metric(name).score(random_law(q, 1), random_law(p, 2), outcome)
            assert np.array_equal(np.isnan(scores), np.isnan(outcome))
    assert np.isnan(
        metric("kl").score(random_law("normal", 1), random_law("normal", 2), np.full(SHAPE, np.nan))
    ).all()


def test_unfit_forms_and_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="draws of categories"):
        metric("kl_draws").score(random_law("draws", 1), random_law("normal", 2), np.zeros(SHAPE))
    with pytest.raises(ShapeError, match="leading shape"):
        metric("kl").score(random_law("normal", 1)[:, :2], random_law("normal", 2), np.zeros(SHAPE))


def test_quadrature_that_sees_nothing_is_refused_not_believed() -> None:
    """Two coarse grids agree on zero between 200 needles; the missing mass gives them away."""
    comb = NormalMixture(
        *(np.tile(v, (1, 1, 1, 1)) for v in ([0.005] * 200, np.linspace(0, 1, 200), [1e-7] * 200))
    )
    wider = NormalMixture(comb.weights, comb.mean, comb.sd * 2)
    with pytest.raises(InputError, match="panels resolve"):
        metric("kl").score(comb, wider, np.zeros((1, 1, 1)))


def test_a_score_that_is_nan_is_never_passed_on() -> None:
    broken = Metric(
        "broken",
        "x",
        "1",
        0.0,
        "normals",
        "none",
        {("normal", "normal"): lambda q, p: np.full(q.shape, np.nan)},
    )
    with pytest.raises(ArithmeticError, match="broken is NaN in 72 of 72"):
        broken.score(random_law("normal", 1), random_law("normal", 2), np.zeros(SHAPE))


@pytest.mark.parametrize("form", ["categorical", "normal", "mixture", "bins", "quantiles", "draws"])
def test_pit_is_uniform_for_outcomes_of_the_candidate(form: str) -> None:
    rng = np.random.default_rng(11)
    size = (4000, 1, 1)
    law: Predictive = {
        "categorical": Categorical(rng.dirichlet(np.ones(4), size)),
        "normal": Normal(rng.normal(size=size), rng.uniform(0.5, 2, size)),
        "mixture": NormalMixture(
            rng.dirichlet(np.ones(3), size),
            rng.normal(size=(*size, 3)),
            rng.uniform(0.1, 2, (*size, 3)),
        ),
        "bins": Bins(
            rng.dirichlet(np.ones(22), size), np.linspace(-2, 2, 21), np.array([0.3, 0.6])
        ),
        "quantiles": Quantiles(
            np.array([0.1, 0.3, 0.7, 0.8]), np.tile([-1.0, 0.0, 1.0, 1.0], (*size, 1))
        ),
        "draws": Draws(rng.integers(0, 6, (*size, 9)).astype(float)),  # ties
    }[form]
    outcome = (
        rng.integers(0, 6, size).astype(float) if form == "draws" else law.sample(rng, 1)[..., 0]
    )
    if (
        form == "quantiles"
    ):  # below the first and above the last level the form is silent: any value will do
        u = rng.random(size)
        outcome = np.select(
            [u < 0.1, u > 0.8],
            [-5.0, 7.0],
            np.interp(u, [0.1, 0.3, 0.7, 0.8], [-1.0, 0.0, 1.0, 1.0]),
        )
    pit = metric("pit").score(law, law, outcome)
    assert _kolmogorov(pit.ravel()) < 1.63 / np.sqrt(pit.size)  # 1 % critical value; fixed seed


def test_pit_noise_belongs_to_the_data_set_not_to_the_batch() -> None:
    law, outcome = random_law("categorical", 1), np.ones(SHAPE)
    whole = metric("pit").score(law, law, outcome, index=np.arange(6))
    tail = metric("pit").score(law[4:], law[4:], outcome[4:], index=np.array([4, 5]))
    np.testing.assert_array_equal(whole[4:], tail)


def test_log_score_regret_has_the_mean_of_the_divergence() -> None:
    rng = np.random.default_rng(12)
    p, q = (
        Categorical(np.broadcast_to(rng.dirichlet(np.ones(4)), (100_000, 1, 1, 4)))
        for _ in range(2)
    )
    outcome = p.sample(rng, 1)[..., 0]
    regret, exact = (
        metric("log_score_regret").score(q, p, outcome),
        metric("kl").score(q, p, outcome),
    )
    assert abs(regret.mean() - exact.mean()) < 4 * regret.std() / np.sqrt(
        regret.size
    )  # measured: .6 standard errors
    one = Categorical(np.array([[[[1.0, 0.0]]]]))
    with pytest.raises(InputError, match="possible under the reference"):
        metric("log_score_regret").score(one, one, np.ones((1, 1, 1)))


def _kolmogorov(u: Array) -> float:
    ordered = np.sort(u)
    grid = np.arange(1, u.size + 1) / u.size
    return float(max((grid - ordered).max(), (ordered - grid + 1 / u.size).max()))


def test_the_largest_error_is_that_of_one_category() -> None:
    p, q = (Categorical(np.array([[[row]]])) for row in ([0.5, 0.3, 0.2], [0.4, 0.2, 0.4]))
    assert metric("max_error").score(q, p, np.zeros((1, 1, 1))).item() == pytest.approx(0.2)
    candidate, reference, outcome = random_law("bins", 1), random_law("normal", 2), np.zeros(SHAPE)
    error, distance = (
        metric(n).score(candidate, reference, outcome) for n in ("max_error", "total_variation")
    )
    assert (error <= distance).all()


@pytest.mark.parametrize("form", ["categorical", "normal", "mixture", "bins"])
def test_highest_density_regions_cover_what_they_say(form: str) -> None:
    rng, size = np.random.default_rng(13), (4000, 1, 1)
    law: Predictive = {
        "categorical": Categorical(rng.dirichlet(np.ones(4), size)),
        "normal": Normal(rng.normal(size=size), rng.uniform(0.5, 2, size)),
        "mixture": NormalMixture(
            rng.dirichlet(np.ones(3), size),
            rng.normal(size=(*size, 3)),
            rng.uniform(0.1, 2, (*size, 3)),
        ),
        "bins": Bins(
            rng.dirichlet(np.ones(22), size), np.linspace(-2, 2, 21), np.array([0.3, 0.6])
        ),
    }[form]
    reference = law if form in ("categorical", "mixture") else Normal(np.zeros(size), np.ones(size))
    u = metric("hpd").score(law, reference, law.sample(rng, 1)[..., 0])
    assert _kolmogorov(u.ravel()) < 1.63 / np.sqrt(u.size)  # 1 % critical value; fixed seed


def test_confidence_and_hit_are_those_of_the_most_probable_category() -> None:
    law, outcome = (
        Categorical(np.array([[[[0.2, 0.7, 0.1]]], [[[0.5, 0.3, 0.2]]]])),
        np.ones((2, 1, 1)),
    )
    assert metric("confidence").score(law, law, outcome).ravel() == pytest.approx([0.7, 0.5])
    assert metric("hit").score(law, law, outcome).ravel().tolist() == [1.0, 0.0]


@pytest.mark.parametrize("share", [1 / 2, 1 / 3])
def test_the_last_bit_of_a_probability_decides_nothing(share: float) -> None:
    size = 4000
    number = round(1 / share)
    exact = np.zeros((size, 1, 1, 4))
    exact[..., :number] = share
    rounded = exact.copy()
    rounded[..., 0] = np.nextafter(share, 0)
    outcome = np.ones((size, 1, 1))
    for name in ("hit", "hpd"):
        laws = (Categorical(probs) for probs in (exact, rounded))
        one, other = (metric(name).score(law, law, outcome) for law in laws)
        assert one == pytest.approx(other, abs=1e-9)
        wanted = share if name == "hit" else 0.5  # one of the equal ones is named; u is uniform
        assert one.mean() == pytest.approx(wanted, abs=4 / np.sqrt(size))

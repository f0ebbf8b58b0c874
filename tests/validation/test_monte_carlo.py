"""Monte Carlo error raises KL; two runs take that away.
Everything here is measured over many data sets.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from veribayes import registry
from veribayes.errors import InputError
from veribayes.predictive import Array, Bins, Categorical, Draws, Normal, NormalMixture, Predictive
from veribayes.validation.metrics._cells import log_masses
from veribayes.validation.monte_carlo import average, corrected_kl

SHAPE = (4000, 1, 1)
OUTCOME = np.zeros(SHAPE)
K, DRAWS = 10, 100


def same(row: Array) -> Array:
    return np.broadcast_to(row, (*SHAPE, row.size))


def run(rng: np.random.Generator, law: Array) -> Categorical:
    return Categorical(rng.multinomial(DRAWS, law, SHAPE) / DRAWS)


def mean_and_error(scores: Array) -> tuple[float, float]:
    return float(scores.mean()), float(scores.std() / np.sqrt(scores.size))


def test_reference_of_two_runs() -> None:
    rng = np.random.default_rng(0)
    law, other = rng.dirichlet(np.full(K, 5.0)), rng.dirichlet(np.full(K, 5.0))
    q = Categorical(same(other))
    exact = registry.load("metric", "kl").score(q, Categorical(same(law)), OUTCOME).mean()
    found = corrected_kl(q, (run(rng, law), run(rng, law)), OUTCOME)
    value, error = mean_and_error(found.value)
    assert found.raw.mean() - exact == pytest.approx(
        (K - 1) / (2 * 2 * DRAWS), rel=0.15
    )  # .0225; measured .0226
    assert abs(value - exact) < 4 * error + found.remainder.mean()  # measured: 2e-5, error 7e-4
    assert found.remainder.mean() < 0.2 * (found.raw - found.value).mean()


def test_equal_laws_are_zero_on_average_and_negative_half_of_the_time() -> None:
    rng = np.random.default_rng(1)
    law = rng.dirichlet(np.full(K, 5.0))
    found = corrected_kl(Categorical(same(law)), (run(rng, law), run(rng, law)), OUTCOME)
    value, error = mean_and_error(found.value)
    assert abs(value) < 4 * error + found.remainder.mean()  # measured: 2e-4, error 2e-4, raw .023
    assert 0.3 < (found.value < 0).mean() < 0.7


def test_candidate_of_two_runs() -> None:
    rng = np.random.default_rng(2)
    law = rng.dirichlet(np.full(K, 5.0))
    runs = [Categorical(0.02 / K + 0.98 * run(rng, law).probs) for _ in range(2)]  # no zeros
    target = 0.02 / K + 0.98 * law
    found = corrected_kl((runs[0], runs[1]), Categorical(same(target)), OUTCOME)
    value, error = mean_and_error(found.value)
    assert found.raw.mean() > 20 * error
    assert abs(value) < 4 * error + found.remainder.mean()  # measured: 3e-4 of a raw .023


@pytest.mark.parametrize("form", ["normal", "bins"])
def test_mixture_reference_of_two_runs(form: str) -> None:
    """Rao-Blackwell predictives: eight posterior draws of a mean with sd .5, noise sd 1;
    exactly N(0, 1.25).
    """
    rng = np.random.default_rng(3)
    shape, s = (200, 1, 1), 8
    runs = [
        NormalMixture(
            np.full((*shape, s), 1 / s), rng.normal(0, 0.5, (*shape, s)), np.ones((*shape, s))
        )
        for _ in range(2)
    ]
    exact = Normal(np.zeros(shape), np.full(shape, np.sqrt(1.25)))
    candidate: Predictive = exact
    if form == "bins":
        edges = np.linspace(-4, 4, 33)
        cells = Bins(np.full((1, 34), 1 / 34), edges, np.ones(2))
        mass = np.exp(log_masses(Normal(np.zeros(1), np.full(1, np.sqrt(1.25))), cells))
        candidate = Bins(np.broadcast_to(mass, (*shape, 34)), edges, np.ones(2))
    found = corrected_kl(candidate, (runs[0], runs[1]), np.zeros(shape))
    value, error = mean_and_error(found.value)
    assert found.raw.mean() > 8 * error
    assert abs(value) < 4 * error + found.remainder.mean()  # measured: 1e-3, error 9e-4, raw 8e-3


@pytest.mark.parametrize("tails", [True, False])
def test_bins_are_corrected_between_densities(tails: bool) -> None:
    """Sixteen wide bins hide most of the noise from the masses;
    the density of a Monte Carlo reference has it all.
    """
    rng, shape, s = np.random.default_rng(7), (300, 1, 1), 8
    runs = [
        NormalMixture(
            np.full((*shape, s), 1 / s), rng.normal(0, 0.5, (*shape, s)), np.ones((*shape, s))
        )
        for _ in range(2)
    ]
    exact = Normal(np.zeros(shape), np.full(shape, np.sqrt(1.25)))
    edges = np.linspace(-5, 5, 17)
    mass = np.diff(exact.cdf(np.broadcast_to(edges, (*shape, 17))), prepend=0.0, append=1.0)
    inner = mass[..., 1:-1] / mass[..., 1:-1].sum(-1, keepdims=True)
    candidate = Bins(mass, edges, np.ones(2)) if tails else Bins(inner, edges)
    truth = registry.load("metric", "kl_density").score(candidate, exact, np.zeros(shape)).mean()
    found = corrected_kl(candidate, (runs[0], runs[1]), np.zeros(shape))
    value, error = mean_and_error(found.value)
    assert found.raw.mean() - truth > 8 * error
    assert abs(value - truth) < 4 * error + found.remainder.mean()
    masses = corrected_kl(candidate, (runs[0], runs[1]), np.zeros(shape), masses=True)
    assert masses.raw.mean() < found.raw.mean()


def test_what_the_correction_leaves_is_the_next_order() -> None:
    """Two runs over two outcomes, by hand: with p = (p1 + p2) / 2 the remainder is sum p ((p1 -
    p2) / (p1 + p2))^4 / 3.
    """
    one, other, q = (Categorical(np.array([[[[a, 1 - a]]]])) for a in (0.2, 0.4, 0.5))
    found = corrected_kl(q, (one, other), np.zeros((1, 1, 1)))
    p, gap = np.array([0.3, 0.7]), np.array([0.2 / 0.6, 0.2 / 1.4])
    assert found.remainder.item() == pytest.approx((p * gap**4).sum() / 3, rel=1e-12)
    assert (found.raw - found.value).item() == pytest.approx((p * gap**2).sum() / 2, rel=1e-12)


@pytest.mark.parametrize("tails", [True, False])
def test_noise_of_densities_is_integrated_between_the_borders_by_hand(tails: bool) -> None:
    """(p1 - p2)^2 / (4 (p1 + p2)) over the line,
    or from -1 to 2 by the mass of p = (p1 + p2) / 2 that lies there.
    """
    one, other = (Normal(np.full((1, 1, 1), m), np.ones((1, 1, 1))) for m in (0.0, 0.6))
    q = Bins(
        np.full((1, 1, 1, 4 if tails else 2), 0.25 if tails else 0.5),
        np.array([-1.0, 0.5, 2.0]),
        np.ones(2) if tails else None,
    )
    found = corrected_kl(q, (one, other), np.zeros((1, 1, 1)))
    low, high = (-12.0, 12.0) if tails else (-1.0, 2.0)

    def over(share: float) -> float:
        def integrand(y: float) -> float:
            a, b = stats.norm.pdf([y, y - 0.6])
            return (a + b) / 2 * ((a - b) / (a + b)) ** (2 * share)

        return float(integrate.quad(integrand, low, high, epsabs=1e-12)[0])

    assert (found.raw - found.value).item() == pytest.approx(over(1) / 2 / over(0), rel=1e-5)
    assert found.remainder.item() == pytest.approx(over(2) / 3 / over(0), rel=1e-5)


def test_bins_of_one_layout_are_averaged_and_others_refused() -> None:
    edges, masses = np.array([-1.0, 0.0, 1.0]), (np.array([[0.2, 0.8]]), np.array([[0.6, 0.4]]))
    both = average(*(Bins(m, edges) for m in masses))
    assert isinstance(both, Bins)
    np.testing.assert_allclose(both.probs, [[0.4, 0.6]])
    with pytest.raises(InputError, match="one form"):
        average(Bins(masses[0], edges), Bins(masses[1], 2 * edges))
    tailed = Bins(np.array([[0.1, 0.2, 0.6, 0.1]]), edges, np.ones(2))
    with pytest.raises(InputError, match="one form"):
        average(Bins(masses[0], edges), tailed)
    again = average(tailed, Bins(tailed.probs, edges.copy(), np.ones(2)))
    assert isinstance(again, Bins)
    np.testing.assert_allclose(again.probs, tailed.probs)


def test_runs_with_tails_of_other_scales_are_no_two_runs_of_one_law() -> None:
    edges, mass = np.array([-1.0, 1.0]), np.array([[0.2, 0.6, 0.2]])
    with pytest.raises(InputError, match="one form"):
        average(Bins(mass, edges, np.ones(2)), Bins(mass, edges, np.array([1.0, 2.0])))


def test_exact_sides_are_left_alone_and_nan_stays() -> None:
    rng = np.random.default_rng(4)
    p, q = (
        Categorical(rng.dirichlet(np.ones(3), (3, 1, 2))),
        Categorical(rng.dirichlet(np.ones(3), (3, 1, 2))),
    )
    outcome = np.zeros((3, 1, 2))
    outcome[1, 0, 1] = np.nan
    found = corrected_kl(q, p, outcome)
    np.testing.assert_array_equal(found.value, found.raw)
    same_twice = corrected_kl((q, q), (p, p), outcome)
    np.testing.assert_allclose(same_twice.value, found.raw, rtol=1e-12)
    assert np.isnan(same_twice.remainder[1, 0, 1])


def test_average_of_runs() -> None:
    a, b = Normal(np.zeros(2), np.ones(2)), Normal(np.ones(2), np.ones(2))
    both = average(a, b)
    np.testing.assert_allclose(
        np.exp(both.log_prob([[0.3], [0.4]])),
        0.5 * (np.exp(a.log_prob([[0.3], [0.4]])) + np.exp(b.log_prob([[0.3], [0.4]]))),
    )
    with pytest.raises(InputError, match="one form"):
        average(a, Draws(np.zeros((2, 5))))
    with pytest.raises(InputError, match="leading shape"):
        average(a, Normal(np.zeros(3), np.ones(3)))


@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize(
    ("name", "exact_name", "bias"), [("kl_draws", "kl_reverse", 4.5e-3), ("js", "js", 1.1e-3)]
)
def test_draws_are_debiased_at_and_away_from_equality(
    name: str, exact_name: str, bias: float, shift: float
) -> None:
    rng = np.random.default_rng(5)
    p = rng.dirichlet(np.full(K, 5.0))
    q = (1 - shift) * p + shift * rng.dirichlet(np.full(K, 5.0))
    law, reference = Categorical(same(q)), Categorical(same(p))
    exact = registry.load("metric", exact_name).score(law, reference, OUTCOME).mean()
    scores = registry.load("metric", name).score(Draws(law.sample(rng, 1000)), reference, OUTCOME)
    value, error = mean_and_error(scores)
    assert abs(value - exact) < 4 * error  # measured: .4 standard errors or less
    assert error < bias / 20  # `bias`: of the plug-in, (K - 1) / (2 S) and (K - 1) / (8 S)


def test_draws_on_impossible_categories_are_infinite() -> None:
    kl_draws = registry.load("metric", "kl_draws")
    p = Categorical(np.array([[[[0.5, 0.5, 0.0]]]]))
    assert np.isfinite(
        kl_draws.score(Draws(np.array([[[[0.0, 1.0, 0.0]]]])), p, np.zeros((1, 1, 1)))
    ).all()
    assert (
        kl_draws.score(Draws(np.array([[[[0.0, 1.0, 2.0]]]])), p, np.zeros((1, 1, 1))).item()
        == np.inf
    )

"""Every divergence against brute-force integration of its definition: metrics x pairs of forms."""

from __future__ import annotations

import numpy as np
import pytest

from veribayes import registry
from veribayes.predictive import Array, Bins, Draws, Normal, NormalMixture, Predictive, Quantiles
from veribayes.validation.metrics._cells import log_masses

ONE = np.zeros((1, 1, 1))
EDGES = np.linspace(-2.0, 2.5, 31)
LEVELS = np.linspace(0.05, 0.95, 10)


def normal(mean: float, sd: float) -> Normal:
    return Normal(ONE + mean, ONE + sd)


def mixture(*rows: list[float]) -> NormalMixture:
    return NormalMixture(*(np.array(row).reshape(1, 1, 1, -1) for row in rows))


def laws() -> dict[str, Predictive]:
    rng = np.random.default_rng(0)
    masses, inner = rng.dirichlet(np.ones(32)), rng.dirichlet(np.ones(30))
    values = np.sort(rng.normal(size=10)).round(1)  # rounded: two values may tie
    return {
        "normal": normal(0.3, 0.8),
        "wide": normal(-0.2, 1.3),
        "mixture": mixture([0.3, 0.7], [-1.0, 1.0], [0.2, 0.9]),
        "needle": mixture([0.5, 0.5], [0.0, 0.1], [1.0, 0.05]),
        "bins": Bins(masses.reshape(1, 1, 1, -1), EDGES, np.array([0.7, 0.4])),
        "no_tails": Bins(inner.reshape(1, 1, 1, -1), EDGES),
        "quantiles": Quantiles(LEVELS, values.reshape(1, 1, 1, -1)),
    }


LAWS = laws()
BREAKS = np.unique(
    np.concatenate(
        [EDGES, np.linspace(-12, 12, 2401), LAWS["quantiles"].variables()["values"].ravel()]
    )
)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)
HALF = np.diff(BREAKS)[:, None] / 2
POINTS = (BREAKS[:-1, None] + HALF * (1 + NODES)).reshape(1, 1, 1, -1)
MEASURE = (HALF * WEIGHTS).ravel()


def xlog(a: Array, b: Array) -> Array:
    """a log(a / b) with 0 log 0 = 0."""
    with np.errstate(all="ignore"):
        return np.where(a > 0, a * np.log(a / b), 0.0)


DEFINITIONS = {
    "kl": lambda q, p: xlog(p, q).sum(),
    "kl_density": lambda q, p: xlog(p, q).sum(),
    "kl_reverse": lambda q, p: xlog(q, p).sum(),
    "js": lambda q, p: 0.5 * (xlog(p, (p + q) / 2) + xlog(q, (p + q) / 2)).sum(),
    "hellinger": lambda q, p: np.sqrt(0.5 * ((np.sqrt(p) - np.sqrt(q)) ** 2).sum()),
    "total_variation": lambda q, p: 0.5 * np.abs(p - q).sum(),
}


def by_definition(name: str, candidate: Predictive, reference: Predictive) -> float:
    """The metric from masses: of cells for bins, of 28,800 slices of the line for densities."""
    if name == "crps":
        return float(((candidate.cdf(POINTS) - reference.cdf(POINTS)) ** 2).ravel() @ MEASURE)
    if isinstance(candidate, Bins) and name != "kl_density":
        ends = np.concatenate([[-60.0], EDGES, [60.0]])
        p = np.diff(reference.cdf(ends.reshape(1, 1, 1, -1)).ravel())
        q = (
            candidate.probs.ravel()
            if candidate.tail_scale is not None
            else np.pad(candidate.probs.ravel(), 1)
        )
    else:
        q, p = (np.exp(law.log_prob(POINTS)).ravel() * MEASURE for law in (candidate, reference))
    left_out = 0.0
    if (
        name in ("kl", "kl_density")
        and isinstance(candidate, Bins)
        and candidate.tail_scale is None
    ):
        inside = p[q > 0].sum()
        p = np.where(q > 0, p, 0.0) / inside  # given that y lies between the borders
        left_out = -np.log(inside) if name == "kl_density" else 0.0
    return float(DEFINITIONS[name](q, p)) + left_out


CASES = [
    (name, c, r)
    for name in [*DEFINITIONS, "crps"]
    for c in LAWS
    for r in ("normal", "mixture")
    if c != r and registry.load("metric", name).applies(LAWS[c].form, LAWS[r].form)
]


@pytest.mark.parametrize(("name", "candidate", "reference"), CASES)
def test_metric_is_its_definition(name: str, candidate: str, reference: str) -> None:
    metric = registry.load("metric", name)
    found = metric.score(LAWS[candidate], LAWS[reference], ONE).item()
    wanted = by_definition(name, LAWS[candidate], LAWS[reference])
    # measured: at most 1e-13, and 3e-7 for TV, where the brute-force sum integrates kinks
    assert found == pytest.approx(wanted, rel=0, abs=1e-6 if name == "total_variation" else 1e-12)


def test_the_table_covers_every_pair_of_forms_on_the_line() -> None:
    assert len(CASES) == 6 * (6 * 2 - 2) + (
        7 * 2 - 2
    )  # six divergences of six laws, CRPS of seven; not with themselves


@pytest.mark.parametrize(
    ("shift", "ratio"), [(0.0, 1.0 + 1e-9), (1e-7, 1.0), (0.5, 1.0), (3.0, 20.0), (0.0, 1e-3)]
)
def test_total_variation_of_normals_near_equality_and_far_apart(shift: float, ratio: float) -> None:
    tv = registry.load("metric", "total_variation")
    found = tv.score(normal(shift, ratio), normal(0.0, 1.0), ONE).item()
    by_quadrature = tv.score(mixture([1.0], [shift], [ratio]), normal(0.0, 1.0), ONE).item()
    assert found == pytest.approx(by_quadrature, abs=1e-12)  # measured: 2e-16


def test_crps_of_many_components_agrees_with_pairs() -> None:
    crps = registry.load("metric", "crps")
    rng = np.random.default_rng(1)
    mean, sd = rng.normal(size=40), rng.uniform(0.2, 1.0, 40)
    few = mixture([1 / 40] * 40, list(mean), list(sd))
    many = mixture(
        [1 / 80] * 80, list(mean) * 2, list(sd) * 2
    )  # the same law with every component twice
    pairs, integrated = (crps.score(law, LAWS["wide"], ONE).item() for law in (few, many))
    assert integrated == pytest.approx(pairs, abs=1e-12)  # measured: 2e-15


def test_crps_of_the_scoring_rule() -> None:
    """The divergence is the expected excess of the scoring rule, as `scoringrules` has it."""
    import scoringrules

    rng = np.random.default_rng(2)
    y = rng.normal(0.3, 0.8, 400_000)
    excess = np.mean(scoringrules.crps_normal(y, -0.2, 1.3) - scoringrules.crps_normal(y, 0.3, 0.8))
    found = registry.load("metric", "crps").score(LAWS["wide"], LAWS["normal"], ONE).item()
    assert found == pytest.approx(
        excess, abs=0.002
    )  # standard error 4e-4; measured difference 5e-4


def test_narrow_bins_and_tied_quantiles_lose_nothing() -> None:
    crps = registry.load("metric", "crps")
    fine = np.linspace(-6.0, 6.0, 24_001)  # 5e-4 wide: the midpoint branch
    mass = np.diff(LAWS["normal"].cdf(fine.reshape(1, 1, 1, -1)).ravel())
    bins = Bins((mass / mass.sum()).reshape(1, 1, 1, -1), fine)
    assert crps.score(bins, LAWS["wide"], ONE).item() == pytest.approx(
        crps.score(LAWS["normal"], LAWS["wide"], ONE).item(), abs=1e-8
    )  # measured: 2e-9, the discretisation
    tied = Quantiles(LEVELS, np.full((1, 1, 1, 10), 0.4))  # one atom
    point = Draws(np.full((1, 1, 1, 2), 0.4))
    assert crps.score(tied, LAWS["wide"], ONE) == pytest.approx(
        crps.score(point, LAWS["wide"], ONE), abs=1e-15
    )


def test_density_floor_of_bins_is_that_of_the_literature() -> None:
    """Exact masses, width h: the floor within bins is h^2 / (24 s^2) to first order."""
    width, sd = 0.05, 0.8
    edges = np.arange(-8.0, 8.0 + width / 2, width)
    reference = LAWS["normal"]
    cells = Bins(np.full((1, 1, 1, edges.size + 1), 1 / (edges.size + 1)), edges, np.ones(2))
    bins = Bins(np.exp(log_masses(reference, cells)), edges, np.ones(2))
    assert registry.load("metric", "kl").score(bins, reference, ONE).item() == pytest.approx(
        0.0, abs=1e-14
    )
    density = registry.load("metric", "kl_density").score(bins, reference, ONE).item()
    assert density == pytest.approx(width**2 / (24 * sd**2), rel=1e-3)  # measured: 3e-4


@pytest.mark.parametrize("reference", ["normal", "wide", "mixture", "needle"])
@pytest.mark.parametrize(
    "candidate", ["normal", "wide", "mixture", "bins", "no_tails", "quantiles"]
)
def test_wasserstein_is_the_area_between_the_distribution_functions(
    candidate: str, reference: str
) -> None:
    found, y = laws(), np.linspace(-40.0, 40.0, 400_001)
    below = [found[name].cdf(y.reshape(1, 1, 1, -1)).ravel() for name in (candidate, reference)]
    wanted = np.trapezoid(np.abs(below[0] - below[1]), y)
    score = (
        registry.load("metric", "wasserstein").score(found[candidate], found[reference], ONE).item()
    )
    assert score == pytest.approx(
        wanted, abs=2e-5
    )  # measured: 5e-7 on ten times as many points, where a knot is an atom


@pytest.mark.parametrize("name", ["bins", "no_tails"])
def test_the_algebra_of_bars_is_that_of_their_density(name: str) -> None:
    """Mass, distribution function, moments and quantiles by brute force;
    a published `pdf` returns 1 / p.
    """
    law, y = laws()[name], np.linspace(-30.0, 30.0, 600_001)
    with np.errstate(divide="ignore"):
        density = np.exp(law.log_prob(y.reshape(1, 1, 1, -1))).ravel()
    below = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(y))])
    assert below[-1] == pytest.approx(
        1, abs=5e-4
    )  # jumps at the borders of bars, on a grid of 1e-4
    np.testing.assert_allclose(law.cdf(y.reshape(1, 1, 1, -1)).ravel(), below, atol=5e-4)
    mean = np.trapezoid(density * y, y)
    assert law.expectation().item() == pytest.approx(mean, abs=1e-3)
    assert law.standard_deviation().item() == pytest.approx(
        np.sqrt(np.trapezoid(density * (y - mean) ** 2, y)), abs=1e-3
    )
    u = np.linspace(0.003, 0.997, 200).reshape(1, 1, 1, -1)
    np.testing.assert_allclose(law.cdf(law.quantile(u)), u, atol=1e-12)


def test_errors_of_moments_and_quantiles_in_exact_standard_deviations() -> None:
    candidate, reference = normal(1.5, 1.0), normal(0.5, 2.0)
    score = {
        n: registry.load("metric", n).score(candidate, reference, ONE).item()
        for n in ("mean_error", "sd_error", "quantile_error")
    }
    assert score["mean_error"] == pytest.approx(0.5)
    assert score["sd_error"] == pytest.approx(np.log(0.5))
    assert score["quantile_error"] == pytest.approx((1 + 1.6448536269514722) / 2)  # at 5 %


class TestBinsAgainstBins:
    """A reference may itself be bins: an engine of another package,
    or a candidate against its own answers.
    """

    def law(self, seed: int, edges: Array, tails: tuple[float, float]) -> Bins:
        mass = np.random.default_rng(seed).dirichlet(np.ones(edges.size + 1))
        return Bins(mass.reshape(1, 1, 1, -1), edges, np.array(tails))

    def by_quadrature(self, candidate: Bins, reference: Bins, low: float, high: float) -> float:
        ends = np.concatenate([candidate.edges, reference.edges, np.linspace(low, high, 4001)])
        breaks = np.unique(ends[(ends >= low) & (ends <= high)])
        half = np.diff(breaks)[:, None] / 2
        points = (breaks[:-1, None] + half * (1 + NODES)).reshape(1, 1, 1, -1)
        q, p = (np.exp(law.log_prob(points)).ravel() for law in (candidate, reference))
        return float((xlog(p, q) * (half * WEIGHTS).ravel()).sum())

    @pytest.mark.parametrize("inner", [False, True])
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_other_cells_by_quadrature(self, inner: bool, seed: int) -> None:
        wide, narrow = np.array([-3.0, -0.4, 0.3, 2.5]), np.array([-1.0, -0.5, 0.1, 0.9, 1.5])
        edges = (narrow, wide) if inner else (wide, narrow)
        candidate, reference = (
            self.law(seed, edges[0], (1.1, 0.6)),
            self.law(seed + 9, edges[1], (0.7, 1.3)),
        )
        metric = registry.load("metric", "kl_density")
        found = metric.score(candidate, reference, ONE).item()
        assert found == pytest.approx(self.by_quadrature(candidate, reference, -14, 14), abs=1e-9)
        bare = Bins(candidate.probs[..., 1:-1] / candidate.probs[..., 1:-1].sum(), candidate.edges)
        ends = candidate.edges[[0, -1]]
        inside = np.diff(reference.cdf(ends.reshape(1, 1, 1, 2))).item()
        wanted = self.by_quadrature(bare, reference, *ends) / inside - 2 * np.log(inside)
        assert metric.score(bare, reference, ONE).item() == pytest.approx(wanted, abs=1e-9)

    def test_the_same_cells_have_masses_and_no_rounding(self) -> None:
        edges = np.linspace(-1, 1, 131)
        mass = np.zeros((1, 1, 1, 132))
        mass[..., :40] = np.random.default_rng(3).dirichlet(np.ones(40))
        law = Bins(mass, edges, np.ones(2))
        for name in ("kl", "kl_density", "kl_reverse", "js"):
            assert abs(registry.load("metric", name).score(law, law, ONE).item()) < 1e-12

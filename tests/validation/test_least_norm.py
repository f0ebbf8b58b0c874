"""The cheapest separating matrix: by a second route, by duality, and where there is none."""

from __future__ import annotations

import math
from math import comb

import numpy as np
import pytest
from scipy.optimize import minimize

from veribayes.predictive import Array
from veribayes.validation.claims._least_norm import (
    diagonal_cost,
    in_hull,
    least_norm,
    on_the_sphere,
    sink_cost,
)


def by_descent(left: Array, right: Array) -> float:
    """|M| from the dual, max 1^T s - |K^T s|^2 / 2 over s >= 0, by L-BFGS-B."""
    gram = (left @ left.T) * (right @ right.T)

    def dual(s: Array) -> tuple[float, Array]:
        return float(s @ gram @ s / 2 - s.sum()), gram @ s - 1

    options = {"maxiter": 100_000, "maxfun": 1_000_000, "ftol": 1e-15, "gtol": 1e-10}
    found = minimize(
        dual,
        np.zeros(len(gram)),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * len(gram),
        options=options,
    )
    return math.sqrt(-2 * found.fun)


def tokens_of(seed: int, aligned: float, width: int = 6, number: int = 4) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    sink, own = on_the_sphere(rng, width), on_the_sphere(rng, number, width)
    return sink, np.sqrt(aligned) * sink + np.sqrt(1 - aligned) * own


@pytest.mark.parametrize("aligned", [0.2, 0.8])
def test_two_routes_agree(aligned: float) -> None:
    for seed in range(3):
        sink, tokens = tokens_of(seed, aligned)
        i, j = np.indices((4, 4)).reshape(2, -1)
        cost = sink_cost(sink, tokens)
        assert cost == pytest.approx(by_descent(tokens[i], sink - tokens[j]), rel=1e-6)  # 4e-8
        i, j = i[i != j], j[i != j]
        cost = diagonal_cost(tokens)
        assert cost == pytest.approx(by_descent(tokens[i], tokens[i] - tokens[j]), rel=1e-6)


def test_known_costs() -> None:
    """One constraint costs 1 / (|a| |b|); orthonormal tokens of a diagonal cost sqrt(m - 1)."""
    assert least_norm(np.array([[3.0, 4.0]]), np.array([[0.0, 2.0]])) == pytest.approx(0.1)
    # M = 1 - 11'/m: x_i' M (x_i - x_j) = 1, and |M|^2 = m - 1
    assert diagonal_cost(np.eye(5)) == pytest.approx(2.0)
    assert diagonal_cost(2 * np.eye(5)) == pytest.approx(0.5)


def test_it_says_where_there_is_none() -> None:
    """Tokens around 0 have no sink, those in a half-space have one; a mean of them is none."""
    around = np.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert in_hull(np.zeros(2), around)
    assert sink_cost(np.array([5.0, 0.0]), around) == math.inf
    aside = around + np.array([2.0, 0.0])
    assert not in_hull(np.zeros(2), aside)
    assert math.isfinite(sink_cost(np.array([5.0, 0.0]), aside))
    assert sink_cost(aside.mean(0), aside) == math.inf


@pytest.mark.parametrize(("width", "number"), [(3, 6), (6, 12)])
def test_half_spaces_are_as_frequent_as_wendel_says(width: int, number: int) -> None:
    """P(0 is outside) = 2^(1-N) sum_{k<d} C(N-1, k) (doi:10.7146/math.scand.a-10655)."""
    sets, rng = 300, np.random.default_rng(0)
    possible = 0
    for _ in range(sets):
        tokens = on_the_sphere(rng, number, width)
        sink = 2 * on_the_sphere(rng, width)
        possible += math.isfinite(sink_cost(sink, tokens))
    expected = sum(comb(number - 1, k) for k in range(width)) / 2 ** (number - 1)
    assert abs(possible / sets - expected) < 3.5 * math.sqrt(expected * (1 - expected) / sets)

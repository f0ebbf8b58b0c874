"""The seven forms: algebra against numerical integration, shapes by name,
and what a candidate may return.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate

from veribayes import predictive
from veribayes.errors import InputError, ShapeError
from veribayes.predictive import (
    FORMS,
    Bins,
    Categorical,
    Draws,
    Normal,
    NormalMixture,
    Predictive,
    Quantiles,
    as_predictive,
    concatenate,
    log_normal_interval,
    stack,
)

EDGES = np.array([-1.0, -0.2, 0.5, 2.0])
ONE = {
    "normal": Normal(np.array([0.3]), np.array([0.7])),
    "mixture": NormalMixture([[0.3, 0.7]], [[-1.0, 0.5]], [[0.4, 0.9]]),
    "bins": Bins([[0.1, 0.2, 0.3, 0.25, 0.15]], EDGES, [0.5, 0.8]),
    "bins without tails": Bins([[0.2, 0.5, 0.3]], EDGES),
}


def test_every_form_is_a_file_of_its_name() -> None:
    files = {path.stem for path in Path(predictive.__file__).parent.glob("[!_]*.py")}
    assert files == {*FORMS, "joint"}
    assert {form.form: form for form in FORMS.values()} == FORMS


@pytest.mark.parametrize("name", ONE)
def test_density_cdf_quantile_and_moments_agree(name: str) -> None:
    p = ONE[name]
    knots = [*np.linspace(-8, 8, 9), *EDGES]

    def integral(power: int, upper: float = 12.0) -> float:
        def f(y: float) -> float:
            return float(y**power * np.exp(p.log_prob([[y]])[0, 0]))

        inside = sorted(k for k in knots if -12 < k < upper)
        parts = [-12.0, *inside, upper]
        return sum(integrate.quad(f, a, b, epsabs=1e-11)[0] for a, b in pairwise(parts))

    mean, second = integral(1), integral(2)
    assert integral(0) == pytest.approx(1, abs=1e-8)
    assert p.expectation()[0] == pytest.approx(mean, abs=1e-8)
    assert p.standard_deviation()[0] == pytest.approx(np.sqrt(second - mean**2), abs=1e-8)
    assert p.cdf([[0.4]])[0, 0] == pytest.approx(integral(0, 0.4), abs=1e-8)
    levels = np.array([[1e-4, 0.05, 0.31, 0.5, 0.77, 0.95, 0.9999]])
    np.testing.assert_allclose(p.cdf(p.quantile(levels)), levels, atol=1e-12)


@pytest.mark.parametrize("name", ["normal", "mixture", "bins"])
def test_samples_follow_the_distribution(name: str) -> None:
    draws = np.sort(ONE[name].sample(np.random.default_rng(1), 4000)[0])
    gap = np.abs(ONE[name].cdf(draws[None])[0] - (np.arange(4000) + 0.5) / 4000).max()
    assert gap < 1.95 / np.sqrt(
        4000
    )  # Kolmogorov-Smirnov, .001; measured .009, .012, .014 against .031


def test_categories_draws_and_quantiles() -> None:
    p = Categorical([[0.2, 0.0, 0.8]])
    assert p.expectation()[0] == pytest.approx(1.6)
    np.testing.assert_array_equal(p.quantile([[0.1, 0.2, 0.3]]), [[0, 0, 2]])
    assert p.log_prob([[1]])[0, 0] == -np.inf
    counts, n = Draws([[0, 2, 2, 1]]).frequencies(3)
    np.testing.assert_array_equal(counts, [[1, 1, 2]])
    assert n == 4
    q = Quantiles([0.1, 0.5, 0.9], [[-1.0, 0.0, 2.0]])
    assert q.cdf([[0.0]])[0, 0] == pytest.approx(0.5)
    np.testing.assert_allclose(q.quantile([[0.3, 0.7]]), [[-0.5, 1.0]])


@pytest.mark.parametrize("form", FORMS)
def test_no_density_is_said_not_invented(form: str) -> None:
    if form in ("draws", "quantiles"):
        p: Predictive = (
            Draws([[1.0, 2.0]]) if form == "draws" else Quantiles([0.2, 0.8], [[0.0, 1.0]])
        )
        with pytest.raises(InputError, match="density"):
            p.log_prob([[0.0]])
    if form == "categorical":
        with pytest.raises(InputError, match="ordered"):
            Categorical([[0.5, 0.5]]).cdf([[0.0]])


BAD = {
    "extra axis": (
        {"mean": np.zeros((2, 3, 1)), "sd": np.ones((2, 3, 1))},
        None,
        "never broadcast",
    ),
    "sd of another shape": (
        {"mean": np.zeros((2, 3)), "sd": np.ones((2, 1))},
        None,
        "never a broadcast",
    ),
    "a variance": ({"mean": np.zeros((2, 3)), "var": np.ones((2, 3))}, None, "return sd"),
    "zero sd": ({"mean": np.zeros((2, 3)), "sd": np.zeros((2, 3))}, None, "positive"),
    "NaN": ({"mean": np.full((2, 3), np.nan), "sd": np.ones((2, 3))}, None, "NaN"),
    "logits": ({"probs": np.full((2, 3, 4), 3.0)}, 4, "softmax"),
    "negative": ({"probs": np.tile([1.5, -0.5], (2, 3, 1))}, 2, "not logits"),
    "too few categories": ({"probs": np.full((2, 3, 2), 0.5)}, 3, "3 categories"),
    "categories for a real": ({"probs": np.full((2, 3, 2), 0.5)}, None, "real line"),
    "normal for categories": ({"mean": np.zeros((2, 3)), "sd": np.ones((2, 3))}, 2, "categories"),
    "edges that decrease": (
        {"probs": np.full((2, 3, 2), 0.5), "edges": [0, 2, 1]},
        None,
        "increasing",
    ),
    "tails not counted": (
        {"probs": np.full((2, 3, 2), 0.5), "edges": [0, 1, 2], "tail_scale": [1, 1]},
        None,
        "4 cells",
    ),
    "crossing quantiles": (
        {"levels": [0.2, 0.8], "values": np.tile([1.0, 0.0], (2, 3, 1))},
        None,
        "crossing",
    ),
    "not a dict": ([1, 2], None, "dict"),
    "numbers as text": ({"mean": np.full((2, 3), "0"), "sd": np.ones((2, 3))}, None, "not real"),
    "complex numbers": (
        {"mean": np.zeros((2, 3), complex), "sd": np.ones((2, 3))},
        None,
        "not real",
    ),
    "one number for bins": ({"probs": 1.0, "edges": [0, 1]}, None, "1 cells"),
    "one number for quantiles": ({"levels": [0.1, 0.9], "values": 1.0}, None, "2 values"),
    "text": ({"mean": "a", "sd": "b"}, None, "numbers"),
    "unknown variables": ({"mu": np.zeros((2, 3))}, None, "seven predictive forms"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_output_is_refused_with_a_remedy(case: str) -> None:
    output, categories, message = BAD[case]
    with pytest.raises(InputError, match=message):
        as_predictive(output, (2, 3), categories)


def test_torch_and_jax_outputs_become_float64() -> None:
    import jax.numpy as jnp
    import torch

    for array in (torch.zeros((2, 3), requires_grad=True), jnp.zeros((2, 3), dtype=jnp.float32)):
        p = as_predictive({"mean": array, "sd": np.ones((2, 3))}, (2, 3), None)
        assert isinstance(p, Normal)
        assert p.mean.dtype == np.float64


def test_parts_join_by_form() -> None:
    a, b = Categorical([[0.2, 0.8]]), Categorical([[0.5, 0.5]])
    assert stack([a, b], axis=1).shape == (1, 2)
    assert concatenate([a, b]).shape == (2,)
    with pytest.raises(InputError, match="one predictive form"):
        stack([a, Draws([[1.0, 2.0]])], axis=1)
    with pytest.raises(InputError, match="same 'edges'"):
        stack([Bins([[0.5, 0.5]], [0, 1, 2]), Bins([[0.5, 0.5]], [0, 1, 3])], axis=1)


def test_points_need_their_own_axis() -> None:
    with pytest.raises(ShapeError, match="trailing axis of points"):
        ONE["normal"].cdf([0.1])


def test_interval_of_a_normal_far_in_the_tail() -> None:
    low, high = np.array([-40.0, 0.0, 39.0]), np.array([-39.0, 1.0, 40.0])
    got = log_normal_interval(low, high)
    assert got[0] == pytest.approx(got[2], rel=1e-13)
    assert got[1] == pytest.approx(np.log(0.3413447460685429), rel=1e-14)
    assert got[0] == pytest.approx(-(39**2) / 2 - np.log(39 * np.sqrt(2 * np.pi)), rel=1e-5)

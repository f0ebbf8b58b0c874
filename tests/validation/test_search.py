"""Where a divergence concentrates: size of the search under homogeneity,
power on planted local defects.
"""

from __future__ import annotations

import numpy as np
import pytest

from veribayes.errors import ShapeError
from veribayes.predictive import Array
from veribayes.validation.search import Mask, concentration

SHAPE = (4, 5)  # positions, queries


def groups(rng: np.random.Generator, n: int) -> dict[str, Mask]:
    """Every position, query and pair of them, regions of inputs,
    and patterns of data sets: 41 groups.
    """
    position, query = np.indices(SHAPE)
    found = {f"position {p}": position == p for p in range(4)} | {
        f"query {q}": query == q for q in range(5)
    }
    found |= {f"{p}, {q}": (position == p) & (query == q) for p in range(4) for q in range(5)}
    out = {name: np.broadcast_to(mask, (n, *SHAPE)) for name, mask in found.items()}
    out |= {
        f"pattern {k}": np.broadcast_to(
            rng.random((n, 1, 1)) < (0.5 if k < 4 else 0.15), (n, *SHAPE)
        )
        for k in range(8)
    }
    return out | {f"region {k}": rng.random((n, *SHAPE)) < 0.1 for k in range(4)}


def scores(rng: np.random.Generator, n: int, sd: float) -> Array:
    """Log-normal, half of the variance the data set's own; sd 0: squares of correlated normals."""
    z = np.sqrt(0.5) * (rng.standard_normal((n, 1, 1)) + rng.standard_normal((n, *SHAPE)))
    return np.asarray(np.exp(sd * z) if sd else z**2)


def rejections(n: int, sd: float, runs: int) -> float:
    found = []
    for run in range(runs):
        rng = np.random.default_rng([7, n, run])
        found.append(concentration(scores(rng, n, sd), groups(rng, n), seed=run)[0].p_value <= 0.05)
    return float(np.mean(found))


@pytest.mark.parametrize(("n", "sd"), [(60, 0.7), (200, 0.0)])
def test_nothing_is_found_where_there_is_nothing(n: int, sd: float) -> None:
    assert rejections(n, sd, 60) <= 0.117  # nominal .05, three standard errors; measured 0 to .05


@pytest.mark.study
@pytest.mark.parametrize("sd", [0.0, 0.7, 1.5])
@pytest.mark.parametrize("n", [60, 200, 1000])
def test_size(n: int, sd: float) -> None:
    assert rejections(n, sd, 500) <= 0.06 + 0.02  # two standard errors of 500


@pytest.mark.parametrize("name", ["position 2", "query 4", "1, 3", "pattern 5", "region 0"])
def test_planted_local_defects_are_named(name: str) -> None:
    """Twice as large in one group of 200 data sets."""
    hits = 0
    for run in range(5):
        rng = np.random.default_rng([8, run])
        values, searched = scores(rng, 200, 0.7), groups(rng, 200)
        first = concentration(np.where(searched[name], 2.5 * values, values), searched, seed=run)[0]
        hits += first.name == name and first.p_value <= 0.05 and first.low > 1
    assert hits >= 4


def test_numbers_of_a_group() -> None:
    rng = np.random.default_rng(0)
    values = rng.gamma(2.0, size=(100, 2, 1))
    values[:, 1] *= 3
    mask = np.broadcast_to(np.array([False, True])[None, :, None], values.shape)
    values[0, 0, 0] = np.nan  # a query that does not apply belongs nowhere
    (found,) = concentration(values, {"late": mask})
    assert found.ratio == pytest.approx(values[:, 1].mean() / np.nanmean(values[:, 0]))
    assert found.weight == pytest.approx(100 / 199)
    assert found.share == pytest.approx(values[:, 1].sum() / np.nansum(values))
    assert found.datasets == 100
    assert found.p_value == 1 / 2000


def test_signed_scores_small_groups_and_wrong_shapes() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(60, 1, 2))
    half, few = (np.broadcast_to((np.arange(60) < k)[:, None, None], values.shape) for k in (30, 5))
    (found,) = concentration(
        values + 3 * half, {"half": half, "few": few, "nobody": ~(half | ~half)}
    )
    assert (found.name, found.p_value) == ("half", 1 / 2000)
    (signed,) = concentration(values - values.mean() - half, {"half": half})
    assert np.isnan(signed.ratio)
    assert signed.p_value > 0.5
    with pytest.raises(ShapeError):
        concentration(values, {"half": half[:, 0]})

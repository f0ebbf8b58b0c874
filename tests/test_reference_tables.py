"""The command that puts published figures beside our own:
its arithmetic, and one small section from end to end.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from benchmarks import _solvers
from benchmarks import reference_tables as tables
from benchmarks._solvers import Solver

from veribayes.models.gaussian_process import GaussianProcess
from veribayes.models.gaussian_process._kernels import RBF
from veribayes.transformer._run import Run


def test_the_floor_of_fine_bins() -> None:
    """Total variation of the exact masses tends to D / (4 sqrt(2 pi tau))."""
    edges = np.linspace(-6, 6, 241)
    mean, variance = np.array([0.1, -0.4]), np.array([0.5, 1.3])
    z = (edges - mean[:, None]) / np.sqrt(variance)[:, None]
    mass = np.diff(tables.ndtr(z))
    floor = np.mean((edges[1] - edges[0]) / (4 * np.sqrt(2 * np.pi * variance)))
    assert tables.variation(
        mass / mass.sum(-1, keepdims=True), edges, mean, variance
    ) == pytest.approx(floor, rel=0.01)


def test_the_log_of_a_mean_with_its_error() -> None:
    values = np.random.default_rng(0).gamma(4.0, size=(4000, 2))
    shown = tables.log_mean(values)
    np.testing.assert_allclose(shown.mean(0), np.log(values.mean(0)), rtol=1e-12)
    np.testing.assert_allclose(shown.std(0), 0.5, rtol=0.05)  # sd over mean of a Gamma(4)


@pytest.mark.parametrize(
    ("mean", "error", "published", "text"),
    [
        (0.123456, 0.001, 0.1236, "0.123"),
        (0.5, 0.001, 0.52, "0.5*"),
        (0.5, 0.01, 0.52, "0.5"),
        (-4.19, 0.0, -4.192, "-4.19"),
        (1.0, 0.0, np.inf, "1"),
        (0.25, 0.01, np.nan, "0.25"),
    ],
)
def test_a_star_where_the_published_figure_is_not_near(
    mean: float, error: float, published: float, text: str
) -> None:
    assert tables.measured(mean, error, published, False) == text


def test_paired_differences_have_an_interval() -> None:
    assert tables.measured(0.7, 0.025, np.nan, True) == "0.7 ± 0.049"
    assert [tables.shown(v) for v in (np.nan, np.inf, 0.0341)] == ["–", "diverges", "0.0341"]


@pytest.mark.study
def test_normalised_attention_extrapolates() -> None:
    """One step size tuned for n = 64 and 128: beyond, plain attention diverges, normalised not;
    the same data sets.
    """
    (rows,) = tables.extrapolation((128, 200), 40, 0).values()
    plain, normalised, _, paired = rows.values()
    np.testing.assert_array_equal(paired, plain - normalised)
    low = paired.mean(0) - 3 * paired.std(0, ddof=1) / np.sqrt(40)
    assert low[1] > 0.5  # .75 +- .04
    assert low[0] < 0.1  # -.05 +- .03
    assert normalised.mean(0).max() < 0.4  # .25


def test_every_published_row_has_a_number_for_every_column() -> None:
    published = yaml.safe_load(tables.PUBLISHED.read_text())
    assert set(published) == set(tables.SECTIONS)
    for section in published.values():
        for table in section["tables"].values():
            for row in table.values():
                assert len(row) == len(section["n"])
                assert all(isinstance(v, float) for v in row)


def test_a_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Forty contexts: the exact masses sit on the published floor within .1 of a logarithm."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tables, "_spectra", lambda contexts, seed: _few())
    assert tables.main(["floor", "--datasets", "40"]) == 0
    assert "| bins | exact masses | here |" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "runs" / "reference-tables-floor.json").read_text())["rows"]
    np.testing.assert_allclose(row["mean"], row["published"], atol=0.1)  # .03
    assert len(row["standard_error"]) == 5


@pytest.mark.parametrize("normalised", [False, True])
def test_a_network_of_the_tables_is_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, normalised: bool
) -> None:
    monkeypatch.setattr(_solvers, "FOLDER", tmp_path)
    monkeypatch.setattr(_solvers, "STEPS", 3)
    model = GaussianProcess(RBF(1.0, 0.8), 0.2, 2)
    network = Solver("few", model, 2, (4, 8), normalised)
    monkeypatch.setattr(Run, "learn", lambda *_: pytest.fail("trained again"))
    again = Solver("few", model, 2, (4, 8), normalised)
    rng = np.random.default_rng(0)
    seen = (
        rng.standard_normal((3, 8, 2)),
        rng.standard_normal((3, 8)),
        rng.standard_normal((3, 5, 2)),
    )
    (mean, variance), (other, _) = network.moments(*seen), again.moments(*seen)
    np.testing.assert_array_equal(mean, other)
    assert mean.shape == variance.shape == (3, 5)
    assert (variance > 0).all()


@pytest.mark.study
def test_networks_learn_better_steps_than_one_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four layers, RBF kernel: -.93 with one interval, -1.5 learned,
    -2.5 learned and normalised; published -1.05, -1.45.
    """
    monkeypatch.setattr(_solvers, "FOLDER", tmp_path)
    found = tables.points_rbf((4,), 100, 0)["64 bins"]
    theory, plain, normalised = (
        found[row].mean() for row in ("theory", "learnable", "learnable, normalised")
    )
    assert plain < theory - 0.3
    assert normalised < plain - 0.5
    assert plain == pytest.approx(-1.43, abs=0.3)  # published


def _few() -> list[tables.Spectrum]:
    """Contexts of the linear kernel without a simulator: 300 points in five dimensions."""
    rng, out = np.random.default_rng(0), []
    scale = np.array([2.0, 1.0, 1.0, 0.4, 0.4])
    for _ in range(40):
        x, query = (
            rng.standard_normal((300, 5)) / np.sqrt(5),
            rng.standard_normal((4, 5)) / np.sqrt(5),
        )
        y = x @ (np.sqrt(scale) * rng.standard_normal(5)) + 0.2 * rng.standard_normal(300)
        out.append(
            tables.Spectrum(
                (x * scale) @ x.T,
                (x * scale) @ query.T,
                (query**2 * scale).sum(-1),
                (x, y, query),
                0.04,
            )
        )
    return out

"""Saved posteriors: readers of every container, and the comparison of two of them."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from veribayes import cli
from veribayes.errors import InputError, ReferenceRefused
from veribayes.posteriors import comparison, effects, saved
from veribayes.posteriors.saved import Posterior
from veribayes.predictive import Array
from veribayes.storage import store

CHAINS, DRAWS = 4, 1000


def gaussian(
    seed: int, *, rho: float = 0.5, shift: float = 0.0, scale: float = 1.0
) -> dict[str, Array]:
    """Independent draws of two correlated latents and one of them alone, (chain, draw, *event)."""
    z = np.random.default_rng(seed).standard_normal((CHAINS, DRAWS, 3))
    theta = np.stack([z[..., 0], rho * z[..., 0] + np.sqrt(1 - rho**2) * z[..., 1]], -1)
    return {"theta": 3.0 + scale * theta + shift, "tau": np.logaddexp(0.0, z[..., 2])}


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "the same law": ({}, "equivalent"),
    "shifted by .3 sd": ({"shift": 0.3}, "different"),
    "30 % wider": ({"scale": 1.3}, "different"),
    "correlation lost": ({"rho": 0.0}, "different"),
    "shifted by the tolerance": ({"shift": 0.1}, "undecided"),
}


@pytest.mark.parametrize(("change", "verdict"), CASES.values(), ids=CASES)
def test_verdicts(change: dict[str, Any], verdict: str) -> None:
    truth, judged = Posterior("truth", gaussian(0)), Posterior("judged", gaussian(1, **change))
    found = comparison.compare(truth, judged, tolerance=0.12)
    assert found["verdict"] == verdict, comparison.summary(found)
    assert {e["kind"] for e in found["effects"]} == {"mean", "sd", "correlation"}
    json.dumps(found, allow_nan=False)


def test_effects_have_their_error() -> None:
    """Standardised effects of 200 pairs of equal posteriors:
    sd .97 (means), 1.0 (sds), .98 (correlations).
    """
    z: dict[str, list[float]] = {"mean": [], "sd": [], "correlation": []}
    for seed in range(40):
        one, other = (Posterior("p", gaussian(2 * seed + i)) for i in (0, 1))
        arrays = [np.stack(list(p.scalars.values())) for p in (one, other)]
        for effect in comparison.effects(arrays[0], arrays[1], list(one.scalars)):
            z[effect.kind].append(effect.z)
    for values in z.values():
        assert 0.85 < np.std(values) < 1.15


def refused(kind: str) -> dict[str, Array]:
    draws = gaussian(0)
    if kind == "one NaN":
        draws["theta"][2, 5, 1] = np.nan
    elif kind == "separated modes":
        draws["theta"][1] += 8
    elif kind == "constant":
        draws["tau"][:] = 2.0
    else:
        return {name: values[:1] for name, values in draws.items()}
    return draws


@pytest.mark.parametrize("kind", ["one NaN", "separated modes", "constant", "one chain"])
def test_a_reference_that_has_not_converged_is_refused(kind: str) -> None:
    with pytest.raises(ReferenceRefused, match="rank R-hat"):
        comparison.compare(Posterior("truth", refused(kind)), Posterior("judged", gaussian(1)))


def test_a_candidate_that_has_not_converged_is_never_equivalent() -> None:
    found = comparison.compare(
        Posterior("truth", gaussian(0)),
        Posterior("judged", refused("separated modes")),
        tolerance=9.0,
    )
    assert found["verdict"] != "equivalent"
    with pytest.raises(InputError, match="NaN"):
        comparison.compare(Posterior("truth", gaussian(0)), Posterior("judged", refused("one NaN")))
    assert (
        comparison.compare(Posterior("truth", gaussian(0)), Posterior("j", refused("constant")))[
            "verdict"
        ]
        == "different"
    )


def posteriordb(draws: dict[str, Array]) -> list[dict[str, list[float]]]:
    return [
        {f"theta[{i + 1}]": draws["theta"][c, :, i].tolist() for i in (0, 1)}
        | {"tau": draws["tau"][c].tolist()}
        for c in range(CHAINS)
    ]


def written(form: str, folder: Path, draws: dict[str, Array]) -> Path:
    """The draws in a file of some container."""
    path = folder / {"posteriordb": "p.json", "zipped": "p.json.zip"}.get(form, "p.nc")
    if form == "posteriordb":
        path.write_text(json.dumps(posteriordb(draws)))
    elif form == "zipped":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("p.json", json.dumps(posteriordb(draws)))
    elif form == "arviz 0.23":
        saved.to_arviz(Posterior("p", draws), legacy=True).to_netcdf(str(path))
    elif form == "arviz-base":
        saved.to_arviz(Posterior("p", draws)).to_netcdf(path, engine="h5netcdf")
    else:
        group = {
            n: (("chain", "draw", *[f"{n}_{i}" for i in range(v.ndim - 2)]), v)
            for n, v in draws.items()
        }
        store.write_tree(xr.DataTree.from_dict({"/posterior": xr.Dataset(group)}), path)
    return path


@pytest.mark.parametrize("form", ["posteriordb", "zipped", "arviz 0.23", "arviz-base", "our own"])
def test_every_container_gives_the_draws_back(form: str, tmp_path: Path) -> None:
    draws = gaussian(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # arviz 0.23 announces its successor
        path = written(form, tmp_path, draws)
    found = saved.read(path)
    assert set(found.scalars) == {"theta[0]", "theta[1]", "tau"}
    for name, values in draws.items():
        np.testing.assert_allclose(found.draws[name], values, rtol=1e-15)


BAD = {
    "text.json": "no json",
    "object.json": "{}",
    "ragged.json": '[{"a": [1, 2]}, {"a": [1]}]',
    "gap.json": '[{"a[1]": [1.0], "a[3]": [1.0]}]',
    "names.json": '[{"a": [1.0]}, {"b": [1.0]}]',
    "broken.json.zip": "PK no zip",
    "broken.nc": "CDF",
    "posterior.pkl": "",
    "nested.json": "[" * 200_000,
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_with_their_reason(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(BAD[name])
    with pytest.raises(InputError):
        saved.read(path)


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in (("one", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        written("posteriordb", tmp_path / name, gaussian(seed))
    files = [str(tmp_path / name / "p.json") for name in ("one", "other")]
    arguments = [
        "veribayes",
        "compare",
        *files,
        "--tolerance",
        "0.12",
        "--json",
        "--out",
        str(tmp_path),
    ]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as end:
        cli.main()
    printed = capsys.readouterr().out
    assert end.value.code == 0
    assert json.loads(printed) == json.loads((tmp_path / "comparison.json").read_text())
    assert json.loads(printed)["schema"] == comparison.SCHEMA


# -- shapes, kinds of latents, and what would settle it --------------------------------------------

EFFECTIVE = 2000


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the permutation tests, which take nine tenths of the time."""
    monkeypatch.setattr(comparison, "JOINT", ())


SHAPES: dict[str, Any] = {  # quantile functions of laws with mean 0 and sd 1
    "bimodal": lambda u: (
        np.where(u < 0.5, -0.9, 0.9)
        + np.sqrt(0.19) * stats.norm.ppf(2 * u % 1.0 * (1 - 1e-12) + 5e-13)
    ),
    "skewed": lambda u: (stats.gamma.ppf(u, 4) - 4) / 2,
    "t with 5 degrees of freedom": lambda u: stats.t.ppf(u, 5) / np.sqrt(5 / 3),
    "uniform": lambda u: (u - 0.5) * np.sqrt(12),
}


def two(shape: str, seed: int, latents: int = 2) -> tuple[Posterior, Posterior]:
    """Independent normal draws, and the same with another shape of the first latent;
    equal means, sds, correlations.
    """
    rng = np.random.default_rng(seed)
    one, other = rng.standard_normal((2, 4, EFFECTIVE // 4, latents))
    if shape in SHAPES:
        other[..., 0] = SHAPES[shape](rng.random(other.shape[:2]))
    return Posterior("truth", {"x": one}), Posterior("candidate", {"x": other})


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_moments_and_another_shape_are_different(shape: str) -> None:
    """Power at 2,000 effective draws: `python -m benchmarks.comparison`, one or five latents."""
    found = comparison.compare(*two(shape, 0))
    assert found["verdict"] == "different"
    assert found["tests"]["marginals"]["p_value"] <= comparison.TEST_LEVEL
    assert found["tests"]["marginals"]["worst"].startswith("x[0]")


@pytest.mark.study
@pytest.mark.parametrize("shape", ["the same law", *SHAPES])
def test_power_and_size_of_shapes(shape: str) -> None:
    verdicts = [comparison.compare(*two(shape, seed))["verdict"] for seed in range(60)]
    if shape == "the same law":
        assert verdicts.count("different") <= 3  # binomial(60, .01): more in .02 % of cases
    else:
        assert verdicts.count("different") >= 57


@pytest.mark.usefixtures("quick")
def test_an_undecided_comparison_says_how_many_draws_settle_it() -> None:
    """2,000 effective draws are too few for the default tolerance; what is said settles it."""
    found = comparison.compare(*two("the same law", 1, latents=3))
    assert found["verdict"] == "undecided"
    needs = found["needed"]
    assert 1.5 < needs["factor"] < 4
    assert f"{needs['candidate_draws']:,}" in comparison.summary(found)
    more = round(needs["factor"] * EFFECTIVE / 4)
    settled = 0
    for seed in range(5):
        one, other = np.random.default_rng(seed).standard_normal((2, 4, more, 3))
        truth, candidate = (Posterior("p", {"x": x}) for x in (one, other))
        arrays = [np.stack(list(p.scalars.values())) for p in (truth, candidate)]
        settled += all(
            e.inside(comparison.TOLERANCE)
            for e in effects.differences(*arrays, list(truth.scalars))
        )
    assert settled >= 3  # stated: 80 %; three or more of five with 94 %


@pytest.mark.usefixtures("quick")
def test_a_settled_comparison_needs_nothing() -> None:
    found = comparison.compare(*two("the same law", 1), tolerance=0.3)
    assert (found["verdict"], found["needed"]) == ("equivalent", None)


@pytest.mark.usefixtures("quick")
def test_a_candidate_of_one_chain_is_asked_for_another() -> None:
    one, other = two("the same law", 0)
    single = Posterior("single", {"x": other.draws["x"].reshape(1, -1, 2)})
    found = comparison.compare(one, single, tolerance=0.3)
    assert found["verdict"] == "undecided"
    assert "one chain" in found["needed"]["text"]
    json.dumps(found, allow_nan=False)
    shifted = Posterior("single", {"x": single.draws["x"] + 1.0})
    assert comparison.compare(one, shifted)["verdict"] == "different"


@pytest.mark.usefixtures("quick")
def test_chains_that_are_copies_have_not_converged() -> None:
    one, other = two("the same law", 0)
    copied = Posterior("copied", {"x": np.tile(other.draws["x"][:2], (2, 1, 1))})
    with pytest.raises(ReferenceRefused, match="the same draws"):
        comparison.compare(copied, one)
    assert comparison.compare(one, copied, tolerance=9.0)["verdict"] == "undecided"


def whole(seed: int, kind: str, change: float = 0.0) -> dict[str, Array]:
    """Latents that are whole numbers, beside one that is none."""
    rng = np.random.default_rng(seed)
    shape = (4, 1000)
    laws: dict[str, Any] = {
        "coin": lambda: rng.random(shape) < 0.5 + change,
        "rare": lambda: rng.random(shape) < 0.01 + change,
        "common": lambda: rng.random(shape) < 0.99 - change,
        "three": lambda: rng.integers(0, 3, shape) + (rng.random(shape) < change),
        "count": lambda: rng.poisson(3 + 4 * change, shape),
        "signs": lambda: 2.0 * (rng.random(shape) < 0.5 + change) - 1,
        "large count": lambda: rng.poisson(1e6, shape) + round(4000 * change),
    }
    return {"z": laws[kind](), "x": rng.standard_normal(shape)}


KINDS = ["coin", "rare", "common", "three", "count", "signs", "large count"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", KINDS)
def test_whole_numbers_have_rules_of_their_own(kind: str) -> None:
    """The 95 % point of a coin is its larger value:
    nothing lies above, and a tail of nothing has no sample size.
    """
    one, other, wrong = (
        Posterior("p", whole(seed, kind, change)) for seed, change in ((0, 0.0), (1, 0.0), (2, 0.2))
    )
    assert comparison.certificate(one)["verdict"] == "trusted", comparison.certificate(one)
    found = comparison.compare(one, other, tolerance=0.2)
    assert found["verdict"] == "equivalent", comparison.summary(found)
    json.dumps(found, allow_nan=False)
    assert comparison.compare(one, wrong)["verdict"] == "different"


def test_whole_numbers_that_have_not_converged_are_refused() -> None:
    stuck = whole(0, "coin")
    stuck["z"] = np.repeat([[0], [0], [1], [1]], 1000, axis=1)
    slow = whole(0, "three")
    slow["z"] = np.repeat(np.random.default_rng(0).integers(0, 3, (4, 10)), 100, axis=1)
    for draws in (stuck, slow):
        assert comparison.certificate(Posterior("p", draws))["verdict"] == "refused"


def with_constants(seed: int, **values: float) -> Posterior:
    z = np.random.default_rng(seed).standard_normal((4, 1000))
    return Posterior("p", {"x": z, **{n: np.full(z.shape, v) for n, v in values.items()}})


@pytest.mark.usefixtures("quick")
def test_constants_are_compared_by_their_value() -> None:
    found = comparison.compare(with_constants(0, n=8), with_constants(1, n=8), tolerance=0.2)
    assert found["verdict"] == "equivalent"
    found = comparison.compare(with_constants(0, n=8), with_constants(1, n=9), tolerance=0.2)
    assert (found["verdict"], found["constants_that_differ"]) == ("different", ["n"])
    found = comparison.compare(with_constants(0, n=8), with_constants(1), tolerance=0.2)
    assert (found["verdict"], found["left_out"]) == ("equivalent", ["n"])
    with pytest.raises(InputError, match="constants"):
        comparison.compare(*(Posterior("p", {"n": np.full((4, 100), 8.0)}) for _ in range(2)))


@pytest.mark.usefixtures("quick")
def test_padding_is_what_the_reference_says() -> None:
    """NaN in every draw of an entry is no entry; NaN in the candidate alone never passes."""
    padded = [np.random.default_rng(seed).standard_normal((4, 1000, 2)) for seed in (0, 1)]
    whole_one = padded[1].copy()
    for draws in padded:
        draws[..., 1] = np.nan
    for candidate in (padded[1], whole_one):
        found = comparison.compare(
            Posterior("r", {"x": padded[0]}), Posterior("c", {"x": candidate}), tolerance=0.2
        )
        assert (found["verdict"], list(found["not_compared"])) == ("equivalent", ["x[1]"])
    with pytest.raises(InputError, match="NaN"):
        comparison.compare(Posterior("r", {"x": whole_one}), Posterior("c", {"x": padded[1]}))


@pytest.mark.usefixtures("quick")
def test_a_latent_is_alone_in_its_file(tmp_path: Path) -> None:
    """Posteriors of other data are compared, and it is said."""
    rng = np.random.default_rng(0)
    made = [
        {
            "posterior": xr.Dataset({"x": (("chain", "draw"), rng.standard_normal((4, 1000)))}),
            "observed_data": xr.Dataset({"y": ("i", [1.0, y])}),
        }
        for y in (2.0, 3.0)
    ]
    found = comparison.compare(*(saved.from_arviz(groups) for groups in made), tolerance=0.2)
    assert "different observed data: 'y'" in " ".join(found["notes"])


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan"), float("inf")])
def test_tolerances_that_decide_nothing(tolerance: float) -> None:
    with pytest.raises(InputError, match="tolerance"):
        comparison.compare(*two("the same law", 0), tolerance=tolerance)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("draws", [0, 1, 3])
def test_too_few_draws_are_refused(draws: int) -> None:
    with pytest.raises(InputError, match="draws"):
        comparison.compare(*(Posterior("p", {"x": np.zeros((4, draws))}) for _ in range(2)))


def test_every_resampling_test_can_reject_at_its_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Museum: 199 permutations, Holm over two or three tests, level .01."""
    monkeypatch.setattr(comparison, "PERMUTATIONS", 199)
    with pytest.raises(InputError, match="take at least 299 resamples"):
        comparison.compare(*two("the same law", 0))

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

from veribayes import cli, comparison, posteriors, store
from veribayes.errors import InputError, ReferenceRefused
from veribayes.posteriors import Posterior
from veribayes.predictive import Array

CHAINS, DRAWS = 4, 1000


def gaussian(seed: int, *, rho: float = 0.5, shift: float = 0.0, scale: float = 1.0) -> dict[str, Array]:
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
    """Standardised effects of 200 pairs of equal posteriors: sd .97 (means), 1.0 (sds), .98 (correlations)."""
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
    found = comparison.compare(Posterior("truth", gaussian(0)), Posterior("judged", refused("separated modes")), tolerance=9.0)
    assert found["verdict"] != "equivalent"
    with pytest.raises(InputError, match="NaN"):
        comparison.compare(Posterior("truth", gaussian(0)), Posterior("judged", refused("one NaN")))
    assert comparison.compare(Posterior("truth", gaussian(0)), Posterior("j", refused("constant")))["verdict"] == "different"


def posteriordb(draws: dict[str, Array]) -> list[dict[str, list[float]]]:
    return [
        {f"theta[{i + 1}]": draws["theta"][c, :, i].tolist() for i in (0, 1)} | {"tau": draws["tau"][c].tolist()}
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
        posteriors.to_arviz(Posterior("p", draws), legacy=True).to_netcdf(str(path))
    elif form == "arviz-base":
        posteriors.to_arviz(Posterior("p", draws)).to_netcdf(path, engine="h5netcdf")
    else:
        group = {n: (("chain", "draw", *[f"{n}_{i}" for i in range(v.ndim - 2)]), v) for n, v in draws.items()}
        store.write_tree(xr.DataTree.from_dict({"/posterior": xr.Dataset(group)}), path)
    return path


@pytest.mark.parametrize("form", ["posteriordb", "zipped", "arviz 0.23", "arviz-base", "our own"])
def test_every_container_gives_the_draws_back(form: str, tmp_path: Path) -> None:
    draws = gaussian(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # arviz 0.23 announces its successor
        path = written(form, tmp_path, draws)
    found = posteriors.read(path)
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
        posteriors.read(path)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seed in (("one", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        written("posteriordb", tmp_path / name, gaussian(seed))
    files = [str(tmp_path / name / "p.json") for name in ("one", "other")]
    arguments = ["veribayes", "compare", *files, "--tolerance", "0.12", "--json", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as end:
        cli.main()
    printed = capsys.readouterr().out
    assert end.value.code == 0
    assert json.loads(printed) == json.loads((tmp_path / "comparison.json").read_text())
    assert json.loads(printed)["schema"] == comparison.SCHEMA

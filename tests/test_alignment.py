"""What a saved posterior says besides its numbers decides what is compared with what:
importers and alignment.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from veribayes.errors import InputError
from veribayes.posteriors import comparison, saved
from veribayes.posteriors.alignment import Alignment, align
from veribayes.posteriors.chains import Posterior
from veribayes.predictive import Array

CHAINS, DRAWS = 4, 50
SCHOOLS = ["Choate", "Deerfield", "Phillips"]


def numbers(*event: int) -> Array:
    """Draws of which every entry can be told from every other:
    (chain, draw, *event), equal means apart.
    """
    rng = np.random.default_rng(0)
    places = 100.0 * np.arange(np.prod(event, dtype=int)).reshape(event)
    return np.asarray(rng.standard_normal((CHAINS, DRAWS, *event)) + places)


def theta(
    labels: Any = None, dim: str = "school", order: Any = slice(None), **attrs: Any
) -> xr.Dataset:
    """A latent of three schools, its entries taken in some order."""
    coords = {} if labels is None else {dim: np.asarray(labels)[order]}
    data = {"theta": (("chain", "draw", dim), numbers(3)[..., order], attrs)}
    return xr.Dataset(data, coords)


def matrix(dims: tuple[str, str] = ("row", "column"), **coords: Any) -> xr.Dataset:
    return xr.Dataset({"omega": (("chain", "draw", *dims), numbers(2, 3))}, coords)


def stored(group: xr.Dataset, folder: Path, name: str) -> Posterior:
    """The group, through a netCDF file."""
    path = folder / f"{name}.nc"
    xr.DataTree.from_dict({"/posterior": group}).to_netcdf(path, engine="h5netcdf")
    return saved.read(path)


def matched(found: Alignment) -> dict[str, bool]:
    """Entry -> whether the same numbers were put beside it."""
    pairs = {n: (found.reference[n], found.candidate[n]) for n in found.reference}
    return {
        n: np.allclose(one.mean(), other.mean(), atol=1e-6) for n, (one, other) in pairs.items()
    }


def stacked(group: xr.Dataset, order: Any = slice(None)) -> xr.Dataset:
    """All draws in one row, chain and draw as coordinates, as `reset_index` leaves it."""
    flat = group.stack(sample=("chain", "draw")).transpose("sample", ...).reset_index("sample")
    return flat.isel(sample=order).transpose(..., "sample")


PERMUTED = [2, 0, 1]
SHUFFLED = np.random.default_rng(1).permutation(DRAWS)
WITH_DRAWS = {"chain": np.arange(CHAINS), "draw": np.arange(DRAWS)}
SAME: dict[str, tuple[Callable[[], xr.Dataset], Callable[[], xr.Dataset]]] = {
    "labels in another order": (lambda: theta(SCHOOLS), lambda: theta(SCHOOLS, order=PERMUTED)),
    "numbers as labels in another order": (
        lambda: theta([0, 1, 2]),
        lambda: theta([0, 1, 2], order=PERMUTED),
    ),
    "automatic dimension in another order": (
        lambda: theta([0, 1, 2], "theta_dim_0"),
        lambda: theta([0, 1, 2], "theta_dim_0", PERMUTED),
    ),
    "numbers as integers and as text": (
        lambda: theta([7, 8, 9]),
        lambda: theta(["7", "8", "9"], order=PERMUTED),
    ),
    "labels of two widths": (
        lambda: theta(np.array([0.1, 0.2, 0.7])),
        lambda: theta(np.array([0.1, 0.2, 0.7], "f4"), order=PERMUTED),
    ),
    "counted from zero and from one": (
        lambda: theta([0, 1, 2]),
        lambda: theta([1, 2, 3], order=PERMUTED),
    ),
    "names beside a bare count": (lambda: theta(SCHOOLS), lambda: theta(None, "theta_dim_0")),
    "names beside a count out of order": (
        lambda: theta(SCHOOLS),
        lambda: theta([0, 1, 2], "theta_dim_0", PERMUTED),
    ),
    "another name of the dimension": (
        lambda: theta(SCHOOLS),
        lambda: theta(SCHOOLS, "place", PERMUTED),
    ),
    "draws before chains": (
        lambda: theta(SCHOOLS),
        lambda: theta(SCHOOLS).transpose("school", "draw", "chain"),
    ),
    "one row of draws": (
        lambda: theta(SCHOOLS).assign_coords(WITH_DRAWS),
        lambda: stacked(theta(SCHOOLS).assign_coords(WITH_DRAWS)),
    ),
    "one shuffled row of draws": (
        lambda: theta(SCHOOLS).assign_coords(WITH_DRAWS),
        lambda: stacked(
            theta(SCHOOLS).assign_coords(WITH_DRAWS),
            np.random.default_rng(2).permutation(CHAINS * DRAWS),
        ),
    ),
    "draws stored in another order": (
        lambda: theta(SCHOOLS).assign_coords(WITH_DRAWS),
        lambda: theta(SCHOOLS).assign_coords(WITH_DRAWS).isel(draw=SHUFFLED),
    ),
    "another byte order": (lambda: theta(SCHOOLS), lambda: theta(SCHOOLS).astype(">f8")),
    "one data set": (lambda: theta(SCHOOLS), lambda: theta(SCHOOLS).expand_dims("dataset")),
    "transposed by name": (
        lambda: matrix(),
        lambda: matrix().transpose("chain", "draw", "column", "row"),
    ),
    "transposed by one name": (
        lambda: matrix(),
        lambda: matrix(("somewhere", "column")).transpose("chain", "draw", "column", "somewhere"),
    ),
    "transposed by labels": (
        lambda: matrix(row=["a", "b"], column=["x", "y", "z"]),
        lambda: matrix(("q", "p"), q=["a", "b"], p=["x", "y", "z"]).transpose(
            "chain", "draw", "p", "q"
        ),
    ),
    "an axis of length one": (
        lambda: theta(SCHOOLS),
        lambda: theta(SCHOOLS).expand_dims("extra", axis=3),
    ),
    "dates counted from two days": (
        lambda: theta(np.array(["2020-01-01", "2020-01-05", "2021-03-01"], "M8[ns]"), "day"),
        lambda: theta(
            np.array(["2020-01-01", "2020-01-05", "2021-03-01"], "M8[ns]"), "day", PERMUTED
        ),
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_entries_are_matched_by_what_files_say(case: str, tmp_path: Path) -> None:
    """Every entry meets itself, from memory and through files, in both directions."""
    one, other = (make() for make in SAME[case])
    in_files = [stored(g, tmp_path, f"{i}") for i, g in enumerate((one, other))]
    for pair in ([saved.from_arviz(g) for g in (one, other)], in_files, in_files[::-1]):
        found = align(*pair)
        assert not found.left_out
        assert not found.not_compared
        assert len(found.reference) == 3 * (1 + (case.startswith("transposed")))
        assert all(matched(found).values()), (case, matched(found))
    values = [next(iter(p.draws.values())) for p in in_files]
    np.testing.assert_array_equal(*(np.sort(v.ravel()) for v in values))  # no draw was lost


def test_draws_of_a_chain_keep_their_order() -> None:
    """The effective sample size is that of the chain, however the file orders its draws."""
    walk = np.random.default_rng(0).standard_normal((CHAINS, 400)).cumsum(1)
    group = xr.Dataset(
        {"x": (("chain", "draw"), walk)}, {"chain": np.arange(CHAINS), "draw": np.arange(400)}
    )
    shuffled = group.isel(draw=np.random.default_rng(1).permutation(400))
    for other in (shuffled, stacked(group, np.random.default_rng(2).permutation(CHAINS * 400))):
        np.testing.assert_array_equal(saved.from_arviz(other).draws["x"], walk)


def test_what_is_in_one_only_is_listed() -> None:
    more = xr.merge(
        [
            theta(["Choate", "Deerfield", "Exeter"]),
            xr.Dataset({"tau": (("chain", "draw"), numbers())}),
        ]
    )
    found = align(saved.from_arviz(theta(SCHOOLS)), saved.from_arviz(more))
    assert set(found.reference) == {"theta[Choate]", "theta[Deerfield]"}
    assert sorted(found.left_out) == ["tau", "theta[Exeter]", "theta[Phillips]"]


def test_positions_say_nothing_about_names() -> None:
    """Three schools beside three others: nothing in common, however many there are."""
    with pytest.raises(InputError, match="theta"):
        align(*(saved.from_arviz(theta(labels)) for labels in (SCHOOLS, ["a", "b", "c"])))


def test_matches_by_position_are_said() -> None:
    found = align(saved.from_arviz(theta(SCHOOLS)), saved.from_arviz(theta(None, "theta_dim_0")))
    assert "matched by position" in " ".join(found.notes)
    found = align(saved.from_arviz(theta([0, 1, 2])), saved.from_arviz(theta([1, 2, 3])))
    assert "counted from 0 and from 1" in " ".join(found.notes)
    found = align(saved.from_arviz(theta(None)), saved.from_arviz(theta(None, "county")))
    assert "'county'" in " ".join(found.notes)


CONTRADICTIONS: dict[str, tuple[xr.Dataset, xr.Dataset, str]] = {
    "units": (theta(SCHOOLS, units="m"), theta(SCHOOLS, units="cm"), "unit"),
    "a label twice": (theta(SCHOOLS), theta(["Choate", "Choate", "Phillips"]), "twice"),
    "axes": (theta(None), xr.Dataset({"theta": (("chain", "draw"), numbers())}), "axes"),
    "shapes without names": (
        matrix(("omega_dim_0", "omega_dim_1")),
        xr.Dataset({"omega": (("chain", "draw", "omega_dim_0", "omega_dim_1"), numbers(3, 2))}),
        "shapes",
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions_are_refused(case: str) -> None:
    one, other, why = CONTRADICTIONS[case]
    with pytest.raises(InputError, match=why):
        align(saved.from_arviz(one), saved.from_arviz(other))


def test_units_of_time_stay_numbers(tmp_path: Path) -> None:
    """A library would turn a latent in days, or in days since a day, into durations and dates."""
    for unit in ("days", "days since 2000-01-01"):
        found = stored(theta(SCHOOLS, units=unit), tmp_path, "time")
        np.testing.assert_allclose(found.draws["theta"], numbers(3))
        assert found.units == {"theta": unit}


def test_what_is_no_number_is_named(tmp_path: Path) -> None:
    text = xr.Dataset(
        {
            "theta": (("chain", "draw"), numbers()),
            "regime": (("chain", "draw"), np.full((CHAINS, DRAWS), "calm")),
            "when": (
                ("chain", "draw"),
                np.full((CHAINS, DRAWS), np.datetime64("2020-01-01", "ns")),
            ),
            "wave": (("chain", "draw"), numbers() * 1j),
            "loose": (("draw",), numbers()[0]),
        }
    )
    found = saved.from_arviz(text)
    assert set(found.draws) == {"theta"}
    assert found.unusable == {
        "regime": "text",
        "when": "dates",
        "wave": "complex numbers",
        "loose": "it has no dimension chain",
    }
    assert set(align(found, found).not_compared) == {"regime", "when", "wave", "loose"}
    assert set(stored(text[["theta", "regime"]], tmp_path, "text").unusable) == {"regime"}
    with pytest.raises(InputError, match="text"):
        saved.from_arviz(text[["regime"]])
    with pytest.raises(InputError, match="0 draws"):
        saved.from_arviz(theta(SCHOOLS).isel(draw=slice(0)))


def test_scaled_and_missing_values(tmp_path: Path) -> None:
    packed = np.round(100 * numbers()).astype(np.int32)
    path = tmp_path / "packed.nc"
    xr.DataTree.from_dict(
        {"/posterior": xr.Dataset({"x": (("chain", "draw"), packed / 100.0)})}
    ).to_netcdf(
        path,
        engine="h5netcdf",
        encoding={
            "/posterior": {"x": {"dtype": "int32", "scale_factor": 0.01, "_FillValue": -9999}}
        },
    )
    np.testing.assert_allclose(saved.read(path).draws["x"], packed / 100.0)
    masked = np.ma.masked_array(numbers(), mask=False)
    masked[0, 3] = np.ma.masked
    assert np.isnan(Posterior("masked", {"x": masked}).draws["x"][0, 3])


def test_a_file_without_groups(tmp_path: Path) -> None:
    theta(SCHOOLS).to_netcdf(tmp_path / "plain.nc", engine="h5netcdf")
    assert set(saved.read(tmp_path / "plain.nc").scalars) == {f"theta[{s}]" for s in SCHOOLS}


def test_statistics_of_other_draws(tmp_path: Path) -> None:
    """A thinned posterior beside the sampler's statistics of all draws:
    divergences of all draws count.
    """
    diverging = np.zeros((CHAINS, 10 * DRAWS), dtype=bool)
    diverging[1, 7] = True
    energy = np.random.default_rng(0).standard_normal((10 * DRAWS, CHAINS))
    statistics = xr.Dataset(
        {"diverging": (("chain", "draw"), diverging), "energy": (("draw", "chain"), energy)}
    )
    found = saved.from_arviz({"posterior": theta(SCHOOLS), "sample_stats": statistics})
    assert found.unknown == []
    assert found.gates().divergences == 1
    empty = statistics.assign(energy=(("draw", "chain"), np.full_like(energy, np.nan)))
    assert saved.from_arviz({"posterior": theta(SCHOOLS), "sample_stats": empty}).unknown == [
        "e_bfmi"
    ]


# -- posteriordb -----------------------------------------------------------------------------------


def chains(names: list[str], where: dict[str, int] | None = None) -> list[dict[str, list[float]]]:
    """posteriordb's document; `where` says which entry of twelve a name stands for."""
    values = numbers(12)
    places = where or {n: i for i, n in enumerate(names)}
    return [{n: values[c, :, places[n]].tolist() for n in names} for c in range(CHAINS)]


def test_entries_of_a_document_go_by_their_numbers(tmp_path: Path) -> None:
    """`x[10]` sorts before `x[2]` as text; entries stand in any order."""
    names = [f"x[{i}]" for i in range(1, 13)]
    places = {n: i for i, n in enumerate(names)}
    for order in (names, names[::-1], sorted(names)):
        (tmp_path / "p.json").write_text(json.dumps(chains(order, places)))
        np.testing.assert_allclose(saved.read(tmp_path / "p.json").draws["x"], numbers(12))


def test_labels_of_a_document_meet_coordinates(tmp_path: Path) -> None:
    where = {f"theta[{s}]": i for i, s in enumerate(SCHOOLS)}
    values = numbers(3)
    document = [
        {n: values[c, :, where[n]].tolist() for n in reversed(where)} for c in range(CHAINS)
    ]
    (tmp_path / "p.json").write_text(json.dumps(document))
    found = align(saved.from_arviz(theta(SCHOOLS)), saved.read(tmp_path / "p.json"))
    assert matched(found) == dict.fromkeys(where, True)


def test_a_document_meets_names_by_position(tmp_path: Path) -> None:
    values = numbers(3)
    document = [
        {f"theta[{i}]": values[c, :, i - 1].tolist() for i in (3, 1, 2)} for c in range(CHAINS)
    ]
    (tmp_path / "p.json").write_text(json.dumps(document))
    found = align(saved.from_arviz(theta(SCHOOLS)), saved.read(tmp_path / "p.json"))
    assert all(matched(found).values())
    assert set(found.reference) == {f"theta[{s}]" for s in SCHOOLS}


BAD_DOCUMENTS = {
    "a name twice": '[{"a": [1, 2], "a": [3, 4]}]',
    "an entry twice": '[{"a[1]": [1, 2], "a[01]": [3, 4]}]',
    "a scalar and an array": '[{"a": [1, 2], "a[1]": [3, 4]}]',
    "text": '[{"a": ["x", "y"]}]',
    "numbers as text": '[{"a": ["1", "2"]}]',
    "no draws": '[{"a": []}]',
    "a number of 400 digits": '[{"a": [1' + "0" * 400 + "]}]",
    "an object": '[{"a": {"b": 1}}]',
    "one number": '[{"a": 1}]',
    "a label missing": '[{"a[x,u]": [1], "a[y,v]": [1]}]',
    "Latin 1": "[{'é': [1]}]".encode("latin-1"),
}


@pytest.mark.parametrize("case", BAD_DOCUMENTS)
def test_documents_that_contradict_themselves(case: str, tmp_path: Path) -> None:
    text = BAD_DOCUMENTS[case]
    (tmp_path / "p.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError):
        saved.read(tmp_path / "p.json")


# -- files that are none ---------------------------------------------------------------------------


def no_posterior(case: str, folder: Path) -> tuple[Path, str]:
    """A file that is no saved posterior, and the words that must be said."""
    path = folder / "p.nc"
    contents = {
        "text": b"mean,sd\n1,2",
        "HTML": b"<!doctype html>",
        "empty": b"",
        "netCDF 3": b"CDF\x01\0\0\0\0",
        "JSON": b"[{}]",
    }
    if case in contents:
        path.write_bytes(contents[case])
        words = {"text": "no HDF5", "netCDF 3": "save it as netCDF 4", "JSON": "name it .json"}
        return path, words.get(case, case)
    if case == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "x")
        return path, "zip"
    if case == "folder":
        path.mkdir()
        return path, "folder"
    if case == "cut off":
        theta(SCHOOLS).to_netcdf(path, engine="h5netcdf")
        path.write_bytes(path.read_bytes()[:3000])
        return path, "damaged"
    if case == "another group":
        xr.DataTree.from_dict({"/prior": theta(SCHOOLS)}).to_netcdf(path, engine="h5netcdf")
        return path, "it has 'prior'"
    return folder / "missing.json", "no file"


NONE = [
    "text",
    "HTML",
    "empty",
    "netCDF 3",
    "JSON",
    "zip",
    "folder",
    "cut off",
    "another group",
    "missing",
]


@pytest.mark.parametrize("case", NONE)
def test_what_is_no_posterior_is_said(case: str, tmp_path: Path) -> None:
    path, words = no_posterior(case, tmp_path)
    with pytest.raises(InputError, match=words):
        saved.read(path)


def test_look_alikes_get_a_note() -> None:
    """A letter with its accent, and a letter and an accent."""
    one, other = (
        xr.Dataset({n: (("chain", "draw"), numbers()), "x": (("chain", "draw"), numbers())})
        for n in ("\u00e9", "e\u0301")
    )
    found = align(saved.from_arviz(one), saved.from_arviz(other))
    assert "look alike" in " ".join(found.notes)


def test_text_from_files_does_not_reach_the_terminal() -> None:
    rng = np.random.default_rng(0)
    sides = [Posterior("p\x1b[2J", {"x\x1b[31m": rng.standard_normal((4, 400))}) for _ in range(2)]
    found = comparison.compare(*sides)
    assert "\x1b" not in comparison.summary(found)
    json.dumps(found, allow_nan=False)

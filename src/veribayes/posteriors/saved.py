"""Posterior draws that somebody has saved: our references, arviz containers, posteriordb's JSON.

    FILE.nc          a group `posterior` (or a file without groups) with variables
                     (chain, draw, *event) in any order of dimensions: arviz's InferenceData or
                     DataTree, or what `veribayes reference` wrote. A dimension `sample` that
                     carries chain and draw as coordinates is taken apart
                     another group can be chosen
    FILE.csv         CmdStan's, one chain; a folder of them: a chain in each file
    FILE.npz         arrays (chain, draw, *event) by name
    FILE.json[.zip]  posteriordb (arXiv 2407.04967): a list of chains, each an object name -> draws;
                     `theta[1]` is an entry of the array `theta`, `theta[Choate]` one with a label

Names, dimensions, coordinates, kinds of numbers and units are kept beside the draws: `alignment`
decides by them what is compared with what. In memory both generations of arviz are read and written
(`from_arviz`, `to_arviz`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from veribayes.errors import InputError, shown
from veribayes.posteriors import posteriordb
from veribayes.posteriors.arrays import read_arrays
from veribayes.posteriors.chains import KINDS, STATISTICS, Axis, Posterior, kind_of
from veribayes.posteriors.cmdstan import read_chains as read_chains
from veribayes.tree import CHAIN, DRAW

__all__ = ["Axis", "Posterior", "from_arviz", "read", "read_chains", "to_arviz"]

MOST_BYTES = 2**33  # of draws in memory
SUFFIXES = (".nc", ".nc4", ".netcdf")
HDF5 = b"\x89HDF\r\n\x1a\n"
LOOKS_LIKE = {  # the first bytes of what is no netCDF 4
    b"CDF": "netCDF 3; save it as netCDF 4",
    b"PK": "a zip archive",
    b"\x1f\x8b": "gzip; unpack it",
    b"<": "HTML or XML",
    b"{": "JSON; name it .json",
    b"[": "JSON; name it .json",
}
NO_HDF5 = "no HDF5 file"
DRAWN = ("/", "posterior", "sample_stats")  # groups whose size counts
OBSERVED = ("observed_data", "constant_data")
READ_IN = (*DRAWN, *OBSERVED)
NEEDS = "moments alone cannot be compared draw by draw"


def read(path: str | Path, group: str | None = None) -> Posterior:
    """A saved posterior, by the kind of its file; a folder of CSV files has a chain in each.

    Args:
        group: of a netCDF file that holds the draws; None: `posterior`.

    Raises:
        InputError: no file, another kind of file, a damaged one, or one without draws.
    """
    path = Path(path)
    name = path.name.lower()
    if group is not None and not name.endswith(SUFFIXES):
        raise InputError("a group of a netCDF file", f"'{group}' of {shown(path.name)}")
    if path.is_dir() and sorted(path.glob("*.csv")):
        return read_chains(sorted(path.glob("*.csv")))
    if not name.endswith((*SUFFIXES, ".json", ".json.zip", ".csv", ".npz")):
        wanted = "a saved posterior .nc, .json, .json.zip, .npz or .csv"
        raise InputError(wanted, shown(path.name))
    if path.is_dir():
        folder = f"the folder {shown(path.name)}"
        remedy = "save it as netCDF; zarr is not read"
        raise InputError("a file with a saved posterior", folder, remedy)
    if not path.is_file():
        raise InputError("a saved posterior", f"no file {shown(path.name)}", "check the path")
    if name.endswith(SUFFIXES):
        return from_arviz(_groups(path, group), path.stem)
    if name.endswith(".csv"):
        return read_chains([path])
    if name.endswith(".npz"):
        return read_arrays(path)
    return posteriordb.from_chains(posteriordb.document(path), path.name.split(".")[0])


def from_arviz(container: Any, name: str = "posterior") -> Posterior:
    """An InferenceData, a DataTree with the group `posterior`, that group, or a mapping of groups.

    Raises:
        InputError: nothing of that kind, several data sets in one file, or labels that contradict
            each other.
    """
    group = _one_data_set(_with_draws(container, name), name)
    group, notes = _by_chain(group, name)
    _limit_size(group.nbytes, name)
    kept, unusable = _usable(group)
    draws, axes, units = {}, {}, {}
    for latent, values in kept.items():
        draws[latent] = values.to_numpy()
        axes[latent] = tuple(_axis(latent, i, values) for i in range(values.ndim - 2))
        if values.attrs.get("units"):
            units[latent] = str(values.attrs["units"]).strip()
    return Posterior(
        name,
        draws,
        _statistics(_group(container, "sample_stats"), name),
        axes=axes,
        units=units,
        unusable=unusable,
        data=_data(container),
        notes=notes,
    )


def to_arviz(posterior: Posterior, *, legacy: bool = False) -> Any:
    """A DataTree as arviz >= 1 and arviz-base >= 0.8 read it, or an InferenceData of arviz 0.23.

    Raises:
        InputError: `legacy` where arviz 1 is installed, which has no InferenceData.
    """
    groups: dict[str, Any] = {"posterior": dict(posterior.draws)}
    if posterior.statistics:
        groups["sample_stats"] = dict(posterior.statistics)
    dims: dict[str, list[str]] = {}
    coords: dict[str, list[str]] = {}
    for latent, axes in posterior.axes.items():
        dims[latent] = [axis.name or f"{latent}_dim_{i}" for i, axis in enumerate(axes)]
        for dim, axis in zip(dims[latent], axes, strict=True):
            if axis.labels:
                coords[dim] = list(axis.labels)
    if not legacy:
        import arviz_base

        return arviz_base.from_dict(groups, dims=dims, coords=coords)
    import arviz

    if not hasattr(arviz, "InferenceData"):
        installed = f"arviz {arviz.__version__}"
        raise InputError("arviz 0.23, which has InferenceData", installed, "leave out legacy")
    return arviz.from_dict(**groups, dims=dims, coords=coords)


def _groups(path: Path, chosen: str | None) -> dict[str, xr.Dataset]:
    """The groups of a netCDF file by name, one that is chosen in the place of the posterior;
    numbers with a unit of time stay numbers.

    Raises:
        InputError: a file of another kind, or a damaged one.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if not start.startswith(HDF5):
        raise InputError("a netCDF 4 file", f"{shown(path.name)}: {_kind_of_file(start)}")
    try:
        opened = xr.open_groups(path, engine="h5netcdf", decode_times=False, decode_timedelta=False)
        groups = {name.strip("/") or "/": group for name, group in opened.items()}
        if chosen is not None:
            groups["posterior"] = _chosen(groups, chosen, path.name)
        drawn = [group.nbytes for name, group in groups.items() if name in DRAWN]
        _limit_size(sum(drawn), path.name)
        return {n: group.load() if n in READ_IN else group for n, group in groups.items()}
    except InputError:
        raise
    except Exception as error:  # whatever the library raises on a damaged file
        found = f"{shown(path.name)}: {' '.join(str(error).split())[:200]}"
        remedy = "the file is damaged; save it again"
        raise InputError("a readable netCDF 4 file", found, remedy) from None


def _chosen(groups: dict[str, xr.Dataset], name: str, file: str) -> xr.Dataset:
    group = groups.get(name.strip("/") or "/")
    if group is None:
        have = ", ".join(map(shown, groups))
        raise InputError(f"the group {shown(name)} in {shown(file)}", f"the groups {have}")
    return group


def _kind_of_file(start: bytes) -> str:
    """What the first bytes look like, which are not those of HDF5."""
    if not start:
        return "an empty file"
    text = start.lstrip()
    return next((kind for first, kind in LOOKS_LIKE.items() if text.startswith(first)), NO_HDF5)


def _limit_size(size: int, name: str) -> None:
    if size > MOST_BYTES:
        wanted = f"at most {MOST_BYTES >> 30} GiB of draws"
        raise InputError(wanted, f"{size / 2**30:.1f} GiB in {shown(name)}")


def _with_draws(container: Any, name: str) -> xr.Dataset:
    """The group that holds the draws."""
    group = _group(container, "posterior")
    if group is None:
        group = container if isinstance(container, xr.Dataset) else _group(container, "/")
    if group is not None and ({DRAW, "sample"} & set(group.dims) or _stacked(group)):
        return group
    dims = sorted(map(str, group.dims)) if group is not None else []
    held = ", ".join(map(shown, dims or _names(container))) or "nothing"
    wanted = "a group 'posterior' with the dimensions chain and draw"
    raise InputError(wanted, f"{shown(name)} without it (it has {held})", NEEDS)


def _one_data_set(group: xr.Dataset, name: str) -> xr.Dataset:
    count = group.sizes.get("dataset", 1)
    if count > 1:
        raise InputError("the posterior of one data set", f"{count} in {shown(name)}")
    return group.squeeze("dataset") if "dataset" in group.dims else group


def _data(container: Any) -> dict[str, Any]:
    """What was observed, and constants, by name."""
    data = {}
    for group in OBSERVED:
        for name, values in _variables(_group(container, group)):
            data[name] = values.to_numpy()
    return data


def _group(container: Any, name: str) -> xr.Dataset | None:
    """A group by its name, if the container has it."""
    if isinstance(container, xr.DataTree):
        if name == "/":
            return container.to_dataset()
        return container[name].to_dataset() if name in container.children else None
    if isinstance(container, Mapping) and not isinstance(container, xr.Dataset):
        group = container.get(name)
    else:
        group = getattr(container, name, None)  # arviz.InferenceData
    return group if isinstance(group, xr.Dataset) else None


def _names(container: Any) -> list[str]:
    """Groups that a container has."""
    if isinstance(container, xr.DataTree):
        return sorted(container.children)
    if isinstance(container, Mapping):
        return sorted(str(n) for n in container if n != "/")
    groups = getattr(container, "groups", None)
    return sorted(map(str, groups() if callable(groups) else []))


def _stacked(group: xr.Dataset) -> str | None:
    """The dimension along which chain and draw are coordinates, if there is one."""
    if DRAW in group.dims or CHAIN not in group.coords or DRAW not in group.coords:
        return None
    for dim in group.dims:
        if group[CHAIN].dims == (dim,) and group[DRAW].dims == (dim,):
            return str(dim)
    return None


def _by_chain(group: xr.Dataset, name: str) -> tuple[xr.Dataset, tuple[str, ...]]:
    """The group with the dimensions chain and draw,
    both in the order of their labels, and notes.
    """
    stacked = _stacked(group)
    if stacked is not None:
        return _apart(group, stacked, name)
    notes: tuple[str, ...] = ()
    if DRAW not in group.dims:
        group = group.rename({"sample": DRAW})
    if CHAIN not in group.dims:
        group = group.drop_vars(CHAIN, errors="ignore").expand_dims(CHAIN)
        notes = (f"{shown(name)} says nothing about chains: one",)
    for dim in (CHAIN, DRAW):  # draws may have been stored in another order
        if dim in group.coords:
            labels = group.coords[dim].to_numpy()
            if np.unique(labels).size == labels.size:
                group = group.sortby(dim)
    return group, notes


def _apart(group: xr.Dataset, dim: str, name: str) -> tuple[xr.Dataset, tuple[str, ...]]:
    """Draws of all chains in one row as chains of one length, in the order of their draws."""
    chain, draw = group[CHAIN].to_numpy(), group[DRAW].to_numpy()
    rows = [np.flatnonzero(chain == label) for label in np.unique(chain)]
    if any(np.unique(draw[of_chain]).size < of_chain.size for of_chain in rows):
        wanted = f"every draw of a chain once in {shown(name)}"
        raise InputError(wanted, "the same draw of one chain twice")
    least = min(map(len, rows))
    if dim in group.indexes:
        plain = group.reset_index(dim, drop=True).drop_vars([CHAIN, DRAW], errors="ignore")
    else:
        plain = group.drop_vars([CHAIN, DRAW])
    parts = []
    for of_chain in rows:
        order = np.argsort(draw[of_chain], kind="stable")
        first = of_chain[order][:least]
        parts.append(plain.isel({dim: first}).rename({dim: DRAW}))
    short = sum(map(len, rows)) - least * len(rows)
    note = f"chains of {shown(name)} have different lengths: {short} draws were left out"
    return xr.concat(parts, CHAIN), (note,) if short else ()


def _variables(group: xr.Dataset | None) -> list[tuple[str, xr.DataArray]]:
    if group is None:
        return []
    return [(str(name), values) for name, values in group.data_vars.items()]


def _usable(group: xr.Dataset) -> tuple[dict[str, xr.DataArray], dict[str, str]]:
    """Variables that are draws of real numbers, (chain, draw, ...); and why the others are not."""
    kept, unusable = {}, {}
    for name, values in _variables(group):
        if DRAW not in values.dims:
            continue
        if CHAIN not in values.dims:
            unusable[name] = "it has no dimension chain"
        elif values.dtype.kind not in KINDS:
            unusable[name] = kind_of(values.dtype)
        else:
            kept[name] = values.transpose(CHAIN, DRAW, ...)
    return kept, unusable


def _statistics(group: xr.Dataset | None, name: str) -> dict[str, Any]:
    """What the sampler saved for the gates; what it left empty is not there."""
    if group is None or (DRAW not in group.dims and _stacked(group) is None):
        return {}
    by_chain, _ = _by_chain(group, name)
    statistics = {}
    for key in STATISTICS:
        if key not in by_chain or set(by_chain[key].dims) != {CHAIN, DRAW}:
            continue
        if by_chain[key].dtype.kind in KINDS:
            values = by_chain[key].transpose(CHAIN, DRAW).to_numpy()
            if values.size and not np.isnan(values.astype(np.float64)).all():
                statistics[key] = values
    return statistics


def _axis(variable: str, i: int, values: xr.DataArray) -> Axis:
    """Name and labels of the axis number `i` behind chain and draw."""
    dim = str(values.dims[2 + i])
    automatic = {f"{variable}_dim_{i}", f"{variable}_{i}", f"dim_{i}"}
    coords = [coord for coord in values.coords.values() if coord.dims == (dim,)]
    if dim in values.coords:
        coords = [values.coords[dim]]
    columns = [_labels(coord) for coord in coords]
    labels = [",".join(parts) for parts in zip(*columns, strict=True)]
    return Axis("" if dim in automatic else dim, tuple(labels) if columns else None)


def _labels(coord: xr.DataArray) -> list[str]:
    return [_label(value) for value in _dated(coord).to_numpy()]


def _dated(coord: xr.DataArray) -> xr.DataArray:
    """A coordinate of dates as dates: two files may count from different days."""
    if " since " not in str(coord.attrs.get("units", "")):
        return coord
    variable = coord.variable.to_base_variable()
    try:
        return xr.DataArray(xr.conventions.decode_cf_variable("time", variable))
    except (ValueError, TypeError, OverflowError, ImportError):
        return coord


def _label(value: Any) -> str:
    """A coordinate as text: the same whether it was stored as text, an integer or a float."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.datetime64):
        return str(np.datetime_as_string(value, unit="auto"))
    if isinstance(value, np.floating | float):
        return f"{value:.6g}" if isinstance(value, np.float32 | np.float16) else f"{value:.12g}"
    return str(value)

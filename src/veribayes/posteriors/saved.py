"""Posterior draws that somebody has saved: our own references, arviz containers, posteriordb's JSON.

    FILE.nc              a group `posterior` (or a file without groups) with variables (chain, draw, *event) in any order of
                         dimensions: arviz's InferenceData or DataTree, or what `veribayes reference` wrote. A dimension
                         `sample` that carries chain and draw as coordinates is taken apart
    FILE.json[.zip]      posteriordb (arXiv 2407.04967): a list of chains, each an object name -> draws; `theta[1]` is an entry
                         of the array `theta`, `theta[Choate]` one with a label

Names, dimensions, coordinates, kinds of numbers and units are kept beside the draws: `alignment` decides by them what
is compared with what. In memory both generations of arviz are read and written (`from_arviz`, `to_arviz`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from veribayes.checked import shown
from veribayes.errors import InputError
from veribayes.posteriors import posteriordb
from veribayes.posteriors.chains import KINDS, STATISTICS, Axis, Posterior, kind_of
from veribayes.tree import CHAIN, DRAW

__all__ = ["Axis", "Posterior", "from_arviz", "read", "to_arviz"]

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
NEEDS = "moments alone cannot be compared draw by draw"


def read(path: str | Path) -> Posterior:
    """A saved posterior, by the kind of its file.

    Raises:
        InputError: no file, another kind of file, a damaged one, or one without draws.
    """
    path = Path(path)
    name = path.name.lower()
    if not name.endswith((*SUFFIXES, ".json", ".json.zip")):
        raise InputError("a saved posterior .nc, .json or .json.zip", shown(path.name))
    if path.is_dir():
        raise InputError(
            "a file with a saved posterior",
            f"the folder {shown(path.name)}",
            "save it as netCDF; zarr is not read",
        )
    if not path.is_file():
        raise InputError("a saved posterior", f"no file {shown(path.name)}", "check the path")
    if name.endswith(SUFFIXES):
        return from_arviz(_groups(path), path.stem)
    return posteriordb.from_chains(posteriordb.document(path), path.name.split(".")[0])


def from_arviz(container: Any, name: str = "posterior") -> Posterior:
    """An `arviz.InferenceData`, a DataTree with the group `posterior`, that group alone, or a mapping of groups.

    Raises:
        InputError: nothing of that kind, several data sets in one file, or labels that contradict each other.
    """
    group = _group(container, "posterior")
    if group is None:
        group = container if isinstance(container, xr.Dataset) else _group(container, "/")
    if group is None or not ({DRAW, "sample"} & set(group.dims) or _stacked(group)):
        dims = sorted(map(str, group.dims)) if group is not None else []
        held = ", ".join(shown(n) for n in dims or _names(container)) or "nothing"
        wanted = "a group 'posterior' with the dimensions chain and draw"
        raise InputError(wanted, f"{shown(name)} without it (it has {held})", NEEDS)
    if group.sizes.get("dataset", 1) > 1:
        raise InputError(
            "the posterior of one data set", f"{group.sizes['dataset']} in {shown(name)}"
        )
    group, notes = _by_chain(group.squeeze("dataset") if "dataset" in group.dims else group, name)
    if group.nbytes > MOST_BYTES:
        raise InputError(
            f"at most {MOST_BYTES >> 30} GiB of draws",
            f"{group.nbytes / 2**30:.1f} GiB in {shown(name)}",
        )
    kept, unusable = _usable(group)
    return Posterior(
        name,
        {n: v.to_numpy() for n, v in kept.items()},
        _statistics(_group(container, "sample_stats"), name),
        axes={n: tuple(_axis(n, i, v) for i in range(v.ndim - 2)) for n, v in kept.items()},
        units={n: str(v.attrs["units"]).strip() for n, v in kept.items() if v.attrs.get("units")},
        unusable=unusable,
        data={
            n: v.to_numpy()
            for g in ("observed_data", "constant_data")
            for n, v in _variables(_group(container, g))
        },
        notes=notes,
    )


def to_arviz(posterior: Posterior, *, legacy: bool = False) -> Any:
    """A DataTree as arviz-base >= 0.8 and arviz >= 1 read it; with `legacy` an `arviz.InferenceData` of arviz 0.23.

    Raises:
        InputError: `legacy` where arviz 1 is installed, which has no InferenceData.
    """
    both = {"posterior": dict(posterior.draws), "sample_stats": dict(posterior.statistics)}
    groups: dict[str, Any] = {k: v for k, v in both.items() if v}
    dims = {
        n: [a.name or f"{n}_dim_{i}" for i, a in enumerate(axes)]
        for n, axes in posterior.axes.items()
    }
    coords = {
        d: list(a.labels)
        for n, axes in posterior.axes.items()
        for d, a in zip(dims[n], axes, strict=True)
        if a.labels
    }
    if legacy:
        import arviz

        if not hasattr(arviz, "InferenceData"):
            raise InputError(
                "arviz 0.23, which has InferenceData",
                f"arviz {arviz.__version__}",
                "leave out legacy",
            )
        return arviz.from_dict(**groups, dims=dims, coords=coords)
    import arviz_base

    return arviz_base.from_dict(groups, dims=dims, coords=coords)


def _groups(path: Path) -> dict[str, xr.Dataset]:
    """The groups of a netCDF file by name; numbers with a unit of time stay numbers.

    Raises:
        InputError: a file of another kind, or a damaged one.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if not start.startswith(HDF5):
        kind = next(
            (what for first, what in LOOKS_LIKE.items() if start.lstrip().startswith(first)),
            "no HDF5 file",
        )
        raise InputError(
            "a netCDF 4 file", f"{shown(path.name)}: {kind if start else 'an empty file'}"
        )
    try:
        found = xr.open_groups(path, engine="h5netcdf", decode_times=False, decode_timedelta=False)
        wanted = {n.strip("/") or "/": g for n, g in found.items()}
        sizes = [g.nbytes for n, g in wanted.items() if n in ("/", "posterior", "sample_stats")]
        if sum(sizes) > MOST_BYTES:
            raise InputError(
                f"at most {MOST_BYTES >> 30} GiB of draws",
                f"{sum(sizes) / 2**30:.1f} GiB in {shown(path.name)}",
            )
        read_in = ("/", "posterior", "sample_stats", "observed_data", "constant_data")
        return {n: g.load() if n in read_in else g for n, g in wanted.items()}
    except InputError:
        raise
    except Exception as error:  # whatever the library raises on a damaged file
        text = " ".join(f"{error}".split())[:200]
        raise InputError(
            "a readable netCDF 4 file",
            f"{shown(path.name)}: {text}",
            "the file is damaged; save it again",
        ) from None


def _group(container: Any, name: str) -> xr.Dataset | None:
    if isinstance(container, Mapping) and not isinstance(container, xr.Dataset | xr.DataTree):
        found = container.get(name)
    elif isinstance(container, xr.DataTree):
        found = (
            container.to_dataset()
            if name == "/"
            else container[name].to_dataset()
            if name in container.children
            else None
        )
    else:
        found = getattr(container, name, None)  # arviz.InferenceData
    return found if isinstance(found, xr.Dataset) else None


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
    dims = [
        d
        for d in group.dims
        if all(c in group.coords and group[c].dims == (d,) for c in (CHAIN, DRAW))
    ]
    return str(dims[0]) if dims and DRAW not in group.dims else None


def _by_chain(group: xr.Dataset, name: str) -> tuple[xr.Dataset, tuple[str, ...]]:
    """The group with the dimensions chain and draw, both in the order of their labels, and what was done for it."""
    stacked = _stacked(group)
    if stacked is not None:
        return _apart(group, stacked, name)
    notes: tuple[str, ...] = ()
    if DRAW not in group.dims:
        group = group.rename({"sample": DRAW})
    if CHAIN not in group.dims:
        group, notes = (
            group.drop_vars(CHAIN, errors="ignore").expand_dims(CHAIN),
            (f"{shown(name)} says nothing about chains: one",),
        )
    for dim in (CHAIN, DRAW):
        labels = group.coords[dim].to_numpy() if dim in group.coords else None
        if (
            labels is not None and np.unique(labels).size == labels.size
        ):  # draws that were stored in another order
            group = group.sortby(dim)
    return group, notes


def _apart(group: xr.Dataset, dim: str, name: str) -> tuple[xr.Dataset, tuple[str, ...]]:
    """Draws of all chains in one row as chains of one length, in the order of their draws."""
    chain, draw = (group[c].to_numpy() for c in (CHAIN, DRAW))
    rows = [np.flatnonzero(chain == c) for c in np.unique(chain)]
    if any(np.unique(draw[r]).size < r.size for r in rows):
        raise InputError(
            f"every draw of a chain once in {shown(name)}", "the same draw of one chain twice"
        )
    least = min(map(len, rows))
    ordered = [r[np.argsort(draw[r], kind="stable")][:least] for r in rows]
    plain = group.reset_index(dim, drop=True).drop_vars([CHAIN, DRAW], errors="ignore") if dim in group.indexes else \
        group.drop_vars([CHAIN, DRAW])  # fmt: skip
    parts = [plain.isel({dim: r}).rename({dim: DRAW}) for r in ordered]
    short = sum(map(len, rows)) - least * len(rows)
    notes = (
        (f"chains of {shown(name)} have different lengths: {short} draws were left out",)
        if short
        else ()
    )
    return xr.concat(parts, CHAIN), notes


def _variables(group: xr.Dataset | None) -> list[tuple[str, xr.DataArray]]:
    return [] if group is None else [(str(n), v) for n, v in group.data_vars.items()]


def _usable(group: xr.Dataset) -> tuple[dict[str, xr.DataArray], dict[str, str]]:
    """Variables that are draws of real numbers, (chain, draw, ...); and of the other draws, why not."""
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
    found = {}
    for key in STATISTICS:
        if (
            key in by_chain
            and set(by_chain[key].dims) == {CHAIN, DRAW}
            and by_chain[key].dtype.kind in KINDS
        ):
            values = by_chain[key].transpose(CHAIN, DRAW).to_numpy()
            if values.size and not np.isnan(values.astype(np.float64)).all():
                found[key] = values
    return found


def _axis(variable: str, i: int, values: xr.DataArray) -> Axis:
    """Name and labels of the axis number `i` behind chain and draw."""
    dim = str(values.dims[2 + i])
    automatic = {f"{variable}_dim_{i}", f"{variable}_{i}", f"dim_{i}"}
    coords = (
        [values.coords[dim]]
        if dim in values.coords
        else [c for c in values.coords.values() if c.dims == (dim,)]
    )
    texts = [[_label(x) for x in _dated(c).to_numpy()] for c in coords]
    labels = tuple(",".join(parts) for parts in zip(*texts, strict=True)) if texts else None
    return Axis("" if dim in automatic else dim, labels)


def _dated(coord: xr.DataArray) -> xr.DataArray:
    """A coordinate of dates as dates: two files may count from different days."""
    if " since " not in str(coord.attrs.get("units", "")):
        return coord
    try:
        return xr.DataArray(
            xr.conventions.decode_cf_variable("time", coord.variable.to_base_variable())
        )
    except (ValueError, TypeError, OverflowError, ImportError):
        return coord


def _label(value: Any) -> str:
    """A coordinate as text: the same whether it was stored as text, an integer or a float of either width."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.datetime64):
        return str(np.datetime_as_string(value, unit="auto"))
    if isinstance(value, np.floating | float):
        return f"{value:.6g}" if isinstance(value, np.float32 | np.float16) else f"{value:.12g}"
    return str(value)

"""Runs on disk: one netCDF file a task, written to a temporary name and renamed, with provenance in
its attributes.

OUT/TASK/shards/NNNNN.nc   scores of one range of data sets; its key says what it depends on
OUT/TASK/run.nc            the whole run: scores, examples, audit, verdict
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from veribayes.errors import InputError
from veribayes.predictive import FORMS, Predictive
from veribayes.storage.folders import require_room, whole
from veribayes.storage.folders import write_text as write_text
from veribayes.tree import DATASET, POSITION, QUERY, Certificate
from veribayes.tree.plain import number

SCHEMA = "veribayes.run/1"
PACKAGES = (
    "veribayes",
    "numpy",
    "scipy",
    "jax",
    "numpyro",
    "torch",
    "pgmpy",
    "arviz-stats",
    "xarray",
    "h5netcdf",
    "matplotlib",
)
MOST_BYTES = 2**32  # of one chunk in HDF5
# what HDF5 stores beside the numbers; measured 5 and 10 KiB
BYTES_OF_A_VARIABLE, BYTES_OF_A_FILE = 2**14, 2**16
PACKAGE = Path(__file__).resolve().parents[1]
SHOWN = ("cli", "report")  # rooms on which no stored number depends: they show what is there


def write_tree(tree: xr.DataTree, path: Path) -> None:
    """Write a tree as netCDF whole or not at all.

    Raises:
        InputError: the file cannot be written there.
    """
    encoding = {node.path: _checksums(node) for node in tree.subtree}
    with whole(path) as temporary:
        # HDF5 does not survive a full disk: it crashes when the file is closed.
        require_room(temporary, _most_bytes(tree))
        try:
            tree.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)
        except RuntimeError as error:  # HDF5's word for a full disk
            raise OSError(f"{error}") from error


def _most_bytes(tree: xr.DataTree) -> int:
    """More bytes than the file of a tree takes."""
    most = BYTES_OF_A_FILE
    for node in tree.subtree:
        variables = node.to_dataset(inherit=False).variables.values()
        most += sum(v.nbytes + BYTES_OF_A_VARIABLE for v in variables)
        most += 4 * sum(len(str(value)) for value in node.attrs.values())
    return most


def _checksums(node: xr.DataTree) -> dict[Any, dict[str, Any]]:
    """A checksum for every array of numbers: a flipped bit makes the file unreadable instead of the
    result wrong.
    """
    encodings: dict[Any, dict[str, Any]] = {}
    for array in node.data_vars.values():
        fits = array.ndim and 0 < array.nbytes < MOST_BYTES
        if fits and array.dtype.kind in "iuf":
            encodings[array.name] = {"fletcher32": True, "chunksizes": array.shape}
    return encodings


def netcdf_path(path: Path) -> Path:
    """A place where a netCDF file can be written that `compare` and `report` read, before anything
    is computed for it.

    Raises:
        InputError: another ending, a folder, or a place where nothing can be written.
    """
    if path.suffix.lower() != ".nc":
        wanted = "--out with a file name that ends in .nc"
        raise InputError(wanted, f"'{path.name}'", f"write --out {path.name}.nc")
    if path.is_dir():
        raise InputError("--out with the name of a file", f"the folder '{path.name}'")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        wanted = "--out in a folder that can be written to"
        raise InputError(wanted, f"'{path.parent}': {error.strerror}") from None


def read_tree(path: Path) -> xr.DataTree:
    """Read a stored tree into memory.

    Raises:
        InputError: there is no such file, or it is not a netCDF file.
    """
    if not path.is_file():
        remedy = "name a run.nc or the folder that holds it"
        raise InputError("a stored run", f"no file '{path.name}'", remedy)
    try:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            return tree.load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        wanted = "a netCDF file written by veribayes"
        remedy = "the file is damaged; run again"
        raise InputError(wanted, f"'{path.name}': {error}", remedy) from None


def run_files(path: Path) -> list[Path]:
    """The run.nc files under a folder (or the file itself), sorted by name."""
    if path.is_file():
        return [path]
    found = [*sorted(path.glob("run.nc")), *sorted(path.glob("*/run.nc"))]
    if not found:
        remedy = "run 'veribayes verify' first"
        raise InputError("a run.nc, or a folder with runs", f"'{path.name}' without any", remedy)
    return found


def scores_dataset(scores: Mapping[str, npt.NDArray[Any]]) -> xr.Dataset:
    """Metric name -> (dataset, position, query) as a group."""
    dims = (DATASET, POSITION, QUERY)
    return xr.Dataset({name: (dims, values) for name, values in scores.items()})


def predictive_dataset(predictive: Predictive, first: str = DATASET) -> xr.Dataset:
    """A predictive with leading shape (dataset, position, query) as a group; attribute `form` names
    the form.
    """
    variables = {}
    for name, values in predictive.variables().items():
        lead = () if name in predictive.shared else (first, POSITION, QUERY)
        last = predictive.trailing[name]
        variables[name] = ((*lead, last) if last else lead, values)
    return xr.Dataset(variables, attrs={"form": predictive.form})


def predictive_of(group: xr.Dataset) -> Predictive:
    """Inverse of `predictive_dataset`."""
    form = str(group.attrs.get("form", ""))
    if form not in FORMS:
        wanted = f"a predictive form among {', '.join(FORMS)}"
        raise InputError(wanted, f"'{form}'", "set the attribute 'form' of the group")
    leading = {str(name): _leading(values) for name, values in group.data_vars.items()}
    return FORMS[form](**{name: values.to_numpy() for name, values in leading.items()})


def _leading(values: xr.DataArray) -> xr.DataArray:
    """Dimensions that every predictive has in front, whatever order they are stored in."""
    first = [dim for dim in (DATASET, "example", POSITION, QUERY) if dim in values.dims]
    return values.transpose(*first, ...)


def by_labels(group: xr.Dataset, labels: Mapping[str, npt.ArrayLike], name: str) -> xr.Dataset:
    """A group whose entries stand in the order of `labels`, where it has coordinates; else counted
    from zero.

    Args:
        labels: dimension -> what its entries are called, in the order that is wanted.

    Raises:
        InputError: coordinates that are others, or that name an entry twice.
    """
    for dim in [str(d) for d in group.dims if d in group.coords]:
        found = group.coords[dim].to_numpy()
        orders = [np.asarray(labels[dim])] if dim in labels else []
        orders.append(np.arange(found.size))
        wanted = next((order for order in orders if _same_entries(found, order)), None)
        if wanted is None:
            first = ", ".join(str(entry) for entry in orders[0][:8].tolist())
            expected = f"the {dim} coordinates {first} in '{name}'"
            raise InputError(expected, f"{found[:8].tolist()}")
        place = {value: i for i, value in enumerate(found.tolist())}
        group = group.isel({dim: [place[value] for value in wanted.tolist()]})
    return group


def _same_entries(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> bool:
    different = found.size == wanted.size == np.unique(found).size
    return different and set(found.tolist()) == set(wanted.tolist())


def arrays_dataset(
    arrays: Mapping[str, npt.NDArray[Any]], first: str, rows: int, shared: frozenset[str]
) -> xr.Dataset:
    """A family's observed arrays as a group; dimensions beyond the first are named after their
    array.
    """
    out = {}
    for name, values in arrays.items():
        # no argument of a program has a dot in its name
        dims = [f"{name}.{i}" for i in range(values.ndim)]
        if name not in shared and values.shape[0] == rows:
            dims[0] = first
        out[name] = (tuple(dims), values)
    return xr.Dataset(out)


def certificate_json(certificate: Certificate) -> dict[str, Any]:
    """Plain data of a certificate."""
    diagnostics = {name: number(value) for name, value in certificate.diagnostics.items()}
    return {
        "verdict": certificate.verdict,
        "method": certificate.method,
        "error_bound": number(certificate.error_bound),
        "bound_kind": certificate.bound_kind,
        "reasons": list(certificate.reasons),
        "diagnostics": diagnostics,
    }


def certificate_of(plain: Mapping[str, Any]) -> Certificate:
    """Inverse of `certificate_json`; a missing number is infinite, never zero."""
    bound = plain["error_bound"]
    diagnostics = {}
    for name, value in plain["diagnostics"].items():
        diagnostics[name] = float("nan") if value is None else float(value)
    return Certificate(
        plain["verdict"],
        plain["method"],
        float("inf") if bound is None else float(bound),
        plain["bound_kind"],
        tuple(plain["reasons"]),
        diagnostics,
    )


def provenance(**more: Any) -> dict[str, Any]:
    """Where a run came from: versions, commit, source digest, platform, and what else is given."""
    return {
        "packages": {p: _version(p) for p in PACKAGES},
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "commit": _commit(),
        "source": source_digest(),
        **more,
    }


@cache
def source_digest() -> str:
    """SHA-256 over the package's Python files (`sources`): with equal ones the same code ran."""
    digest = hashlib.sha256()
    for path in sources():
        name = path.relative_to(PACKAGE).as_posix()
        digest.update(f"{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def sources() -> list[Path]:
    """The package's Python files that a stored number may depend on, through the links to the
    top-level folders.
    """
    rooms = [path for path in PACKAGE.iterdir() if path.is_dir() and path.name not in SHOWN]
    inside = [path for room in rooms for path in room.rglob("*.py")]
    return sorted([*PACKAGE.glob("*.py"), *inside])


def digest_of(value: object) -> str:
    """SHA-256 of plain data."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def _commit() -> str | None:
    """The commit of the checkout that this package runs from, or None for an installed wheel."""
    top = PACKAGE.parents[1]
    if not (top / ".git").exists():
        return None
    command = ["git", "-C", str(top), "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None

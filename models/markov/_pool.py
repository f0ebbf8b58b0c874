"""Finite pools of tables: drawn with a seed, or read from a file."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import gammaincinv

from veribayes.errors import ModelError
from veribayes.models._check import choice, integer, mapping, text
from veribayes.predictive import Array

LARGEST = 2**20  # members
MOST_BYTES = 2**28
ROW_SUM_TOLERANCE = 1e-9
WEIGHTS = ("uniform", "file")
SMALLEST = 1e-300  # of a gamma variable: none is zero, so that rows are never without a number


def drawn_tables(size: int, seed: int, shape: tuple[int, int], concentration: float) -> Array:
    """`size` tables whose rows are Dirichlet(concentration), (member, history, symbol).

    By inversion of uniforms: NumPy may change how it draws a Dirichlet, but not its uniforms. The
    first members of a larger pool with this seed are those of a smaller one.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    level = rng.random((size, *shape))
    gammas = -np.log1p(-level) if concentration == 1 else gammaincinv(concentration, level)
    gammas = np.maximum(gammas, SMALLEST)
    return np.asarray(gammas / gammas.sum(-1, keepdims=True))


def checked(spec: Any) -> dict[str, Any]:
    """What describes a pool: `size` and `seed`, or `file`, `weights` and the file's `sha256`.

    Raises:
        ModelError: both, neither, or values out of range.
    """
    allowed = ["size", "seed", "file", "weights", "sha256"]
    given = mapping("pool", spec, allowed=allowed)
    if ("size" in given) == ("file" in given):
        remedy = "for example {size: 64, seed: 0} or {file: tasks.npz}"
        raise ModelError("a pool with a size and a seed, or with a file", f"{spec}", remedy)
    if "size" in given:
        if set(given) - {"size", "seed"}:
            raise ModelError("a size and a seed of a pool that is drawn", f"{sorted(given)}")
        size = integer("size", given["size"], at_least=1, at_most=LARGEST)
        return {"size": size, "seed": integer("seed", given.get("seed", 0), at_least=0)}
    if "seed" in given:
        raise ModelError("no seed of a pool that is read from a file", "one")
    weights = choice("weights", given.get("weights", "uniform"), WEIGHTS)
    file = text("file", given["file"])
    digest = hashlib.sha256(_content(file)).hexdigest()
    if given.get("sha256", digest) != digest:
        wanted = f"the pool file with SHA-256 {given['sha256']}"
        raise ModelError(wanted, f"'{Path(file).name}' with {digest}", "it was changed")
    return {"file": file, "weights": weights, "sha256": digest}


def tables_of(
    spec: Mapping[str, Any], shape: tuple[int, int], concentration: float
) -> tuple[Array, Array]:
    """Tables (member, history, symbol) and the logarithms of their weights, (member,).

    Raises:
        ModelError: a file without such tables.
    """
    if "size" in spec:
        tables = drawn_tables(spec["size"], spec["seed"], shape, concentration)
        return tables, np.full(len(tables), -np.log(len(tables)))
    arrays = _arrays(spec["file"])
    tables = _array(arrays, "tables")
    if tables.ndim != 3 or tables.shape[1:] != shape or not 1 <= len(tables) <= LARGEST:
        wanted = f"an array 'tables' of shape (member, {shape[0]}, {shape[1]})"
        raise ModelError(wanted, f"{tables.shape}")
    require_rows(tables)
    if spec["weights"] == "uniform":
        return tables, np.full(len(tables), -np.log(len(tables)))
    weights = _array(arrays, "weights")
    proper = weights.shape == (len(tables),) and np.isfinite(weights).all() and (weights > 0).all()
    if not proper or abs(weights.sum() - 1) > ROW_SUM_TOLERANCE:
        wanted = f"an array 'weights' of {len(tables)} positive numbers that sum to one"
        raise ModelError(wanted, f"shape {weights.shape}, sum {weights.sum():g}")
    return tables, np.log(weights)


def require_rows(tables: Array) -> None:
    """Refuse rows that are no distributions.

    Raises:
        ModelError: there are some.
    """
    proper = np.isfinite(tables).all() and (tables >= 0).all()
    off = np.abs(tables.sum(-1) - 1).max(initial=0.0) if proper else np.inf
    if off > ROW_SUM_TOLERANCE:
        raise ModelError("rows that are >= 0 and sum to one", f"{off:g} off")


def _content(file: str) -> bytes:
    path = Path(file)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError(f"a pool file of at most {MOST_BYTES // 2**20} MiB", path.name)
        return path.read_bytes()
    except OSError as error:
        raise ModelError("a readable pool file", f"'{path.name}'", error.strerror or "") from None


def _arrays(file: str) -> Mapping[str, Any]:
    """Arrays by name; nothing in the file is executed.

    Raises:
        ModelError: it is no .npz.
    """
    try:
        with np.load(io.BytesIO(_content(file)), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile):
        raise ModelError("a pool file .npz with plain arrays", f"'{Path(file).name}'") from None


def _array(arrays: Mapping[str, Any], name: str) -> Array:
    if name not in arrays or arrays[name].dtype.kind not in "fiu":
        raise ModelError(f"an array of numbers '{name}' in the pool file", f"{sorted(arrays)}")
    return np.asarray(arrays[name], dtype=np.float64)

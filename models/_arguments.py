"""Arguments of a user's program from files: `.npz` and `.json` hold names, a `.csv` a column of
numbers for each name.

Files are data and are read as such: no pickles, no code. Numbers without axes become Python
numbers, since programs use them as sizes.
"""

from __future__ import annotations

import csv
import json
import math
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError
from veribayes.models._check import shown

KINDS = "iufb"  # integers, floats, truth values: what a density can use
MAX_BYTES = 2**30
WHOLE = re.compile(r"[-+]?[0-9]+")
NUMBER = re.compile(
    r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?inf", re.ASCII | re.IGNORECASE
)
MISSING = ("", "na", "nan")


def read_arguments(path: str | Path) -> dict[str, Any]:
    """Name -> array or number.

    Raises:
        InputError: another kind of file, one that cannot be read, or values that are no numbers.
    """
    path = Path(path)
    reader = {".npz": _npz, ".json": _json, ".csv": _csv}.get(path.suffix.lower())
    if reader is None:
        raise InputError("data in a file .npz, .json or .csv", f"'{path.name}'")
    if path.is_dir():
        raise InputError("a file with data", f"the folder {shown(path.name)}")
    if not path.is_file():
        raise InputError("a file with data", f"no file {shown(path.name)}", "check the path")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputError(
            f"a file of at most {MAX_BYTES >> 30} GiB",
            f"{size / 2**30:.1f} GiB in {shown(path.name)}",
        )
    try:
        found = reader(path)
    except (
        ValueError,
        KeyError,
        OSError,
        EOFError,
        OverflowError,
        zipfile.BadZipFile,
        csv.Error,
        RecursionError,
    ) as error:
        raise InputError(
            f"readable numbers in '{path.name}'", " ".join(str(error).split())[:200]
        ) from None
    return {name: as_argument(name, value) for name, value in found.items()}


def as_argument(name: str, value: Any) -> Any:
    """An array of numbers in the machine's own byte order, or a Python number where there are no
    axes.

    Text and None stay what they are.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind == "U":
        return str(value)
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"rows of one length in '{name}'", "ragged lists") from None
    if array.dtype.kind not in KINDS:
        kinds = {
            "U": "text",
            "S": "text",
            "M": "dates",
            "m": "durations",
            "c": "complex numbers",
            "O": "text or objects",
        }
        raise InputError(
            f"numbers in {shown(name)}", kinds.get(array.dtype.kind, f"{array.dtype.name} values")
        )
    if not array.ndim:
        return array.item()
    wide = array.dtype.kind == "f" and array.dtype.itemsize > 8  # no library computes with these
    return array.astype(np.float64 if wide else array.dtype.newbyteorder("="), copy=False)


def parse_argument(text: str) -> Any:
    """One value as typed: a JSON number, truth value or list, else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # what the library raises on damaged bytes is no closed list
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _json(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_unique)
    if not isinstance(found, dict):
        raise ValueError("an object of named values was expected")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are different: of two with one name a reader would drop one in
    silence.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(
            f"{shown(next(n for n in names if names.count(n) > 1))} stands twice in one object"
        )
    return found


def _csv(path: Path) -> dict[str, npt.NDArray[Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = [row for row in csv.reader(file, skipinitialspace=True) if row]
    if len(lines) < 2:
        raise ValueError("a line of column names and at least one row were expected")
    names, *rows = [name.strip() for name in lines[0]], *lines[1:]
    if len(set(names)) < len(names) or any(len(row) != len(names) for row in rows):
        raise ValueError("unique column names and rows of that length were expected")
    return {
        name: _column(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }


def _column(values: tuple[str, ...]) -> npt.NDArray[Any]:
    """Integers where all are written as such, else floats;
    an empty cell, NA and NaN are missing.
    """
    if all(WHOLE.fullmatch(v.strip()) for v in values):
        return np.array([int(v) for v in values], dtype=np.int64)
    return np.array([_cell(v.strip()) for v in values])


def _cell(text: str) -> float:
    if text.lower() in MISSING:
        return math.nan
    if not NUMBER.fullmatch(text):
        raise ValueError(f"a number was expected, not {shown(text)}")
    return float(text)

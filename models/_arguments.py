"""Arguments of a user's program from files: `.npz` and `.json` hold names, a `.csv` a column of numbers for each name.

Files are data and are read as such: no pickles, no code. Numbers without axes become Python numbers, since programs use
them as sizes.
"""

from __future__ import annotations

import csv
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError

KINDS = "iufb"  # integers, floats, truth values: what a density can use
MAX_BYTES = 2**30


def read_arguments(path: str | Path) -> dict[str, Any]:
    """Name -> array or number.

    Raises:
        InputError: another kind of file, one that cannot be read, or values that are no numbers.
    """
    path = Path(path)
    reader = {".npz": _npz, ".json": _json, ".csv": _csv}.get(path.suffix.lower())
    if reader is None:
        raise InputError("data in a file .npz, .json or .csv", f"'{path.name}'")
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise InputError(f"a file of at most {MAX_BYTES >> 30} GiB", f"'{path.name}'", "check the path")
    try:
        found = reader(path)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, csv.Error, RecursionError) as error:
        raise InputError(f"readable numbers in '{path.name}'", " ".join(str(error).split())[:200]) from None
    return {name: as_argument(name, value) for name, value in found.items()}


def as_argument(name: str, value: Any) -> Any:
    """An array of numbers, or a Python number where there are no axes; text and None stay what they are."""
    if value is None or isinstance(value, str):
        return value
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"rows of one length in '{name}'", "ragged lists") from None
    if array.dtype.kind not in KINDS:
        raise InputError(f"numbers in '{name}'", f"{array.dtype.name} values")
    return array if array.ndim else array.item()


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
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError("an object of named values was expected")
    return found


def _csv(path: Path) -> dict[str, npt.NDArray[Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        names, *rows = [row for row in csv.reader(file) if row]
    if len(set(names)) < len(names) or any(len(row) != len(names) for row in rows):
        raise ValueError("unique column names and rows of that length were expected")
    return {name: _column(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


def _column(values: tuple[str, ...]) -> npt.NDArray[Any]:
    """Integers where all are written as such, else floats; an empty cell is NaN."""
    numbers = np.array([float(v) if v.strip() else math.nan for v in values])
    whole = all(v.strip().lstrip("+-").isdigit() for v in values)
    return numbers.astype(np.int64) if whole else numbers

"""Tables of rows from files and from memory: CSV, JSON lines, npz, Parquet and netCDF, zipped by
gzip or not.

A file is data and is read as such: no pickles, no code. A cell is None where nothing stands, else a
text, a number, or a list of them with any number of axes.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from veribayes.errors import InputError, VeribayesError
from veribayes.models._check import shown

MAX_BYTES = 2**30  # of one file behind its compression
GZIP = b"\x1f\x8b"
ROW_DIM = "dataset"
FIRST_DIMS = ("observation", "query")  # of a variable in netCDF, behind the data set
LINES, JSON_LINES, ARRAYS = (".csv",), (".jsonl", ".ndjson"), (".npz",)
PARQUET, NETCDF = (".parquet", ".pq"), (".nc",)
SUFFIXES = (*LINES, *JSON_LINES, *ARRAYS, *PARQUET, *NETCDF)


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Rows of cells.

    Attributes:
        name: of the file, for messages.
        columns: name -> a cell a row.
        rows: how many there are.
    """

    name: str
    columns: Mapping[str, Sequence[Any]]
    rows: int

    @property
    def digest(self) -> str:
        """SHA-256 of the cells."""
        text = json.dumps(dict(self.columns), default=str, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def __repr__(self) -> str:
        return f"Table({self.name!r}, {self.rows} rows, {self.digest[:16]})"

    def at(self, row: int, column: str = "") -> str:
        """Where a cell stands, in words; rows are counted from one."""
        inside = f"column {shown(column)} of " if column else ""
        return f"in {inside}row {row + 1} of {shown(self.name)}"


def is_table(path: str | Path) -> bool:
    """Whether a file's name says that it holds a table."""
    return _suffix(Path(path)) in SUFFIXES


def read_table(path: str | Path) -> Table:
    """The rows of a file.

    Raises:
        InputError: another kind of file, one that cannot be read, or one that holds no table.
    """
    path = Path(path)
    reader = _reader(path)
    data = _bytes(path)
    try:
        columns = reader(data)
    except VeribayesError:
        raise
    except Exception as error:  # what the libraries raise on damaged bytes is no closed list
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        wanted = f"a readable table in {shown(path.name)}"
        raise InputError(wanted, reason, "it may be cut off or damaged") from None
    return table_of(columns, path.name)


def table_of(columns: Mapping[str, Sequence[Any]], name: str) -> Table:
    """A table from columns of one length.

    Raises:
        InputError: no row, or columns of several lengths.
    """
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        got = f"columns of {', '.join(map(str, sorted(lengths))) or 'no'} rows"
        raise InputError(f"at least one row, and one length of columns in {shown(name)}", got)
    cells = {column: list(map(_cell, values)) for column, values in columns.items()}
    return Table(name, cells, lengths.pop())


def table_in_memory(value: object, name: str) -> Table:
    """A table from a mapping of arrays, whose first axis are rows, or from a pandas data frame.

    Raises:
        InputError: something else, or a column twice.
    """
    if isinstance(value, Mapping):
        return table_of(_by_rows({str(key): np.asarray(v) for key, v in value.items()}), name)
    columns = getattr(value, "columns", None)
    if columns is None:
        raise InputError("a file, a mapping of arrays or a data frame", type(value).__name__)
    names = [str(column) for column in columns]
    if len(set(names)) < len(names):
        raise InputError(f"different columns in {name}", ", ".join(names))
    frame: Any = value
    return table_of({column: frame[column].tolist() for column in columns}, name)


def with_keys(table: Table, *numbered: str) -> Table:
    """The rows of one data set: with keys for what has none, by the number of the row.

    Args:
        numbered: keys that every row gets, beside that of an observation.
    """
    columns = dict(table.columns)
    columns.setdefault(ROW_DIM, ["0"] * table.rows)
    for key in numbered:
        columns.setdefault(key, list(range(table.rows)))
    asked = columns.get("query", [None] * table.rows)
    is_whole = any(isinstance(cell, list | np.ndarray) for cell in _first_row(columns))
    if not is_whole and "observation" not in columns:
        numbers = range(table.rows)
        rows = zip(numbers, asked, strict=True)
        columns["observation"] = [number if cell is None else None for number, cell in rows]
    return Table(table.name, columns, table.rows)


def _first_row(columns: Mapping[str, Sequence[Any]]) -> list[Any]:
    return [cells[0] for cells in columns.values()]


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _reader(path: Path) -> Callable[[bytes], Mapping[str, Sequence[Any]]]:
    suffix = _suffix(path)
    readers = {LINES: _csv, JSON_LINES: _json_lines, ARRAYS: _npz, PARQUET: _parquet, NETCDF: _nc}
    for suffixes, reader in readers.items():
        if suffix in suffixes:
            return reader
    endings = ", ".join(SUFFIXES)
    raise InputError(f"a table in a file that ends in {endings}, or .gz", shown(path.name))


def _bytes(path: Path) -> bytes:
    """The file without its compression; gzip is told by its first bytes."""
    if not path.is_file():
        got = f"the folder {shown(path.name)}" if path.is_dir() else f"no file {shown(path.name)}"
        raise InputError("a file with a table", got, "check the path")
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == GZIP
        with gzip.open(path) if zipped else path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, OSError) as error:
        remedy = "it may be cut off or damaged"
        raise InputError(f"a readable file {shown(path.name)}", f"{error}", remedy) from None
    if len(data) > MAX_BYTES:
        raise InputError(f"at most {MAX_BYTES >> 30} GiB in {shown(path.name)}", "more")
    return data


def _csv(data: bytes) -> dict[str, list[Any]]:
    text = io.StringIO(data.decode("utf-8-sig"), newline="")
    lines = [line for line in csv.reader(text, skipinitialspace=True, strict=True) if line]
    if not lines:
        raise ValueError("a line of column names was expected")
    names = [name.strip() for name in lines[0]]
    if len(set(names)) < len(names):
        raise ValueError(f"a column stands twice in {', '.join(names)}"[:160])
    for number, line in enumerate(lines[1:], start=1):
        if len(line) != len(names):
            raise ValueError(f"row {number} has {len(line)} cells, the header {len(names)}")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for line in lines[1:]:
        for name, cell in zip(names, line, strict=True):
            columns[name].append(cell)
    return columns


def _json_lines(data: bytes) -> dict[str, list[Any]]:
    rows = []
    for number, line in enumerate(data.decode("utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_different)
        except ValueError as error:
            raise ValueError(f"line {number} is no JSON object: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no JSON object")
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for row in rows:
        for name in names:
            columns[name].append(row.get(name))
    return columns


def _different(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are different: a reader would drop one of two in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found


def _npz(data: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return _by_rows({name: stored[name] for name in stored.files})


def _parquet(data: bytes) -> dict[str, Any]:
    import pandas as pd

    try:
        frame = pd.read_parquet(io.BytesIO(data))
    except ImportError:
        remedy = "pip install pyarrow, or write CSV, JSON lines, npz or netCDF"
        raise InputError("pyarrow, which reads Parquet", "no such package", remedy) from None
    return {str(name): frame[name].tolist() for name in frame.columns}


def _nc(data: bytes) -> dict[str, Any]:
    import xarray as xr

    with xr.open_dataset(io.BytesIO(data), engine="h5netcdf", decode_timedelta=False) as dataset:
        arrays = {}
        for name, variable in dataset.variables.items():
            has_rows = ROW_DIM in variable.dims
            first = [dim for dim in (ROW_DIM, *FIRST_DIMS) if dim in variable.dims]
            values = variable.transpose(*first, ...).to_numpy()
            arrays[str(name)] = values if has_rows else _for_all(values)
        return _by_rows(arrays)


class _ForAll(np.ndarray[Any, Any]):
    """Values that every row has in common."""


def _for_all(values: Any) -> _ForAll:
    return np.asarray(values).view(_ForAll)


def _by_rows(arrays: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Arrays whose first axis are rows, as columns of cells.

    Raises:
        ValueError: no array has rows.
    """
    own = {name: values for name, values in arrays.items() if not isinstance(values, _ForAll)}
    if not own or any(values.ndim == 0 for values in own.values()):
        raise ValueError("arrays with a first axis of data sets were expected")
    rows = len(next(iter(own.values())))
    columns = {}
    for name, values in arrays.items():
        shared = isinstance(values, _ForAll)
        columns[name] = [np.asarray(values)] * rows if shared else list(values)
    return columns


def _cell(value: Any) -> Any:
    """None where nothing stands; numbers and texts as Python has them."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, float) and value != value:
        return None
    if type(value).__name__ in ("NAType", "NaTType"):  # what pandas has where nothing is
        return None
    return value

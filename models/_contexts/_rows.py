"""The rows of a table, gathered by data set: observations, queries, and what a data set has once.

A row with a key `query` is about one query, every other one about an observation or about a whole
data set, whose cells are then lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError
from veribayes.models._check import shown
from veribayes.models._contexts._cells import array_of, key_of, whole_of
from veribayes.models._contexts._fields import Field, Part, Schema, Target
from veribayes.models._contexts._files import Table

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Asked:
    """One query: its arrays, the cell of its outcome, and where it stands."""

    arrays: Arrays
    outcome: Any
    where: str


@dataclass(eq=False)
class Record:
    """One data set.

    Attributes:
        where: its first row.
        rows: observations that stand in rows of their own: key or None, arrays, place.
        lists: arrays of all observations at once.
        queries: by label.
        fixed: what a data set has once.
        outcome: of a family without queries.
    """

    where: str
    rows: list[tuple[int | None, Arrays, str]] = field(default_factory=list)
    lists: Arrays = field(default_factory=dict)
    queries: dict[str, Asked] = field(default_factory=dict)
    fixed: Arrays = field(default_factory=dict)
    outcome: Any = None

    @property
    def size(self) -> int:
        """Number of observations."""
        if self.lists:
            return len(next(iter(self.lists.values())))
        return len(self.rows)


def gathered(table: Table, schema: Schema) -> dict[str, Record]:
    """The data sets of a table by their keys.

    Raises:
        InputError: a cell, a key or a row that cannot be; with its place.
    """
    targets = schema.targets(table)
    records: dict[str, Record] = {}
    for row in range(table.rows):
        cells = _Row(table, schema, targets, row)
        key = key_of(cells.key("dataset"), table.at(row, "dataset"))
        record = records.setdefault(key, Record(table.at(row)))
        if cells.is_query:
            _take_query(record, cells)
        else:
            _take_context(record, cells)
    return records


class _Row:
    """One row of a table."""

    def __init__(self, table: Table, schema: Schema, targets: Sequence[Target], row: int) -> None:
        self.schema, self._table, self._row = schema, table, row
        self._filled: list[tuple[Target, Any]] = []
        self._keys: dict[str, Any] = {}
        for target in targets:
            cell = table.columns[target.header][row]
            if target.kind == "key":
                self._keys[target.name] = cell
            elif target.kind != "answer":
                self._filled.append((target, cell))
        self.where = table.at(row)
        labels = self.key("query")
        self.is_query = labels is not None and not _is_list(labels)

    def key(self, name: str) -> Any:
        """The cell of a key; None where there is none."""
        return self._keys.get(name)

    def at(self, column: str) -> str:
        """Where a cell of this row stands."""
        return self._table.at(self._row, column)

    def cells(self, field: Field, by_alias: bool) -> tuple[Any, dict[int, tuple[str, Any]]]:
        """The cell that holds all of an array, and those that hold one place each, with their
        headers.
        """
        whole, places = None, {}
        for target, cell in self._filled:
            if target.kind == "whole" and target.name == field.name:
                whole = cell
            elif target.kind == "entry" and target.name == field.name:
                places[target.place] = (target.header, cell)
            elif target.kind == "alias" and by_alias and target.name in field.suffixes:
                places[field.suffixes[target.name]] = (target.header, cell)
        return whole, places

    def values(self, *parts: Part) -> dict[str, tuple[Field, npt.NDArray[Any], frozenset[str]]]:
        """The arrays of these parts that the row fills, with what each can be: one entry or a
        list.

        Raises:
            InputError: an array of which some places are filled, or twice.
        """
        found = {}
        for own in self.schema.of_part(*parts):
            by_alias = self.is_query == (own.part == "query")
            whole, places = self.cells(own, by_alias)
            is_asked = self.is_query and own.part == "query"
            may_be_empty = is_asked and own.missing and bool(places) and whole is None
            if may_be_empty or any(cell is not None for _, cell in places.values()):
                if whole is not None:
                    raise InputError(f"'{own.name}' once {self.where}", "twice")
                found[own.name] = (own, self._of_places(own, places), frozenset({"one"}))
            elif whole is not None:
                array, modes = own.whole(whole, self.at(own.header))
                found[own.name] = (own, array, modes)
        return found

    def _of_places(self, field: Field, places: Mapping[int, tuple[str, Any]]) -> npt.NDArray[Any]:
        """An entry whose places stand in columns of their own."""
        values = []
        for suffix, place in field.suffixes.items():
            header, cell = places.get(place, (f"{field.name}.{suffix}", None))
            if place not in places and not field.missing:
                wanted = f"a column {shown(header)} in {shown(self._table.name)}"
                raise InputError(wanted, "none")
            one = np.array([cell], dtype=object)
            values.append(_place(field, place).read(one, self.at(header))[0])
        return np.array(values).reshape(field.shape)


def _place(field: Field, place: int) -> Field:
    """The field of one place alone."""
    column, states, most = field.column, [field.states[place]], [field.most[place]]
    return Field(column, field.part, (), {"": 0}, states, most, field.missing)


def _is_list(cell: Any) -> bool:
    return isinstance(cell, list | tuple | np.ndarray)


def _take_query(record: Record, row: _Row) -> None:
    """One query."""
    label = key_of(row.key("query"), row.at("query"))
    if label in record.queries:
        wanted = f"each query of a data set once {row.at('query')}"
        raise InputError(wanted, f"{shown(label)} a second time")
    arrays: Arrays = {}
    for name, (own, array, modes) in row.values("query").items():
        if "one" not in modes:
            raise InputError(f"one entry of '{name}' in the row of a query", f"a list {row.where}")
        arrays[name] = _read(own, array, row, many=False)
    missing = [field.name for field in row.schema.of_part("query") if field.name not in arrays]
    if missing:
        raise InputError(f"'{missing[0]}' of the query {row.where}", "empty cells")
    _take_fixed(record, row)
    record.queries[label] = Asked(arrays, row.key("outcome"), row.where)


def _take_context(record: Record, row: _Row) -> None:
    """An observation, or a whole data set."""
    values = row.values("observation")
    asked = row.values("query")
    _take_fixed(record, row)
    listed = row.schema.layout.listed
    if values or (listed and row.key("observation") is not None):
        missing = [name for name in listed if name not in values]
        if missing:
            wanted = f"a number or a state {row.at(missing[0])}"
            raise InputError(wanted, "an empty cell", "every cell of an observation is filled in")
        modes = frozenset.intersection(*(modes for _, _, modes in values.values()))
        if "one" in modes and not asked:
            _take_observation(record, row, values)
        else:
            _take_lists(record, row, values)
    if asked:
        _take_queries(record, row, asked)
    elif row.key("outcome") is not None:
        if record.outcome is not None:
            raise InputError(f"one outcome of the data set {row.where}", "a second one")
        record.outcome = row.key("outcome")


def _take_observation(record: Record, row: _Row, values: Mapping[str, Any]) -> None:
    if record.lists:
        raise InputError(f"observations in rows or in lists {row.where}", "both")
    arrays = {}
    for name, (own, array, _) in values.items():
        arrays[name] = _read(own, array, row, many=False)
    cell = row.key("observation")
    number = None if cell is None else whole_of(cell, row.at("observation"))
    record.rows.append((number, arrays, row.where))


def _take_lists(record: Record, row: _Row, values: Mapping[str, Any]) -> None:
    if record.lists or record.rows:
        wanted = f"each data set once {row.at('dataset')}"
        raise InputError(wanted, f"{shown(row.key('dataset'))} a second time")
    arrays = {}
    for name, (own, array, modes) in values.items():
        if "list" not in modes:
            raise InputError(f"lists of one length {row.where}", f"one entry in '{name}'")
        arrays[name] = _read(own, _counted(array, row), row, many=True)
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{n} in '{name}'" for name, n in lengths.items())
        raise InputError(f"lists of one length {row.where}", got)
    record.lists = arrays


def _counted(array: npt.NDArray[Any], row: _Row) -> npt.NDArray[Any]:
    """The observations that count: the first `size`; what pads them is not read."""
    size = row.key("size")
    if size is None:
        return array
    count = whole_of(size, row.at("size"))
    if not 0 <= count <= len(array):
        raise InputError(f"a size from 0 to {len(array)} {row.at('size')}", f"{count}")
    return array[:count]


def _take_queries(record: Record, row: _Row, asked: Mapping[str, Any]) -> None:
    """All queries of a data set at once."""
    arrays = {}
    for name, (own, array, modes) in asked.items():
        if "list" not in modes:
            remedy = "write the query's label there"
            raise InputError(f"a key 'query' {row.where}", f"one entry of '{name}'", remedy)
        arrays[name] = _read(own, array, row, many=True)
    count = len(next(iter(arrays.values())))
    labels = _labels(row, count)
    outcomes = _outcomes(row, count)
    fields = row.schema.of_part("query")
    if any(field.name not in arrays or len(arrays[field.name]) != count for field in fields):
        names = ", ".join(f"'{field.name}'" for field in fields)
        raise InputError(f"lists of one length in {names} {row.where}", "others")
    for number, label in enumerate(labels):
        if label in record.queries:
            wanted = f"each query of a data set once {row.where}"
            raise InputError(wanted, f"{shown(label)} a second time")
        one = {name: array[number] for name, array in arrays.items()}
        record.queries[label] = Asked(one, outcomes[number], row.where)


def _labels(row: _Row, count: int) -> list[str]:
    """Labels of a list of queries: those in the key, else 0, 1, …"""
    cell = row.key("query")
    given = range(count) if cell is None else cell
    labels = [key_of(label, row.at("query")) for label in given]
    if len(labels) != count:
        raise InputError(f"{count} labels {row.at('query')}", f"{len(labels)}")
    return labels


def _outcomes(row: _Row, count: int) -> list[Any]:
    cell = row.key("outcome")
    if cell is None:
        return [None] * count
    outcomes = list(np.ravel(array_of(cell, row.at("outcome")).astype(object)))
    if len(outcomes) != count:
        raise InputError(f"{count} outcomes {row.at('outcome')}", f"{len(outcomes)}")
    return outcomes


def _take_fixed(record: Record, row: _Row) -> None:
    """What a data set has once; where it stands several times it is the same."""
    for name, (own, array, _) in row.values("data set").items():
        if array.size != int(np.prod(own.shape, dtype=int)):
            raise InputError(f"one entry of '{name}' {row.where}", f"{array.shape}")
        values = _read(own, array, row, many=False)
        before = record.fixed.setdefault(name, values)
        if not np.array_equal(before, values):
            raise InputError(f"one '{name}' of the data set {row.where}", "another one before")


def _read(field: Field, array: npt.NDArray[Any], row: _Row, *, many: bool) -> npt.NDArray[Any]:
    """An array as codes or numbers, an entry or a list of entries."""
    shape = (len(array), *field.shape) if many else field.shape
    cells = np.asarray(array).reshape(shape)
    return field.read(np.asarray(cells), row.at(field.name)).reshape(shape)

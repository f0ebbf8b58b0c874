"""Data sets of different sizes as arrays of one batch, queries in common places."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError
from veribayes.models._check import shown
from veribayes.models._contexts._cells import code_of, number_of
from veribayes.models._contexts._fields import Field, Schema
from veribayes.models._contexts._rows import Arrays, Asked, Record
from veribayes.models._task import Task
from veribayes.tree import Data, IntArray, Simulation
from veribayes.tree.parts import by_size

NONE = ""  # label of a place where a data set has no query
SHOWN = 5  # keys in a message
Labels = npt.NDArray[Any]


def ordered(records: Mapping[str, Record]) -> list[str]:
    """Keys in the order of their hashes: it depends on no order in a file, and the first data sets,
    about which further questions are asked, are of all sizes.
    """
    return sorted(records, key=lambda key: hashlib.sha256(key.encode()).digest())


def natural(key: str) -> tuple[bool, int, str]:
    """Whole numbers by size and before words."""
    is_number = key.lstrip("-").isdecimal()
    return (not is_number, int(key) if is_number else 0, key)


def assembled(
    task: Task,
    schema: Schema,
    records: Mapping[str, Record],
    keys: Sequence[str],
    name: str,
    *,
    asked: bool,
) -> tuple[Simulation, Labels, Labels]:
    """All data sets as one batch, numbered in the order of `keys`, and the labels of their queries,
    (dataset, query): those that are asked, and all.

    Args:
        asked: whether something has to be asked of each.

    Raises:
        InputError: observations without an order, data sets without a query, or what the model
            cannot have.
    """
    chosen = [records[key] for key in keys]
    is_listed = bool(schema.layout.listed)
    sizes = np.array([record.size for record in chosen], dtype=np.int64)
    arrays: Arrays = {}
    if is_listed:
        arrays |= _observations(schema, chosen, sizes)
    arrays |= _fixed(schema, records, keys, name)
    queries, listed = _queries(schema, chosen, name, asked)
    arrays |= queries
    data = _data(task, arrays, sizes, is_listed)
    _require_data(task, data, keys, name)
    labels = _only_where_asked(task, data, listed, asked)
    outcome, happened = _outcomes(task, data, chosen, labels, name)
    context = sizes[:, None] if is_listed else _filled(schema, data)
    return Simulation(data, {}, outcome[:, None], context, happened), labels, listed


def digest_of(simulation: Simulation, keys: Sequence[str], labels: Labels) -> str:
    """SHA-256 of the contexts with their keys, queries and outcomes."""
    digest = hashlib.sha256("\0".join([*keys, *labels.ravel().tolist()]).encode())
    arrays = {**simulation.data.arrays, "context": simulation.context}
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {values.dtype.str} {values.shape} ".encode() + values.tobytes())
    digest.update(f"{simulation.happened}".encode() + simulation.outcome.tobytes())
    return digest.hexdigest()


def _data(task: Task, arrays: Arrays, sizes: IntArray, is_listed: bool) -> Data:
    index = np.arange(len(sizes), dtype=np.int64)
    shared = task.model.layout.shared
    if not is_listed:
        positions = np.array(task.design.positions[:1], dtype=np.int64)
        return Data(arrays, positions, index, shared)
    differ = sizes if len(set(sizes.tolist())) > 1 else None
    return Data(arrays, sizes.max(keepdims=True), index, shared, differ)


def _observations(schema: Schema, records: Sequence[Record], sizes: IntArray) -> Arrays:
    """Arrays (dataset, observation, *entry); behind a data set's own observations stands what a
    drawn one has, which nobody reads.
    """
    longest = max(1, int(sizes.max()))
    arrays = {}
    for field in schema.of_part("observation"):
        padding = schema.template.arrays[field.name][0, 0]
        array = np.empty((len(records), longest, *field.shape), padding.dtype)
        array[:] = padding
        arrays[field.name] = array
    for row, record in enumerate(records):
        for name, values in _in_order(schema, record).items():
            arrays[name][row, : len(values)] = values
    return arrays


def _in_order(schema: Schema, record: Record) -> Arrays:
    """The observations of a data set: by their numbers, as a list has them, and those of a set
    without numbers by their values.
    """
    if not record.rows:
        return record.lists
    numbers = [number for number, _, _ in record.rows]
    columns = {}
    for name in record.rows[0][1]:
        columns[name] = np.array([arrays[name] for _, arrays, _ in record.rows])
    known = [number for number in numbers if number is not None]
    if len(known) == len(numbers):
        _require_numbers(schema, record)
        order = np.argsort(known)
    elif known or schema.layout.order == "sequence":
        where = record.rows[numbers.index(None)][2]
        remedy = "rows are matched by keys and never by their order"
        raise InputError(f"a key 'observation' {where}", "an empty cell", remedy)
    else:
        flat = [values.reshape(len(values), -1) for values in columns.values()]
        order = np.lexsort(np.concatenate(flat, axis=1).T[::-1])
    return {name: values[order] for name, values in columns.items()}


def _require_numbers(schema: Schema, record: Record) -> None:
    """Refuse an observation twice, and a sequence with a gap."""
    places = {}
    for number, _, where in record.rows:
        if number in places:
            raise InputError(f"each observation once {where}", f"number {number} a second time")
        places[number] = where
    known = [number for number in places if number is not None]
    gap = max(known) - min(known) + 1 - len(known)
    if schema.layout.order == "sequence" and gap:
        wanted = f"consecutive numbers of the observations of the data set {record.where}"
        raise InputError(wanted, f"{gap} missing between {min(known)} and {max(known)}")


def _fixed(schema: Schema, records: Mapping[str, Record], keys: Sequence[str], name: str) -> Arrays:
    arrays = {}
    for field in schema.of_part("data set"):
        column = []
        for key in keys:
            values = records[key].fixed.get(field.name)
            if values is None and field.missing:
                values = np.full(field.shape, -1, dtype=np.int64)
            if values is None:
                wanted = f"'{field.name}' of the data set {shown(key)} in {shown(name)}"
                raise InputError(wanted, "none")
            column.append(values)
        arrays[field.name] = np.array(column)
    return arrays


def _queries(
    schema: Schema, records: Sequence[Record], name: str, must_be: bool
) -> tuple[Arrays, Labels]:
    """Arrays of the queries, and their labels (dataset, query).

    Queries with equal values of what all data sets share stand in one place.
    """
    fields = schema.of_part("query")
    if not any(record.queries for record in records):
        return _default_queries(schema, fields, len(records), name, must_be)
    for record in records:
        if not record.queries:
            raise InputError(f"at least one query of the data set {record.where}", "none")
    if not fields:
        return {}, np.array([[_only(record)] for record in records], dtype=object)
    shared = [field for field in fields if field.column.shared]
    groups = [_by_shared(record, shared) for record in records]
    most: dict[tuple[int, ...], int] = {}
    for group in groups:
        for values, members in group.items():
            most[values] = max(most.get(values, 0), len(members))
    places = [(values, number) for values in sorted(most) for number in range(most[values])]
    labels = np.full((len(records), len(places)), NONE, dtype=object)
    chosen: list[list[Asked]] = [[] for _ in records]
    for place, (values, number) in enumerate(places):
        holders = [group.get(values, []) for group in groups]
        filler = next(members[0][1] for members in holders if members)
        for row, members in enumerate(holders):
            here = number < len(members)
            labels[row, place] = members[number][0] if here else NONE
            chosen[row].append(members[number][1] if here else filler)
    arrays: Arrays = {}
    for field in fields:
        table = [_column(field.name, row) for row in chosen]
        arrays[field.name] = table[0] if field.column.shared else np.array(table)
    return arrays, labels


def _column(name: str, queries: Sequence[Asked]) -> npt.NDArray[Any]:
    return np.array([asked.arrays[name] for asked in queries])


def _by_shared(
    record: Record, shared: Sequence[Field]
) -> dict[tuple[int, ...], list[tuple[str, Asked]]]:
    """Labelled queries of a data set by their values of what is shared, each list by label."""
    groups: dict[tuple[int, ...], list[tuple[str, Asked]]] = {}
    for label in sorted(record.queries, key=natural):
        asked = record.queries[label]
        values: list[int] = []
        for field in shared:
            values += asked.arrays[field.name].ravel().tolist()
        groups.setdefault(tuple(values), []).append((label, asked))
    return groups


def _only(record: Record) -> str:
    """The label of the one query of a family without arrays for queries."""
    if len(record.queries) > 1:
        wanted = f"one query of the data set {record.where}: what comes next"
        raise InputError(wanted, f"{len(record.queries)}")
    return next(iter(record.queries))


def _default_queries(
    schema: Schema, fields: Sequence[Field], datasets: int, name: str, must_be: bool
) -> tuple[Arrays, Labels]:
    """The queries of a drawn data set, where all data sets share them.

    Where nothing has to be asked they stand there without a label, and nobody reads the answers.
    """
    own = [field.name for field in fields if not field.column.shared]
    if own and not must_be:
        arrays = {field.name: schema.template.arrays[field.name] for field in fields}
        for name in own:
            arrays[name] = np.repeat(arrays[name], datasets, axis=0)
        count = schema.layout.queries(schema.template.arrays)
        return arrays, np.full((datasets, count), NONE, dtype=object)
    if own:
        wanted = f"queries in {shown(name)}: rows with a key 'query' and '{own[0]}'"
        raise InputError(wanted, "none")
    arrays = {field.name: schema.template.arrays[field.name] for field in fields}
    count = schema.layout.queries(schema.template.arrays)
    labels = [str(number) for number in range(count)]
    for field in fields:
        if field.states and field.states[0]:
            labels = [field.states[0][code] for code in arrays[field.name].ravel().tolist()]
    return arrays, np.array([labels] * datasets, dtype=object)


def _only_where_asked(task: Task, data: Data, labels: Labels, must_be: bool) -> Labels:
    """Without the labels of what is observed and therefore not asked for.

    Raises:
        InputError: nothing is asked of a data set.
    """
    applies = task.model.applies(data)
    asked = np.where(applies, labels, NONE)
    nothing = np.flatnonzero((asked == NONE).all(1))
    if nothing.size and must_be:
        wanted = "a query of each data set that is not observed"
        raise InputError(wanted, f"none in {nothing.size} of {len(labels)} data sets")
    return asked


def _outcomes(
    task: Task, data: Data, records: Sequence[Record], labels: Labels, name: str
) -> tuple[npt.NDArray[np.float64], bool]:
    """What happened, (dataset, query), NaN where nothing is asked; and whether that is known.

    Raises:
        InputError: outcomes of some queries and not of others, or what cannot happen.
    """
    asked = labels != NONE
    cells = np.full(labels.shape, None, dtype=object)
    for row, place in np.argwhere(asked):
        record = records[row]
        query = record.queries.get(labels[row, place])
        cells[row, place] = record.outcome if query is None else query.outcome
    filled = np.array([cell is not None for cell in cells.ravel()])
    known = asked & filled.reshape(asked.shape)
    if not known.any():
        return np.where(asked, 0.0, np.nan), False
    if (known != asked).any():
        row, place = (int(i) for i in np.argwhere(known != asked)[0])
        wanted = f"an outcome of every query in {shown(name)}, or of none"
        got = f"none of query {shown(labels[row, place])} {records[row].where}"
        raise InputError(wanted, got)
    outcome = np.full(labels.shape, np.nan)
    widths = task.model.widths(data)
    for row, place in np.argwhere(asked):
        cell = cells[row, place]
        where = f"as outcome of query {shown(labels[row, place])} {records[row].where}"
        if task.model.n_categories is None:
            outcome[row, place] = number_of(cell, where)
        else:
            states = task.model.labels(data, place)
            outcome[row, place] = code_of(cell, states, int(widths[place]), False, where)
    return outcome, True


def _filled(schema: Schema, data: Data) -> IntArray:
    """Number of places that are filled, (dataset, 1)."""
    count = np.zeros(len(data.index), dtype=np.int64)
    for name in schema.layout.names("observation"):
        values = data.arrays[name]
        count += (values.reshape(len(values), -1) >= 0).sum(1)
    return count[:, None]


def _require_data(task: Task, data: Data, keys: Sequence[str], name: str) -> None:
    """Refuse what the model cannot have, with the key of the first such data set."""
    if task.model.completing:
        data = _without_gaps(task, data)
    try:
        task.model.require_data(data)
    except InputError as error:
        for row, key in enumerate(keys):
            try:
                task.model.require_data(data.select(np.array([row])))
            except InputError:
                where = f"in the data set {shown(key)} of {shown(name)}"
                raise InputError(f"{error.expected}, {where}", error.got, error.remedy) from None
        raise


def has_gaps(task: Task, data: Data) -> bool:
    """Whether some cells of the data sets' own observations are not known."""
    if not task.model.completing:
        return False
    for _, part in by_size(data):
        for name in task.model.layout.listed:
            if (part.arrays[name][:, : part.positions[0]] < 0).any():
                return True
    return False


def _without_gaps(task: Task, data: Data) -> Data:
    """The data with some state in the place of every one that is not known."""
    arrays = dict(data.arrays)
    for name in task.model.layout.listed:
        arrays[name] = np.maximum(arrays[name], 0)
    return replace(data, arrays=arrays)

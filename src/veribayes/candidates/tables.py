"""Recorded predictions from a table, matched to contexts that somebody has by the keys of data sets
and queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from veribayes.candidates._adapter import BY_NAME, Adapter
from veribayes.candidates._asking import TRUSTED
from veribayes.candidates._identity import predictive_digest
from veribayes.errors import EntryError, InputError, shown
from veribayes.models._contexts import NONE, Contexts, Table, is_table, read_table
from veribayes.models._contexts._cells import array_of, key_of, number_of
from veribayes.models._contexts._fields import BESIDE, answers
from veribayes.models._task import Task
from veribayes.predictive import FORMS, Predictive, as_predictive
from veribayes.storage.store import digest_of
from veribayes.tree import Branch, Data
from veribayes.validation.candidate import Candidate

SHOWN = 3  # keys in a message
SHARED = frozenset().union(*(form.shared for form in FORMS.values()))
Key = tuple[str, str]  # of a data set and of a query


@dataclass(frozen=True, eq=False)
class Rows:
    """What a table says of each query.

    Attributes:
        name: of the file.
        variables: name of a form's variable -> key -> its numbers.
        where: key -> place of its row.
    """

    name: str
    variables: Mapping[str, Mapping[Key, npt.NDArray[np.float64]]]
    where: Mapping[Key, str]


def recorded_rows(table: Table, task: Task) -> Candidate:
    """The predictions of a table as a candidate for a task's own contexts.

    Raises:
        InputError: a task without own contexts, keys twice, missing or too many, or cells that are
            no predictions.
    """
    contexts = task.contexts
    if contexts is None:
        remedy = "give the contexts that they answer: --contexts FILE"
        wanted = f"own contexts beside the predictions in {shown(table.name)}"
        raise InputError(wanted, "none", remedy)
    rows = _rows(table, contexts)
    _require_keys(rows, contexts)
    stored = _predictive(rows, contexts, task)

    def infer(task: Task, data: Data, seed: int) -> Branch:
        del seed  # what is recorded has none
        if task.contexts is None or task.contexts.digest != contexts.digest:
            raise InputError("the contexts that the predictions answer", "others")
        return Branch(stored[data.index], TRUSTED)

    parts = {"answers": predictive_digest(stored), "contexts": contexts.digest}
    name = Path(table.name).name.partition(".")[0]
    return Candidate(name, digest_of(parts), infer, "predictions", askable=False)


def _rows(table: Table, contexts: Contexts) -> Rows:
    if "dataset" not in table.columns:
        got = ", ".join(map(shown, table.columns))
        remedy = "predictions are matched by keys and never by their order"
        raise InputError(f"a key column 'dataset' in {shown(table.name)}", got, remedy)
    headers = _headers(table)
    if not headers:
        got = ", ".join(map(shown, table.columns))
        wanted = f"columns of a predictive form in {shown(table.name)}"
        raise InputError(wanted, got, "for example mean and sd, or probs.0, probs.1")
    variables: dict[str, dict[Key, npt.NDArray[np.float64]]] = {name: {} for name in headers}
    where: dict[Key, str] = {}
    for row in range(table.rows):
        said = _said(table, headers, row)
        if not said:
            continue  # a row of the contexts in the same file
        for key, values in _by_key(table, contexts, said, row).items():
            if key in where:
                wanted = f"each query once {table.at(row, 'query')}"
                raise InputError(wanted, f"{_key(key)} a second time, first {where[key]}")
            where[key] = table.at(row)
            for name, numbers in values.items():
                variables[name][key] = numbers
    return Rows(table.name, variables, where)


def _headers(table: Table) -> dict[str, list[str]]:
    """Name of a variable -> the columns that hold it, in the order of its entries.

    Raises:
        InputError: entries that are not numbered 0, 1, ….
    """
    known = answers() - set(BESIDE) | {"log_probs"}
    found: dict[str, list[tuple[int, str]]] = {}
    for header in table.columns:
        name, dot, number = header.partition(".")
        if name in known and (not dot or number.isdecimal()):
            found.setdefault(name, []).append((int(number) if dot else -1, header))
    headers = {}
    for name, places in found.items():
        numbers = sorted(number for number, _ in places)
        if numbers not in ([-1], list(range(len(numbers)))):
            got = ", ".join(header for _, header in sorted(places))
            wanted = f"columns {name}.0, {name}.1, … in {shown(table.name)}"
            raise InputError(wanted, got)
        headers[name] = [header for _, header in sorted(places)]
    return headers


def _said(
    table: Table, headers: Mapping[str, Sequence[str]], row: int
) -> dict[str, npt.NDArray[Any]]:
    """Variables that a row fills, with the entries last.

    Raises:
        InputError: some of them are empty.
    """
    said, empty = {}, []
    for name, columns in headers.items():
        cells = [table.columns[column][row] for column in columns]
        empty += [column for column, cell in zip(columns, cells, strict=True) if cell is None]
        if len(columns) > 1 or columns[0] != name:
            arrays = [array_of(cell, table.at(row, name)) for cell in cells]
            said[name] = np.stack(np.broadcast_arrays(*arrays), axis=-1)
        elif cells[0] is not None:
            said[name] = array_of(cells[0], table.at(row, name))
    filled = sum(len(columns) for columns in headers.values()) - len(empty)
    if filled and empty:
        raise InputError(f"a number {table.at(row, empty[0])}", "an empty cell or NaN")
    return said if filled else {}


def _by_key(
    table: Table, contexts: Contexts, said: Mapping[str, npt.NDArray[Any]], row: int
) -> dict[Key, dict[str, npt.NDArray[np.float64]]]:
    """What a row says, by data set and query: of one query, or of a list of them."""
    dataset = key_of(table.columns["dataset"][row], table.at(row, "dataset"))
    cell = table.columns.get("query", [None] * table.rows)[row]
    if cell is None:
        labels = _labels_of(contexts, dataset)
    elif isinstance(cell, list | tuple | np.ndarray):
        labels = [key_of(label, table.at(row, "query")) for label in cell]
    else:
        label = key_of(cell, table.at(row, "query"))
        return {(dataset, label): {n: _numbers(v, table.at(row, n)) for n, v in said.items()}}
    by_key: dict[Key, dict[str, npt.NDArray[np.float64]]] = {}
    for number, label in enumerate(labels):
        by_key[dataset, label] = {}
        for name, values in said.items():
            is_common = name in SHARED and values.ndim == 1
            place = table.at(row, name)
            own = values if is_common else _row_of(values, number, len(labels), place)
            by_key[dataset, label][name] = _numbers(own, table.at(row, name))
    return by_key


def _labels_of(contexts: Contexts, dataset: str) -> list[str]:
    """The labels of a data set's queries, by their places; one where it is not known."""
    if dataset not in contexts.keys:
        return [NONE]
    labels = contexts.queries[contexts.keys.index(dataset)]
    return [label for label in labels.tolist() if label != NONE]


def _row_of(values: npt.NDArray[Any], number: int, count: int, where: str) -> npt.NDArray[Any]:
    """What is said of one query of several; a row without a list is about the only one."""
    if count == 1 and (not values.ndim or len(values) != 1):
        return values
    if not values.ndim or len(values) != count:
        wanted = f"a list over the {count} queries of the data set {where}"
        raise InputError(wanted, f"shape {values.shape}", "or a key 'query' in each row")
    return np.asarray(values[number])


def _numbers(values: npt.NDArray[Any], where: str) -> npt.NDArray[np.float64]:
    numbers = np.empty(values.shape)
    for place, cell in np.ndenumerate(values):
        numbers[place] = number_of(cell, where)
    return numbers


def _require_keys(rows: Rows, contexts: Contexts) -> None:
    """Refuse predictions of which some are missing, or that nobody has asked for."""
    wanted, known = set(), set()
    for key, labels, drawn in zip(contexts.keys, contexts.queries, contexts.listed, strict=True):
        wanted |= {(key, label) for label in labels.tolist() if label != NONE}
        known |= {(key, label) for label in drawn.tolist()}
    missing = [key for key in _in_order(contexts) if key not in rows.where]
    if missing:
        got = f"none of {len(missing):,} of {len(wanted):,}, first {_some(missing)}"
        remedy = "every query of the contexts is answered once"
        raise InputError(f"a prediction of every query in {shown(rows.name)}", got, remedy)
    surplus = [key for key in rows.where if key not in known]
    if surplus:
        got = f"{len(surplus):,} of others, first {_some(surplus)} {rows.where[surplus[0]]}"
        wanted_here = f"predictions of the contexts in {shown(contexts.name)} alone"
        raise InputError(wanted_here, got)


def _in_order(contexts: Contexts) -> list[Key]:
    keys = []
    for key, labels in zip(contexts.keys, contexts.queries, strict=True):
        keys += [(key, label) for label in labels.tolist() if label != NONE]
    return keys


def _some(keys: Sequence[Key]) -> str:
    dots = ", …" if len(keys) > SHOWN else ""
    return ", ".join(map(_key, keys[:SHOWN])) + dots


def _key(key: Key) -> str:
    return f"data set {shown(key[0])} query {shown(key[1])}"


def _predictive(rows: Rows, contexts: Contexts, task: Task) -> Predictive:
    """The answers as one batch, (dataset, position, query); where nothing is asked stands the first
    answer of the data set.
    """
    output: dict[str, Any] = {}
    first = _in_order(contexts)[0]
    for name, values in rows.variables.items():
        shape = values[first].shape
        for key, numbers in values.items():
            if numbers.shape != shape:
                got = f"{numbers.shape} {rows.where[key]}, {shape} {rows.where[first]}"
                raise InputError(f"'{name}' of one shape in {shown(rows.name)}", got)
        if name in SHARED:
            output[name] = _one_value(rows, name, first)
        else:
            output[name] = _placed(values, contexts)[:, None]
    shape = (*contexts.queries.shape[:1], 1, contexts.queries.shape[1])
    try:
        return as_predictive(output, shape, task.model.n_categories)
    except EntryError as error:
        raise error.placed(lambda at: _place(at, contexts, rows)) from None


def _place(at: tuple[int, ...], contexts: Contexts, rows: Rows) -> str:
    """Where a distribution stands in the file."""
    if len(at) != 3:
        return f"at index {at}"
    key = (contexts.keys[at[0]], contexts.queries[at[0], at[2]])
    return rows.where.get(key, f"in the data set {shown(key[0])}")


def _one_value(rows: Rows, name: str, first: Key) -> npt.NDArray[np.float64]:
    """What all rows have in common."""
    values = rows.variables[name]
    for key, numbers in values.items():
        if not np.array_equal(numbers, values[first]):
            wanted = f"the same '{name}' in all rows of {shown(rows.name)}"
            raise InputError(wanted, f"others {rows.where[key]}")
    return values[first]


def _placed(
    values: Mapping[Key, npt.NDArray[np.float64]], contexts: Contexts
) -> npt.NDArray[np.float64]:
    """(dataset, query, *event)."""
    placed = []
    for key, labels in zip(contexts.keys, contexts.queries, strict=True):
        row = labels.tolist()
        filler = values[key, next(label for label in row if label != NONE)]
        placed.append([filler if label == NONE else values[key, label] for label in row])
    return np.array(placed)


class Tables(Adapter):
    """A file of predictions by its ending."""

    order = BY_NAME + 3

    def accepts(self, thing: object) -> bool:
        is_file = isinstance(thing, str) and is_table(thing) and not thing.endswith(".nc")
        return is_file or isinstance(thing, Table)

    def candidate(self, thing: object, task: Task) -> Candidate:
        table = thing if isinstance(thing, Table) else read_table(cast(str, thing))
        return recorded_rows(table, task)


PART = Tables()

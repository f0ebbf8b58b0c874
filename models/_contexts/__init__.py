"""Contexts that somebody already has, as one more source of data sets.

What a table of them may hold follows from the layout of the task's family: `docs/own-data.md` shows
it by example. Rows are matched by keys and never by their order: the same table with its rows in
another order is the same contexts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from veribayes.errors import InputError
from veribayes.models._contexts._assembly import NONE as NONE
from veribayes.models._contexts._assembly import Labels, assembled, digest_of, has_gaps, ordered
from veribayes.models._contexts._fields import Schema as Schema
from veribayes.models._contexts._fields import schema_of as schema_of
from veribayes.models._contexts._files import Table as Table
from veribayes.models._contexts._files import is_table as is_table
from veribayes.models._contexts._files import read_table as read_table
from veribayes.models._contexts._files import table_in_memory as table_in_memory
from veribayes.models._contexts._files import with_keys
from veribayes.models._contexts._rows import gathered
from veribayes.models._task import Task
from veribayes.tree import IntArray, Simulation
from veribayes.tree.parts import by_size, select_simulation

IN_MEMORY = "the given contexts"  # the name of what is in no file


@dataclass(frozen=True, eq=False)
class Contexts:
    """Data sets that somebody has, numbered in the order of the hashes of their keys.

    Attributes:
        name: of the file.
        keys: of the data sets, (dataset,).
        queries: labels of the queries, (dataset, query); empty where a data set has none there.
        listed: the same with those that are observed, and therefore not asked for.
        whole: all data sets, at one position; latents are not known.
        digest: SHA-256 of all of it.
        has_gaps: whether some cells of observations are not known.
    """

    name: str
    keys: tuple[str, ...]
    queries: Labels
    listed: Labels
    whole: Simulation
    digest: str
    has_gaps: bool

    @property
    def sizes(self) -> IntArray:
        """Number of observations of each data set, (dataset,)."""
        return self.whole.context[:, 0]

    def simulation(self, index: IntArray) -> Simulation:
        """The data sets with these numbers."""
        return select_simulation(self.whole, index)

    def commonest(self, count: int) -> Simulation:
        """The first data sets of the size that most have, at most `count` of them."""
        rows, data = max(by_size(self.whole.data), key=lambda part: len(part[0]))
        chosen = select_simulation(self.whole, rows[:count])
        return replace(chosen, data=data.select(np.arange(min(count, len(rows)))))


def read_contexts(
    task: Task, what: object, *, own: bool = False, queries: object = None
) -> Contexts:
    """The contexts in a file, in a mapping of arrays, or in a pandas data frame.

    Args:
        own: of one data set, and of the queries in a second table, whose rows need no keys: rows of
            a sequence stand in its order, and nothing need be asked.
        queries: a second table.

    Raises:
        InputError: no table, or one that holds no contexts of the task's family; with file, row and
            column.
    """
    if task.model.given:
        got = f"'{task.name}', which is one data set"
        raise InputError("a task that draws data sets", got, "name the data by --set data=FILE")
    if isinstance(what, Contexts):
        return what
    table, schema = _table(what), schema_of(task)
    records = gathered(with_keys(table) if own else table, schema)
    if queries is not None:
        for key, record in gathered(with_keys(_table(queries), "query"), schema).items():
            if key not in records:
                got = f"'{key}' {record.where}"
                raise InputError(f"queries of the data sets of '{table.name}'", got)
            records[key].queries |= record.queries
    keys = ordered(records)
    whole, labels, listed = assembled(task, schema, records, keys, table.name, asked=not own)
    digest = digest_of(whole, keys, labels)
    gaps = has_gaps(task, whole.data)
    return Contexts(table.name, tuple(keys), labels, listed, whole, digest, gaps)


def _table(what: object) -> Table:
    """The table in a file or in memory."""
    if isinstance(what, str | Path):
        return read_table(what)
    return table_in_memory(what, IN_MEMORY)


def with_contexts(task: Task, what: object) -> Task:
    """The task on contexts that somebody has; the same where none are given.

    Where some cells are not known, the engine that sums over them is the reference, and rivals that
    count whole observations are left out.

    Raises:
        InputError: no contexts of the task's family.
    """
    if what is None:
        return task
    return on(task, read_contexts(task, what))


def on(task: Task, contexts: Contexts) -> Task:
    """The task on these contexts."""
    if not contexts.has_gaps:
        return replace(task, contexts=contexts)
    return replace(task, contexts=contexts, reference=task.model.completing, rivals=())

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
from veribayes.models._contexts._assembly import Labels, assembled, digest_of, ordered
from veribayes.models._contexts._fields import Schema as Schema
from veribayes.models._contexts._fields import schema_of as schema_of
from veribayes.models._contexts._files import Table as Table
from veribayes.models._contexts._files import is_table as is_table
from veribayes.models._contexts._files import read_table as read_table
from veribayes.models._contexts._files import table_in_memory as table_in_memory
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
    """

    name: str
    keys: tuple[str, ...]
    queries: Labels
    listed: Labels
    whole: Simulation
    digest: str

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


def read_contexts(task: Task, what: object) -> Contexts:
    """The contexts in a file, in a mapping of arrays, or in a pandas data frame.

    Raises:
        InputError: no table, or one that holds no contexts of the task's family; with file, row and
            column.
    """
    if task.model.given:
        raise InputError("a task that draws data sets", f"'{task.name}', which is one of its own")
    if isinstance(what, Contexts):
        return what
    is_file = isinstance(what, str | Path)
    table = read_table(str(what)) if is_file else table_in_memory(what, IN_MEMORY)
    schema = schema_of(task)
    records = gathered(table, schema)
    keys = ordered(records)
    whole, queries, listed = assembled(task, schema, records, keys, table.name)
    digest = digest_of(whole, keys, queries)
    return Contexts(table.name, tuple(keys), queries, listed, whole, digest)


def with_contexts(task: Task, what: object) -> Task:
    """The task on contexts that somebody has; the same where none are given."""
    return task if what is None else replace(task, contexts=read_contexts(task, what))

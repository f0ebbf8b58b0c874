"""Which columns of a table hold which array of a family: read off its layout, and off a drawn data
set, whose arrays say how large an entry is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError
from veribayes.models._check import shown
from veribayes.models._contexts._cells import array_of, code_of, number_of
from veribayes.models._contexts._files import Table
from veribayes.models._layout import Column, Layout
from veribayes.models._model import Model
from veribayes.models._task import Task
from veribayes.predictive import FORMS
from veribayes.tree import Data

Part = Literal["observation", "query", "data set"]
KEYS = ("dataset", "query", "observation", "outcome", "size")
BESIDE = ("log_probs", "n_categories", "form")  # of answers, beside the variables of their forms
STREAM = "replicate"  # of the data set that is drawn for its shapes; no comparison uses it


@dataclass(frozen=True, eq=False)
class Field:
    """One array of a family, as a table holds it.

    Attributes:
        column: of the layout.
        part: what has an entry of it: an observation, a query, or a data set.
        shape: of an entry.
        suffixes: what stands behind the name and a dot -> place in the flat entry.
        states: names of the states at each place of the flat entry; empty where they have none.
        most: number of states at each place; None where it is not known here.
        missing: whether a place may be empty.
    """

    column: Column
    part: Part
    shape: tuple[int, ...]
    suffixes: Mapping[str, int]
    states: Sequence[tuple[str, ...]]
    most: Sequence[int | None]
    missing: bool

    @property
    def name(self) -> str:
        """Of the array."""
        return self.column.name

    @property
    def header(self) -> str:
        """Of a column that holds whole entries; an array that is called like a key has another."""
        return f"{self.name}_values" if self.name in KEYS else self.name

    def read(self, cells: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
        """Entries of this shape as codes or numbers; `cells` has the entry's axes last.

        Raises:
            InputError: a cell that is no state, or no number.
        """
        flat = cells.reshape(-1, max(1, int(np.prod(self.shape, dtype=int))))
        is_code = self.column.values == "category"
        values = np.empty(flat.shape, dtype=np.int64 if is_code else np.float64)
        for (row, place), cell in np.ndenumerate(flat):
            at = where if flat.size == 1 else f"{where}, entry {row * flat.shape[1] + place + 1}"
            if is_code:
                values[row, place] = self._code(cell, place, at)
            else:
                values[row, place] = number_of(cell, at)
        return values.reshape(cells.shape)

    def _code(self, cell: Any, place: int, where: str) -> int:
        return code_of(cell, self.states[place], self.most[place], self.missing, where)

    def whole(self, cell: Any, where: str) -> tuple[npt.NDArray[Any], frozenset[str]]:
        """A cell that holds all of an entry, or a list of entries: its array with the entry's axes
        last, and which of `one` and `list` it can be.

        Raises:
            InputError: neither.
        """
        array = array_of(cell, where)
        single = int(np.prod(self.shape, dtype=int)) == 1
        modes = set()
        if array.shape == self.shape or (single and array.ndim == 0):
            modes.add("one")
        if array.ndim and array.shape[1:] == self.shape:
            modes.add("list")
        if single and array.ndim == 1 and self.shape:
            modes.add("list")
        if not modes:
            wanted = f"an entry of shape {self.shape} or a list of such {where}"
            raise InputError(wanted, f"shape {array.shape}")
        return array, frozenset(modes)


@dataclass(frozen=True, eq=False)
class Target:
    """Where a table's column goes.

    Attributes:
        header: of the column.
        kind: `key`, `whole` (an array by its name), `entry` (one place of it), `alias` (a place by
            its own name: of the observation in a row of one, of the query in a row of that) or
            `answer`, which contexts do not read.
        name: of the key, the array or the place.
        place: in the flat entry.
    """

    header: str
    kind: Literal["key", "whole", "entry", "alias", "answer"]
    name: str
    place: int = 0


@dataclass(frozen=True, eq=False)
class Schema:
    """What a table of contexts may hold.

    Attributes:
        fields: by name.
        template: one drawn data set, whose arrays show types and shapes.
    """

    layout: Layout
    fields: Mapping[str, Field]
    template: Data
    aliases: frozenset[str] = field(default_factory=frozenset)

    def of_part(self, *parts: Part) -> list[Field]:
        """The fields of observations, queries or data sets."""
        return [field for field in self.fields.values() if field.part in parts]

    def targets(self, table: Table) -> list[Target]:
        """Where each column of the table goes.

        Raises:
            InputError: a column that no context has, or no column of keys.
        """
        if KEYS[0] not in table.columns:
            remedy = "rows are matched by it and never by their order"
            got = ", ".join(map(shown, table.columns))
            raise InputError(f"a key column 'dataset' in {shown(table.name)}", got, remedy)
        return [self._target(header, table) for header in table.columns]

    def headers(self) -> list[str]:
        """Names that columns may have, for a reader."""
        names = list(KEYS)
        for column in self.fields.values():
            names.append(column.header)
            names += [f"{column.name}.{suffix}" for suffix in column.suffixes if suffix]
        return [*names, *self.aliases]

    def _target(self, header: str, table: Table) -> Target:
        for candidate in self.fields.values():
            if header == candidate.header:
                return Target(header, "whole", candidate.name)
        name = "observation" if header in self._counted() else header
        if name in KEYS:
            return Target(header, "key", name)
        for candidate in self.fields.values():
            suffix = header.removeprefix(f"{candidate.name}.")
            if suffix != header and suffix in candidate.suffixes:
                return Target(header, "entry", candidate.name, candidate.suffixes[suffix])
        if header in self.aliases:
            return Target(header, "alias", header)
        if header.partition(".")[0] in answers():
            return Target(header, "answer", header)
        close = get_close_matches(header, self.headers(), n=1)
        some = ", ".join(self.headers()[:12])
        remedy = f"did you mean {shown(close[0])}?" if close else f"known columns: {some}"
        raise InputError(f"columns of contexts in {shown(table.name)}", shown(header), remedy)

    def _counted(self) -> set[str]:
        """Names of the axis that counts observations, which a key may have."""
        return {self.layout.column(name).dims[0] for name in self.layout.listed}


def answers() -> set[str]:
    """Names of what candidates answer with."""
    return {name for form in FORMS.values() for name in form.trailing} | set(BESIDE)


def schema_of(task: Task) -> Schema:
    """The columns of a table of contexts for a task.

    Raises:
        InputError: a family whose arrays a table cannot hold.
    """
    layout = task.model.layout
    smallest = replace(task.design, positions=task.design.positions[:1])
    template = task.model.simulate(smallest, 0, STREAM, np.zeros(1, dtype=np.int64)).data
    fields = {}
    for column in layout.columns:
        if column.role in ("mask", "time"):
            raise InputError("contexts without a mask or times", f"the array '{column.name}'")
        if not (column.shared and column.role == "given"):
            fields[column.name] = _field(column, task.model, template)
    named = [names for dim, names in layout.entries.items() if _is_used(dim, layout)]
    aliases = frozenset(name for names in named for name in names)
    return Schema(layout, fields, template, aliases - set(KEYS) - set(fields))


def _is_used(dim: str, layout: Layout) -> bool:
    return any(dim in layout.entry_dims(column) for column in layout.columns)


def _field(column: Column, model: Model, template: Data) -> Field:
    layout, categories = model.layout, model.n_categories
    dims = layout.entry_dims(column)
    values = template.arrays[column.name]
    shape = values.shape[values.ndim - len(dims) :] if dims else ()
    labels = []
    for dim, size in zip(dims, shape, strict=True):
        labels.append(layout.entries.get(dim) or tuple(map(str, range(size))))
    places = [".".join(combination) for combination in product(*labels)]
    part: Part = "data set"
    if column.name in layout.listed:
        part = "observation"
    elif column.role == "query":
        part = "query"
    names = [layout.states.get(place or column.name, ()) for place in places]
    most = [len(states) or _known(part, column, dims, categories) for states in names]
    is_slot = layout.order == "slots" and column.role == "observation"
    is_part_known = bool(dims) and (part == "query" or bool(model.completing))
    missing = column.values == "category" and (is_slot or is_part_known)
    suffixes = {place: i for i, place in enumerate(places)}
    return Field(column, part, shape, suffixes, names, most, missing)


def _known(part: Part, column: Column, dims: tuple[str, ...], categories: int | None) -> int | None:
    """Number of states without names: that of the predictions, for what is one of a sequence."""
    is_symbol = part == "observation" and column.values == "category" and not dims
    return categories if is_symbol else None

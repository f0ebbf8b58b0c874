"""What the readers of model files share: text of bounded size, tables of numbers, and a network
checked as a whole.

A file is parsed by the grammar of its format and nothing in it is executed or resolved. Every
message is one line that names the file and the place.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import numpy as np

from veribayes.errors import InputError, ModelError
from veribayes.models._check import shown
from veribayes.models._encoding import decoded
from veribayes.models.bayesian_network import MAX_ENTRIES, BayesianNetwork, checked_table
from veribayes.predictive import Array

MAX_BYTES = 64 * 2**20  # the largest published networks take about 20 MiB
MAX_NAMES = 2**17  # variables, or states of one variable
NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
LONGEST_NUMBER = 1100  # characters: every float64 has an exact decimal with fewer
SUMS = 1e-4  # how far from one the sums of a table in another order may be

V = TypeVar("V")  # variables by name or by number


def read_text(path: Path) -> str:
    """Decompressed text, at most `MAX_BYTES` of it; gzip is told by its first bytes.

    Raises:
        InputError: no readable file.
        ModelError: a damaged gzip file, too much text, or text in an encoding that it does not
            declare.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        remedy = "it seems to be cut off or damaged"
        raise ModelError(f"a whole gzip file {path.name}", str(error), remedy) from None
    except OSError as error:
        raise InputError("a readable file", f"'{path.name}'", error.strerror or "") from None
    if len(data) > MAX_BYTES:
        raise ModelError(f"at most {MAX_BYTES // 2**20} MiB of text in {path.name}", "more")
    return decoded(data, path.name)


def line_of(text: str, at: int) -> int:
    """Number of the line that holds this offset."""
    return text.count("\n", 0, at) + 1


def numbers(text: str, size: int, where: Callable[[], str], separators: str = ",") -> Array:
    """Exactly `size` numbers between blanks and separators; NaN, infinity and words are refused.

    `where` is only called for a message: counting lines for each table of a large file would take
    minutes.
    """
    word = rf"[^\s{re.escape(separators)}]+"
    words = (match[0] for match in re.finditer(word, text))
    values = (_number(written, where) for written in islice(words, size))
    table = np.fromiter(values, dtype=np.float64)
    if table.size < size or next(words, None) is not None:
        got = "more" if table.size == size else f"{table.size}"
        raise ModelError(f"{size} numbers {where()}", got)
    return table


def _number(word: str, where: Callable[[], str]) -> float:
    if len(word) > LONGEST_NUMBER or not NUMBER.fullmatch(word):
        raise ModelError(f"a number {where()}", shown(word))
    return float(word)


def other_order(values: Array, *, child_fastest: bool) -> str:
    """A remedy where a table is none as its format lists it, and is one in the other order;
    otherwise nothing.

    Args:
        values: the table's numbers as if they were in the other order, (states, configurations) or
            its transpose, with the child's states first.
        child_fastest: whether the other order lists the child's states fastest.
    """
    if not np.all(np.isfinite(values)) or np.abs(values.sum(0) - 1).max() > SUMS:
        return ""
    pace = "fastest" if child_fastest else "slowest"
    return f"it is a table if the child's states vary {pace}, as other formats and writers have it"


def require_entries(
    states: Mapping[str, Sequence[str]], parents: Mapping[str, Sequence[str]], name: str
) -> None:
    """Refuse tables that are too large all together before a number of them is read."""
    sizes = {node: len(labels) for node, labels in states.items()}
    entries = 0
    for node, given in parents.items():
        entries += math.prod(sizes[variable] for variable in (node, *given))
    if entries > MAX_ENTRIES:
        raise ModelError(f"at most {MAX_ENTRIES} table entries in {name}", f"{entries}")


@dataclass
class Draft:
    """A network as a file declares it, in any order; `network` checks it as a whole.

    Attributes:
        name: of the file.
        line: number of the line of a place; a place is whatever number the reader keeps.
        states: node -> its states.
        parents: node -> its parents.
        values: node -> its table, as text or as numbers, and where it stands.
        layouts: node -> the variables of its table, the last varying fastest.
        notes: what a user of the network has to know about the file, one sentence each.
    """

    name: str
    line: Callable[[int], int]
    states: dict[str, list[str]] = field(default_factory=dict)
    parents: dict[str, list[str]] = field(default_factory=dict)
    values: dict[str, tuple[str | Array, int]] = field(default_factory=dict)
    layouts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def at(self, place: int) -> str:
        return f"in {self.name}, line {self.line(place)}"

    def fail(self, expected: str, got: str, place: int, remedy: str = "") -> NoReturn:
        raise ModelError(f"{expected} {self.at(place)}", got, remedy)

    def declare(self, node: str, states: Sequence[str], place: int) -> None:
        """A variable and its states."""
        if node in self.states:
            self.fail("variables with different names", f"{shown(node)} twice", place)
        if len(self.states) == MAX_NAMES or len(states) > MAX_NAMES:
            self.fail(f"at most {MAX_NAMES} names", "more", place)
        if not states or len(set(states)) < len(states):
            wanted = f"different states of {shown(node)}, at least one"
            self.fail(wanted, shown(list(states)), place)
        self.states[node] = list(states)

    def define(
        self,
        node: str,
        parents: Sequence[str],
        values: str | Array,
        place: int,
        layout: Sequence[str] | None = None,
    ) -> None:
        """A variable's parents and table; in most formats its parents come first and its own states
        vary fastest.
        """
        if node in self.parents:
            self.fail("one table for each variable", f"two for {shown(node)}", place)
        self.parents[node] = list(parents)
        self.values[node] = (values, place)
        self.layouts[node] = tuple(layout or (*parents, node))

    def network(self, separators: str = ",") -> BayesianNetwork:
        """The network; names and sizes are checked before numbers are read."""
        if not self.states:
            raise ModelError(f"at least one variable in {self.name}", "none")
        self._require_parents()
        for node in self.states:
            if node not in self.parents:
                wanted = f"a table for each variable in {self.name}"
                raise ModelError(wanted, f"none for {shown(node)}")
        require_entries(self.states, self.parents, self.name)
        tables = {node: self._table(node, separators) for node in self.parents}
        nodes = list(self.states)
        try:
            return BayesianNetwork(nodes, self.parents, self.states, cpts=tables, notes=self.notes)
        except ModelError as error:
            for node, table in tables.items():
                self._require_table(node, table)  # the same fault with its place
            raise ModelError(f"{error.expected} in {self.name}", error.got, error.remedy) from None

    def _require_parents(self) -> None:
        """Refuse parents that are no variables, or that occur twice."""
        for node, parents in self.parents.items():
            _, place = self.values[node]
            for name in (node, *parents):
                if name not in self.states:
                    self.fail("a declared variable", shown(name), place)
            if len({node, *parents}) < 1 + len(parents):
                wanted = f"each parent of {shown(node)} once, and not itself"
                self.fail(wanted, shown(list(parents)), place)

    def _table(self, node: str, separators: str) -> Array:
        """(configurations of the parents, states)."""
        given, place = self.values[node]
        layout = self.layouts[node]
        sizes = {name: len(self.states[name]) for name in layout}
        if isinstance(given, str):
            entries = math.prod(sizes.values())
            given = numbers(given, entries, partial(self.at, place), separators)
        table = in_layout(given, layout, sizes, (*self.parents[node], node))
        return table.reshape(-1, sizes[node])

    def _require_table(self, node: str, table: Array) -> None:
        """Refuse what is no table, with its place."""
        rows, states = table.shape
        try:
            checked_table(node, table, rows, states)
        except ModelError as error:
            remedy = error.remedy
            if not remedy and self.layouts[node] == (*self.parents[node], node):
                remedy = other_order(table.reshape(states, rows), child_fastest=False)
            self.fail(error.expected, error.got, self.values[node][1], remedy)


def in_layout(
    values: Array, given: Sequence[V], sizes: Mapping[V, int] | Sequence[int], wanted: Sequence[V]
) -> Array:
    """A table over the variables `given`, slowest first, as an array over the same variables in the
    order `wanted`.
    """
    table = values.reshape([cast(Any, sizes)[name] for name in given])
    return table.transpose([list(given).index(name) for name in wanted])

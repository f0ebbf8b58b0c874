"""What the readers of model files share: text of bounded size, tables of numbers, and a network checked as a whole.

A file is parsed by the grammar of its format and nothing in it is executed or resolved. Every message is one line that
names the file and the place.
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
from typing import NoReturn

import numpy as np

from veribayes.errors import InputError, ModelError
from veribayes.models._check import shown
from veribayes.models.bayesian_network import MAX_ENTRIES, BayesianNetwork, checked_table
from veribayes.predictive import Array

MAX_BYTES = 64 * 2**20  # the largest published networks take about 20 MiB
MAX_NAMES = 2**17  # variables, or states of one variable
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)


def read_text(path: Path) -> str:
    """Decompressed text, at most `MAX_BYTES` of it; gzip is told by its first bytes.

    Raises:
        InputError: no readable file.
        ModelError: a damaged gzip file, or too much text.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ModelError(f"a whole gzip file {path.name}", str(error), "it seems to be cut off or damaged") from None
    except OSError as error:
        raise InputError("a readable file", f"'{path.name}'", error.strerror or "") from None
    if len(data) > MAX_BYTES:
        raise ModelError(f"at most {MAX_BYTES // 2**20} MiB of text in {path.name}", "more")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # some published files hold accented names in it


def line_of(text: str, at: int) -> int:
    """Number of the line that holds this offset."""
    return text.count("\n", 0, at) + 1


def numbers(text: str, size: int, where: Callable[[], str], separators: str = ",") -> Array:
    """Exactly `size` numbers between blanks and separators; NaN, infinity and words are refused.

    `where` is only called for a message: counting lines for each table of a large file would take minutes.
    """
    words = (match[0] for match in re.finditer(rf"[^\s{re.escape(separators)}]+", text))
    found = np.fromiter((_number(word, where) for word in islice(words, size)), dtype=np.float64)
    if found.size < size or next(words, None) is not None:
        raise ModelError(f"{size} numbers {where()}", "more" if found.size == size else f"{found.size}")
    return found


def _number(word: str, where: Callable[[], str]) -> float:
    if not NUMBER.fullmatch(word):
        raise ModelError(f"a number {where()}", shown(word))
    return float(word)


def require_entries(states: Mapping[str, Sequence[str]], parents: Mapping[str, Sequence[str]], name: str) -> None:
    """Refuse tables that are too large all together before a number of them is read."""
    sizes = {node: len(s) for node, s in states.items()}
    entries = sum(math.prod(sizes[v] for v in (node, *given)) for node, given in parents.items())
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
        values: node -> text of its table, (*parents' states, states) with the last varying fastest, and where it stands.
    """

    name: str
    line: Callable[[int], int]
    states: dict[str, list[str]] = field(default_factory=dict)
    parents: dict[str, list[str]] = field(default_factory=dict)
    values: dict[str, tuple[str, int]] = field(default_factory=dict)

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
            self.fail(f"different states of {shown(node)}, at least one", shown(list(states)), place)
        self.states[node] = list(states)

    def define(self, node: str, parents: Sequence[str], values: str, place: int) -> None:
        """A variable's parents and table."""
        if node in self.parents:
            self.fail("one table for each variable", f"two for {shown(node)}", place)
        self.parents[node], self.values[node] = list(parents), (values, place)

    def network(self, separators: str = ",") -> BayesianNetwork:
        """The network; names and sizes are checked before numbers are read."""
        if not self.states:
            raise ModelError(f"at least one variable in {self.name}", "none")
        for node, parents in self.parents.items():
            for name in (node, *parents):
                if name not in self.states:
                    self.fail("a declared variable", shown(name), self.values[node][1])
        for node in self.states:
            if node not in self.parents:
                raise ModelError(f"a table for each variable in {self.name}", f"none for {shown(node)}")
        require_entries(self.states, self.parents, self.name)
        tables = {node: self._table(node, separators) for node in self.parents}
        try:
            return BayesianNetwork(list(self.states), self.parents, self.states, cpts=tables)
        except ModelError as error:
            raise ModelError(f"{error.expected} in {self.name}", error.got, error.remedy) from None

    def _table(self, node: str, separators: str) -> Array:
        text, place = self.values[node]
        rows, states = math.prod(len(self.states[p]) for p in self.parents[node]), len(self.states[node])
        values = numbers(text, rows * states, partial(self.at, place), separators).reshape(rows, states)
        try:
            checked_table(node, values, rows, states)
        except ModelError as error:
            self.fail(error.expected, error.got, place, error.remedy)
        return values

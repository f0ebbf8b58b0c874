"""Reader for the Bayesian interchange format (BIF 0.15), plain or gzipped; the file is parsed, never executed.

    network NAME { property … ; }
    variable NAME { type discrete [ K ] { s1, s2, … }; property … ; }
    probability ( CHILD | P1, P2 ) { (a, b) p1, p2, … ;   table … ;   default … ; }

`table` lists the child's states slowest and the last parent fastest; `(a, b)` rows are found by label. Names are quoted or
bare words and may hold anything but blanks and brackets. Comments are // and /* */.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from veribayes.errors import ModelError
from veribayes.models._check import shown
from veribayes.models._files import MAX_NAMES, line_of, numbers, read_text, require_entries
from veribayes.models.bayesian_network import BayesianNetwork, checked_table
from veribayes.predictive import Array

# Possessive runs of single characters: a line of 60 MB is matched in one pass and without a stack.
COMMENT = r"(?://[^\n]*+|/\*[\s\S]*?\*/)"
WORD = r'[^\s{}()\[\],;|"/]'
BLANK = re.compile(rf"\s*+(?:{COMMENT}\s*+)*+")
TOKEN = re.compile(rf'"([^"\n]*+)"|([{{}}()\[\],;|])|((?:{WORD}|/(?![/*])){WORD}*+(?:/(?![/*]){WORD}*+)*+)')
NUMBERS = re.compile(rf"[^;/{{}}]*+(?:(?:/(?![/*])|{COMMENT})[^;/{{}}]*+)*+")
PROPERTY = re.compile(r'[^;"]*+(?:(?:"[^"\n]*+"|")[^;"]*+)*+')
BRACKETS, SEPARATORS = set("{}()[];"), set(",|")


def read_bif(path: str | Path) -> BayesianNetwork:
    """The network in a BIF file, with known tables.

    Raises:
        InputError: no readable file of at most 64 MiB.
        ModelError: the text is not BIF, or does not describe a network; the message gives file and line.
    """
    path = Path(path)
    return parse_bif(read_text(path), path.name)


def parse_bif(text: str, name: str = "text") -> BayesianNetwork:
    """The network in a BIF text; `name` appears in messages."""
    return _Reader(text, name).network()


@dataclass
class _Block:
    """What a `probability` block said: raw numbers, to be read once all variables are known."""

    parents: list[str]
    start: int  # offset in the text
    rows: list[tuple[list[str], str, int]] = field(default_factory=list)
    table: tuple[str, int] | None = None
    default: tuple[str, int] | None = None


@dataclass
class _Reader:
    text: str
    name: str
    at: int = 0
    states: dict[str, list[str]] = field(default_factory=dict)
    blocks: dict[str, _Block] = field(default_factory=dict)

    def network(self) -> BayesianNetwork:
        while not self._done():
            start, word = self.at, self._next("network, variable or probability")
            if word == "network":
                self._network()
            elif word == "variable":
                self._variable(start)
            elif word == "probability":
                self._probability(start)
            else:
                self._fail("network, variable or probability", shown(word), start)
        self._check_names()
        parents = {child: block.parents for child, block in self.blocks.items()}
        require_entries(self.states, parents, self.name)
        tables = {child: self._table(child, block) for child, block in self.blocks.items()}
        try:
            return BayesianNetwork(list(self.states), parents, self.states, cpts=tables)
        except ModelError as error:
            raise ModelError(f"{error.expected} in {self.name}", error.got, error.remedy) from None

    def _check_names(self) -> None:
        """Every name is declared, at any place in the file, and every variable has its table."""
        if not self.states:
            self._fail("at least one variable", "none", self.at)
        for child, block in self.blocks.items():
            for name in (child, *block.parents):
                if name not in self.states:
                    self._fail("a declared variable", shown(name), block.start)
        for name in self.states:
            if name not in self.blocks:
                raise ModelError(f"a probability block for each variable in {self.name}", f"none for {shown(name)}")

    # -- blocks -------------------------------------------------------------------------------------------------------

    def _network(self) -> None:
        while self._next("'{' after network") != "{":
            pass
        while (word := self._next("property or '}'")) != "}":
            if word != "property":
                self._fail("property or '}' in the network block", shown(word), self.at)
            self._property()

    def _variable(self, start: int) -> None:
        name = self._name("name of a variable")
        if len(self.states) == MAX_NAMES:
            self._fail(f"at most {MAX_NAMES} variables", "more", start)
        if name in self.states:
            self._fail("variables with different names", f"{shown(name)} twice", start)
        self._expect("{")
        while (word := self._next("type, property or '}'")) != "}":
            if word == "property":
                self._property()
            elif word == "type" and name not in self.states:
                self.states[name] = self._type(name)
            else:
                self._fail("one type, properties or '}'", shown(word), self.at)
        if name not in self.states:
            self._fail(f"the type of {shown(name)}", "none", start)

    def _type(self, name: str) -> list[str]:
        kind = self._next("discrete")
        if kind != "discrete":
            self._fail("type discrete", shown(kind), self.at, "only finite variables are read")
        self._expect("[")
        declared = self._next("number of states")
        self._expect("]")
        self._expect("{")
        listed = self._names("}", f"states of {shown(name)}")
        self._expect(";")
        if declared != str(len(listed)):
            self._fail(f"{declared} states of {shown(name)} as declared", f"{len(listed)} listed", self.at)
        if len(set(listed)) < len(listed):
            self._fail(f"different states of {shown(name)}", shown(listed), self.at)
        return listed

    def _probability(self, start: int) -> None:
        self._expect("(")
        child, *parents = self._names(")", "names of variables") or [""]
        if child in self.blocks:
            self._fail("one probability block for each variable", f"two for {shown(child)}", start)
        block = self.blocks[child] = _Block(parents, start)
        self._expect("{")
        while (word := self._next("table, default, a row or '}'")) != "}":
            self._entry(word, block)

    def _entry(self, word: str, block: _Block) -> None:
        start = self.at
        if word == "property":
            self._property(refuse_function=True)
        elif word == "(":
            block.rows.append((self._names(")", "states of the parents"), self._raw(NUMBERS), start))
        elif word == "table" and block.table is None:
            block.table = self._raw(NUMBERS), start
        elif word == "default" and block.default is None:
            block.default = self._raw(NUMBERS), start
        else:
            self._fail("one table, one default, rows or '}'", shown(word), start)

    def _property(self, *, refuse_function: bool = False) -> None:
        start, text = self.at, self._raw(PROPERTY)
        if refuse_function and "function" in text.split()[:1]:
            self._fail("a table of probabilities", f"property {shown(' '.join(text.split()))}", start,
                       "its numbers are parameters of that function; write the full table")  # fmt: skip

    # -- tables -------------------------------------------------------------------------------------------------------

    def _table(self, child: str, block: _Block) -> Array:
        """(configurations, states) in C order of the parents."""
        sizes = [len(self.states[p]) for p in block.parents]
        shape = (math.prod(sizes), len(self.states[child]))
        if block.table is not None:
            if block.rows or block.default:
                self._fail("either a table or rows", f"both for {shown(child)}", block.start)
            values = self._floats(*block.table, math.prod(shape)).reshape(shape[::-1]).T
        else:
            values = self._by_label(child, block, shape)
        try:
            checked_table(child, values, *shape)
        except ModelError as error:
            self._fail(error.expected, error.got, block.start)
        return values

    def _by_label(self, child: str, block: _Block, shape: tuple[int, int]) -> Array:
        found: dict[int, Array] = {}
        sizes = [len(self.states[p]) for p in block.parents]
        place = [{s: i for i, s in enumerate(self.states[p])} for p in block.parents]
        for labels, raw, start in block.rows:
            if len(labels) != len(place) or any(a not in p for a, p in zip(labels, place, strict=True)):
                self._fail(f"a state of each parent of {shown(child)}", shown(labels), start)
            where = int(np.ravel_multi_index([p[a] for a, p in zip(labels, place, strict=True)], sizes)) if sizes else 0
            if where in found:
                self._fail(f"each row of {shown(child)} once", f"{shown(labels)} twice", start)
            found[where] = self._floats(raw, start, shape[1])
        if block.default is None and len(found) < shape[0]:
            self._fail(
                f"{shape[0]} rows for {shown(child)}", f"{len(found)}", block.start, "a missing row is not guessed"
            )
        rest = self._floats(*block.default, shape[1]) if block.default else np.empty(shape[1])
        values = np.tile(rest, (shape[0], 1))
        for where, row in found.items():
            values[where] = row
        return values

    def _floats(self, raw: str, start: int, size: int) -> Array:
        return numbers(re.sub(COMMENT, " ", raw) if "/" in raw else raw, size, lambda: self._at(start))

    # -- tokens -------------------------------------------------------------------------------------------------------

    def _done(self) -> bool:
        """Skip blanks and comments; whether the text has ended."""
        self.at = BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]  # an empty match is a match
        return self.at == len(self.text)

    def _next(self, expected: str) -> str:
        """The next bracket, separator or word; quotes are taken off."""
        if self._done():
            self._fail(expected, "the end of the file", self.at, "the file seems to be cut off")
        match = TOKEN.match(self.text, self.at)
        if match is None:
            self._fail(expected, shown(self.text[self.at : self.at + 12]), self.at)
        self.at = match.end()
        return match[match.lastindex or 0]

    def _expect(self, wanted: str) -> None:
        if (word := self._next(f"'{wanted}'")) != wanted:
            self._fail(f"'{wanted}'", shown(word), self.at)

    def _name(self, expected: str) -> str:
        if (word := self._next(expected)) in BRACKETS:
            self._fail(expected, shown(word), self.at)
        return word

    def _names(self, closing: str, expected: str) -> list[str]:
        """Names up to a closing bracket; separators are as good as blanks, as in the original grammar."""
        names = []
        while (word := self._next(f"{expected}, then '{closing}'")) != closing:
            if word in BRACKETS:
                self._fail(f"{expected}, then '{closing}'", shown(word), self.at)
            if word not in SEPARATORS:
                names.append(word)
            if len(names) > MAX_NAMES:
                self._fail(f"at most {MAX_NAMES} names in a list", "more", self.at)
        return names

    def _raw(self, pattern: re.Pattern[str]) -> str:
        """Text up to the next ';', which is skipped."""
        start = self.at
        self.at = pattern.match(self.text, start).end()  # type: ignore[union-attr]  # an empty match is a match
        found = self.text[start : self.at]
        self._expect(";")
        return found

    def _fail(self, expected: str, got: str, at: int, remedy: str = "") -> NoReturn:
        raise ModelError(f"{expected} {self._at(at)}", got, remedy)

    def _at(self, at: int) -> str:
        return f"in {self.name}, line {line_of(self.text, at)}"

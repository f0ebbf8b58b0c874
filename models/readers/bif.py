"""Reader for the Bayesian interchange format (BIF 0.15), plain or gzipped;
the file is parsed, never executed.

    network NAME { property … ; }
    variable NAME { type discrete [ K ] { s1, s2, … }; property … ; }
    probability ( CHILD | P1, P2 ) { (a, b) p1, p2, … ;   table … ;   default … ; }

`table` lists the child's states slowest and the last parent fastest; `(a, b)` rows are found by
label. Bare names may hold anything but blanks, quotes, commas and brackets; quoted ones, those too.
Comments are // and /* */.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from veribayes.errors import ModelError
from veribayes.models._check import shown
from veribayes.models._dialects import UNQUOTED, looks_like
from veribayes.models._reader import Reader
from veribayes.models._scan import SIGN, Syntax, Token, Tokens
from veribayes.models.bayesian_network import BayesianNetwork, checked_table
from veribayes.models.readers._files import (
    MAX_NAMES,
    line_of,
    numbers,
    other_order,
    read_text,
    require_entries,
)
from veribayes.predictive import Array

BIF = Syntax(signs="{}()[],;|", line="//", block=("/*", "*/"))
SEPARATORS = set(",|")


def read_bif(path: str | Path) -> BayesianNetwork:
    """The network in a BIF file, with known tables.

    Raises:
        InputError: no readable file of at most 64 MiB.
        ModelError: the text is not BIF, or does not describe a network; the message gives file and
            line.
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


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        self.tokens = Tokens(text, BIF, self._fail)
        self.states: dict[str, list[str]] = {}
        self.blocks: dict[str, _Block] = {}

    def network(self) -> BayesianNetwork:
        while not self.tokens.done():
            token = self.tokens.next("network, variable or probability")
            if token.is_word("network"):
                self._network()
            elif token.is_word("variable"):
                self._variable(token.start)
            elif token.is_word("probability"):
                self._probability(token.start)
            else:
                remedy = looks_like(self.text) if not self.states else ""
                self._fail(
                    "network, variable or probability", shown(token.text), token.start, remedy
                )
        self._check_names()
        parents = {child: block.parents for child, block in self.blocks.items()}
        require_entries(self.states, parents, self.name)
        tables = {child: self._table(child, block) for child, block in self.blocks.items()}
        try:
            return BayesianNetwork(list(self.states), parents, self.states, cpts=tables)
        except ModelError as error:
            for child, table in tables.items():
                self._require_table(child, table)  # the same fault with its place
            raise ModelError(f"{error.expected} in {self.name}", error.got, error.remedy) from None

    def _check_names(self) -> None:
        """Every name is declared, at any place in the file, and every variable has its table."""
        if not self.states:
            self._fail("at least one variable", "none", self.tokens.at)
        for child, block in self.blocks.items():
            for name in (child, *block.parents):
                if name not in self.states:
                    self._fail("a declared variable", shown(name), block.start)
        for name in self.states:
            if name not in self.blocks:
                raise ModelError(
                    f"a probability block for each variable in {self.name}",
                    f"none for {shown(name)}",
                )

    # -- blocks ------------------------------------------------------------------------------------

    def _network(self) -> None:
        while not self.tokens.next("'{' after network").is_sign("{"):
            pass
        token = self.tokens.next("property or '}'")
        while not token.is_sign("}"):
            if not token.is_word("property"):
                self._fail("property or '}' in the network block", shown(token.text), token.start)
            self._property()
            token = self.tokens.next("property or '}'")

    def _variable(self, start: int) -> None:
        name = self._name("name of a variable")
        if len(self.states) == MAX_NAMES:
            self._fail(f"at most {MAX_NAMES} variables", "more", start)
        if name in self.states:
            self._fail("variables with different names", f"{shown(name)} twice", start)
        self.tokens.expect("{", UNQUOTED)
        token = self.tokens.next("type, property or '}'")
        while not token.is_sign("}"):
            if token.is_word("property"):
                self._property()
            elif token.is_word("type") and name not in self.states:
                self.states[name] = self._type(name)
            else:
                self._fail("one type, properties or '}'", shown(token.text), token.start)
            token = self.tokens.next("type, property or '}'")
        if name not in self.states:
            self._fail(f"the type of {shown(name)}", "none", start)

    def _type(self, name: str) -> list[str]:
        kind = self.tokens.next("discrete")
        if not kind.is_word("discrete"):
            self._fail(
                "type discrete", shown(kind.text), kind.start, "only finite variables are read"
            )
        self.tokens.expect("[")
        declared = self.tokens.next("number of states").text
        self.tokens.expect("]")
        self.tokens.expect("{")
        listed = self._names("}", f"states of {shown(name)}")
        self.tokens.expect(";")
        if declared != str(len(listed)):
            wanted = f"{shown(declared).strip(chr(39))} states of {shown(name)} as declared"
            self._fail(wanted, f"{len(listed)} listed", kind.start, UNQUOTED)
        if len(set(listed)) < len(listed):
            self._fail(f"different states of {shown(name)}", shown(listed), kind.start)
        return listed

    def _probability(self, start: int) -> None:
        self.tokens.expect("(")
        child, *parents = self._names(")", "names of variables") or [""]
        if child in self.blocks:
            self._fail("one probability block for each variable", f"two for {shown(child)}", start)
        block = self.blocks[child] = _Block(parents, start)
        self.tokens.expect("{")
        token = self.tokens.next("table, default, a row or '}'")
        while not token.is_sign("}"):
            self._entry(token, block)
            token = self.tokens.next("table, default, a row or '}'")

    def _entry(self, token: Token, block: _Block) -> None:
        start = self.tokens.at
        if token.is_word("property"):
            self._property(refuse_function=True)
        elif token.is_sign("("):
            block.rows.append(
                (self._names(")", "states of the parents"), self.tokens.raw(";{}"), start)
            )
        elif token.is_word("table") and block.table is None:
            block.table = self.tokens.raw(";{}"), start
        elif token.is_word("default") and block.default is None:
            block.default = self.tokens.raw(";{}"), start
        else:
            self._fail("one table, one default, rows or '}'", shown(token.text), token.start)

    def _property(self, *, refuse_function: bool = False) -> None:
        start, text = self.tokens.at, self.tokens.raw(";", comments=False)
        if refuse_function and "function" in text.split()[:1]:
            self._fail(
                "a table of probabilities",
                f"property {shown(' '.join(text.split()))}",
                start,
                "its numbers are parameters of that function; write the full table",
            )

    # -- tables ------------------------------------------------------------------------------------

    def _table(self, child: str, block: _Block) -> Array:
        """(configurations, states) in C order of the parents."""
        sizes = [len(self.states[p]) for p in block.parents]
        shape = (math.prod(sizes), len(self.states[child]))
        if block.table is not None:
            if block.rows or block.default:
                self._fail("either a table or rows", f"both for {shown(child)}", block.start)
            return self._floats(*block.table, math.prod(shape)).reshape(shape[::-1]).T
        return self._by_label(child, block, shape)

    def _require_table(self, child: str, table: Array) -> None:
        """Refuse what is no table, with its place."""
        block = self.blocks[child]
        try:
            checked_table(child, table, *table.shape)
        except ModelError as error:
            other = table.T.reshape(table.shape).T  # the same numbers in the other order
            remedy = other_order(other, child_fastest=True) if block.table is not None else ""
            self._fail(error.expected, error.got, block.start, remedy)

    def _by_label(self, child: str, block: _Block, shape: tuple[int, int]) -> Array:
        found: dict[int, Array] = {}
        numbered = [_numbers(self.states[parent]) for parent in block.parents]
        for labels, raw, start in block.rows:
            where = _configuration(labels, numbered)
            if where is None:
                self._fail(f"a state of each parent of {shown(child)}", shown(labels), start)
            if where in found:
                self._fail(f"each row of {shown(child)} once", f"{shown(labels)} twice", start)
            found[where] = self._floats(raw, start, shape[1])
        if block.default is None and len(found) < shape[0]:
            self._fail(
                f"{shape[0]} rows for {shown(child)}",
                f"{len(found)}",
                block.start,
                "a missing row is not guessed",
            )
        values = np.empty(shape)
        if block.default is not None:
            values[:] = self._floats(*block.default, shape[1])
        for where, row in found.items():
            values[where] = row
        return values

    def _floats(self, raw: str, start: int, size: int) -> Array:
        return numbers(raw, size, lambda: self._at(start))

    # -- tokens ------------------------------------------------------------------------------------

    def _name(self, expected: str) -> str:
        token = self.tokens.next(expected)
        if token.kind == SIGN:
            self._fail(expected, shown(token.text), token.start)
        return token.text

    def _names(self, closing: str, expected: str) -> list[str]:
        """Names up to a closing bracket; separators are as good as blanks, as in the original
        grammar.
        """
        names = list[str]()
        expected = f"{expected}, then '{closing}'"
        token = self.tokens.next(expected)
        while not token.is_sign(closing):
            if token.kind != SIGN:
                names.append(token.text)
            elif token.text not in SEPARATORS:
                self._fail(expected, shown(token.text), token.start)
            if len(names) > MAX_NAMES:
                self._fail(f"at most {MAX_NAMES} names in a list", "more", token.start)
            token = self.tokens.next(expected)
        return names

    def _fail(self, expected: str, got: str, at: int, remedy: str = "") -> NoReturn:
        raise ModelError(f"{expected} {self._at(at)}", got, remedy)

    def _at(self, at: int) -> str:
        return f"in {self.name}, line {line_of(self.text, at)}"


def _numbers(states: Sequence[str]) -> dict[str, int]:
    return {state: i for i, state in enumerate(states)}


def _configuration(labels: list[str], numbered: list[dict[str, int]]) -> int | None:
    """Number of the parents' configuration with these states, in C order; None where a label is no
    state of its parent.
    """
    if len(labels) != len(numbered):
        return None
    where = 0
    for label, states in zip(labels, numbered, strict=True):
        if label not in states:
            return None
        where = where * len(states) + states[label]
    return where


PART = Reader((".bif",), read_bif)

"""Reader for the UAI format of Bayesian networks, plain or gzipped.

    BAYES   number of variables   states of each   number of tables
    for each table: how many variables, the parents, the child
    for each table: how many entries, then they, the child's states varying fastest

The format has no names: variables are x0, x1, … and states 0, 1, …. Writers differ, and each of
their orders is told by what only it can mean:
    the format           parents, child in every scope; the last variable of the scope varies
                         fastest
    child first          child, parents in every scope; the last variable varies fastest
    pgmpy                parents, child in every scope; the first variable varies fastest (tables
                         are sums of one only so)
    pyAgrum              parents, child in every scope; the child varies fastest, then the first
                         parent (its comments tell it)
Comments run from # to the end of the line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from veribayes.models._check import shown
from veribayes.models._dialects import looks_like
from veribayes.models._reader import Reader
from veribayes.models.bayesian_network import MAX_ENTRIES, BayesianNetwork
from veribayes.models.readers._files import (
    MAX_NAMES,
    SUMS,
    Draft,
    in_layout,
    line_of,
    numbers,
    read_text,
    require_entries,
)
from veribayes.predictive import Array

WORD = re.compile(r"\S+")
COMMENT = re.compile(r"#[^\n]*")
PYAGRUM_SCOPE = re.compile(r"^[\d ]+ {3}# \S.*$", re.MULTILINE)  # as no one else writes it
DIGITS = re.compile(r"\d{1,9}", re.ASCII)
MOST = 64  # variables in a table: with two states each it would have 2^64 entries

Scope = tuple[int, ...]  # parents, child
Layout = Callable[
    [Scope], Scope
]  # the same variables as a table lists them, the last varying fastest


def in_order(scope: Scope) -> Scope:
    """The format's own layout."""
    return scope


def child_slowest(scope: Scope) -> Scope:
    """Of scopes that name the child first."""
    return (scope[-1], *scope[:-1])


def first_fastest(scope: Scope) -> Scope:
    """pgmpy's: the child's states vary slowest."""
    return scope[::-1]


def first_parent_fastest(scope: Scope) -> Scope:
    """pyAgrum's: the child's states vary fastest all the same."""
    return (*scope[-2::-1], scope[-1])


NOTES = {
    child_slowest: "scopes name the child first, and tables list its states slowest",
    first_fastest: (
        "tables are read as pgmpy writes them, the first variable of a scope varying fastest"
    ),
    first_parent_fastest: (
        "tables are read in pyAgrum's order of parents, the first one varying faster than the last"
    ),
}


def read_uai(path: str | Path) -> BayesianNetwork:
    """The network in a UAI file, with known tables.

    Raises:
        InputError: no readable file.
        ModelError: the text is not a Bayesian network in UAI format; the message gives file and
            line.
    """
    path = Path(path)
    return parse_uai(read_text(path), path.name)


def parse_uai(text: str, name: str = "text") -> BayesianNetwork:
    """The network in a UAI text; `name` appears in messages."""
    by_pyagrum = bool(PYAGRUM_SCOPE.search(text))
    plain = COMMENT.sub("", text)
    draft = Draft(name, partial(line_of, plain))
    words = _Words(draft, plain)
    kind = words.next("BAYES")
    if kind.upper() != "BAYES":
        markov = "the factors of a Markov network are no conditional probabilities"
        remedy = markov if kind.upper() == "MARKOV" else looks_like(plain)
        draft.fail("BAYES", shown(kind), words.at, remedy)
    variables = words.integer("number of variables", 1, MAX_NAMES)
    sizes = [words.integer("number of states", 1, MAX_NAMES) for _ in range(variables)]
    if sum(sizes) > MAX_ENTRIES // 4:
        draft.fail(f"at most {MAX_ENTRIES // 4} states in all", f"{sum(sizes)}", words.at)
    for i, size in enumerate(sizes):
        draft.declare(f"x{i}", [str(k) for k in range(size)], words.at)
    words.integer(f"{variables} tables, one for each variable,", variables, variables)
    listed = [_scope(words, variables) for _ in range(variables)]
    child_first = _children(listed, -1) < variables == _children(listed, 0)
    scopes = [(*scope[1:], scope[0]) if child_first else scope for scope in listed]
    _require_children(draft, scopes, words.at)
    require_entries(draft.states, {f"x{scope[-1]}": _names(scope[:-1]) for scope in scopes}, name)
    tables, places = list[Array](), list[int]()
    for *parents, child in scopes:
        size = math.prod(sizes[i] for i in (*parents, child))
        entries = words.integer(f"{size} entries of the table of x{child}", size, size)
        places.append(words.at)
        tables.append(
            numbers(words.skip(entries), size, partial(draft.at, places[-1]), separators="")
        )
    words.end()
    layout: Layout
    if child_first:
        layout = child_slowest
    elif by_pyagrum:
        layout = first_parent_fastest
    else:
        layout = _order(draft, scopes, sizes, tables)
    if layout in NOTES and any(len(scope) > 1 for scope in scopes):
        draft.notes.append(NOTES[layout])
    for scope, values, place in zip(scopes, tables, places, strict=True):
        draft.define(f"x{scope[-1]}", _names(scope[:-1]), values, place, _names(layout(scope)))
    return draft.network()


def _names(variables: Sequence[int]) -> list[str]:
    return [f"x{i}" for i in variables]


def _children(scopes: Sequence[Scope], place: int) -> int:
    """How many variables stand at this place of some scope:
    all of them, where it is the child's.
    """
    return len({scope[place] for scope in scopes})


def _require_children(draft: Draft, scopes: Sequence[Scope], place: int) -> None:
    """Refuse two tables for one variable."""
    seen = set[int]()
    for *_, child in scopes:
        if child in seen:
            draft.fail(
                "one table for each variable, which stands last in its scope",
                f"two for 'x{child}'",
                place,
            )
        seen.add(child)


def _scope(words: _Words, variables: int) -> Scope:
    size = words.integer("number of variables in a table", 1, MOST)
    return tuple(words.integer("a variable", 0, variables - 1) for _ in range(size))


def _order(
    draft: Draft, scopes: Sequence[Scope], sizes: Sequence[int], tables: Sequence[Array]
) -> Layout:
    """The format's layout or pgmpy's, whichever makes tables of all numbers; one file has one
    writer.

    Raises:
        ModelError: both do, and say different things.
    """
    fits = {in_order: True, first_fastest: True}
    differ = None
    for scope, values in zip(scopes, tables, strict=True):
        if len(scope) == 1 or len(set(scope)) < len(scope):
            continue
        readings = {layout: _reading(scope, sizes, values, layout) for layout in fits}
        for layout, table in readings.items():
            fits[layout] = fits[layout] and bool(np.abs(table.sum(-1) - 1).max() <= SUMS)
        if differ is None and not np.array_equal(readings[in_order], readings[first_fastest]):
            differ = scope
    if all(fits.values()) and differ is not None:
        wanted = f"tables in {draft.name} that can be read in one way only"
        remedy = (
            "the format varies the child's states fastest, pgmpy writes them slowest; save it in "
            "another format"
        )
        draft.fail(wanted, f"two ways for x{differ[-1]}", 0, remedy)
    return first_fastest if fits[first_fastest] and not fits[in_order] else in_order


def _reading(scope: Scope, sizes: Sequence[int], values: Array, layout: Layout) -> Array:
    """A table over (parents, child) if it was listed in this layout."""
    return in_layout(values, layout(scope), sizes, scope)


class _Words:
    """The words of a text, one after the other."""

    def __init__(self, draft: Draft, text: str) -> None:
        self.draft, self.text, self.at = draft, text, 0

    def next(self, expected: str) -> str:
        match = WORD.search(self.text, self.at)
        if match is None:
            self.draft.fail(
                expected, "the end of the file", self.at, "the file seems to be cut off"
            )
        self.at = match.end()
        return match[0]

    def integer(self, expected: str, least: int, most: int) -> int:
        word = self.next(expected)
        if not DIGITS.fullmatch(word) or not least <= int(word) <= most:
            limits = "" if least == most else f" between {least} and {most}"
            self.draft.fail(f"{expected}{limits}", shown(word), self.at)
        return int(word)

    def skip(self, count: int) -> str:
        """The text of the next words, without looking at them."""
        start = self.at
        for match in islice(WORD.finditer(self.text, start), count):
            self.at = match.end()
        return self.text[start : self.at]

    def end(self) -> None:
        rest = WORD.search(self.text, self.at)
        if rest:
            self.draft.fail("the end of the file", shown(rest[0]), self.at)


PART = Reader((".uai",), read_uai)

"""Reader for the UAI format of Bayesian networks, plain or gzipped.

    BAYES   number of variables   states of each   number of tables
    for each table: how many variables, the parents, the child
    for each table: how many entries, then they, the child's states varying fastest

The format has no names: variables are x0, x1, … and states 0, 1, ….
"""

from __future__ import annotations

import math
import re
from functools import partial
from itertools import islice
from pathlib import Path

from veribayes.models._check import shown
from veribayes.models._files import MAX_NAMES, Draft, line_of, read_text, require_entries
from veribayes.models.bayesian_network import MAX_ENTRIES, BayesianNetwork

WORD = re.compile(r"\S++")
DIGITS = re.compile(r"\d{1,9}", re.ASCII)
MOST = 64  # variables in a table: with two states each it would have 2^64 entries


def read_uai(path: str | Path) -> BayesianNetwork:
    """The network in a UAI file, with known tables.

    Raises:
        InputError: no readable file.
        ModelError: the text is not a Bayesian network in UAI format; the message gives file and line.
    """
    path = Path(path)
    return parse_uai(read_text(path), path.name)


def parse_uai(text: str, name: str = "text") -> BayesianNetwork:
    """The network in a UAI text; `name` appears in messages."""
    draft = Draft(name, partial(line_of, text))
    words = _Words(draft, text)
    kind = words.next("BAYES")
    if kind.upper() != "BAYES":
        draft.fail("BAYES", shown(kind), words.at, "the factors of a Markov network are no conditional probabilities")
    variables = words.integer("number of variables", 1, MAX_NAMES)
    sizes = [words.integer("number of states", 1, MAX_NAMES) for _ in range(variables)]
    if sum(sizes) > MAX_ENTRIES // 4:
        draft.fail(f"at most {MAX_ENTRIES // 4} states in all", f"{sum(sizes)}", words.at)
    for i, size in enumerate(sizes):
        draft.declare(f"x{i}", [str(k) for k in range(size)], words.at)
    words.integer(f"{variables} tables, one for each variable,", variables, variables)
    scopes = [_scope(words, variables) for _ in range(variables)]
    require_entries(draft.states, {f"x{child}": [f"x{p}" for p in parents] for *parents, child in scopes}, name)
    for *parents, child in scopes:
        size = math.prod(sizes[i] for i in (*parents, child))
        entries = words.integer(f"{size} entries of the table of x{child}", size, size)
        place = words.at
        draft.define(f"x{child}", [f"x{p}" for p in parents], words.skip(entries), place)
    words.end()
    return draft.network()


def _scope(words: _Words, variables: int) -> list[int]:
    size = words.integer("number of variables in a table", 1, MOST)
    return [words.integer("a variable", 0, variables - 1) for _ in range(size)]


class _Words:
    """The words of a text, one after the other."""

    def __init__(self, draft: Draft, text: str) -> None:
        self.draft, self.text, self.at = draft, text, 0

    def next(self, expected: str) -> str:
        match = WORD.search(self.text, self.at)
        if match is None:
            self.draft.fail(expected, "the end of the file", self.at, "the file seems to be cut off")
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
        if rest := WORD.search(self.text, self.at):
            self.draft.fail("the end of the file", shown(rest[0]), self.at)

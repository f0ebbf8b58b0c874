"""Reader for NET (Hugin), plain or gzipped.

    net { … }
    node a { states = ("yes" "no"); … }
    potential ( b | a c ) { data = ((( .1 .9 )( .2 .8 )) …); }

The states of the child vary fastest in `data`, those of the last parent next. Comments run from % to the end of the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NoReturn

from veribayes.models._check import shown
from veribayes.models._files import MAX_NAMES, Draft, line_of, read_text
from veribayes.models.bayesian_network import BayesianNetwork

COMMENT = r"%[^\n]*+"
BLANK = re.compile(rf"\s*+(?:{COMMENT}\s*+)*+")
TOKEN = re.compile(r'"([^"]*+)"|([{}()=;|])|([^\s{}()=;|"%]++)')
VALUE = re.compile(rf'[^;"%{{}}]*+(?:(?:"[^"]*+"|{COMMENT})[^;"%{{}}]*+)*+')  # up to the semicolon, whatever it says
STATE = re.compile(r'"([^"]*+)"|([^\s()"]++)')


def read_net(path: str | Path) -> BayesianNetwork:
    """The network in a NET file, with known tables.

    Raises:
        InputError: no readable file.
        ModelError: the text is not NET, or holds other nodes than finite ones with tables; the message gives file and line.
    """
    path = Path(path)
    return parse_net(read_text(path), path.name)


def parse_net(text: str, name: str = "text") -> BayesianNetwork:
    """The network in a NET text; `name` appears in messages."""
    return _Reader(text, Draft(name, partial(line_of, text))).network()


@dataclass
class _Reader:
    text: str
    draft: Draft
    at: int = 0

    def network(self) -> BayesianNetwork:
        while not self._done():
            start, word = self.at, self._next("net, node or potential")
            if word == "net":
                self._block()
            elif word == "node" or (word == "discrete" and self._next("node") == "node"):
                self._node(start)
            elif word == "potential":
                self._potential(start)
            else:
                remedy = "only finite nodes with tables are read"
                self.draft.fail("net, node or potential", shown(word), start, remedy)
        return self.draft.network(separators="()")

    def _node(self, start: int) -> None:
        node, fields = self._next("name of a node"), self._block()
        if "states" not in fields:
            self.draft.fail(f"states of {shown(node)}", "none", start)
        found = islice(STATE.finditer(fields["states"]), MAX_NAMES + 1)
        self.draft.declare(node, [quoted or bare for quoted, bare in (m.groups("") for m in found)], start)

    def _potential(self, start: int) -> None:
        self._expect("(")
        names, divided = list[str](), False
        while (word := self._next("names of nodes, then ')'")) != ")":
            if word in set("{}(=;") or len(names) > MAX_NAMES or (len(names) == 1 and not divided) != (word == "|"):
                self._fail("one node, then '|' and its parents", shown(word))
            if word == "|":
                divided = True
            else:
                names.append(word)
        fields = self._block()
        if not names or "data" not in fields:
            remedy = "parameters of other functions are no probabilities: write the full table"
            self.draft.fail("a node and its data in a potential", f"{sorted(fields)}", start, remedy)
        values = re.sub(COMMENT, " ", fields["data"])
        self.draft.define(names[0], names[1:], values, start)

    def _block(self) -> dict[str, str]:
        """Fields in braces, name -> raw text of the value."""
        fields: dict[str, str] = {}
        self._expect("{")
        while (key := self._next("a field or '}'")) != "}":
            self._expect("=")
            start = self.at
            self.at = VALUE.match(self.text, start).end()  # type: ignore[union-attr]  # an empty match is a match
            if key in fields:
                self._fail("each field once", f"{shown(key)} twice")
            fields[key] = self.text[start : self.at]
            self._expect(";")
        return fields

    def _done(self) -> bool:
        """Skip blanks and comments; whether the text has ended."""
        self.at = BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]  # an empty match is a match
        return self.at == len(self.text)

    def _next(self, expected: str) -> str:
        """The next bracket, sign or word; quotes are taken off."""
        if self._done():
            self._fail(expected, "the end of the file", "the file seems to be cut off")
        match = TOKEN.match(self.text, self.at)
        if match is None:
            self._fail(expected, shown(self.text[self.at : self.at + 12]))
        self.at = match.end()
        return match[match.lastindex or 0]

    def _expect(self, wanted: str) -> None:
        if (word := self._next(f"'{wanted}'")) != wanted:
            self._fail(f"'{wanted}'", shown(word))

    def _fail(self, expected: str, got: str, remedy: str = "") -> NoReturn:
        self.draft.fail(expected, got, self.at, remedy)

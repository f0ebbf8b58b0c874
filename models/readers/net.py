"""Reader for NET (Hugin), plain or gzipped.

    net { … }
    node a { states = ("yes" "no"); … }
    potential ( b | a c ) { data = ((( .1 .9 )( .2 .8 )) …); }

The states of the child vary fastest in `data`, those of the last parent next. Comments run from %
to the end of the line. In quotes a backslash stands before a quote or a backslash of the name.
States without quotes, as pyAgrum writes them, end at a blank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from veribayes.models._check import shown
from veribayes.models._dialects import UNQUOTED, looks_like
from veribayes.models._reader import Reader
from veribayes.models._scan import SIGN, Syntax, Tokens
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.readers._files import MAX_NAMES, Draft, line_of, read_text

NET = Syntax(signs="{}()=;|", line="%", escapes=True)
LIST = Syntax(
    signs="()", line="%", escapes=True, ends_words=False
)  # of states: pyAgrum writes [0;1[ and 10% without quotes
KINDS: Mapping[str, str] = {
    "class": "HUGIN's object-oriented networks are not read; save the network without classes",
    "continuous": "continuous nodes are not read: only finite ones with tables",
    "decision": "influence diagrams are not read: a decision has no probabilities",
    "utility": "influence diagrams are not read: a utility is no variable",
    "function": "function nodes are not read: only finite nodes with tables",
}


def read_net(path: str | Path) -> BayesianNetwork:
    """The network in a NET file, with known tables.

    Raises:
        InputError: no readable file.
        ModelError: the text is not NET, or holds other nodes than finite ones with tables; the
            message gives file and line.
    """
    path = Path(path)
    return parse_net(read_text(path), path.name)


def parse_net(text: str, name: str = "text") -> BayesianNetwork:
    """The network in a NET text; `name` appears in messages."""
    return _Reader(text, Draft(name, partial(line_of, text))).network()


@dataclass
class _Block:
    """What stands in braces.

    Attributes:
        states: names, None where the block lists none.
        texts: field -> its raw text without comments.
    """

    states: list[str] | None = None
    texts: dict[str, str] = field(default_factory=dict)


class _Reader:
    def __init__(self, text: str, draft: Draft) -> None:
        self.text, self.draft = text, draft
        self.tokens = Tokens(text, NET, draft.fail)

    def network(self) -> BayesianNetwork:
        while not self.tokens.done():
            token = self.tokens.next("net, node or potential")
            kind = token
            if token.is_word("discrete"):
                kind = self.tokens.next("node")
            if token.is_word("net"):
                self._block()
            elif kind.is_word("node"):
                self._node(token.start)
            elif token.is_word("potential"):
                self._potential(token.start)
            else:
                known = KINDS.get(kind.text, "only finite nodes with tables are read")
                remedy = (
                    known
                    if kind.text in KINDS or self.draft.states
                    else looks_like(self.text) or known
                )
                self.draft.fail("net, node or potential", shown(kind.text), token.start, remedy)
        return self.draft.network(separators="()")

    def _node(self, start: int) -> None:
        node = self.tokens.next("name of a node").text
        block = self._block(UNQUOTED)
        if block.states is None:
            self.draft.fail(f"states of {shown(node)}", "none", start)
        self.draft.declare(node, block.states, start)

    def _potential(self, start: int) -> None:
        self.tokens.expect("(")
        names, divided = list[str](), False
        token = self.tokens.next("names of nodes, then ')'")
        while not token.is_sign(")"):
            bar = token.is_sign("|")
            expected_bar = len(names) == 1 and not divided
            if (token.kind == SIGN and not bar) or bar != expected_bar or len(names) > MAX_NAMES:
                self.draft.fail(
                    "one node, then '|' and its parents", shown(token.text), token.start
                )
            divided = divided or bar
            if not bar:
                names.append(token.text)
            token = self.tokens.next("names of nodes, then ')'")
        texts = self._block().texts
        if not names or "data" not in texts:
            remedy = "parameters of other functions are no probabilities: write the full table"
            self.draft.fail("a node and its data in a potential", f"{sorted(texts)}", start, remedy)
        self.draft.define(names[0], names[1:], texts["data"], start)

    def _block(self, remedy: str = "") -> _Block:
        """Fields in braces; `remedy` is for something else before them."""
        block = _Block()
        self.tokens.expect("{", remedy)
        key = self.tokens.next("a field or '}'")
        while not key.is_sign("}"):
            self.tokens.expect("=")
            if key.text in block.texts:
                self.draft.fail("each field once", f"{shown(key.text)} twice", key.start)
            if key.text == "states":
                block.states, block.texts["states"] = self._states(), ""
            else:
                block.texts[key.text] = self.tokens.raw(";{}")
            key = self.tokens.next("a field or '}'")
        return block

    def _states(self) -> list[str]:
        """Names in parentheses, in quotes or bare, and the semicolon behind them."""
        inner = Tokens(self.text, LIST, self.draft.fail)
        inner.at, names, end = self.tokens.at, list[str](), -1
        inner.expect("(")
        token = inner.next("states, then ')'")
        while not token.is_sign(")"):
            if token.is_sign("("):
                self.draft.fail("states, then ')'", "'('", token.start)
            if token.start == end or len(names) > MAX_NAMES:
                self.draft.fail(
                    f"states with blanks between them, at most {MAX_NAMES}",
                    shown(token.text),
                    token.start,
                    "a quote in a name is written with a backslash before it",
                )
            names.append(token.text)
            end = token.end
            token = inner.next("states, then ')'")
        self.tokens.at = inner.at
        self.tokens.expect(";")
        return names


PART = Reader((".net",), read_net)

"""The tokenisers of the readers beside plain ones that look at one character after the other,
on every interpreter.

`models/_scan.py` imports nothing but the standard library;
`python tests/models/test_scan.py` compares both without packages.
"""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()


def scan() -> Any:
    """`models/_scan.py` by its file, whatever else is installed."""
    spec = importlib.util.spec_from_file_location("_scan", HERE.parents[2] / "models" / "_scan.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["_scan"] = module
    spec.loader.exec_module(module)
    return module


SCAN = scan()
BIF = SCAN.Syntax(signs="{}()[],;|", line="//", block=("/*", "*/"))
NET = SCAN.Syntax(signs="{}()=;|", line="%", escapes=True)
LIST = SCAN.Syntax(signs="()", line="%", escapes=True, ends_words=False)
SYNTAXES = (BIF, NET, LIST)
PIECES = [
    "a",
    "b1",
    " ",
    "\n",
    "/",
    "*",
    "//",
    "/*",
    "*/",
    "%",
    '"',
    "\\",
    ";",
    "{",
    "}",
    "(",
    ")",
    "|",
    ",",
    "=",
    ".5",
    "\t",
]


# -- one character after the other -----------------------------------------------------------------


def comment_at(syntax: Any, text: str, at: int) -> int | None:
    """Where the comment ends that begins here; the place itself if it never ends;
    None without one.
    """
    if text[at : at + len(syntax.line)] == syntax.line:
        while at < len(text) and text[at] != "\n":
            at += 1
        return at
    start, stop = syntax.block
    if start and text[at : at + len(start)] == start:
        for end in range(at + len(start), len(text) - len(stop) + 1):
            if text[end : end + len(stop)] == stop:
                return end + len(stop)
        return at
    return None


def string_at(syntax: Any, text: str, at: int) -> tuple[str, int] | None:
    """The quoted text that begins here, and where it ends."""
    out, at = "", at + 1
    while at < len(text):
        c = text[at]
        if c == '"':
            return out, at + 1
        if c == "\n" and not syntax.escapes:
            return None
        if c == "\\" and syntax.escapes:
            if at + 1 == len(text):
                return None
            out += text[at + 1] if text[at + 1] in '"\\' else text[at : at + 2]
            at += 2
            continue
        out, at = out + c, at + 1
    return None


def plain_tokens(syntax: Any, text: str) -> list[tuple[str, str]]:
    """Kinds and texts of all tokens, up to the first place where none begins."""
    out: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        comment = comment_at(syntax, text, at)
        if text[at].isspace():
            at += 1
        elif comment is not None and comment > at:
            at = comment
        elif comment is not None:
            return [*out, ("broken", text[at])]
        elif text[at] == '"':
            string = string_at(syntax, text, at)
            if string is None:
                return [*out, ("broken", '"')]
            out.append(("string", string[0]))
            at = string[1]
        elif text[at] in syntax.signs:
            out.append(("sign", text[at]))
            at += 1
        else:
            start = at
            at += 1
            while at < len(text) and not ends_word(syntax, text, at):
                at += 1
            out.append(("word", text[start:at]))
    return out


def ends_word(syntax: Any, text: str, at: int) -> bool:
    commented = syntax.ends_words and comment_at(syntax, text, at) is not None
    return text[at].isspace() or text[at] in syntax.signs or text[at] == '"' or commented


def plain_value(syntax: Any, text: str, ends: str) -> tuple[str, int]:
    out, at = "", 0
    while at < len(text):
        comment = comment_at(syntax, text, at)
        if text[at] in ends:
            return out, at
        if text[at] == '"':
            string = string_at(syntax, text, at)
            if string is None and syntax.escapes:
                return out, at
            end = at + 1 if string is None else string[1]
            out, at = out + text[at:end], end
        elif comment is not None:
            if comment == at:
                return out, at
            out, at = out + " ", comment
        else:
            out, at = out + text[at], at + 1
    return out, at


# -- beside the readers' own -----------------------------------------------------------------------


class Broken(Exception):
    """No token begins here."""


def fail(expected: str, got: str, at: int, remedy: str = "") -> Any:
    raise Broken


def tokens(syntax: Any, text: str) -> list[tuple[str, str]]:
    found = SCAN.Tokens(text, syntax, fail)
    out: list[tuple[str, str]] = []
    while True:
        if found.done():
            return out
        try:
            token = found.next("a token")
        except Broken:
            return [*out, ("broken", text[found.at])]
        out.append((token.kind, token.text))


def require_equal(text: str) -> None:
    for syntax in SYNTAXES:
        assert tokens(syntax, text) == plain_tokens(syntax, text), (syntax, text)
        for ends in (";", ";{}"):
            assert syntax.value(text, 0, ends) == plain_value(syntax, text, ends), (
                syntax,
                text,
                ends,
            )


def random_text(rng: random.Random) -> str:
    return "".join(rng.choices(PIECES, k=rng.randrange(1, 24)))


def test_both_read_the_same() -> None:
    rng = random.Random(0)
    for _ in range(4000):
        require_equal(random_text(rng))


def test_a_comment_that_never_ends_is_seen() -> None:
    """Early releases of Python 3.11 took it whole where a possessive group stood around a lazy
    one.
    """
    assert tokens(BIF, "/* never closed") == [("broken", "/")]
    assert tokens(BIF, "a /* x */ b /* y") == [("word", "a"), ("word", "b"), ("broken", "/")]
    assert BIF.value("1 2 /* x", 0, ";") == ("1 2 ", 4)


def test_hostile_texts_take_a_time_in_proportion() -> None:
    """A megabyte each; what grows like the square would take hours."""
    size = 2**20
    for one in (
        '"',
        "/",
        "/*",
        "/**/",
        "a/",
        '\\"',
        "%",
        " ",
        "a",
        '"\\',
        "{",
        "*/",
        "\n//",
        '"a" ',
        "(",
        "1",
    ):
        text = one * (size // len(one))
        for syntax in SYNTAXES:
            syntax.value(text, 0, ";")
            found = SCAN.Tokens(text, syntax, fail)
            for _ in range(3):
                try:
                    found.next("a token")
                except Broken:
                    break


def test_no_pattern_leans_on_possessive_or_atomic_groups() -> None:
    """They differ between releases of Python 3.11; search them in what is written as a pattern."""
    import ast
    import re

    possessive = re.compile(r"[*+?}]\+(?!\])|\(\?>")
    for path in sorted((HERE.parents[2]).glob("*/**/*.py")):
        if "tests" in path.parts or ".venv" in path.parts or path.is_symlink():
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re."):
                constants = [
                    leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant)
                ]
                written = [value for value in constants if isinstance(value, str)]
                assert not any(possessive.search(text) for text in written), (path, node.lineno)


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print(sys.version.split()[0], name)

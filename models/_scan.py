"""Tokens of a text: names, quoted names and signs, between blanks and comments.

Every step looks forward from one place to the next one that matters, with patterns of single
characters: the time is linear in the text, nothing is kept on a stack, and no interpreter reads it
otherwise. Possessive groups, which would say the same in one pattern each, match what they must not
in the first releases of Python 3.11.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, NoReturn

WORD, STRING, SIGN = "word", "string", "sign"
BLANKS = re.compile(r"\s*")
LONG = 60  # characters of a text that a message shows
MOST = 2**17  # quoted texts in one value: a line of quotes alone would take a minute

Fail = Callable[[str, str, int, str], NoReturn]  # expected, got, offset, remedy


class Token(NamedTuple):
    """A piece of text.

    Attributes:
        text: without quotes and escapes.
        kind: `word`, `string` (it stood in quotes) or `sign`.
        start, end: offsets, quotes included.
    """

    text: str
    kind: str
    start: int
    end: int

    def is_sign(self, sign: str) -> bool:
        return self.kind == SIGN and self.text == sign

    def is_word(self, word: str) -> bool:
        return self.kind == WORD and self.text == word


@dataclass(frozen=True)
class Syntax:
    """What a format takes for comments, signs and quoted text.

    Attributes:
        signs: characters that are tokens of their own.
        line: what begins a comment up to the end of the line.
        block: what begins and ends a comment of any length, or two empty texts.
        escapes: whether a backslash in quotes stands before a quote or a backslash that belongs to
            the text, and quoted text may hold line ends.
        ends_words: whether a comment may begin directly after a word; otherwise its first character
            belongs to the word.
    """

    signs: str
    line: str
    block: tuple[str, str] = ("", "")
    escapes: bool = False
    ends_words: bool = True

    def after_blanks(self, text: str, at: int) -> int:
        """The next offset that is neither blank nor in a comment; that of a comment which never
        ends.
        """
        while True:
            at = BLANKS.match(text, at).end()  # type: ignore[union-attr]  # an empty match is a match
            end = self._comment_end(text, at)
            if end is None:
                return at
            at = end

    def token(self, text: str, at: int) -> Token | None:
        """The token that begins at this offset, or None where none does."""
        if at < len(text) and text[at] == '"':
            end = self._string_end(text, at)
            return (
                None if end is None else Token(self._plain(text[at + 1 : end - 1]), STRING, at, end)
            )
        if text[at : at + 1] in tuple(self.signs):
            return Token(text[at], SIGN, at, at + 1)
        match = self._word_end.search(text, at)
        end = match.start() if match else len(text)
        return Token(text[at:end], WORD, at, end) if end > at else None

    def value(self, text: str, at: int, ends: str, *, comments: bool = True) -> tuple[str, int]:
        """Everything up to one of the characters `ends` outside quotes and comments, with blanks
        for comments; and where it is.

        A quote that does not end in its line is a character like any other, where quoted text has
        one line. What never ends otherwise, a comment or a quote, is where the value ends, and so
        is one quote too many.
        """
        stop = re.compile(
            "|".join((f'[{re.escape(ends)}"]', *(self._comment_starts if comments else ())))
        )
        pieces, start, quotes = list[str](), at, 0
        while match := stop.search(text, at):
            if match[0] in ends:
                return "".join((*pieces, text[start : match.start()])), match.start()
            if match[0] == '"':
                end, quotes = self._string_end(text, match.start()), quotes + 1
                if (end is None and self.escapes) or quotes > MOST:
                    return "".join((*pieces, text[start : match.start()])), match.start()
                at = end or match.end()
                continue
            end = self._comment_end(text, match.start())
            pieces.append(text[start : match.start()])
            if end is None:
                return "".join(pieces), match.start()
            pieces.append(" ")
            at = start = end
        return "".join((*pieces, text[start:])), len(text)

    def common(self, text: str, at: int) -> Token | None:
        """The next token where it is a sign or a word without a comment near it; otherwise None,
        and nothing is said.
        """
        match = self._common.match(text, at)
        if match is None:
            return None
        end = match.end()
        if match.lastindex == 2 and text[end : end + 1] in self._comment_signs:
            return None
        return Token(
            match[match.lastindex or 0],
            SIGN if match.lastindex == 1 else WORD,
            match.start(match.lastindex or 0),
            end,
        )

    @cached_property
    def _common(self) -> re.Pattern[str]:
        signs = re.escape(self.signs)
        return re.compile(
            rf'\s*(?:([{signs}])|([^\s"{signs}{re.escape("".join(self._comment_signs))}]+))'
        )

    @cached_property
    def _comment_signs(self) -> tuple[str, ...]:
        """First characters of comments, and the quote: near them a token is read step by step."""
        return tuple({start[0] for start in (self.line, self.block[0]) if start} | {'"'})

    @cached_property
    def _comment_starts(self) -> tuple[str, ...]:
        return tuple(re.escape(start) for start in (self.line, self.block[0]) if start)

    @cached_property
    def _word_end(self) -> re.Pattern[str]:
        comments = self._comment_starts if self.ends_words else ()
        return re.compile("|".join((rf'[\s"{re.escape(self.signs)}]', *comments)))

    def _comment_end(self, text: str, at: int) -> int | None:
        """Where the comment ends that begins here; None without one, or if it never ends."""
        if text.startswith(self.line, at):
            end = text.find("\n", at)
            return len(text) if end < 0 else end
        start, stop = self.block
        if start and text.startswith(start, at):
            end = text.find(stop, at + len(start))
            return None if end < 0 else end + len(stop)
        return None

    def _string_end(self, text: str, at: int) -> int | None:
        """The offset behind the closing quote of the text quoted from here; None without one."""
        stop = ESCAPED if self.escapes else ONE_LINE
        at += 1
        while match := stop.search(text, at):
            if match[0] == '"':
                return match.end()
            if match[0] == "\n":
                return None
            at = match.end() + 1  # the character after a backslash
        return None

    def _plain(self, quoted: str) -> str:
        return re.sub(r'\\(["\\])', r"\1", quoted) if self.escapes else quoted


ESCAPED, ONE_LINE = re.compile(r'["\\]'), re.compile(r'["\n]')


class Tokens:
    """The tokens of a text, one after the other.

    Args:
        text: all of it.
        syntax: of its format.
        fail: raises an error that names the place.
    """

    def __init__(self, text: str, syntax: Syntax, fail: Fail) -> None:
        self.text, self.syntax, self.fail = text, syntax, fail
        self.at = 0

    def done(self) -> bool:
        """Skip blanks and comments; whether the text has ended."""
        self.at = self.syntax.after_blanks(self.text, self.at)
        return self.at == len(self.text)

    def next(self, expected: str) -> Token:
        """The next token."""
        common = self.syntax.common(self.text, self.at)
        if common is not None:
            self.at = common.end
            return common
        if self.done():
            self.fail(expected, "the end of the file", self.at, "the file seems to be cut off")
        token = self.syntax.token(self.text, self.at)
        if token is None:
            self.fail(expected, repr(self.text[self.at : self.at + 12]), self.at, "")
        self.at = token.end
        return token

    def expect(self, sign: str, remedy: str = "") -> None:
        """Skip this sign."""
        token = self.next(f"'{sign}'")
        if not token.is_sign(sign):
            self.fail(f"'{sign}'", repr(token.text[:LONG]), token.start, remedy)

    def raw(self, ends: str, *, comments: bool = True) -> str:
        """Text without its comments up to one of `ends`,
        which must be a semicolon and is skipped.
        """
        found, self.at = self.syntax.value(self.text, self.at, ends, comments=comments)
        self.expect(";")
        return found

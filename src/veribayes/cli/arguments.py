"""Values of the command line, checked where they are parsed: commands see only what is in range.

Each function returns a parser for `typer.Option(parser=...)`; its message says what was expected
and what came, and the command line puts the option's name before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import typer

MOST_DATASETS = 1_000_000  # scores of more do not fit into memory
MOST_SEED = 2**32 - 1  # what every generator takes
MOST_PROCESSES = 1024


def whole_number(least: int, most: int = MOST_DATASETS) -> Callable[[str | int], int]:
    """A parser of integers in [least, most]."""

    def parse(text: str | int) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise typer.BadParameter(
                f"expected a whole number between {least} and {most}, got {shown(text)}"
            )
        return value

    return parse


def whole_numbers(text: str | tuple[int, ...]) -> tuple[int, ...]:
    """Integers of at least 0 between commas."""
    if not isinstance(text, str):
        return tuple(text)
    parse = whole_number(0, MOST_SEED)
    return tuple(parse(part.strip()) for part in text.split(","))


def positive_number(text: str | float) -> float:
    """A positive finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise typer.BadParameter(f"expected a positive finite number, got {shown(text)}")
    return value


def one_of(*words: str) -> Callable[[str], str]:
    """A parser of words."""

    def parse(text: str) -> str:
        if text not in words:
            raise typer.BadParameter(f"expected one of {', '.join(words)}, got {shown(text)}")
        return text

    return parse


def shown(value: object, most: int = 60) -> str:
    """What was typed, in one line of bounded length."""
    text = " ".join(str(value).split())
    return f"'{text}'" if len(text) <= most else f"'{text[:most]}…'"

"""Options of parts, given as text and read as the type of the field that they set."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TypeVar

from veribayes.errors import InputError

LARGEST = 2**31 - 1  # of an option that counts something
T = TypeVar("T")


def typed(text: object, declared: object, where: str) -> object:
    """Option text as the type that the option's field declares:
    a bounded integer, a finite number, a truth value, or words.
    """
    if not isinstance(text, str):
        return text
    kinds = set(re.findall(r"\w+", str(declared)))
    if "bool" in kinds:
        return _parsed(
            lambda: {"true": True, "false": False}[text.lower()], "true or false", text, where
        )
    if "float" in kinds and "str" in kinds:
        return _number_or_text(text, where)
    if "float" in kinds:
        return _parsed(lambda: _finite(text), "a finite number", text, where)
    if "int" in kinds:
        return _parsed(lambda: _bounded(text), f"a whole number of at most {LARGEST}", text, where)
    return text


def _parsed(parse: Callable[[], T], wanted: str, text: str, where: str) -> T:
    try:
        return parse()
    except (ValueError, KeyError):
        raise InputError(f"{wanted} for {where}", f"'{text[:60]}'") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _bounded(text: str) -> int:
    value = int(text)
    if abs(value) > LARGEST:
        raise ValueError(text)
    return value


def _number_or_text(text: str, where: str) -> float | str:
    try:
        float(text)
    except ValueError:
        return text
    return _parsed(lambda: _finite(text), "a finite number", text, where)

"""Limits of an interval as text: the same words in the terminal, in findings and in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

UNSUPPORTED = "no stable limit"  # the sample does not support one; `reason` says why
MISSING = "–"  # there is none: an infinite mean, or a single data set


def words(plain: Mapping[str, Any], form: Callable[[float], str]) -> str:
    """Estimate and limits, `0.0031 [0.0028, 0.0034]`; a limit that is null in words.

    Args:
        plain: `estimate`, `low` and `high`, and `reason` where one of them is not shown, as in a
            result's JSON.
        form: how a number is written.
    """
    low, high = (side(plain, name, form) for name in ("low", "high"))
    return f"{form(plain['estimate'])} [{low}, {high}]"


def side(plain: Mapping[str, Any], name: str, form: Callable[[float], str]) -> str:
    """One limit, or why it is not there."""
    if plain.get(name) is not None:
        return form(plain[name])
    return UNSUPPORTED if plain.get("reason") else MISSING

"""Plain data: numbers as JSON knows them, and values in words for a reader."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def number(value: float | None) -> float | None:
    """JSON knows no NaN and no infinity: both become null."""
    return None if value is None or not np.isfinite(value) else float(value)


def plain(value: object) -> str:
    """Plain data in one line; an object with a `kind` as `kind (field value, …)`."""
    if isinstance(value, Mapping):
        entries = []
        for key, entry in value.items():
            if key != "kind" and entry not in (None, "", [], {}):
                entries.append(f"{_spaced(key)} {plain(entry)}")
        fields = ", ".join(entries)
        kind = _spaced(value.get("kind", ""))
        return f"{kind} ({fields})" if kind and fields else kind or fields
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _spaced(name: object) -> str:
    return str(name).replace("_", " ")

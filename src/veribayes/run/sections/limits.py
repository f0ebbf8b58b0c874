"""Limits of an estimate as plain data."""

from __future__ import annotations

from typing import Any

from veribayes.validation import bootstrap


def plain_limits(interval: bootstrap.Interval | None) -> dict[str, Any]:
    """Estimate and limits as JSON; null where they are undefined, infinite or without support."""
    if interval is None:
        return dict.fromkeys(("estimate", "low", "high"))
    return interval.plain()

"""Predictors scored beside the candidate, as rows of a table and as strokes of a small drawing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from veribayes.report import _words as words
from veribayes.report._run import Rival, Run

MIDDLE, DECADE = 60, 30  # of a `Bar`: where the tolerance lies, and the width of a power of ten
ENDS = (4, 116)
LEAST = 1e-9  # of the tolerance; far to the left of the drawing


@dataclass(frozen=True)
class Row:
    """One line of the table of rivals."""

    role: str
    name: str
    about: str
    divergence: words.Interval
    recovery: words.Interval
    verdict: words.Verdict


@dataclass(frozen=True)
class Bar:
    """A small drawing, 120 wide: divergence over tolerance, log scale, cut off at 0.01 and 100."""

    label: str
    estimate: str
    low: str
    high: str
    rivals: tuple[str, ...]


def rows(run: Run) -> list[Row]:
    """All rivals, best first."""
    return [_row(role, rival, run.power) for role, rival in run.rivals.items()]


def best(run: Run) -> Row | None:
    """The row of the rival nearest to the truth, if any is at a finite distance."""
    return next((row for row in rows(run) if row.role == run.best_rival), None)


def _row(role: str, rival: Rival, power: int) -> Row:
    return Row(
        role=role,
        name=words.predictor(role),
        about=words.about_predictor(role),
        divergence=words.interval(rival.divergence, power),
        recovery=words.percent(rival.recovery),
        verdict=words.VERDICTS.get(rival.verdict, words.VERDICTS["undecided"]),
    )


def bar(run: Run) -> Bar | None:
    """The drawing of the candidate among its rivals; None without a tolerance."""
    primary, tolerance = run.primary, run.primary.get("tolerance")
    if not isinstance(tolerance, int | float) or tolerance <= 0:
        return None
    estimate, low = primary.get("estimate"), primary.get("low")
    if estimate is not None and low is None:
        low = 0.0  # no limit: to the left end
    rivals = [rival.divergence.get("estimate") for rival in run.rivals.values()]
    return Bar(
        label=f"{multiple(primary)} times the tolerance",
        estimate=_place(estimate, tolerance),
        low=_place(low, tolerance),
        high=_place(primary.get("high"), tolerance),
        rivals=tuple(_place(divergence, tolerance) for divergence in rivals),
    )


def _place(value: object, tolerance: float) -> str:
    """Where a divergence lies on a `Bar`; an infinite or absent one at its right end."""
    ratio = value / tolerance if isinstance(value, int | float) else np.inf
    place = MIDDLE + DECADE * np.log10(max(ratio, LEAST))
    return f"{np.clip(place, *ENDS):.1f}"


def multiple(primary: Mapping[str, Any]) -> str:
    """The estimate as a multiple of the tolerance."""
    estimate, tolerance = primary.get("estimate"), primary.get("tolerance")
    if isinstance(estimate, int | float) and tolerance:
        return words.number(estimate / tolerance)
    return words.MISSING

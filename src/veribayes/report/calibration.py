"""The measured size of every test and coverage of every interval, with their 95 % limits."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from veribayes.report._style import LIGHT, STYLE, sheet, styled

SHADES = ("first", "second", "third")  # smallest, middle, largest sample size
RISE = 0.22  # rows between the dots of one test
COLUMNS = ("smallest n", "middle n", "largest n")
LEAST = 0.84  # coverage at the left end of the axis
WANTED = (0.93, 0.97)

Dot = tuple[int, float, float, float]  # n, lower limit, rate, upper limit


@styled
def sizes(document: Mapping[str, Any]) -> Figure:
    """Sizes of a `veribayes.calibration/1` document, a row for each test and problem."""
    rows: dict[str, list[Dot]] = {}
    for entry in document["size"]:
        dots = rows.setdefault(entry["title"], [])
        dots.append((entry["n"], entry["low"], entry["rate"], entry["high"]))
    figure, axes = _dots(rows, 0.0)
    axes.axvspan(0, document["largest"], color=LIGHT["within"], zorder=0, linewidth=0)
    axes.axvline(document["nominal"], color=LIGHT["ink"], linewidth=0.8)
    axes.set_xlabel(f"share of true nulls rejected at {document['nominal']:g}", loc="right")
    return figure


@styled
def coverages(document: Mapping[str, Any]) -> Figure:
    """Coverages of a `veribayes.calibration/1` document, a row for each interval and law."""
    rows: dict[str, list[Dot]] = {}
    for entry in document["intervals"]:
        dots = rows.setdefault(f"{entry['title']}: {entry['law']}", [])
        dots.append((entry["n"], entry["covered_low"], entry["covered"], entry["covered_high"]))
    figure, axes = _dots(rows, LEAST)
    axes.axvspan(*WANTED, color=LIGHT["within"], zorder=0, linewidth=0)
    axes.axvline(0.95, color=LIGHT["ink"], linewidth=0.8)
    axes.set_xlim(LEAST - 0.005, 1.002)
    axes.set_xlabel("share of 95 % intervals that hold the truth", loc="right")
    return figure


def _dots(rows: Mapping[str, list[Dot]], least: float) -> tuple[Figure, Any]:
    """A row of dots for each name; what lies below `least` is written at the edge.

    The smallest sample size is on top.
    """
    figure = sheet(1.0 + 0.3 * len(rows))
    axes = figure.add_subplot()
    for y, dots in enumerate(rows.values()):
        for i, (_, low, rate, high) in enumerate(sorted(dots)):
            shade, at = LIGHT[SHADES[i % 3]], y + (i - 1) * RISE
            if rate < least:
                axes.text(least, at, f"‹ {rate:.2f}", color=shade, va="center", fontsize=7)
                continue
            axes.plot([max(low, least), high], [at, at], color=shade, linewidth=1.4, alpha=0.6)
            axes.plot([rate], [at], "o", color=shade, markersize=3.5)
    for shade, label in zip(SHADES, COLUMNS, strict=True):
        axes.plot([], [], "o", color=LIGHT[shade], markersize=3.5, label=label)
    axes.set_xlim(least, None)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2)
    return figure, axes


def svg(figure: Figure) -> str:
    """The figure as a file of its own: white ground, equal bytes for equal numbers."""
    target = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": "calibration"}):
        nobody = {"Date": None, "Creator": None}
        figure.savefig(target, format="svg", metadata=nobody, facecolor="white")
    return target.getvalue()

"""The measured size of every test as a figure: a dot with its 95 % limits for each of three sample sizes."""

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


@styled
def sizes(document: Mapping[str, Any]) -> Figure:
    """Sizes of a `veribayes.calibration/1` document, a row for each test and problem."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for entry in document["size"]:
        rows.setdefault(entry["title"], []).append(entry)
    figure = sheet(1.0 + 0.3 * len(rows))
    axes = figure.add_subplot()
    axes.axvspan(0, document["largest"], color=LIGHT["within"], zorder=0, linewidth=0)
    axes.axvline(document["nominal"], color=LIGHT["ink"], linewidth=0.8)
    for y, entries in enumerate(rows.values()):
        for i, entry in enumerate(sorted(entries, key=lambda e: e["n"])):
            _dot(axes, entry, y + (i - 1) * RISE, SHADES[i % 3], COLUMNS[i % 3] if y == 0 else None)
    axes.set_xlim(0, None)
    axes.set_xlabel(f"share of true nulls rejected at {document['nominal']:g}", loc="right")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2)
    return figure


def _dot(axes: Any, entry: Mapping[str, Any], y: float, shade: str, label: str | None) -> None:
    axes.plot([entry["low"], entry["high"]], [y, y], color=LIGHT[shade], linewidth=1.4, alpha=0.6)
    axes.plot([entry["rate"]], [y], "o", color=LIGHT[shade], markersize=3.5, label=label)


def svg(figure: Figure) -> str:
    """The figure as a file of its own: white ground, equal bytes for equal numbers."""
    target = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": "calibration"}):
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    return target.getvalue()

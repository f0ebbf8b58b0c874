"""Figures of `probes`: where attention lies, which tables were learned, which context is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from veribayes.report._style import LIGHT, context_ticks, log_ticks, note, sheet, styled

PANEL, ROOM = 1.15, 0.9  # inches a layer, and for the axis below


@styled
def distances(found: Mapping[str, Any]) -> Figure:
    """Mass by distance from the reader: a panel a layer, a line a head, and an even spread.

    Args:
        found: what `probes.probe` returned.
    """
    shown, layers = found["attention"], found["attention"]["layers"]
    figure = sheet(ROOM + PANEL * len(layers))
    axes = figure.subplots(len(layers), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, row in zip(axes, layers, strict=True):
        for head in np.array(row["by_distance"]["estimate"]):
            axis.plot(head, color=LIGHT["candidate"], marker="o", markersize=3, alpha=0.8)
        axis.plot(shown["even"], color=LIGHT["prior"], linestyle=":")
        axis.set(ylim=(0, 1), ylabel=f"layer {row['layer']}")
        axis.yaxis.set_major_locator(MaxNLocator(2))
        axis.grid(axis="y")
    axes[-1].set_xticks(range(len(shown["labels"])), shown["labels"])
    axes[-1].set_xlabel(shown["distance"])
    return figure


@styled
def tables(found: Mapping[str, Any]) -> Figure:
    """Learned probabilities against the true ones.

    A single matrix is shown by two images, all tables of a network by dots.
    """
    learned = found["tables"]
    if not learned:
        return note(sheet(1.0), "the model has no table to compare with")
    return _matrices(learned[0]) if len(learned) == 1 else _dots(learned)


def _matrices(table: Mapping[str, Any]) -> Figure:
    figure = sheet(2.4)
    axes = figure.subplots(1, 2, sharey=True)
    top = float(max(np.max(table["learned"]), np.max(table["true"])))
    for axis, which in zip(axes, ("learned", "true"), strict=True):
        axis.imshow(np.array(table[which]), vmin=0, vmax=top, cmap="Blues")
        axis.set_title(which, fontsize=9, color=LIGHT["ink"])
        axis.set_xlabel("next symbol")
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axis.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes[0].set_ylabel("symbol before")
    return figure


def _dots(learned: list[Mapping[str, Any]]) -> Figure:
    figure = sheet(3.4)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color=LIGHT["prior"], linewidth=0.8)
    for table in learned:
        x, y = np.ravel(table["true"]), np.ravel(table["learned"])
        axis.plot(x, y, "o", color=LIGHT["candidate"], markersize=4, alpha=0.7)
    axis.set(xlabel="true conditional probability", ylabel="learned", aspect="equal")
    return figure


@styled
def context(found: Mapping[str, Any]) -> Figure:
    """How an answer to a part of the context differs from that to all of it, beside exact Bayes."""
    used = found["context_used"]
    if used is None:
        return note(sheet(1.0), "the context is evidence, of which there is no part")
    figure = sheet(2.6)
    axis = figure.subplots()
    n = np.array(used["observations"], dtype=float)
    for name, width in (("exact", 4.0), ("candidate", 1.4)):  # both are seen where they agree
        sides = ("estimate", "low", "high")
        estimate, low, high = (np.array(used[name][side], dtype=float) for side in sides)
        style: dict[str, Any] = {"linewidth": width, "marker": "o", "markersize": width + 2}
        axis.plot(n, estimate, color=LIGHT[name], label=name, **style)
        axis.fill_between(n, low, high, color=LIGHT[name], alpha=0.15, linewidth=0)
    if all((used[name]["low"][-1] or 0.0) > 0 for name in ("exact", "candidate")):
        axis.set_yscale("log")
        log_ticks(axis, "y")
    context_ticks(axis, n)
    axis.set(xlabel="observations kept", ylabel="JS(all, part), nats")
    axis.grid(axis="y")
    axis.legend()
    return figure

"""Figures of `probes`: where each layer's attention lies, and the transition matrix that a candidate has learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from veribayes.report._style import LIGHT, note, sheet, styled


@styled
def distances(found: Mapping[str, Any]) -> Figure:
    """Mass by distance from the reader: one panel a layer, one line a head.

    Args:
        found: what `probes.probe` returned.
    """
    layers = [row for row in found.get("attention", []) if "by_distance" in row]
    if not layers:
        return note(sheet(1.0), "this candidate shows no attention over distances")
    figure = sheet(0.5 + 1.25 * len(layers))
    axes = figure.subplots(len(layers), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, row in zip(axes, layers, strict=True):
        for head in np.array(row["by_distance"], dtype=float):
            axis.plot(head, color=LIGHT["candidate"], marker="o", markersize=3, alpha=0.8)
        axis.set(ylim=(0, 1), ylabel=f"layer {row['layer']}")
        axis.grid(axis="y")
    axes[-1].set_xlabel("distance of the symbol that is read")
    return figure


@styled
def matrices(found: Mapping[str, Any]) -> Figure:
    """The learned transition matrix beside the true one, on one scale."""
    learned, true = (found.get("transition_matrix", {}).get(name) for name in ("learned", "true"))
    if learned is None or true is None:
        return note(sheet(1.0), "there is no shared transition matrix to compare")
    figure = sheet(2.4)
    axes = figure.subplots(1, 2, sharey=True)
    top = float(max(np.max(learned), np.max(true)))
    for axis, values, title in zip(axes, (learned, true), ("learned", "true"), strict=True):
        axis.imshow(np.array(values), vmin=0, vmax=top, cmap="Blues")
        axis.set_title(title, fontsize=9, color=LIGHT["ink"])
        axis.set_xlabel("next symbol")
    axes[0].set_ylabel("symbol before")
    return figure

"""One row of a benchmark: the same work by one of our engines and by a peer, in one process,
and the accuracy reached.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, float | str]


def cpu_seconds(
    work: Callable[[], object], units: int, *, rounds: int = 3, warm: bool = True
) -> float:
    """Best CPU time a unit over the rounds; with `warm`,
    a first call (compilation) is not counted.
    """
    if warm:
        work()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times) / units


def row(
    work: str, ours: str, our_seconds: float, peer: str, peer_seconds: float, **more: float | str
) -> Row:
    """Microseconds a data set of both sides and their ratio;
    `more` holds the accuracy and the goal.
    """
    return {
        "work": work,
        "engine": ours,
        "microseconds": our_seconds * 1e6,
        "peer": peer,
        "peer_microseconds": peer_seconds * 1e6,
        "ratio": peer_seconds / our_seconds,
        **more,
    }


def draw(rows: Sequence[Row], path: Path, *, unit: str = "data set") -> None:
    """Both sides of every row on a logarithmic axis, the ratio beside them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.8 + 0.42 * len(rows)), layout="constrained")
    axes: Any = figure.subplots()
    for place, r in enumerate(rows):
        ours, peer = float(r["microseconds"]), float(r["peer_microseconds"])
        axes.plot([ours, peer], [place, place], color="0.7", zorder=1)
        axes.scatter(
            [ours], [place], color="#0b6e4f", zorder=2, label="veribayes" if not place else None
        )
        axes.scatter(
            [peer], [place], color="#b23a48", zorder=2, label="peer" if not place else None
        )
        axes.text(
            max(ours, peer) * 1.5,
            place,
            f"{r['peer']}  x {float(r['ratio']):.3g}",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(rows)), [str(r["work"]) for r in rows], fontsize=8)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 300)  # room for the names
    axes.invert_yaxis()
    axes.set_xlabel(f"CPU microseconds a unit: {unit}")
    axes.legend(loc="lower right", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)

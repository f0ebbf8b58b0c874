"""docs/context-switch.md and docs/context-switch.svg: what one-head networks answer and read.

Run: python -m benchmarks.switch_heads [--write]

Every shipped network of the variants, of every seed, on the same 1,000 data sets of the stream
`verify`, at n = 1, 2, 4, 8, 16, 32: KL where the context matters and where it does not, and the
mass that queries leave on what is no observation. Values of a variant are means over data sets and
seeds; the range is that of the seeds. Without an anchor one value c is read as w c + v, whatever
the cue, so that the best loss at n = 1 is a minimum over w, printed below the table.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar

from benchmarks import _documents
from veribayes import registry
from veribayes.predictive import Array
from veribayes.report._style import LIGHT, STYLE
from veribayes.run.laboratory import Laboratory
from veribayes.validation.claims import context_switch as claims
from veribayes.validation.claims.context_switch import HIDDEN, TASK, Trained

DATASETS = 1000
PICTURE = _documents.DOCS / "context-switch.svg"
VARIANTS = {  # checkpoint -> name in the table, colour
    f"{TASK}+sink": ("sink", "exact"),
    f"{TASK}+diagonal": ("diagonal", "candidate"),
    f"{TASK}+neither": ("neither", "first"),
    f"{TASK}+sigmoid": ("sigmoid", "second"),
    f"{TASK}+relu": ("ReLU", "third"),
    f"{HIDDEN}+sink": ("sink, hidden cue", "fourth"),
}
NODES = 200  # of Gauss and Hermite
Row = Mapping[str, Any]


def measured(name: str) -> dict[str, Any]:
    """Of a checkpoint, (seed, position): `on`, `off` and `mass` where it shows any."""
    laboratory = Laboratory(full=False, seed=0)
    task = laboratory.task(name.partition("+")[0])
    data = laboratory.simulate(task, DATASETS).data
    on, off = claims.asked(data, on=True), claims.asked(data, on=False)
    found: dict[str, list[Array]] = {"on": [], "off": [], "mass": []}
    for seed in claims.SHIPPED:
        network = Trained("", name, seed)
        scores = claims.divergences(laboratory, task, data, network)
        found["on"].append(claims.over_queries(scores, on).mean(0))
        if off.any():
            found["off"].append(claims.over_queries(scores, off).mean(0))
        if "sink" in name or "diagonal" in name:
            masses = claims.masses(laboratory, task, data, network)
            found["mass"].append(claims.over_queries(masses, on).mean(0))
    shares = claims.prior_share(task, data.positions)
    columns = {key: np.array(values) for key, values in found.items()}
    return {"name": name, "positions": data.positions, "theory": shares, **columns}


def rows(found: Sequence[Row]) -> list[dict[str, str]]:
    """A row a variant and quantity."""
    shown = []
    for row in found:
        for key, words in (("mass", "mass"), ("on", "KL, cue on"), ("off", "KL, cue off")):
            if not row[key].size:
                continue
            label = "KL" if key == "on" and not row["off"].size else words
            cells = [_cell(row[key][:, k], key) for k in range(len(row["positions"]))]
            sizes = [f"n = {n}" for n in row["positions"]]
            first = {"head": VARIANTS[row["name"]][0], "quantity": label}
            shown.append({**first, **dict(zip(sizes, cells, strict=True))})
    theory = [f"{share:.4f}" for share in found[0]["theory"]]
    sizes = [f"n = {n}" for n in found[0]["positions"]]
    heading = {"head": "theory", "quantity": "mass"}
    return [{**heading, **dict(zip(sizes, theory, strict=True))}, *shown]


def _cell(values: Array, key: str) -> str:
    """Mean over seeds and their range."""
    digits = ".4f" if key == "mass" else ".1e"
    numbers = [values.mean(), values.min(), values.max()]
    if key != "mass" and values.mean() >= 0.01:
        digits = ".3f"
    middle, low, high = (format(number, digits) for number in numbers)
    return f"{middle} [{low}, {high}]"


def without_an_anchor() -> str:
    """The best that w c + v can do at n = 1, where both cues read one value with the same w."""
    spec = Laboratory(full=False, seed=0).task(TASK).model.spec()
    prior, noise = spec["prior_variance"], spec["noise_variance"]
    at, share = np.polynomial.hermite_e.hermegauss(NODES)
    c2, share = (prior + noise) * at**2, share / share.sum()
    best, left = prior / (prior + noise), noise + prior * noise / (prior + noise)

    def on(w: float) -> float:
        return float(share @ np.log1p((w - best) ** 2 * c2 / left)) / 2

    def off(w: float) -> float:
        return float(share @ np.log1p(w**2 * c2 / (prior + noise))) / 2

    found = minimize_scalar(lambda w: on(w) + off(w), bounds=(0, 1), method="bounded")
    return (
        f"Without an anchor, n = 1: w = {found.x:.3f} is best, KL {on(found.x):.4f} with the cue "
        f"on and {off(found.x):.4f} with it off, {found.fun / 2:.4f} on average; exact with the "
        f"cue on, w = {best:.3f}, it is {off(best):.4f} with it off."
    )


def picture(found: Sequence[Row]) -> Figure:
    """Mass beside theory, and both divergences, by context size."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    sizes = np.arange(1, 33)
    laboratory = Laboratory(full=False, seed=0)
    theory = claims.prior_share(laboratory.task(TASK), sizes.tolist())
    left.plot(sizes, theory, color=LIGHT["prior"], linewidth=1.2, label="(B/A) / (n + B/A)")
    markers = iter("os^Dvx")
    for row in found:
        label, colour = VARIANTS[row["name"]]
        style = {"color": LIGHT[colour], "marker": next(markers), "markersize": 4, "label": label}
        for axis, key in ((left, "mass"), (middle, "on"), (right, "off")):
            if row[key].size:
                line = "none" if axis is left else "-"
                axis.plot(row["positions"], row[key].mean(0), linestyle=line, **style)
    left.set(ylabel="mass on no observation, cue on")
    middle.set(ylabel="KL(Bayes ‖ network), cue on, nats")
    right.set(ylabel="KL(Bayes ‖ network), cue off, nats")
    for axis in (left, middle, right):
        axis.set(xscale="log", yscale="log", xlabel="values in the context, n")
        axis.set_xticks(found[0]["positions"], [str(n) for n in found[0]["positions"]])
        axis.minorticks_off()
        axis.grid(axis="y")
    left.legend(fontsize=7, frameon=False)
    middle.legend(fontsize=7, frameon=False)
    return figure


def drawn(found: Sequence[Row], path: Path) -> None:
    """The picture, equal between builds."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": "context-switch", "svg.fonttype": "none"}):
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        with path.open("w", encoding="utf-8") as target:
            FigureCanvasSVG(picture(found)).print_svg(target, metadata=nothing)


def main(arguments: Sequence[str]) -> int:
    """Print the table; with --write put it and the picture into docs/."""
    there = [name for name in VARIANTS if registry.checkpoint_path(name)]
    found = [measured(name) for name in there]
    text = _documents.table(rows(found)) + f"\n\n{without_an_anchor()}"
    print(text)
    if "--write" in arguments:
        drawn(found, PICTURE)
        print(f"written: {PICTURE}, {_documents.put('context-switch.md', 'heads', text)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

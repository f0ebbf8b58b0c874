"""docs/markov-pools.svg and a table of docs/markov-chains.md: where predictors stand between
memorising a finite pool of tasks and generalising, by the size of the pool.

Run: python -m benchmarks.pools [--write] [--datasets N]

For every size a pool of Markov chains over three symbols (order 1, rows ~ Dirichlet(1), pool seed
0), N data sets (200 unless given, seed 0) drawn from the pool, contexts of 1 to 100 symbols. The
candidates: half of both laws; their geometric mean, normalised; Bayes on the first half of the
pool; Bayes under Dirichlet(3). Limits are 95 % by data set.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from benchmarks import _documents, _pictures
from veribayes import registry
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.models.markov import Markov
from veribayes.predictive import Array, Categorical
from veribayes.report._style import LIGHT, log_ticks, styled
from veribayes.tree import Data
from veribayes.validation import bootstrap
from veribayes.validation.relative import relative

SIZES = tuple(2**power for power in range(1, 11))
POSITIONS = (1, 2, 4, 8, 16, 32, 64, 100)
DATASETS = 200
COLOURS = ("candidate", "first", "second", "third")
MARKERS = ("o", "s", "^", "D")


@dataclass(frozen=True)
class Row:
    """One size of the pool: R of every candidate, and how far both ends are apart, in nats."""

    size: int
    places: dict[str, dict[str, Any]]
    apart: dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Print the table; with --write put table and figure into docs/."""
    datasets = DATASETS
    if "--datasets" in arguments:
        datasets = int(arguments[list(arguments).index("--datasets") + 1])
    rows = [measured(size, datasets) for size in SIZES]
    text = f"{_documents.table([shown(row) for row in rows])}\n\n{footnote(datasets)}"
    print(text)
    if "--write" in arguments:
        _documents.put("markov-chains.md", "pools", text)
        _pictures.write(picture(rows), _documents.DOCS / "markov-pools.svg")
    return 0


def measured(size: int, datasets: int) -> Row:
    """All candidates on data sets from a pool of this size."""
    model = Markov(3, rows="pool", pool={"size": size, "seed": 0})
    task = _spec.task_of(model, name=f"pool-{size}", positions=POSITIONS)
    simulation = task.simulate(range(datasets), seed=0)
    data = simulation.data
    memorising, generalising = (said(name, task, data) for name in ("memorising", "generalising"))
    half = Markov(3, rows="pool", pool={"size": size // 2, "seed": 0})
    candidates = {
        "half of both": Categorical((memorising + generalising) / 2),
        "geometric mean": Categorical(normalised(np.sqrt(memorising * generalising))),
        "Bayes on half of the pool": Categorical(
            said("memorising", replace(task, model=half, wrong_prior={}), data)
        ),
        "Bayes under Dirichlet(3)": Categorical(
            said("markov_order", task, data, order=1, concentration=3.0)
        ),
    }
    places = {}
    ends = (Categorical(generalising), Categorical(memorising))
    for name, law in candidates.items():
        found = relative(law, *ends, simulation.outcome)
        assert found is not None
        places[name] = found.overall()
    kl = registry.load("metric", "kl").score(*ends, simulation.outcome).mean((1, 2))
    return Row(size, places, bootstrap.interval(kl).plain())


def said(engine: str, task: Task, data: Data, **options: Any) -> Array:
    """Probabilities (dataset, position, query, symbol)."""
    branch = registry.load("engine", engine)(**options)(task, data, seed=0)
    return np.asarray(branch.predictive.variables()["probs"])


def normalised(weights: Array) -> Array:
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def shown(row: Row) -> dict[str, str]:
    """A row of the table."""
    cells = {"tables in the pool": f"{row.size:,}"}
    for name, place in row.places.items():
        cells[name] = limits(place, "+.2f")
    return {**cells, "KL(memorising ‖ generalising), nats": limits(row.apart, ".3g")}


def limits(plain: dict[str, Any], form: str) -> str:
    """Estimate and limits; a limit that the sample does not support is a dash."""
    numbers = []
    for name in ("estimate", "low", "high"):
        value = plain[name]
        numbers.append("–" if value is None else format(0.0 if abs(value) < 5e-4 else value, form))
    estimate, low, high = numbers
    return f"{estimate} [{low}, {high}]"


def footnote(datasets: int) -> str:
    return (
        f"{datasets} data sets a size, data seed 0, pool seed 0, contexts of 1 to 100 symbols, "
        "95 % by data set."
    )


@styled
def picture(rows: Sequence[Row]) -> Figure:
    """Left: R by size of the pool. Right: how far its two ends are apart."""
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = [row.size for row in rows]
    for number, name in enumerate(rows[0].places):
        style = {"color": LIGHT[COLOURS[number]], "marker": MARKERS[number], "markersize": 4}
        triples = np.array([triple(row.places[name]) for row in rows])
        left.fill_between(sizes, triples[:, 1], triples[:, 2], color=style["color"], alpha=0.15)
        left.plot(sizes, triples[:, 0], label=name, **style)
    for end, name in ((1, "memorising"), (-1, "generalising")):
        left.axhline(end, color=LIGHT["rule"], linewidth=1)
        left.annotate(name, (sizes[0], end), xytext=(0, 3), textcoords="offset points")
    left.set(ylabel="relative distance", ylim=(-1.6, 1.6))
    apart = np.array([triple(row.apart) for row in rows])
    right.fill_between(sizes, apart[:, 1], apart[:, 2], color=LIGHT["exact"], alpha=0.2)
    right.plot(sizes, apart[:, 0], color=LIGHT["exact"], marker="o", markersize=4)
    right.set(yscale="log", ylabel="KL(memorising ‖ generalising), nats")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("tables in the pool")
        axes.xaxis.set_major_locator(FixedLocator(sizes[::3]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
    log_ticks(right, "y")
    figure.legend(loc="outside lower left", ncols=4)
    return figure


def triple(plain: dict[str, Any]) -> tuple[float, float, float]:
    """Estimate and limits, NaN where there is none."""
    values = [plain[name] for name in ("estimate", "low", "high")]
    estimate, low, high = (np.nan if value is None else value for value in values)
    return estimate, low, high


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

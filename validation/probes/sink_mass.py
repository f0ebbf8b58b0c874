"""Mass of attention on what is no observation, at every context size, beside that of theory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from veribayes.errors import InputError
from veribayes.predictive import Array
from veribayes.validation import attention as maps
from veribayes.validation.probes._maps import shown
from veribayes.validation.probes._probe import Call, Probe, Subject, summary

MOST = 4  # groups of queries; more of them are no table
ALL = "all queries"
SAME = 1e-12  # a mass that varies less between data sets is one number
FEWEST = 2  # data sets of a group behind a limit


def _ask(subject: Subject) -> dict[str, Any] | None:
    """Of sets: the mass that queries leave on tokens that are no observations, layer by layer and
    averaged over heads.

    Returns:
        name of the `construction`, None without; `groups` of queries by name, of each a list over
        context sizes with `context`, `layers` (a summary each) and `theory`. None of sequences, of
        evidence on nodes, and of attention over observations alone.
    """
    task, data = subject.task, subject.data
    if task.model.layout.order != "set" or len(data.positions) < 2:
        return None
    mine = [_masses(subject, subject.call, k) for k in range(len(data.positions))]
    if mine[0] is None:
        return None
    name, theory = _of_theory(subject)
    groups = {}
    for group, inside in _groups(subject):
        rows = []
        for k, size in enumerate(data.positions):
            layers = [_summary(mass, inside[:, k], subject.seed) for mass in mine[k] or ()]
            written = [_summary(mass, inside[:, k], subject.seed) for mass in theory[k]]
            rows.append({"context": int(size), "layers": layers, "theory": written})
        groups[group] = rows
    return {"construction": name, "groups": groups}


def _masses(subject: Subject, call: Call, position: int) -> list[Array] | None:
    """Mass of each layer on the leading tokens, (dataset, query); None where there are none."""
    task, data = subject.task, subject.data
    layers, leading = shown(call, *task.model.inputs(data, position))
    queries = task.model.layout.queries(data.arrays)
    if leading == 0:
        return None
    return [weights[:, :, -queries:, :leading].sum(-1).mean(1) for weights in layers]


def _of_theory(subject: Subject) -> tuple[str | None, list[list[Array]]]:
    """Name of the construction, and masses of its layers that read observations, by position."""
    positions = range(len(subject.data.positions))
    try:
        constructed = subject.construction()
        found = [_masses(subject, constructed.call, k) or [] for k in positions]
    except InputError:
        return None, [[] for _ in positions]
    reading = [i for i, mass in enumerate(found[-1]) if mass.mean() < 1 - maps.ROW_SUM]
    return constructed.name, [_chosen(masses, reading) for masses in found]


def _chosen(masses: list[Array], layers: list[int]) -> list[Array]:
    return [masses[layer] for layer in layers]


def _groups(subject: Subject) -> Iterator[tuple[str, Array]]:
    """Names of groups of queries, and which queries they hold, (dataset, position, query)."""
    data = subject.data
    queries = subject.task.model.layout.queries(data.arrays)
    shape = (len(data.index), len(data.positions), queries)
    named = subject.task.model.groups(data, {})
    if not 0 < len(named) <= MOST:
        named = {ALL: np.ones(shape, dtype=bool)}
    for name, inside in named.items():
        yield name, np.broadcast_to(inside, shape)


def _summary(mass: Array, inside: Array, seed: int) -> dict[str, Any] | None:
    """Mean over the queries of a group with limits over data sets; None where there are too few."""
    asked = inside.any(1)
    if asked.sum() < FEWEST:
        return None
    chosen = np.where(inside[asked], mass[asked], 0.0)
    means = chosen.sum(1) / inside[asked].sum(1)
    return summary(means, seed)


def _rows(found: Mapping[str, Any]) -> list[list[Any]]:
    """A row a context size, and for each group a column a layer and one a layer of theory."""
    heading, columns = ["observations"], []
    for name, rows in found["groups"].items():
        for side, words in (("layers", "layer"), ("theory", f"{found['construction']}, layer")):
            for number in range(len(rows[0][side])):
                heading.append(f"{name}: {words} {number + 1}")
                columns.append([_cell(row[side][number]) for row in rows])
    contexts = [str(row["context"]) for row in next(iter(found["groups"].values()))]
    return [heading, *(list(row) for row in zip(contexts, *columns, strict=True))]


def _cell(limits: Mapping[str, Any] | None) -> Any:
    """An interval; a number where all data sets agree, as those of a construction do."""
    if limits is None:
        return "–"
    low, high = limits["low"], limits["high"]
    if low is None or high is None or high - low > SAME:
        return limits
    return f"{limits['estimate']:.4g}"


PART = Probe(
    name="sink_mass",
    label="mass on what is no observation",
    about="What queries leave on the sink or on themselves at every context size, beside what "
    "theory writes down: there it is the weight of the prior.",
    ask=_ask,
    place=50,
    rows=_rows,
)

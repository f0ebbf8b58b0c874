"""What the candidate saw in one example, in words and at most one small table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.report import _words as words
from veribayes.report._cases import Case
from veribayes.report._run import Run
from veribayes.tree import SHARED

ROWS_SHOWN = 5
SYMBOLS_SHOWN = 24
NEIGHBOURS_SHOWN = 4
ASKED = "?"


@dataclass(frozen=True)
class Shown:
    """A sentence, and a table (`head` is empty where there is none)."""

    text: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def show(run: Run, case: Case) -> Shown:
    """The context of an example and its query, as its family writes them."""
    writers = {"rows": _rows, "evidence": _evidence, "sequence": _sequence, "points": _points}
    try:
        return writers.get(case.family, _arrays)(run, case)
    except (KeyError, IndexError, ValueError):  # a context that cannot be written is no reason to lose the report
        return Shown("The context of this example could not be read.")


def _arrays(run: Run, case: Case) -> Shown:
    """A family that the report does not know: its arrays by name, type and shape, and nothing made of their numbers."""
    del run
    rows = [[name, _type(values), " × ".join(map(str, values.shape)) or "one number"]
            for name, values in sorted(case.observed.items()) if name not in SHARED]  # fmt: skip
    return Shown("Observed:", ["array", "values", "shape"], rows) if rows else Shown("")


def _type(values: npt.NDArray[Any]) -> str:
    return {"f": "real", "i": "integer", "u": "integer", "b": "true or false"}.get(values.dtype.kind, str(values.dtype))


def names(run: Run, count: int) -> list[str]:
    """Node names from the model's spec, or numbers where it has none that fit."""
    found = run.model.get("nodes")
    fits = isinstance(found, Sequence) and not isinstance(found, str) and len(found) == count
    return [str(n) for n in found or ()] if fits else [f"node {i}" for i in range(count)]


def state(run: Run, node: str, value: float) -> str:
    """A state's name from the model's spec, or its number."""
    found = run.model.get("states")
    states = found.get(node, ()) if isinstance(found, Mapping) else ()
    return str(states[int(value)]) if 0 <= int(value) < len(states) else str(int(value))


def _rows(run: Run, case: Case) -> Shown:
    """Rows are exchangeable, so the distinct ones with their counts are the whole context."""
    query, target = case.observed["query"][case.query], int(case.observed["target"][case.query])
    head = names(run, query.size)
    known = [f"{n} = {state(run, n, v)}" for n, v in zip(head, query, strict=True) if v >= 0]
    distinct, counts = np.unique(case.observed["rows"][: case.context], axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shown = [[state(run, n, v) for n, v in zip(head, distinct[i], strict=True)] for i in order[:ROWS_SHOWN]]
    table = [[*row, f"{int(counts[i])} ×"] for row, i in zip(shown, order, strict=False)]
    if len(order) > ROWS_SHOWN:
        table.append(["…"] * query.size + [f"{int(counts[order[ROWS_SHOWN:]].sum())} ×"])
    asked = (
        f"New row with {', '.join(known)}; asked: {head[target]}."
        if known
        else f"New row with nothing known; asked: {head[target]}."
    )
    return Shown(asked, [*head, "rows"], table)


def _evidence(run: Run, case: Case) -> Shown:
    evidence = case.observed["evidence"]
    target = int(case.observed["target"][case.query])
    head = names(run, evidence.size)
    known = [f"{n} = {state(run, n, v)}" for n, v in zip(head, evidence, strict=True) if v >= 0]
    return Shown(f"Observed: {', '.join(known) or 'nothing'}; asked: {head[target]}.")


def _sequence(run: Run, case: Case) -> Shown:
    del run  # symbols have no names
    seen = case.observed["y"][: case.context].astype(int)
    tail = " ".join(str(s) for s in seen[-SYMBOLS_SHOWN:])
    return Shown(f"{'… ' if len(seen) > SYMBOLS_SHOWN else ''}{tail} {ASKED}")


def _points(run: Run, case: Case) -> Shown:
    """In one dimension the figure shows the points; otherwise the nearest ones are listed."""
    del run  # inputs have no names
    x, y, at = (
        case.observed["x"][: case.context],
        case.observed["y"][: case.context],
        case.observed["x_query"][case.query],
    )
    text = f"Query at x = {_vector(at)}."
    if x.shape[-1] == 1 or not len(x):
        return Shown(text)
    distance = np.sqrt(((x - at) ** 2).sum(-1))
    nearest = np.argsort(distance)[:NEIGHBOURS_SHOWN]
    return Shown(
        text, ["distance", "y"], [[words.number(float(distance[i])), words.number(float(y[i]))] for i in nearest]
    )


def _vector(x: npt.NDArray[Any]) -> str:
    parts = [words.number(float(v)) for v in x[:6]] + (["…"] if x.size > 6 else [])
    return parts[0] if x.size == 1 else f"({', '.join(parts)})"

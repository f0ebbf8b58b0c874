"""An example as a reader meets it: a family writes it, a run keeps it, the report draws it and knows no family."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.predictive import Array


@dataclass(frozen=True, eq=False)
class Example:
    """One data set at one context size and one query, for a reader.

    Attributes:
        arrays: the family's arrays without the axis of data sets.
        context: number of observations that count.
        query: number of the query.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    context: int
    query: int


@dataclass(frozen=True, eq=False)
class Line:
    """A context that is points of a function of one variable.

    Attributes:
        x, y: of the context, (point,).
        at: where the queries are, (query,).
    """

    x: Array
    y: Array
    at: Array


@dataclass(frozen=True)
class Shown:
    """An example in a sentence, and a table (`head` is empty where there is none) or a line."""

    text: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    line: Line | None = None


def to_json(shown: Shown, labels: Sequence[str]) -> str:
    """An example as a reader meets it: text, table, line, and the names of the categories at its query."""
    line = (
        None
        if shown.line is None
        else {name: getattr(shown.line, name).tolist() for name in ("x", "y", "at")}
    )
    table = [[str(entry) for entry in row] for row in shown.rows]
    return json.dumps(
        {
            "text": shown.text,
            "head": list(shown.head),
            "rows": table,
            "line": line,
            "labels": list(labels),
        }
    )


def from_json(text: str) -> tuple[Shown, tuple[str, ...]]:
    """What `to_json` wrote.

    Raises:
        ValueError, KeyError, TypeError: the text is something else.
    """
    found = json.loads(text)
    drawn = found["line"]
    line = (
        None
        if drawn is None
        else Line(*(np.asarray(drawn[name], dtype=np.float64) for name in ("x", "y", "at")))
    )
    head, rows = tuple(map(str, found["head"])), [tuple(map(str, row)) for row in found["rows"]]
    return Shown(str(found["text"]), head, rows, line), tuple(map(str, found["labels"]))

"""An example as a reader meets it: a family writes it, a run keeps it, the report draws it and
knows no family.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.predictive import Array

LINE = ("x", "y", "at")  # the arrays of a `Line`, in its order


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
    """An example as a reader meets it: text, table, line, and the names of the categories at its
    query.
    """
    line = None
    if shown.line is not None:
        line = {name: getattr(shown.line, name).tolist() for name in LINE}
    document = {
        "text": shown.text,
        "head": list(shown.head),
        "rows": [list(map(str, row)) for row in shown.rows],
        "line": line,
        "labels": list(labels),
    }
    return json.dumps(document)


def from_json(text: str) -> tuple[Shown, tuple[str, ...]]:
    """What `to_json` wrote.

    Raises:
        ValueError, KeyError, TypeError: the text is something else.
    """
    document = json.loads(text)
    points = document["line"]
    line = None
    if points is not None:
        line = Line(*[np.asarray(points[name], dtype=np.float64) for name in LINE])
    head = tuple(map(str, document["head"]))
    rows = [tuple(map(str, row)) for row in document["rows"]]
    shown = Shown(str(document["text"]), head, rows, line)
    return shown, tuple(map(str, document["labels"]))

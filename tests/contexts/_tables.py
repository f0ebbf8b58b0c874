"""Contexts of every family as tables: rows of a drawn batch, in formats that a user may have."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from veribayes.models import Design
from veribayes.models._contexts._fields import Field, schema_of
from veribayes.models._task import Task
from veribayes.predictive import Predictive
from veribayes.tree import Simulation

Row = dict[str, Any]
BESIDE = ("zero_limit", "n_categories")  # of a predictive, which no table holds


def drawn(task: Task, size: int, count: int, *, queries: int = 1, seed: int = 7) -> Simulation:
    """Data sets of one size from the task's model."""
    positions = (size,) if task.model.layout.listed else task.design.positions
    design = Design(positions, queries=queries)
    return task.model.simulate(design, seed, "verify", np.arange(count))


def rows_of(
    task: Task, simulation: Simulation, keys: Sequence[str], *, outcomes: bool = True
) -> list[Row]:
    """One row an observation, and one a query or a data set."""
    schema, data = schema_of(task), simulation.data
    asked = schema.of_part("query")
    rows: list[Row] = []
    for b, key in enumerate(keys):
        fixed: Row = {"dataset": key}
        for field in schema.of_part("data set"):
            fixed |= cells(field, data.arrays[field.name][b])
        for n in range(int(data.positions[0]) if task.model.layout.listed else 0):
            row: Row = {"dataset": key, "observation": n}
            for field in schema.of_part("observation"):
                row |= cells(field, data.arrays[field.name][b, n])
            rows.append(row)
        if len(fixed) > 1:
            rows.append(fixed)
        for q in np.flatnonzero(~np.isnan(simulation.outcome[b, 0])).tolist():
            row = {"dataset": key, "query": f"q{q}"}
            for field in asked:
                values = data.arrays[field.name]
                row |= cells(field, values[q] if field.column.shared else values[b, q])
            if outcomes:
                row["outcome"] = float(simulation.outcome[b, 0, q])
            if outcomes or asked:
                rows.append(row)
    return rows


def cells(field: Field, entry: Any) -> Row:
    """An entry as cells: one by its name, several by their places; -1 is an empty cell."""
    flat = np.ravel(entry).tolist()
    if not field.shape:
        return {field.name: flat[0]}
    named: Row = {}
    for suffix, place in field.suffixes.items():
        is_empty = field.missing and flat[place] == -1
        named[f"{field.name}.{suffix}"] = None if is_empty else flat[place]
    return named


def answers(predictive: Predictive, contexts: Any) -> list[Row]:
    """Answers (dataset, position, query) as rows with keys."""
    rows = []
    for b, key in enumerate(contexts.keys):
        for q, label in enumerate(contexts.queries[b]):
            if not label:
                continue
            row: Row = {"dataset": key, "query": label}
            for name, values in predictive.variables().items():
                if name not in BESIDE:
                    row |= numbered(name, values if name in predictive.shared else values[b, 0, q])
            rows.append(row)
    return rows


def numbered(name: str, values: Any) -> Row:
    """A number under its name, several under their places."""
    if not np.ndim(values):
        return {name: float(values)}
    return {f"{name}.{i}": value for i, value in enumerate(values.tolist())}


def write(rows: Sequence[Row], path: Path) -> Path:
    """A table in the format that the path's ending names."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    suffix = next(s for s in path.suffixes if s != ".gz")
    opened: Any = gzip.open if path.suffix == ".gz" else open
    if suffix == ".csv":
        with opened(path, "wt", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == ".jsonl":
        with opened(path, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    else:
        import pandas as pd

        pd.DataFrame(list(rows), columns=names).to_parquet(path)
    return path

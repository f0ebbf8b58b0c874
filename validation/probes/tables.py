"""The tables that the answers imply, each beside the true one with the total variation between
their rows.

Nothing random is drawn: the model says which contexts ask for a row. Sequences are asked after the
shortest context of the design.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from veribayes.models._model import Table
from veribayes.validation.probes._probe import Probe, Subject


def _ask(subject: Subject) -> list[dict[str, Any]]:
    """`learned` and `true` of each table; empty where the model has none."""
    task = subject.task
    known = task.model.known_tables(task.design.positions[0])
    return [_entry(table, subject) for table in known]


def _entry(table: Table, subject: Subject) -> dict[str, Any]:
    queries = 1 if table.query is None else len(table.query)
    answer = subject.call(table.context, table.query)
    predictive = subject.read(answer, (len(table.rows), queries))
    probs = predictive.variables()["probs"]
    learned = probs[np.arange(len(table.rows)), table.at]
    variation = 0.5 * np.abs(learned - table.true).sum(-1)
    return {
        "name": table.name,
        "rows": list(table.rows),
        "learned": learned.tolist(),
        "true": table.true.tolist(),
        "mean_tv": float(variation.mean()),
        "max_tv": float(variation.max()),
    }


PART = Probe(
    name="tables",
    label="tables it has learned",
    about="Mixtures of transitions and networks with known tables: what the answers imply of them.",
    ask=_ask,
    place=30,
)

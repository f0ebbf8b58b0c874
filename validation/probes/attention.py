"""Attention of every layer at the last design position, over the readers that answer:
where the mass is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from veribayes.models._model import Distance
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.validation import attention as maps
from veribayes.validation.probes._maps import answering, own, shown
from veribayes.validation.probes._probe import Probe, Subject, summary


def _ask(subject: Subject) -> dict[str, Any]:
    """Unit and labels of `by_distance`, `even` (what an even spread over the observations has
    there), and a row a layer.
    """
    task, data = subject.task, subject.data
    context, query = task.model.inputs(data, len(data.positions) - 1)
    layers, leading = shown(subject.call, context, query)
    far = task.model.distance(context, query)
    first_head = answering(layers[0], task)[:, :1]
    even = maps.observed(np.zeros_like(first_head), leading)
    even_mass = maps.by_bin(even, far.classes, len(far.labels))
    rows = []
    for number, weights in enumerate(layers, 1):
        rows.append({"layer": number, **_row(weights, leading, far, task, subject.seed)})
    return {
        "distance": far.name,
        "labels": far.labels,
        "even": even_mass.mean((0, 1)).tolist(),
        "layers": rows,
    }


def _row(weights: Array, leading: int, far: Distance, task: Task, seed: int) -> dict[str, Any]:
    readers = answering(weights, task)
    square = own(weights, leading, task)
    mass = maps.by_bin(readers[..., leading:], far.classes, len(far.labels))
    return {
        "heads": weights.shape[1],
        "tokens_read": summary(maps.tokens_read(readers), seed, 1.0, np.inf),
        "sink": summary(maps.sink(readers, leading), seed),
        "diagonal": None if square is None else summary(maps.diagonal(square), seed),
        "diversity": summary(maps.diversity(readers), seed),
        "by_distance": summary(mass, seed),
    }


PART = Probe(
    name="attention",
    label="what it reads",
    about="Sink and diagonal mass, tokens read, how much heads differ, and mass by distance.",
    ask=_ask,
    place=10,
)

"""How far the nearest head of every layer is from each layer that theory writes down,
in total variation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from veribayes.errors import InputError
from veribayes.predictive import Array
from veribayes.validation import attention as maps
from veribayes.validation.probes._maps import answering, shown
from veribayes.validation.probes._probe import Probe, Subject, summary


def _ask(subject: Subject) -> dict[str, Any]:
    """Total variation of the nearest head of every layer from each layer of the construction, over
    the observations.

    Returns:
        name, roles of the constructed layers that read observations, `distance` [layer][constructed
        layer] with `head`, and `even`, the distance of an even spread;
        or `refused`, why no construction serves the task.
    """
    task = subject.task
    context, query = task.model.inputs(subject.data, len(subject.data.positions) - 1)
    try:
        constructed = subject.construction()
        written, first = shown(constructed.call, context, query)
    except InputError as error:
        if subject.named:
            raise
        return {"refused": " ".join(str(error).split())}
    answered = [answering(weights, task) for weights in written]
    reading = [i for i, weights in enumerate(answered) if _reads(weights, first)]
    wanted = [maps.observed(answered[i], first) for i in reading]
    layers, leading = shown(subject.call, context, query)
    mine = [maps.observed(answering(weights, task), leading) for weights in layers]
    nearest, heads = _nearest_heads(mine, wanted)
    even = [maps.apart(np.full_like(w, 1 / w.shape[-1]), w)[:, 0] for w in wanted]
    return {
        "name": constructed.name,
        "roles": [constructed.call.roles[i] for i in reading],
        "distance": summary(nearest, subject.seed),
        "head": heads,
        "even": summary(np.stack(even, axis=-1), subject.seed),
    }


def _reads(weights: Array, leading: int) -> bool:
    """Whether any of the mass is on observations."""
    return bool(maps.sink(weights, leading).mean() < 1 - maps.ROW_SUM)


def _nearest_heads(mine: list[Array], wanted: list[Array]) -> tuple[Array, list[list[int]]]:
    """Distance (dataset, layer, constructed layer) of the head that is nearest on average, and its
    number from 1 on.
    """
    rows, heads = [], []
    for weights in mine:
        distances = [maps.apart(weights, other) for other in wanted]  # (dataset, head) each
        best = [int(distance.mean(0).argmin()) for distance in distances]
        rows.append([d[:, head] for d, head in zip(distances, best, strict=True)])
        heads.append([head + 1 for head in best])
    return np.moveaxis(np.array(rows), -1, 0), heads


PART = Probe(
    name="construction",
    label="beside what theory writes down",
    about="Which layer does what the construction of this task has a layer for.",
    ask=_ask,
    place=20,
)

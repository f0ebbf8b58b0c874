"""A network before contexts that somebody has: names of nodes and states, and how probable the
contexts are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from veribayes.models._layout import Layout
from veribayes.models._model import Infer
from veribayes.models.bayesian_network import _views
from veribayes.predictive import Array
from veribayes.tree import Data, IntArray

if TYPE_CHECKING:
    from veribayes.models._task import Design
    from veribayes.models.bayesian_network._network import BayesianNetwork


def layout(model: BayesianNetwork) -> Layout:
    """The columns, whose entries are nodes and whose codes are states."""
    columns = _views.LEARNING if model.prior else _views.INFERENCE
    states = dict(zip(model.nodes, model.states, strict=True))
    return replace(columns, entries={"node": model.nodes}, states={**states, "target": model.nodes})


def applies(model: BayesianNetwork, data: Data) -> npt.NDArray[np.bool_]:
    """Whether the node that is asked for is not observed, (dataset, query)."""
    target = data.arrays["target"]
    if model.prior is not None:
        return np.ones((len(data.index), target.size), dtype=bool)
    return np.asarray(data.arrays["evidence"][:, target] < 0)


def log_evidence(model: BayesianNetwork, data: Data, infer: Infer) -> Array | None:
    """Row by row and node by node, each given all that stands before it; of known tables the
    probability of the evidence. None where cells are missing.
    """
    if model.prior is None:
        return _of_evidence(model, data, infer)
    rows = data.arrays["rows"]
    if (rows[:, : data.positions[0]] < 0).any():
        return None
    total = np.zeros(len(data.index))
    nodes = np.arange(len(model.nodes))
    before = nodes < nodes[:, None]
    for size in range(int(data.positions[0])):
        query = np.where(before, rows[:, size, None], -1)
        arrays = {**data.arrays, "query": query, "target": nodes}
        asked = replace(data, arrays=arrays, positions=np.array([size]))
        total += _log_prob(infer, asked, rows[:, size]).sum(-1)
    return total


def redrawn(model: BayesianNetwork, data: Data, design: Design, seed: int, index: IntArray) -> Data:
    """Fresh rows; of known tables with the same nodes observed."""
    if model.prior is not None:
        sizes = tuple(int(n) for n in data.positions)
        return model.simulate(replace(design, positions=sizes), seed, "replicate", index).data
    drawn = model.simulate(design, seed, "replicate", index)
    row = np.where(np.isnan(drawn.outcome[:, 0]), drawn.data.arrays["evidence"], 0)
    row += np.nan_to_num(drawn.outcome[:, 0]).astype(np.int64)
    evidence = np.where(data.arrays["evidence"] >= 0, row, -1)
    return replace(data, arrays={**data.arrays, "evidence": evidence}, index=index)


def _of_evidence(model: BayesianNetwork, data: Data, infer: Infer) -> Array:
    evidence = data.arrays["evidence"]
    total = np.zeros(len(data.index))
    for node in range(len(model.nodes)):
        known = np.where(np.arange(len(model.nodes)) < node, evidence, -1)
        arrays = {**data.arrays, "evidence": known, "target": np.array([node])}
        state = evidence[:, [node]]
        logs = _log_prob(infer, replace(data, arrays=arrays), np.maximum(state, 0))
        total += np.where(state >= 0, logs, 0.0)[:, 0]
    return total


def _log_prob(infer: Infer, data: Data, states: IntArray) -> Array:
    """Log probability of each query's state at the only position, (dataset, query)."""
    return infer(data)[:, 0].log_prob(states[..., None])[..., 0]

"""Attention maps of a candidate: where they come from,
and which of their readers and tokens are looked at.
"""

from __future__ import annotations

from typing import Any

from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.validation import attention as maps

SHOWS = "a candidate that shows its attention: an object with attention(context, query)"


def shown(call: Any, context: Any, query: Any) -> tuple[list[Array], int]:
    """The maps of a candidate, checked, and how many of the tokens that are read first are no
    observations.

    Raises:
        InputError: it shows none.
        ShapeError: a map is none.
    """
    if not hasattr(call, "attention"):
        name = getattr(call, "__qualname__", type(call).__name__)
        raise InputError(SHOWS, f"'{name}' without it")
    layers, leading = call.attention(context, query)
    return [maps.checked(weights) for weights in layers], leading


def answering(weights: Array, task: Task) -> Array:
    """The readers that answer: the last symbol, the queries of a set, or every node of a
    network.
    """
    if task.model.layout.order == "sequence":
        return weights[:, :, -1:]
    readers, read = weights.shape[2:]
    return weights[:, :, read:] if readers > read else weights


def own(weights: Array, leading: int, task: Task) -> Array | None:
    """The square map of tokens that read and are read: of a sequence the last symbol; None where no
    token is both.
    """
    readers, read = weights.shape[2:]
    if readers < read:
        return None
    first = read - 1 if task.model.layout.order == "sequence" else leading
    return weights[:, :, first:read, first:]

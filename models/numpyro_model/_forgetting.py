"""Handlers inside which observed sites are drawn, and what the handlers of a user's program have
set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

Shape = tuple[int, ...]


@contextmanager
def forgotten(shapes: Mapping[str, Shape | None], *, wide: bool) -> Iterator[None]:
    """Draw these observed sites instead of observing them.

    With `wide` they are drawn in the shape of their data where they are narrower.
    """
    from numpyro.primitives import Messenger

    class Forget(Messenger):
        def process_message(self, msg: Any) -> None:
            if msg["type"] != "sample" or msg["name"] not in shapes:
                return
            msg["value"], msg["is_observed"] = None, False
            shape = shapes[msg["name"]]
            if wide and shape is not None:
                msg["fn"] = widened(msg["fn"], shape)

    with Forget():
        yield


@contextmanager
def watching() -> Iterator[dict[str, str]]:
    """What handlers inside have set by themselves, site -> `value` of a latent (substitute) or
    random `key` (seed).
    """
    from numpyro.primitives import Messenger

    seen: dict[str, str] = {}

    class Watch(Messenger):
        def process_message(self, msg: Any) -> None:
            if msg["type"] != "sample" or msg["is_observed"]:
                return
            if msg.get("_control_flow_done", False):  # a site of scan, drawn already
                return
            if msg["value"] is not None:
                seen[msg["name"]] = "value"
            elif msg["kwargs"].get("rng_key") is not None:
                seen[msg["name"]] = "key"

    with Watch():
        yield seen


def widened(law: Any, shape: Shape) -> Any:
    """Independent copies of a law so that a draw has this shape; the law itself where copies cannot
    make it.
    """
    event = tuple(law.event_shape)
    batch = shape[: len(shape) - len(event)]
    narrower = law.shape() != shape and shape[len(batch) :] == event
    if narrower and _broadcasts(tuple(law.batch_shape), batch):
        return law.expand(batch)
    return law


def scored_too_often(law: Any, shape: Shape) -> int:
    """How many times a site scores each of its values, because it is wider than they are."""
    event = len(law.event_shape)
    batch = shape[: len(shape) - event]
    try:
        both = np.broadcast_shapes(tuple(law.batch_shape), batch)
    except ValueError:
        return 1
    scores = int(np.prod(both))
    return scores // max(int(np.prod(batch)), 1)


def _broadcasts(narrow: Shape, wide: Shape) -> bool:
    try:
        return np.broadcast_shapes(narrow, wide) == wide
    except ValueError:
        return False

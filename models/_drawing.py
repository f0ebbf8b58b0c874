"""Data sets drawn from a user's program: latents from the prior, outcomes from the sites that observe them.

What a program observes is drawn in the shape of the data that were given. Two ways are tried: outcomes that may be left out are
left out, so that the program draws as its author wrote it; otherwise they are lent, and may say nothing but their shape. A site
that is narrower than its data (`sample("y", Normal(m, 1), obs=y)` with twenty numbers) scores each of them alike and
independently; it is drawn as wide as they are. Where neither gives the shape, nothing is drawn, and the reason is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

Shape = tuple[int, ...]


@contextmanager
def forgotten(shapes: Mapping[str, Shape | None], *, wide: bool) -> Iterator[None]:
    """Draw these observed sites instead of observing them, with `wide` in the shape of their data where they are narrower."""
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
    """What handlers inside have set by themselves, site -> `value` of a latent (substitute) or random `key` (seed)."""
    from numpyro.primitives import Messenger

    seen: dict[str, str] = {}

    class Watch(Messenger):
        def process_message(self, msg: Any) -> None:
            if msg["type"] != "sample" or msg["is_observed"]:
                return
            if msg["value"] is not None:
                seen[msg["name"]] = "value"
            elif msg["kwargs"].get("rng_key") is not None:
                seen[msg["name"]] = "key"

    with Watch():
        yield seen


def widened(law: Any, shape: Shape) -> Any:
    """Independent copies of a law so that a draw has this shape; the law itself where copies cannot make it."""
    event = tuple(law.event_shape)
    batch = shape[: len(shape) - len(event)]
    if (
        law.shape() == shape
        or shape[len(batch) :] != event
        or not _broadcasts(tuple(law.batch_shape), batch)
    ):
        return law
    return law.expand(batch)


def scored_too_often(law: Any, shape: Shape) -> int:
    """How many times a site scores each of its values, because it is wider than they are."""
    event = len(law.event_shape)
    batch = shape[: len(shape) - event]
    try:
        both = np.broadcast_shapes(tuple(law.batch_shape), batch)
    except ValueError:
        return 1
    return int(np.prod(both)) // max(int(np.prod(batch)), 1)


def _broadcasts(narrow: Shape, wide: Shape) -> bool:
    try:
        return np.broadcast_shapes(narrow, wide) == wide
    except ValueError:
        return False

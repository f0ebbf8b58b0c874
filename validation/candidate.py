"""Who is judged: what the judge may ask of it, and how it is called.

Nobody asks a candidate for its kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from veribayes.models._task import Task
from veribayes.tree import Branch, Data


@dataclass(frozen=True)
class Candidate:
    """What is compared with the truth.

    Attributes:
        name: shown to the reader.
        identity: hash of everything its answers depend on, or None for a bare callable, whose run
            never resumes.
        infer: (task, data, seed) -> branch with leading shape (dataset, position, query).
        kind: a word that is printed: engine, construction, checkpoint, callable, predictions, or a
            stranger's.
        card: a checkpoint's card.
        takes_seed: whether `seed` is the only source of its randomness: the same seed and data give
            the same answer.
        exposes_latents: whether it may say something about latents, beside its predictions.
        exposes_joint: whether it may answer with the joint of the queries of a data set.
        askable: whether it can be asked about other data sets, or again; what is recorded cannot.
    """

    name: str
    identity: str | None
    infer: Callable[[Task, Data, int], Branch]
    kind: str
    card: Mapping[str, Any] | None = None
    takes_seed: bool = False
    exposes_latents: bool = False
    exposes_joint: bool = False
    askable: bool = True

    @property
    def exposes(self) -> bool:
        """Whether it may say more than predictions of single queries."""
        return self.exposes_latents or self.exposes_joint

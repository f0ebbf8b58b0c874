"""What constructions share: frozen weights, the family check, and batches of bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Array

ENTRIES = 2_000_000  # attention scores in memory at once: 16 MB an array
Answer = Callable[[Any, Any], dict[str, Array]]


class Construction(Protocol):
    """What every part of this folder provides as `PART`: a frozen dataclass of options."""

    families: ClassVar[tuple[str, ...]]

    def __call__(self, task: Task) -> Answer: ...


def require_family(part: Construction, task: Task) -> None:
    """Refuse a model of a family for which nothing is written down here."""
    if task.model.kind not in part.families:
        name = type(part).__module__.rpartition(".")[2]
        wanted = f"a model of kind {' or '.join(part.families)} for the construction '{name}'"
        raise InputError(
            wanted,
            f"'{task.model.kind}' in the task '{task.name}'",
            "see 'veribayes list candidates'",
        )


def weight(*shape: int) -> nn.Parameter:
    """Zeros to be written into; a weight that is never trained."""
    return nn.Parameter(torch.zeros(shape, dtype=torch.float64), requires_grad=False)


def tensor(array: Any) -> Tensor:
    """A copy as a tensor: integers as int64, reals as float64."""
    values = np.asarray(array)
    return torch.tensor(values, dtype=torch.int64 if values.dtype.kind in "iu" else torch.float64)


def in_batches(network: Callable[..., Tensor], scores: int, *prompts: Tensor) -> Array:
    """Run a network over prompts (prompt, ...), `scores` attention scores each, and join what it returns."""
    size = max(1, ENTRIES // max(1, scores))
    batches = zip(*(torch.split(prompt, size) for prompt in prompts), strict=True)
    with torch.inference_mode():
        parts = [network(*batch) for batch in batches]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)

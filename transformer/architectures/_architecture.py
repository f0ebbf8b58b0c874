"""The frame of an architecture: a config of everything that shapes the tensors, and the network that it describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from veribayes.models._task import Task
from veribayes.transformer._config import Config, InContext


def nothing(task: Task) -> Mapping[str, Any]:
    """No field but those that the tokens give."""
    del task
    return {}


@dataclass(frozen=True)
class Architecture:
    """What every part of this folder provides as `PART`.

    Attributes:
        config: plain data -> a config, which checks itself.
        network: a config -> the network, its weights not yet chosen.
        own: a task -> fields of the config that the task decides, besides those that the tokens give.
    """

    config: Callable[[Mapping[str, Any]], Config]
    network: Callable[[Any], InContext]
    own: Callable[[Task], Mapping[str, Any]] = nothing

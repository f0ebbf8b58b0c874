"""The frame of a head: from the outputs of a network to a predictive form, and from an exact law to a loss.

A head never sees a task. It is told by the config of a network how many outputs there are and what they stand for, and it
is stateless: one object serves all networks.

Shapes: B data sets, Q queries, K outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from veribayes.errors import InputError
from veribayes.predictive import Array, Predictive


class Target(Protocol):
    """What is wanted at the outputs, first axis the data set: a tensor, or some tensors side by side."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Self: ...

    def to(self, device: torch.device, /) -> Self: ...


class Head(ABC):
    """What every part of this folder provides as `PART`.

    Attributes:
        values: what is predicted: `category` or `real`.
        settings: fields of a network's config that belong to this head and to no other.
        cells: whether its loss is one of masses, so that the loss `l1` can be had.
    """

    values: ClassVar[Literal["category", "real"]]
    settings: ClassVar[tuple[str, ...]] = ()
    cells: ClassVar[bool] = False

    def check(self, config: Any) -> None:
        """Refuse a config whose settings of this head are none.

        Raises:
            InputError: a setting that is missing or out of range.
        """
        del config  # nothing to set

    @abstractmethod
    def outputs(self, config: Any) -> int:
        """K."""

    @abstractmethod
    def targets(self, config: Any, law: Predictive, rng: np.random.Generator) -> Target:
        """What is wanted where the exact law, of leading shape (B, Q), is known.

        Args:
            rng: for what is drawn at random, such as the nodes of an integral.

        Raises:
            InputError: a law of a form that this head cannot be trained by.
        """

    @abstractmethod
    def labels(self, config: Any, outcome: Array) -> Target:
        """What is wanted where only an outcome (B, Q) was drawn."""

    @abstractmethod
    def divergence(self, outputs: Tensor, target: Target) -> Tensor:
        """The loss (B, Q) of outputs (B, Q, K); its minimiser is the target's law, or what this head can say of it."""

    def distance(self, outputs: Tensor, target: Target) -> Tensor:
        """Sum |target - network| over masses, (B, Q), where the head has masses.

        Raises:
            InputError: a head without cells, which has no masses to compare.
        """
        raise InputError("loss: kl for a head without cells", "l1", "use the head bins")

    @abstractmethod
    def form(self, config: Any, outputs: Array) -> dict[str, Array]:
        """Outputs (B, Q, K) in float64 as the variables of a predictive form."""

    def finished(self, config: Any, raw: Tensor) -> Tensor:
        """Outputs of a network's last linear map as outputs of the head, in the unit of the outcome (`config.unit`)."""
        del config  # categories have no unit
        return raw

    def start(self, config: Any, bias: Tensor) -> None:
        """Write the first bias (K,) of a network's last linear map; zeros unless a head says otherwise."""
        del config
        bias.zero_()

"""The frame of a token layout: what a network has to know of a family, and nothing else of it.

A layout says how contexts and queries become tensors, which module turns these into tokens, who may read whom, which tokens
the head reads, and how training batches are cut. It is stateless: one object serves all networks.

Shapes: B data sets, N context tokens, Q queries, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from veribayes.errors import InputError
from veribayes.models._layout import Layout
from veribayes.models._task import Design, Task


class Tokens(ABC):
    """What every part of this folder provides as `PART`.

    Attributes:
        real_head: the head for real outcomes where a recipe names none.
        causal: whether each token reads itself and those before it alone; there is then an answer after every prefix, and
            training reads whole sequences.
        cut: whether training cuts contexts of several sizes from the largest; otherwise data sets are read as they are.
        compiled: whether the largest size is asked for beside each size, so that engines that are compiled for their arrays
            are compiled once.
        queried: whether answers come from tokens that stand behind those that may be read.
        summarised: whether the first token has read the whole context, so that latents may be answered from it.
    """

    real_head: ClassVar[str] = "bins"
    causal: ClassVar[bool] = False
    cut: ClassVar[bool] = False
    compiled: ClassVar[bool] = False
    queried: ClassVar[bool] = False
    summarised: ClassVar[bool] = False

    # -- of a network -------------------------------------------------------------------------------------------------

    @abstractmethod
    def sizes(self, task: Task) -> dict[str, Any]:
        """Fields of a network's config that the task's model decides.

        Raises:
            InputError: data that these tokens cannot read.
        """

    @abstractmethod
    def check(self, config: Any) -> None:
        """Refuse a config without these sizes.

        Raises:
            InputError: a size that is missing or out of range.
        """

    def head(self, config: Any) -> str:
        """The head where a recipe names none."""
        return "categories" if config.states else self.real_head

    @abstractmethod
    def embedding(self, config: Any) -> nn.Module:
        """A module: arrays -> (tokens (B, N + Q, D), N); the first N tokens may be read."""

    def answered(self, tokens: Tensor, first: int, arrays: tuple[Tensor, ...]) -> Tensor:
        """The tokens that the head reads, (B, Q, D): those from the `first` on, unless a layout says otherwise."""
        del arrays  # a layout may choose among the tokens by what is asked
        return tokens[:, first:]

    def widths(self, config: Any, arrays: tuple[Tensor, ...]) -> Tensor | None:
        """Number of states of each query's target, (B, Q), where it differs; None where all states are possible."""
        return None

    # -- of data ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def arrays(self, context: Any, query: Any) -> tuple[Tensor, ...]:
        """What a candidate sees as the network's arguments, first axis the data set, second the token."""

    def with_one_query(self, arrays: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The same contexts with as few queries as there can be."""
        return arrays

    def positions(self, design: Design) -> tuple[int, ...]:
        """Context sizes for which a training batch is drawn."""
        first, largest = design.positions[0], design.positions[-1]
        return tuple(range(first, largest + 1)) if self.causal else (largest,)

    def stretched(self, layout: Layout) -> tuple[str, ...]:
        """Names of the arrays that are multiplied where a recipe stretches contexts: real observations."""
        columns = [column for column in layout.columns if column.role == "observation"]
        return tuple(column.name for column in columns if column.values == "real")

    def recipe(self, task: Task) -> dict[str, Any]:
        """Settings of a quick recipe for a task that comes without one; those of a set unless a layout says otherwise.

        Some hundred steps of 32 data sets take a minute on one core where the exact engine is quick.
        """
        queries = min(8, task.design.queries) if self.queried else 1
        network = {"width": 32, "layers": 3, "heads": 2}
        return {
            "steps": 600,
            "batch": 32,
            "groups": 4 if self.cut else 1,
            "queries": max(1, queries),
            "learning_rate": 0.003,
            "network": network,
        }


def integers(array: npt.ArrayLike) -> Tensor:
    """A copy as a tensor of codes."""
    return torch.from_numpy(np.array(array, dtype=np.int64))


def reals(array: npt.ArrayLike) -> Tensor:
    """A copy as a tensor in float32."""
    return torch.from_numpy(np.array(array, dtype=np.float32))


def require_states(config: Any, most: int | None = None) -> None:
    """Refuse a config without states, or with those of more variables than are read.

    Raises:
        InputError: none, or too many.
    """
    states = config.states
    if not states or (most is not None and len(states) > most):
        wanted = "states of each node, or of the one symbol, and none for real outcomes"
        raise InputError(wanted, f"{states}")

"""Pairs (x, y), and queries that are x alone: regression, as by a Gaussian process.

Every pair reads the sink and the pairs, nobody reads a query, and there are no positions.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from veribayes.checked import integer
from veribayes.errors import InputError
from veribayes.models._layout import Layout
from veribayes.models._task import Task
from veribayes.transformer._config import LARGEST
from veribayes.transformer.tokens._sink import FEATURES, Sink, features
from veribayes.transformer.tokens._tokens import Tokens, reals


class Points(Tokens):
    """Contexts with `x` (B, n, d) and `y` (B, n); queries x (B, Q, d)."""

    cut: ClassVar[bool] = True
    compiled: ClassVar[bool] = True
    queried: ClassVar[bool] = True
    summarised: ClassVar[bool] = True

    def sizes(self, task: Task) -> dict[str, Any]:
        model: Any = task.model
        return {"inputs": model.d}

    def check(self, config: Any) -> None:
        integer("inputs", config.inputs, at_least=1, at_most=LARGEST)
        if config.states:
            raise InputError("no states for points", f"{config.states}")

    def embedding(self, config: Any) -> nn.Module:
        return PointTokens(config)

    def arrays(self, context: Any, query: Any) -> tuple[Tensor, ...]:
        return reals(context.x), reals(context.y), reals(query)

    def with_one_query(self, arrays: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x, y, x_query = arrays
        return x, y, x_query[:, :1]

    def stretched(self, layout: Layout) -> tuple[str, ...]:
        """What was observed at the inputs, one number a point, and not the inputs."""
        single = [column.name for column in layout.columns if len(column.dims) == 1]
        return tuple(name for name in super().stretched(layout) if name in single)

    def recipe(self, task: Task) -> dict[str, Any]:
        settings = super().recipe(task)
        network = {**settings["network"], "head": "normal"}
        return {**settings, "steps": 1000, "stretch": 1.8, "network": network}


class PointTokens(nn.Module):
    """x enters with sines and cosines, in which a stationary kernel is a bilinear form."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        entries = config.inputs * FEATURES
        self.sink = Sink(config.width)
        self.context = nn.Linear(entries + 1, config.width)
        self.query = nn.Linear(entries, config.width)

    def forward(self, x: Tensor, y: Tensor, x_query: Tensor) -> tuple[Tensor, int]:
        """Context x (B, n, d) with y (B, n), queries (B, Q, d)."""
        pairs = torch.cat([features(x), y[..., None]], dim=-1)
        context = self.sink(self.context(pairs))
        queries = self.query(features(x_query))
        return torch.cat([context, queries], dim=1), context.shape[1]


PART = Points()

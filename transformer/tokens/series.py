"""A start token and the real numbers of a sequence, with an answer after every prefix.

So are sequences of one real number a step read. A number enters with its square, sines and cosines,
as coordinates of points do, in units of the prior: centre and spread of a few hundred simulated
data sets, which the config keeps. Every token reads itself and what came before,
with rotary positions.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from veribayes.checked import mapping
from veribayes.errors import InputError
from veribayes.models._layout import Layout
from veribayes.models._task import Task
from veribayes.transformer.tokens._sink import FEATURES, features
from veribayes.transformer.tokens._tokens import Tokens, reals
from veribayes.transformer.tokens.vectors import MEASURED, checked_scales, measured

SIDE = "observations"


class Series(Tokens):
    """Contexts are prefixes (B, t); there is no query but the next number."""

    real_head: ClassVar[str] = "normal"
    causal: ClassVar[bool] = True

    def sizes(self, task: Task) -> dict[str, Any]:
        name = number(task.model.layout)
        drawn = task.model.simulate(task.design, 0, "train", np.arange(MEASURED))
        scales = measured(drawn.data.arrays[name][..., None])
        unit = (scales["centre"][0], scales["spread"][0])
        return {"inputs": 1, "options": {SIDE: scales}, "unit": unit}

    def check(self, config: Any) -> None:
        scales = mapping("options", config.options, allowed=[SIDE], required=[SIDE])[SIDE]
        centre, spread = checked_scales(SIDE, scales)
        if config.states or len(centre) != 1 or len(spread) != 1 or spread[0] <= 0:
            raise InputError("one centre, one positive spread and no states", f"{scales}")

    def embedding(self, config: Any) -> nn.Module:
        return SeriesTokens(config)

    def answered(self, tokens: Tensor, first: int, arrays: tuple[Tensor, ...]) -> Tensor:
        return tokens

    def arrays(self, context: Any, query: Any) -> tuple[Tensor, ...]:
        return (reals(context),)

    def recipe(self, task: Task) -> dict[str, Any]:
        return {**super().recipe(task), "batch": 8}


class SeriesTokens(nn.Module):
    """The start token is what a prefix of length 0 ends in."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        scales = config.options[SIDE]
        self.centre, self.spread = scales["centre"][0], scales["spread"][0]
        self.start = nn.Parameter(torch.zeros(1, config.width))
        self.map = nn.Linear(FEATURES, config.width)

    def forward(self, numbers: Tensor) -> tuple[Tensor, int]:
        """Numbers (B, t)."""
        scaled = (numbers - self.centre) / self.spread
        read = self.map(features(scaled[..., None]))
        start = self.start.expand(len(numbers), 1, -1)
        tokens = torch.cat([start, read], dim=1)
        return tokens, tokens.shape[1]


def number(layout: Layout) -> str:
    """Name of the one real number that a sequence has at each step.

    Raises:
        InputError: another layout.
    """
    columns = layout.columns
    single = len(columns) == 1 and columns[0].role == "observation" and len(columns[0].dims) == 1
    if layout.order != "sequence" or not single or columns[0].values != "real":
        names = ", ".join(column.name for column in columns)
        raise InputError("a sequence of one real number a step", f"{layout.order} of {names}")
    return columns[0].name


PART = Series()

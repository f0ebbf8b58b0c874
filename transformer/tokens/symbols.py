"""A start token and the symbols of a sequence, with an answer after every prefix.

So are Markov chains with unknown parameters read. Every token reads itself and what came before,
with rotary positions, because lags are relative.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from veribayes.models._task import Task
from veribayes.transformer.tokens._tokens import Tokens, integers, require_states


class Symbols(Tokens):
    """Contexts are prefixes (B, t); there is no query but the next symbol."""

    causal: ClassVar[bool] = True

    def sizes(self, task: Task) -> dict[str, Any]:
        return {"states": (task.model.n_categories,)}

    def check(self, config: Any) -> None:
        require_states(config, most=1)

    def embedding(self, config: Any) -> nn.Module:
        return SymbolTokens(config)

    def answered(self, tokens: Tensor, first: int, arrays: tuple[Tensor, ...]) -> Tensor:
        return tokens

    def arrays(self, context: Any, query: Any) -> tuple[Tensor, ...]:
        return (integers(context),)

    def recipe(self, task: Task) -> dict[str, Any]:
        return {**super().recipe(task), "batch": 8}


class SymbolTokens(nn.Module):
    """The start token is what a prefix of length 0 ends in."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.start = config.states[0]
        self.embedding = nn.Embedding(self.start + 1, config.width)

    def forward(self, symbols: Tensor) -> tuple[Tensor, int]:
        """Symbols (B, t)."""
        tokens = self.embedding(F.pad(symbols, (1, 0), value=self.start))
        return tokens, tokens.shape[1]


PART = Symbols()

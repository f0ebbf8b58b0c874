"""Evidence on some nodes: a token a node, its observed state or "not observed".

So are Bayesian networks with known tables read. Every node reads every node, and each answers for
itself; what is observed is certain.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from veribayes.models._task import Task
from veribayes.transformer.tokens._tokens import Tokens, integers, require_states


class Nodes(Tokens):
    """Contexts are evidence (B, M) with -1 = not observed; queries are the target nodes (Q,)."""

    def sizes(self, task: Task) -> dict[str, Any]:
        model: Any = task.model
        return {"states": model.cardinalities}

    def check(self, config: Any) -> None:
        require_states(config)

    def embedding(self, config: Any) -> nn.Module:
        return NodeTokens(config)

    def answered(self, tokens: Tensor, first: int, arrays: tuple[Tensor, ...]) -> Tensor:
        target = arrays[-1]
        return torch.take_along_dim(tokens, target[..., None], dim=1)

    def widths(self, config: Any, arrays: tuple[Tensor, ...]) -> Tensor:
        target = arrays[-1]
        return torch.tensor(config.states, device=target.device)[target]

    def arrays(self, context: Any, query: Any) -> tuple[Tensor, ...]:
        return integers(context), integers(query).expand(len(context), -1)

    def recipe(self, task: Task) -> dict[str, Any]:
        return {**super().recipe(task), "batch": 64}


class NodeTokens(nn.Module):
    """A learned vector for every state that a node may be seen in, and one for none."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.values = max(config.states) + 1
        self.embedding = nn.Embedding(len(config.states) * self.values, config.width)

    def forward(self, evidence: Tensor, target: Tensor) -> tuple[Tensor, int]:
        """Evidence (B, M) with -1 = not observed; the targets (B, Q) choose among the answers."""
        del target  # all nodes are answered at once
        node = torch.arange(evidence.shape[1], device=evidence.device)
        return self.embedding(node * self.values + evidence + 1), evidence.shape[1]


PART = Nodes()

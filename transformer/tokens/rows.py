"""Complete rows, and row prefixes whose next node is asked for.

So are Bayesian networks with unknown tables read. Every row reads the sink and the rows, nobody
reads a query, and there are no positions: predictions depend neither on the order of the rows nor
on the other queries.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from veribayes.models._task import Task
from veribayes.transformer.tokens._sink import Sink
from veribayes.transformer.tokens._tokens import Tokens, integers, require_states


class Rows(Tokens):
    """Contexts of rows (B, n, M); queries with `row` (B, Q, M), -1 from the target on, and `target`
    (Q,).
    """

    cut: ClassVar[bool] = True
    queried: ClassVar[bool] = True
    summarised: ClassVar[bool] = True

    def sizes(self, task: Task) -> dict[str, Any]:
        model: Any = task.model
        return {"states": model.cardinalities}

    def check(self, config: Any) -> None:
        require_states(config)

    def embedding(self, config: Any) -> nn.Module:
        return RowTokens(config)

    def widths(self, config: Any, arrays: tuple[Tensor, ...]) -> Tensor:
        target = arrays[-1]
        return torch.tensor(config.states, device=target.device)[target]

    def arrays(self, context: Any, query: Any) -> tuple[Tensor, ...]:
        prefixes = integers(query.row)
        targets = integers(query.target).expand(prefixes.shape[:2])
        return integers(context), prefixes, targets

    def with_one_query(self, arrays: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        rows, prefixes, targets = arrays
        return rows, prefixes[:, :1], targets[:, :1]


class RowTokens(nn.Module):
    """Rows, one-hot, and queries.

    Which nodes matter depends on the target, so a query is embedded by a matrix of its target's
    own: the gate on the parents that the construction of arXiv 2501.02547 spends its first layer
    on, here learned.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.nodes, self.categories = len(config.states), max(config.states)
        self.sink = Sink(config.width)
        self.context = nn.Linear(self.nodes * self.categories, config.width)
        entries = self.nodes * self.categories + 1
        self.query = nn.Parameter(torch.zeros(self.nodes, config.width, entries))

    def forward(self, rows: Tensor, query: Tensor, target: Tensor) -> tuple[Tensor, int]:
        """Rows (B, n, M), query prefixes (B, Q, M) with -1 = not given, target nodes (B, Q)."""
        context = self.sink(self.context(self.one_hot(rows)))
        # (B, Q, M K + 1); the last entry carries the target itself
        given = F.pad(self.one_hot(query), (0, 1), value=1.0)
        asked = F.one_hot(target, self.nodes).to(given.dtype)  # (B, Q, M)
        gated = (asked[..., :, None] * given[..., None, :]).flatten(2)  # (B, Q, M (M K + 1))
        queries = gated @ self.query.transpose(1, 2).flatten(0, 1)
        return torch.cat([context, queries], dim=1), context.shape[1]

    def one_hot(self, rows: Tensor) -> Tensor:
        """(B, T, M) -> (B, T, M K); -1 becomes zeros."""
        category = torch.arange(self.categories, device=rows.device)
        hits = rows[..., None] == category
        return hits.flatten(2).to(self.query.dtype)


PART = Rows()

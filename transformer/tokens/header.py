"""A header of tables, then a start token and the symbols of a sequence,
with an answer after every prefix.

So are sequences read whose parameters are known and differ from one to the next. The header has a
token for each row of each table. A symbol that names the columns of a table is read together with
its column: of a hidden Markov model with the probability that each state gives to it. Entries come
with their logarithms, and a learned vector says which row of which table a token is.
Every token reads itself and what came before it, with rotary positions; so the last table comes
first, and a row may read the rows that its entries lead to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from veribayes.checked import integer, mapping, sequence
from veribayes.errors import InputError
from veribayes.models._layout import Column, Layout
from veribayes.models._task import Task
from veribayes.transformer._config import LARGEST
from veribayes.transformer.tokens._tokens import Tokens, integers, reals, require_states

# of an entry before its logarithm is taken:
# below it, ratios of likelihoods no longer matter to a prediction
LEAST = 1e-4
SCALE = 4.0  # logarithms of usual entries are then of the size of one
TABLES, COLUMNS = "tables", "columns"
SYMBOL = "symbol"  # dimension of a table whose columns are symbols


class Header(Tokens):
    """Contexts are named tuples of the symbols (B, t) and the tables, (B, rows) or (B, rows,
    columns) each, as the layout has them; there is no query but the next symbol.
    """

    causal: ClassVar[bool] = True

    def sizes(self, task: Task) -> dict[str, Any]:
        model = task.model
        tables = given(model.layout)
        drawn = model.simulate(task.design, 0, "train", np.arange(1))
        shapes = {table.name: drawn.data.arrays[table.name].shape[1:] for table in tables}
        columns = [table.name for table in tables if table.dims[-1] == SYMBOL]
        options = {TABLES: shapes, COLUMNS: columns}
        return {"states": (model.n_categories,), "options": options}

    def check(self, config: Any) -> None:
        require_states(config, most=1)
        names = [TABLES, COLUMNS]
        options = mapping("options", config.options, allowed=names, required=names)
        tables = options[TABLES]
        if not isinstance(tables, Mapping) or not tables:
            raise InputError("shapes of the header's tables by name", repr(tables))
        for name, shape in tables.items():
            sizes = [integer(name, n, at_least=1, at_most=LARGEST) for n in sequence(name, shape)]
            if len(sizes) not in (1, 2):
                raise InputError(f"one or two axes of the table '{name}'", f"{len(sizes)}")
        for name in sequence(COLUMNS, options[COLUMNS]):
            shape = tables.get(name, ())
            if len(shape) != 2 or shape[1] != config.states[0]:
                raise InputError(f"a table with a column for each symbol for '{name}'", f"{shape}")

    def embedding(self, config: Any) -> nn.Module:
        return HeaderTokens(config)

    def answered(self, tokens: Tensor, first: int, arrays: tuple[Tensor, ...]) -> Tensor:
        return tokens[:, -arrays[0].shape[1] - 1 :]

    def arrays(self, context: Any, query: Any) -> tuple[Tensor, ...]:
        symbols, *tables = context
        return integers(symbols), *map(reals, tables)

    def recipe(self, task: Task) -> dict[str, Any]:
        return {**super().recipe(task), "batch": 16}


class HeaderTokens(nn.Module):
    """A linear map for the rows of each table, one for the columns that symbols are read with,
    a vector for each row.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        tables = config.options[TABLES]
        self.start = config.states[0]
        self.columns = [list(tables).index(name) for name in config.options[COLUMNS]]
        self.embedding = nn.Embedding(self.start + 1, config.width)
        self.maps = nn.ModuleList(nn.Linear(2 * s[-1], config.width) for s in tables.values())
        read = [tables[name][0] for name in config.options[COLUMNS]]
        self.column_maps = nn.ModuleList(nn.Linear(2 * rows, config.width) for rows in read)
        rows = sum(shape[0] if len(shape) == 2 else 1 for shape in tables.values())
        self.places = nn.Embedding(rows, config.width)

    def forward(self, symbols: Tensor, *tables: Tensor) -> tuple[Tensor, int]:
        """Symbols (B, t); tables (B, rows) or (B, rows, columns)."""
        rows = [table[:, None] if table.ndim == 2 else table for table in tables]
        mapped = [layer(features(each)) for layer, each in zip(self.maps, rows, strict=True)]
        header = torch.cat(mapped[::-1], dim=1) + self.places.weight
        read = self.embedding(symbols)
        for layer, number in zip(self.column_maps, self.columns, strict=True):
            places = symbols[..., None].expand(-1, -1, tables[number].shape[1])
            column = tables[number].mT.gather(1, places)  # (B, t, rows)
            read = read + layer(features(column))
        start = self.embedding.weight[-1].expand(len(symbols), 1, -1)
        tokens = torch.cat([header, start, read], dim=1)
        return tokens, tokens.shape[1]


def features(entries: Tensor) -> Tensor:
    """Probabilities and their logarithms, (B, token, 2 entries)."""
    return torch.cat([entries, entries.clamp_min(LEAST).log() / SCALE], dim=-1)


def given(layout: Layout) -> tuple[Column, ...]:
    """The tables of a layout that is a sequence of one symbol behind them.

    Raises:
        InputError: another layout.
    """
    tables = tuple(column for column in layout.columns if column.role == "given")
    observed = [column for column in layout.columns if column.role == "observation"]
    symbols = len(observed) == 1 and observed[0].values == "category"
    if not tables or not symbols or layout.order != "sequence" or layout.names("query"):
        roles = ", ".join(f"{column.name} ({column.role})" for column in layout.columns)
        raise InputError("tables, and a sequence of one symbol behind them", roles)
    return tables


PART = Header()

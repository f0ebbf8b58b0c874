"""The columns of a family's data: what each array means,
so that nobody has to guess it from a name.

A layout says which arrays are observations, what a query is made of, which of them all data sets of
a batch share, and whether the order of the observations means anything.
Everything that asks about contexts (reordering, cutting, growing them) asks here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from veribayes.errors import ModelError
from veribayes.tree import Data, IntArray

Role = Literal["observation", "query", "given", "mask", "time"]
Order = Literal["set", "sequence", "slots"]
OBSERVATION_AXIS = 1  # of an observation: after the data set


@dataclass(frozen=True)
class Column:
    """One array of a family's data.

    Attributes:
        name: key in `Data.arrays`.
        role: `observation` (counted along the axis after the data set, unless the layout has
            slots); `query`; `given` (for the
            data set as a whole: covariates, parameters in a header); `mask` or `time` of the
                observations.
        dims: names of the axes after the data set.
        values: `category` or `real`.
        shared: all data sets of a batch have it in common, so that it has no axis for them.
    """

    name: str
    role: Role
    dims: tuple[str, ...] = ()
    values: Literal["category", "real"] = "real"
    shared: bool = False


@dataclass(frozen=True)
class Layout:
    """The columns of a family's data, and what their order means.

    Attributes:
        columns: in the order in which they are shown.
        order: `set`: observations are exchangeable; `sequence`: each follows from those before it;
            `slots`: places that are filled or not.
        one, several: the words for an observation, such as `row in the context`.
        tokens: the token part of a transformer that reads such data;
            empty: the one that fits the columns, see `reader`.
        entries: dimension -> names of the entries along it, where a table calls them by names.
        states: entry or column -> names of the states that its codes 0, 1, … stand for.
    """

    columns: tuple[Column, ...]
    order: Order
    one: str = "observation"
    several: str = "observations"
    tokens: str = ""
    entries: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    states: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names):
            raise ModelError("columns with different names", ", ".join(names))

    def names(self, role: Role) -> tuple[str, ...]:
        """Names of the columns with this role."""
        return tuple(column.name for column in self.columns if column.role == role)

    @property
    def shared(self) -> frozenset[str]:
        """Names of the columns without an axis for data sets."""
        return frozenset(column.name for column in self.columns if column.shared)

    def column(self, name: str) -> Column:
        """The column of this name."""
        return next(column for column in self.columns if column.name == name)

    @property
    def listed(self) -> tuple[str, ...]:
        """Names of the columns that count observations one by one;
        none where places are filled or not.
        """
        return () if self.order == "slots" else self.names("observation")

    @property
    def reader(self) -> str:
        """The token part that reads such data: the one that is named, or by the columns;
        empty where none fits.

        A set of observations with queries, or without, is one of vectors, in which codes of
        categories are numbers; a sequence of categories is one of symbols.
        """
        if self.tokens:
            return self.tokens
        foreign = [column for column in self.columns if column.role not in ("observation", "query")]
        if foreign or self.shared or not self.listed:
            return ""
        if self.order == "set":
            return "vectors"
        if len(self.columns) == 1 and self.columns[0].values == "category":
            return "symbols"
        return ""

    def entry_dims(self, column: Column) -> tuple[str, ...]:
        """Names of the axes of one entry of a column: without that which counts observations or
        queries.
        """
        is_counted = column.name in self.listed or column.role == "query"
        return column.dims[1:] if is_counted else column.dims

    def queries(self, arrays: Mapping[str, npt.NDArray[Any]]) -> int:
        """Number of queries a data set: the length of the first column that is a query,
        one where there is none.
        """
        for column in self.columns:
            if column.role == "query":
                return int(arrays[column.name].shape[0 if column.shared else 1])
        return 1

    def taken(self, data: Data, observations: IntArray) -> Data:
        """The data with these observations, by their numbers (observation,), in this order.

        Raises:
            ModelError: contexts are no list of observations.
        """
        if not self.listed:
            raise ModelError("a context that is a list", "places that are filled or not")
        arrays = {
            **data.arrays,
            **{name: data.arrays[name][:, observations] for name in self.listed},
        }
        return replace(data, arrays=arrays)

    def permuted(self, data: Data, order: IntArray) -> Data:
        """Each data set's observations in an order of its own, (dataset, observation).

        Raises:
            ModelError: the order of the observations means something.
        """
        if self.order != "set":
            raise ModelError("exchangeable observations", f"a {self.order}")
        arrays = dict(data.arrays)
        for name in self.listed:
            column = arrays[name]
            places = order.reshape(*order.shape, *[1] * (column.ndim - order.ndim))
            arrays[name] = np.take_along_axis(column, places, OBSERVATION_AXIS)
        return replace(data, arrays=arrays)

    def latest(self, data: Data, count: int) -> Data:
        """The data with `count` observations: the last of a sequence, and the first of a set,
        whose order means nothing.
        """
        cut = replace(data, positions=np.array([count]))
        if self.order != "sequence":
            return cut
        longest = int(data.positions[-1])
        return self.taken(cut, np.arange(longest - count, longest))

    def extended(self, data: Data, size: int, observations: Mapping[str, npt.NDArray[Any]]) -> Data:
        """The first `size` observations and one more, the position being `size` + 1.

        Args:
            observations: of each column that is listed its next entry, (dataset, *event).
        """
        arrays = dict(data.arrays)
        for name in self.listed:
            arrays[name] = np.concatenate(
                [arrays[name][:, :size], observations[name][:, None]], axis=OBSERVATION_AXIS
            )
        return replace(data, arrays=arrays, positions=np.array([size + 1]))

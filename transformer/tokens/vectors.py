"""A set of real vectors, with queries that are real vectors too, or none.

So is any family of exchangeable observations read; codes of categories are numbers here. All
columns that the layout calls observations stand side by side in a token, all that it calls queries
in another. Where nothing is asked, the query is the next observation, and one learned token answers
for it. Numbers enter in units of the prior: from centre and spread of a few hundred simulated data
sets, which the config keeps.

Every vector reads the sink and the vectors, nobody reads a query, and there are no positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from veribayes.checked import integer, mapping, number, sequence
from veribayes.errors import InputError
from veribayes.models._layout import Layout
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.transformer._config import LARGEST
from veribayes.transformer.tokens._sink import FEATURES, Sink, features
from veribayes.transformer.tokens._tokens import Tokens, reals

MEASURED = 256  # data sets from which centres and spreads are taken
INSIDE = (16.0, 50.0, 84.0)  # percent: the median, and one standard deviation of a normal beside it
SMALLEST = 1e-12  # a spread below is that of a constant
SIDES = ("observations", "queries")


class Vectors(Tokens):
    """Contexts (B, n), (B, n, d), or a tuple of such; queries alike, or None."""

    real_head: ClassVar[str] = "normal"
    cut: ClassVar[bool] = True
    compiled: ClassVar[bool] = True
    queried: ClassVar[bool] = True
    summarised: ClassVar[bool] = True

    def sizes(self, task: Task) -> dict[str, Any]:
        require_readable(task.model.layout)
        design = task.design
        drawn = task.model.simulate(design, 0, "train", np.arange(MEASURED))
        context, query = task.model.inputs(drawn.data, len(design.positions) - 1)
        observations = side_by_side(context)
        if not observations.shape[1]:
            raise InputError("a design with observations", f"positions {design.positions}")
        options = {"observations": measured(observations)}
        if query is not None:
            options["queries"] = measured(side_by_side(query))
        categories = task.model.n_categories
        sizes: dict[str, Any] = {"inputs": observations.shape[-1], "options": options}
        if categories is not None:
            return {**sizes, "states": (categories,)}
        outcomes = measured(drawn.outcome.reshape(MEASURED, -1, 1))
        return {**sizes, "unit": (outcomes["centre"][0], outcomes["spread"][0])}

    def check(self, config: Any) -> None:
        integer("inputs", config.inputs, at_least=1, at_most=LARGEST)
        mapping("options", config.options, allowed=SIDES, required=SIDES[:1])
        for side, scales in config.options.items():
            centre, spread = checked_scales(side, scales)
            if side == "observations" and len(centre) != config.inputs:
                raise InputError(f"{config.inputs} centres of observations", f"{len(centre)}")
            if len(centre) != len(spread) or min(spread) <= 0:
                raise InputError("a positive spread for each centre", f"{side}: {scales}")
        if len(config.states) > 1:
            raise InputError("states of the one variable that is predicted", f"{config.states}")

    def embedding(self, config: Any) -> nn.Module:
        return VectorTokens(config)

    def arrays(self, context: Any, query: Any) -> tuple[Tensor, ...]:
        observations = reals(side_by_side(context))
        if query is None:
            return (observations,)
        return observations, reals(side_by_side(query))

    def with_one_query(self, arrays: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        observations, *queries = arrays
        return observations, *(query[:, :1] for query in queries)


class VectorTokens(nn.Module):
    """Each coordinate with its square, sines and cosines, as points have them."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.scales = config.options
        self.sink = Sink(config.width)
        self.context = nn.Linear(config.inputs * FEATURES, config.width)
        self.next = "queries" not in config.options
        if self.next:
            self.query = nn.Parameter(torch.zeros(1, config.width))
        else:
            asked = len(config.options["queries"]["centre"])
            self.query_map = nn.Linear(asked * FEATURES, config.width)

    def forward(self, observations: Tensor, query: Tensor | None = None) -> tuple[Tensor, int]:
        """Observations (B, n, d), queries (B, Q, e) or none."""
        vectors = features(self._scaled(observations, "observations"))
        context = self.sink(self.context(vectors))
        if query is None:
            queries = self.query.expand(len(context), 1, -1)
        else:
            queries = self.query_map(features(self._scaled(query, "queries")))
        return torch.cat([context, queries], dim=1), context.shape[1]

    def _scaled(self, values: Tensor, side: str) -> Tensor:
        """In units of the prior."""
        centre = torch.tensor(self.scales[side]["centre"], device=values.device)
        spread = torch.tensor(self.scales[side]["spread"], device=values.device)
        return (values - centre) / spread


def require_readable(layout: Layout) -> None:
    """Refuse a layout that is no set of observations, each data set's own, with queries or without.

    Raises:
        InputError: another order, or another role.
    """
    foreign = [
        column.name
        for column in layout.columns
        if column.role not in ("observation", "query") or column.shared
    ]
    if layout.order != "set" or foreign:
        got = f"a {layout.order}" if layout.order != "set" else ", ".join(foreign)
        raise InputError("a set of observations, and queries of each data set", got)


def side_by_side(values: Any) -> Array:
    """Arrays (B, n) and (B, n, …) of a tuple, or one of them, as vectors (B, n, d)."""
    columns = values if isinstance(values, tuple) else (values,)
    vectors = []
    for column in columns:
        array = np.asarray(column, dtype=np.float64)
        size = int(np.prod(array.shape[2:]))
        vectors.append(array.reshape(*array.shape[:2], size))
    return np.concatenate(vectors, axis=-1)


def measured(values: npt.NDArray[np.float64]) -> dict[str, tuple[float, ...]]:
    """Median and half the middle 68 % of each coordinate of (B, n, d), three digits, so that
    rounding is no difference.
    """
    flat = values.reshape(-1, values.shape[-1])
    low, middle, high = np.nanpercentile(flat, INSIDE, axis=0)  # NaN where a query does not apply
    half = (high - low) / 2
    spread = np.where(half > SMALLEST, half, 1.0)
    return {"centre": _rounded(middle), "spread": _rounded(spread)}


def checked_scales(
    side: str, scales: Mapping[str, Any]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Centres and spreads as numbers."""
    plain = mapping(side, scales, allowed=("centre", "spread"), required=("centre", "spread"))
    centre = tuple(number("centre", value) for value in sequence("centre", plain["centre"]))
    spread = tuple(number("spread", value) for value in sequence("spread", plain["spread"]))
    if not 0 < len(centre) <= LARGEST:
        raise InputError(f"1 to {LARGEST} centres of {side}", f"{len(centre)}")
    return centre, spread


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.3g}") for value in values)


PART = Vectors()

"""Which algorithm is it at each context length: limits are simultaneous over the lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from veribayes.predictive import Array, Mask
from veribayes.tree.plain import number
from veribayes.validation import bootstrap, nearness, stability
from veribayes.validation.nearness import Distances


def by_context(
    names: Sequence[str], positions: Sequence[int], measured: Sequence[Distances], seed: int
) -> list[dict[str, Any]]:
    """The name at each context length; a lead holds simultaneously over all lengths.

    Args:
        names: of the predictors.
        positions: the context lengths.
        measured: in the endpoint's metric, and in JS where that is infinite anywhere.
    """
    orders = [Lengths(distances, seed) for distances in measured]
    rows = []
    for k, context in enumerate(positions):
        order = orders[0] if orders[0].settles(k) else orders[-1]
        rows.append({"context": int(context), **order.row(k, names)})
    return rows


def curve(near: Array, seed: int) -> dict[str, list[float | None]]:
    """Estimate and simultaneous limits at each context length; near (dataset, position)."""
    estimate, low, high = bootstrap.band(near, seed=seed)
    low, high = stability.shown(estimate, low, high, near)
    columns = {"estimate": estimate, "low": low, "high": high}
    entry = {}
    for name, values in columns.items():
        entry[name] = [number(float(value)) for value in values]
    return entry


class Lengths:
    """The order of the predictors at each context length in one metric; bands are computed once."""

    def __init__(self, distances: Distances, seed: int) -> None:
        self.distances = distances
        self.seed = seed
        self.means = nearness.over_datasets(distances.near)  # (predictor, position)
        self.overall = nearness.nearest(distances.clusters.mean(1))
        self.bands: dict[int, tuple[Array, Array, Array]] = {}
        self.leads: dict[tuple[int, int], Array] = {}

    def nearest(self, k: int) -> int | None:
        """The nearest predictor at this length."""
        return nearness.nearest(self.means[:, k], self.overall)

    def settles(self, k: int) -> bool:
        """Whether this metric orders the predictors here: none is infinite, or one of the finite
        ones may be near.
        """
        if not np.isinf(self.means[:, k]).any():
            return True
        best = self.nearest(k)
        return best is not None and self.fit(best, k) != "none"

    def fit(self, best: int, k: int) -> str:
        """Whether the best predictor is near by the simultaneous band."""
        if best not in self.bands:
            near = self.distances.near[best]
            self.bands[best] = bootstrap.band(near, seed=self.seed)
        _, low, high = self.bands[best]
        tolerance = self.distances.tolerance
        if low[k] > tolerance:
            return "none"
        return "near" if high[k] < tolerance else "undecided"

    def row(self, k: int, names: Sequence[str]) -> dict[str, Any]:
        """The entry of one context length; without a name where nothing was asked."""
        best = self.nearest(k)
        if best is None:
            return {
                "nearest": None,
                "estimate": None,
                "metric": self.distances.metric,
                "fit": "undecided",
                "first": False,
                "indistinguishable": [],
            }
        same, others = self._split(best, k)
        fit = self.fit(best, k)
        beaten = all(self._beaten(best, rival, k) for rival in others)
        return {
            "nearest": names[best],
            "estimate": number(float(self.means[best, k])),
            "metric": self.distances.metric,
            "fit": fit,
            "first": beaten and fit == "near",
            "indistinguishable": [names[j] for j in same],
        }

    def _split(self, best: int, k: int) -> tuple[list[int], list[int]]:
        return nearness.split(self.distances.apart[..., k], best, self.distances.tolerance)

    def _beaten(self, best: int, rival: int, k: int) -> bool:
        apart = self.distances.apart[..., k]
        tolerance = self.distances.tolerance
        needed = nearness.lead_needed(apart, best, rival, tolerance)
        return bool(self._lead(best, rival)[k] > needed)

    def _lead(self, best: int, rival: int) -> Array:
        """Lower limits, simultaneous over the lengths at which this rival has to be told from this
        predictor.
        """
        if (best, rival) not in self.leads:
            near = self.distances.near
            positions = range(near.shape[-1])
            lengths = np.array([self._competes(best, rival, k) for k in positions])
            limits = _lead_limits(near[rival], near[best], lengths, self.seed)
            self.leads[best, rival] = limits
        return self.leads[best, rival]

    def _competes(self, best: int, rival: int, k: int) -> bool:
        return self.nearest(k) == best and rival in self._split(best, k)[1]


def _lead_limits(rival: Array, best: Array, lengths: Mask, seed: int) -> Array:
    """Simultaneous lower limits of the mean of rival - best, both (dataset, position); infinite
    where the rival alone is.

    Args:
        lengths: positions that are asked for, (position,): a rare event at another one must not
            widen the limits of these.
    """
    far = np.isposinf(rival).any(0)
    here = np.isposinf(best).any(0)
    usable = lengths & ~far & ~here
    difference = np.full(rival.shape, np.nan)
    difference[:, usable] = rival[:, usable] - best[:, usable]
    _, low, _ = bootstrap.band(difference, seed=seed)
    return np.where(far & ~here, np.inf, low)

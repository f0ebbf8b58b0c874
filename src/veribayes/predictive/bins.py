"""Bar distributions, as prior-fitted networks have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from veribayes.errors import InputError, ShapeError
from veribayes.predictive._arrays import LOG_SQRT_2PI, Array
from veribayes.predictive._entries import require_positive
from veribayes.predictive._form import Trailing
from veribayes.predictive._masses import Masses

LEFT, RIGHT = 0, 1  # entries of `tail_scale`


@dataclass(frozen=True, eq=False)
class Bins(Masses):
    """Bar distribution: uniform inside bins, half-normal tails outside the borders (arXiv
    2112.10510).

    `edges` has C + 1 increasing borders, shared by the batch. With `tail_scale` (left, right;
    standard deviation of the normal whose half is used) `probs` has C + 2 cells, the tails first
    and last; without it C cells and no tails. Borders are finite: a half-line is a tail, and only a
    scale says how its mass lies on it.
    """

    probs: Array  # (..., bin)
    edges: Array  # (edge,)
    tail_scale: Array | None = None  # (tail,)
    log_probs: Array | None = None  # (..., bin)
    zero_limit: Array | None = None
    form: ClassVar[str] = "bins"
    trailing: ClassVar[Trailing] = {
        "probs": "bin",
        "edges": "edge",
        "tail_scale": "tail",
        "log_probs": "bin",
        "zero_limit": None,
    }
    shared: ClassVar[frozenset[str]] = frozenset({"edges", "tail_scale"})

    @classmethod
    def is_meant_by(cls, names: frozenset[str]) -> bool:
        return cls.required() <= names

    def _check(self) -> None:
        _require_edges(self.edges)
        if self.tail_scale is not None:
            if self.tail_scale.shape != (2,):
                got = f"{self.tail_scale.shape}"
                raise ShapeError("tail_scale of shape (2,): left, right", got)
            require_positive("tail_scale", self.tail_scale, trailing=1)
        tails = 0 if self.tail_scale is None else 2
        cells = self.edges.size - 1 + tails
        if not self.probs.ndim or self.probs.shape[-1] != cells:
            raise ShapeError(
                f"{cells} cells for {self.edges.size} edges",
                f"probs of shape {self.probs.shape}",
                "with tail_scale the first and last cell are the tails",
            )
        self._normalise()

    @property
    def cells(self) -> tuple[Array, Array]:
        """Lower and upper border of every cell, tails included (±inf)."""
        if self.tail_scale is None:
            return self.edges[:-1], self.edges[1:]
        lower = np.concatenate([[-np.inf], self.edges])
        upper = np.concatenate([self.edges, [np.inf]])
        return lower, upper

    def expectation(self) -> Array:
        starts, stops = self.edges[:-1], self.edges[1:]
        left, inner, right = self._parted()
        mean = inner @ ((starts + stops) / 2)
        if self.tail_scale is not None:
            half_mean = self.tail_scale * np.sqrt(2 / np.pi)
            mean = mean + left * (self.edges[0] - half_mean[LEFT])
            mean = mean + right * (self.edges[-1] + half_mean[RIGHT])
        return np.asarray(mean)

    def standard_deviation(self) -> Array:
        variance = self._second_moment() - self.expectation() ** 2
        return np.sqrt(np.maximum(variance, 0.0))

    def _second_moment(self) -> Array:
        starts, stops = self.edges[:-1], self.edges[1:]
        left, inner, right = self._parted()
        squares = starts * starts + starts * stops + stops * stops
        moment = inner @ (squares / 3)
        if self.tail_scale is not None:
            half_mean = self.tail_scale * np.sqrt(2 / np.pi)
            first, last = self.edges[0], self.edges[-1]
            below = first**2 - 2 * first * half_mean[LEFT] + self.tail_scale[LEFT] ** 2
            above = last**2 + 2 * last * half_mean[RIGHT] + self.tail_scale[RIGHT] ** 2
            moment = moment + left * below
            moment = moment + right * above
        return np.asarray(moment)

    def log_prob(self, y: npt.ArrayLike) -> Array:
        points = self._points(y)
        logs = self.log_masses
        inner = logs if self.tail_scale is None else logs[..., 1:-1]
        cell = self._cell_of(points)
        log_widths = np.log(np.diff(self.edges))
        out = np.take_along_axis(inner, cell, -1) - log_widths[cell]
        below, above = points < self.edges[0], points > self.edges[-1]
        out = np.where(below, self._log_tail(points, LEFT), out)
        return np.where(above, self._log_tail(points, RIGHT), out)

    def _log_tail(self, points: Array, side: int) -> Array:
        """Log density of a tail; minus infinity where there are none."""
        if self.tail_scale is None:
            return np.full(points.shape, -np.inf)
        scale = self.tail_scale[side]
        log_mass = self.log_masses[..., -side][..., None]
        z = (points - self.edges[-side]) / scale
        return log_mass + np.log(2 / scale) - 0.5 * z * z - LOG_SQRT_2PI

    def cdf(self, y: npt.ArrayLike) -> Array:
        points = self._points(y)
        left, inner, right = self._parted()
        cell = self._cell_of(points)
        below = left[..., None] + np.cumsum(inner, -1) - inner
        beyond_start = (points - self.edges[cell]) / np.diff(self.edges)[cell]
        share = np.clip(beyond_start, 0.0, 1.0)
        mass = np.take_along_axis(inner, cell, -1)
        out = np.take_along_axis(below, cell, -1) + share * mass
        if self.tail_scale is not None:
            z_left = np.minimum(points - self.edges[0], 0.0) / self.tail_scale[LEFT]
            z_right = np.maximum(points - self.edges[-1], 0.0) / self.tail_scale[RIGHT]
            in_left_tail = left[..., None] * 2 * ndtr(z_left)
            in_right_tail = 1.0 - right[..., None] * 2 * ndtr(-z_right)
            out = np.where(points < self.edges[0], in_left_tail, out)
            out = np.where(points > self.edges[-1], in_right_tail, out)
        return np.asarray(out)

    def quantile(self, u: npt.ArrayLike) -> Array:
        levels = self._points(u)
        left, inner, right = self._parted()
        above = left[..., None] + np.cumsum(inner, -1)
        passed = (levels[..., None] > above[..., None, :]).sum(-1)
        cell = np.minimum(passed, inner.shape[-1] - 1)
        mass = np.take_along_axis(inner, cell, -1)
        start = np.take_along_axis(above, cell, -1) - mass
        halves = np.full(mass.shape, 0.5)  # of cells without mass
        share = np.divide(levels - start, mass, out=halves, where=mass > 0)
        out = self.edges[cell] + np.clip(share, 0.0, 1.0) * np.diff(self.edges)[cell]
        if self.tail_scale is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                z_left = ndtri(levels / (2 * left[..., None]))
                z_right = ndtri((1 - levels) / (2 * right[..., None]))
                low = self.edges[0] + self.tail_scale[LEFT] * z_left
                high = self.edges[-1] - self.tail_scale[RIGHT] * z_right
            out = np.where(levels < left[..., None], low, out)
            out = np.where(levels > 1 - right[..., None], high, out)
        return np.asarray(out)

    def _parted(self) -> tuple[Array, Array, Array]:
        """Left mass, inner masses, right mass."""
        if self.tail_scale is None:
            zero = np.zeros(self.shape)
            return zero, self.probs, zero
        return self.probs[..., 0], self.probs[..., 1:-1], self.probs[..., -1]

    def _cell_of(self, points: Array) -> npt.NDArray[np.int64]:
        """Number of the inner cell that holds each point, or that is nearest to it."""
        found = np.searchsorted(self.edges, points, side="right") - 1
        return np.clip(found, 0, self.edges.size - 2)


def _require_edges(edges: Array) -> None:
    """Refuse borders that are infinite, or that do not increase by a finite width."""
    if edges.ndim != 1 or edges.size < 2:
        wanted = "edges: one axis of increasing borders, shared by the batch"
        raise ShapeError(wanted, f"shape {edges.shape}")
    infinite = np.flatnonzero(~np.isfinite(edges))
    if infinite.size:
        first = int(infinite[0])
        remedy = (
            "leave a half-line out of the edges: "
            "tail_scale gives it a cell and says how its mass lies on it"
        )
        got = f"{edges[first]} as border {first} of {edges.size}"
        raise InputError("finite edges", got, remedy)
    with np.errstate(over="ignore"):
        width = np.diff(edges)
    improper = np.flatnonzero(~((width > 0) & np.isfinite(width)))
    if improper.size:
        first = int(improper[0])
        pair = f"{edges[first]:g} before {edges[first + 1]:g}"
        raise InputError("increasing edges", f"{pair}, borders {first} and {first + 1}")

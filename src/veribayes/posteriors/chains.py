"""Draws of named latents from Markov chains, what their file says about them, and whether they have converged.

Rules depend on the kind of a latent. Draws that vary and are no whole numbers: rank R-hat, bulk and tail effective
sample size (Vehtari et al. 2021, arXiv 1903.08008). Whole numbers (counts, labels, truth values): the same, where a
tail is the lowest or highest values, since 5 % of the mass may not exist there, and R-hat of the distances to the
median only where these vary. Constants and entries that are NaN in every draw have no convergence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from veribayes.checked import shown
from veribayes.errors import InputError, ShapeError
from veribayes.predictive import Array
from veribayes.statistics.diagnostics import (
    Gates,
    e_bfmi,
    ess,
    measure,
    normal_scores,
    r_hat,
    split,
)

STATISTICS = {
    "energy": "e_bfmi",
    "diverging": "divergences",
}  # of the sampler, as arviz calls them, and the gate of each
KINDS = "iufb"  # integers, floats, truth values
WHOLE = 2.0**31  # above, floats of any law look like whole numbers
MOVES = 20  # of a chain that no other makes by chance
ROUNDING = 1e-12  # relative spread of what is constant but for rounding


@dataclass(frozen=True)
class Axis:
    """What a file says about one axis of a latent.

    Attributes:
        name: of the dimension; empty where the file names none.
        labels: of the entries, as text; None where they are only counted.
    """

    name: str = ""
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of named latents.

    Attributes:
        name: for the reader.
        draws: latent -> (chain, draw, *event), float64; NaN where the file marks a value as missing.
        statistics: of `STATISTICS`, (chain, draw) each; what is missing was not saved.
        axes: latent -> an `Axis` for every axis behind chain and draw; latents that are not there have counted ones.
        units: latent -> unit, of those whose file says one.
        unusable: variable -> why it is no latent that can be compared.
        data: name -> what was observed, as far as the file holds it.
        notes: what a reader of the file must know, a sentence each.

    Raises:
        InputError: draws that are no real numbers, or none at all.
        ShapeError: latents with different numbers of chains or draws.
    """

    name: str
    draws: Mapping[str, Array]
    statistics: Mapping[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    axes: Mapping[str, tuple[Axis, ...]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "draws", {n: _numbers(n, v) for n, v in self.draws.items()})
        if not self.draws:
            reasons = "; ".join(f"{shown(n)}: {why}" for n, why in list(self.unusable.items())[:8])
            raise InputError(f"draws of a latent in {shown(self.name)}", reasons or "none")
        shapes = {v.shape[:2] for v in self.draws.values()}
        if len(shapes) != 1 or any(v.ndim < 2 for v in self.draws.values()):
            raise ShapeError(
                f"draws (chain, draw, ...) of one size in {shown(self.name)}", f"{sorted(shapes)}"
            )
        if not all(self.shape):
            raise InputError(
                f"draws in {shown(self.name)}", f"{self.shape[0]} chains of {self.shape[1]} draws"
            )
        for name, values in self.statistics.items():
            if np.ndim(values) != 2:
                raise ShapeError(
                    f"'{name}' (chain, draw) in {shown(self.name)}", f"{np.shape(values)}"
                )
        for name, axes in self.axes.items():
            self._check_axes(name, axes)

    def _check_axes(self, name: str, axes: tuple[Axis, ...]) -> None:
        sizes = self.draws[name].shape[2:]
        if len(axes) != len(sizes):
            raise ShapeError(f"{len(sizes)} axes of {shown(name)}", f"{len(axes)}")
        for axis, size in zip(axes, sizes, strict=True):
            if axis.labels is not None and len(axis.labels) != size:
                raise ShapeError(f"{size} labels of {shown(name)}", f"{len(axis.labels)}")

    @property
    def shape(self) -> tuple[int, int]:
        """Chains, and draws of each."""
        chains, draws = next(iter(self.draws.values())).shape[:2]
        return int(chains), int(draws)

    def axes_of(self, latent: str) -> tuple[Axis, ...]:
        """One `Axis` for every axis behind chain and draw."""
        return self.axes.get(latent, (Axis(),) * (self.draws[latent].ndim - 2))

    @cached_property
    def scalars(self) -> dict[str, Array]:
        """Every entry by name, (chain, draw): `tau`, `theta[0]`, `omega[0,1]`, `theta[Choate]`."""
        return {
            entry_name(name, self.axes_of(name), at): values[(..., *at)]
            for name, values in self.draws.items()
            for at in np.ndindex(values.shape[2:])
        }

    @cached_property
    def constants(self) -> set[str]:
        """Scalars that never vary, but for rounding."""
        return {n for n, v in self.scalars.items() if np.ptp(v) <= ROUNDING * np.abs(v).max()}

    @cached_property
    def absent(self) -> set[str]:
        """Scalars that are NaN in every draw, of latents that have numbers elsewhere: padding."""
        return {
            entry_name(name, self.axes_of(name), at)
            for name, values in self.draws.items()
            if np.isfinite(values).any()
            for at in np.ndindex(values.shape[2:])
            if np.isnan(values[(..., *at)]).all()
        }

    @property
    def frozen(self) -> set[str]:
        """Constant scalars of latents in which nothing varies."""
        whole = {
            n
            for n, v in self.draws.items()
            if not any(_varies(v[(..., *at)]) for at in np.ndindex(v.shape[2:]))
        }
        return {
            entry_name(name, self.axes_of(name), at)
            for name in whole
            for at in np.ndindex(self.draws[name].shape[2:])
        }

    def gates(self, but: Collection[str] = ()) -> Gates:
        """Gates over all scalars that vary or hold a NaN, and over constants named in `but`, (1,) each.

        What the sampler did not save is unknown: its gates are open, and `unknown` names them.
        """
        judged = {
            n: v
            for n, v in self.scalars.items()
            if n not in self.absent and (n not in self.constants or n in but)
        }
        whole = {n for n, v in judged.items() if is_whole(v) and n not in self.constants}
        found = self._continuous([v for n, v in judged.items() if n not in whole])
        limits = [_whole_limits(judged[n]) for n in whole]
        if not limits:
            return found
        hat, bulk, tail = np.array(limits).T
        return replace(
            found,
            rank_r_hat=np.maximum(found.rank_r_hat, hat.max()),
            ess_bulk=np.minimum(found.ess_bulk, bulk.min()),
            ess_tail=np.minimum(found.ess_tail, tail.min()),
        )

    def _continuous(self, values: list[Array]) -> Gates:
        chains = self.shape[0]
        alternating = np.tile(np.arange(4) % 2, (chains, 1))  # passes the gate
        energy = np.asarray(self.statistics.get("energy", alternating), dtype=np.float64)[None]
        diverging = np.asarray(self.statistics.get("diverging", np.zeros((chains, 1))), dtype=bool)[
            None
        ]
        if values:
            return measure(np.stack(values)[None], energy, diverging)[0]
        count = np.array(
            [float(diverging.sum())]
        )  # no latents: nothing to fail but what the sampler says
        one, many = np.ones(1), np.full(1, np.inf)
        return Gates(one, many, many, count, e_bfmi(energy).min(-1), one)

    @property
    def repeated(self) -> tuple[int, int] | None:
        """Two chains that move and are draw by draw the same, if there are such."""
        chains, draws = self.shape
        columns = np.concatenate(
            [v.reshape(chains, draws, -1) for v in self.draws.values()], axis=2
        )
        seen: dict[bytes, int] = {}
        for number, chain in enumerate(columns):
            first = seen.setdefault(chain.tobytes(), number)
            moves = (np.diff(chain, axis=0) != 0).any(axis=1).sum()
            if first != number and moves >= MOVES:
                return first, number
        return None

    @property
    def unknown(self) -> list[str]:
        """Gates about which the file says nothing."""
        return [gate for key, gate in STATISTICS.items() if key not in self.statistics]


def entry_name(latent: str, axes: tuple[Axis, ...], at: tuple[int, ...]) -> str:
    """Name of one entry: by its labels, else counted from zero."""
    if not at:
        return latent
    places = [
        axis.labels[i] if axis.labels is not None else str(i)
        for axis, i in zip(axes, at, strict=True)
    ]
    return f"{latent}[{','.join(places)}]"


def is_whole(values: Array) -> bool:
    """Whether these draws are whole numbers: no continuous law gives only such."""
    return bool(
        np.isfinite(values).all()
        and np.abs(values).max() < WHOLE
        and (values == np.rint(values)).all()
    )


def _varies(values: Array) -> bool:
    return bool(np.isnan(values).any() or np.ptp(values) > ROUNDING * np.abs(values).max())


def _numbers(name: str, values: npt.ArrayLike) -> Array:
    """Real numbers as float64, masked ones NaN."""
    array = np.asanyarray(values)
    if array.dtype.kind not in KINDS:
        raise InputError(f"real numbers in {shown(name)}", kind_of(array.dtype))
    return np.asarray(np.ma.filled(array.astype(np.float64), np.nan))


def kind_of(dtype: np.dtype[np.generic]) -> str:
    """A dtype in words."""
    words = {
        "c": "complex numbers",
        "M": "dates",
        "m": "durations",
        "U": "text",
        "S": "text",
        "T": "text",
        "O": "text or objects",
    }
    return words.get(dtype.kind, f"{dtype.name} values")


def _whole_limits(values: Array) -> tuple[float, float, float]:
    """Rank R-hat, bulk and tail effective sample size of draws (chain, draw) that are whole numbers."""
    draws = split(values[None, None])
    scores = normal_scores(draws)
    folded = np.abs(draws - np.median(draws))
    hats = [r_hat(normal_scores(d)) for d in (draws, folded) if np.ptp(d) > 0]
    several = values.shape[0] > 1
    tails = [ess(tail.astype(np.float64))[0, 0] for tail in _tails(draws)]
    found = float(np.max(hats)), float(ess(scores)[0, 0]), float(np.min(tails))
    return found if several else (np.nan, np.nan, np.nan)


def _tails(draws: Array) -> list[npt.NDArray[np.bool_]]:
    """Indicators of the lowest and the highest values: 5 % of the mass, else all but the commonest value there."""
    low, high = np.quantile(draws, (0.05, 0.95))
    lowest, highest = draws <= low, draws >= high
    return [draws < low if lowest.all() else lowest, draws > high if highest.all() else highest]

"""Draws of named latents from Markov chains, and whether they have converged.

Rules depend on the kind of a latent. Draws that vary and are no whole numbers: rank R-hat, bulk and
tail effective sample size (Vehtari et al. 2021, arXiv 1903.08008). Whole numbers (counts, labels,
truth values): the same, where a tail is the lowest or highest values, since 5 % of the mass may not
exist there, and R-hat of the distances to the median only where these vary. Constants and entries
that are NaN in every draw have no convergence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ShapeError, shown
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

STATISTICS = {  # of the sampler, as arviz calls them, and the gate of each
    "energy": "e_bfmi",
    "diverging": "divergences",
}
REASONS_SHOWN = 8  # of a file in which nothing can be compared
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
        draws: latent -> (chain, draw, *event), float64; NaN where the file marks a value as
            missing.
        statistics: of `STATISTICS`, (chain, draw) each; what is missing was not saved.
        axes: latent -> an `Axis` for every axis behind chain and draw; latents that are not there
            have counted ones.
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
        draws = {latent: _numbers(latent, values) for latent, values in self.draws.items()}
        object.__setattr__(self, "draws", draws)
        self._check_draws()
        for name, values in self.statistics.items():
            if np.ndim(values) != 2:
                wanted = f"'{name}' (chain, draw) in {shown(self.name)}"
                raise ShapeError(wanted, f"{np.shape(values)}")
        for name, axes in self.axes.items():
            self._check_axes(name, axes)

    def _check_draws(self) -> None:
        if not self.draws:
            reasons = [f"{shown(name)}: {why}" for name, why in self.unusable.items()]
            found = "; ".join(reasons[:REASONS_SHOWN]) or "none"
            raise InputError(f"draws of a latent in {shown(self.name)}", found)
        shapes = {values.shape[:2] for values in self.draws.values()}
        if len(shapes) != 1 or any(values.ndim < 2 for values in self.draws.values()):
            wanted = f"draws (chain, draw, ...) of one size in {shown(self.name)}"
            raise ShapeError(wanted, f"{sorted(shapes)}")
        chains, draws = self.shape
        if not chains or not draws:
            raise InputError(f"draws in {shown(self.name)}", f"{chains} chains of {draws} draws")

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

    def entries(self, latent: str) -> Iterator[tuple[str, Array]]:
        """Name and draws (chain, draw) of every entry of a latent."""
        values, axes = self.draws[latent], self.axes_of(latent)
        for at in np.ndindex(values.shape[2:]):
            yield entry_name(latent, axes, at), values[(..., *at)]

    @cached_property
    def scalars(self) -> dict[str, Array]:
        """Every entry by name, (chain, draw): `tau`, `theta[0]`, `omega[0,1]`, `theta[Choate]`."""
        scalars: dict[str, Array] = {}
        for latent in self.draws:
            scalars.update(self.entries(latent))
        return scalars

    @cached_property
    def constants(self) -> set[str]:
        """Scalars that never vary, but for rounding."""
        return {name for name, draws in self.scalars.items() if _spread(draws) <= _rounding(draws)}

    @cached_property
    def absent(self) -> set[str]:
        """Scalars that are NaN in every draw, of latents that have numbers elsewhere: padding."""
        names: set[str] = set()
        for latent, values in self.draws.items():
            if np.isfinite(values).any():
                entries = self.entries(latent)
                names.update(name for name, draws in entries if np.isnan(draws).all())
        return names

    @property
    def frozen(self) -> set[str]:
        """Constant scalars of latents in which nothing varies."""
        names: set[str] = set()
        for latent in self.draws:
            entries = dict(self.entries(latent))
            if not any(map(_varies, entries.values())):
                names.update(entries)
        return names

    def gates(self, but: Collection[str] = ()) -> Gates:
        """Gates over all scalars that vary or hold a NaN, and over constants in `but`, (1,) each.

        What the sampler did not save is unknown: its gates are open, and `unknown` names them.
        """
        whole, continuous = [], []
        for name, draws in self.scalars.items():
            constant = name in self.constants
            if name in self.absent or (constant and name not in but):
                continue
            if is_whole(draws) and not constant:
                whole.append(draws)
            else:
                continuous.append(draws)
        gates = self._continuous(continuous)
        if not whole:
            return gates
        hat, bulk, tail = np.array([_whole_limits(draws) for draws in whole]).T
        return replace(
            gates,
            rank_r_hat=np.maximum(gates.rank_r_hat, hat.max()),
            ess_bulk=np.minimum(gates.ess_bulk, bulk.min()),
            ess_tail=np.minimum(gates.ess_tail, tail.min()),
        )

    def _continuous(self, values: list[Array]) -> Gates:
        chains = self.shape[0]
        alternating = np.tile(np.arange(4) % 2, (chains, 1))  # passes the gate
        stored_energy = self.statistics.get("energy", alternating)
        stored_diverging = self.statistics.get("diverging", np.zeros((chains, 1)))
        energy = np.asarray(stored_energy, dtype=np.float64)[None]
        diverging = np.asarray(stored_diverging, dtype=bool)[None]
        if values:
            return measure(np.stack(values)[None], energy, diverging)[0]
        # no latents: nothing to fail but what the sampler says
        count = np.array([float(diverging.sum())])
        one, many = np.ones(1), np.full(1, np.inf)
        return Gates(one, many, many, count, e_bfmi(energy).min(-1), one)

    @property
    def repeated(self) -> tuple[int, int] | None:
        """Two chains that move and are draw by draw the same, if there are such."""
        chains, draws = self.shape
        flat = [values.reshape(chains, draws, -1) for values in self.draws.values()]
        columns = np.concatenate(flat, axis=2)
        seen: dict[bytes, int] = {}
        for number, chain in enumerate(columns):
            first = seen.setdefault(chain.tobytes(), number)
            moved = np.diff(chain, axis=0) != 0
            moves = moved.any(axis=1).sum()
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
    places = []
    for axis, i in zip(axes, at, strict=True):
        places.append(str(i) if axis.labels is None else axis.labels[i])
    return f"{latent}[{','.join(places)}]"


def is_whole(values: Array) -> bool:
    """Whether these draws are whole numbers: no continuous law gives only such."""
    if not np.isfinite(values).all() or np.abs(values).max() >= WHOLE:
        return False
    return bool((values == np.rint(values)).all())


def _varies(values: Array) -> bool:
    return bool(np.isnan(values).any()) or _spread(values) > _rounding(values)


def _spread(values: Array) -> float:
    return float(np.ptp(values))


def _rounding(values: Array) -> float:
    """Spread that rounding alone may make."""
    return float(ROUNDING * np.abs(values).max())


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
    """Rank R-hat, bulk and tail effective sample size of draws (chain, draw) of whole numbers."""
    draws = split(values[None, None])
    scores = normal_scores(draws)
    folded = np.abs(draws - np.median(draws))
    hats = [r_hat(normal_scores(side)) for side in (draws, folded) if np.ptp(side) > 0]
    tails = [ess(tail.astype(np.float64))[0, 0] for tail in _tails(draws)]
    bulk = ess(scores)[0, 0]
    if values.shape[0] == 1:
        return np.nan, np.nan, np.nan
    return float(np.max(hats)), float(bulk), float(np.min(tails))


def _tails(draws: Array) -> list[npt.NDArray[np.bool_]]:
    """Indicators of the lowest and the highest values.

    They are 5 % of the mass, else all but the commonest value there.
    """
    low, high = np.quantile(draws, (0.05, 0.95))
    lowest, highest = draws <= low, draws >= high
    if lowest.all():
        lowest = draws < low
    if highest.all():
        highest = draws > high
    return [lowest, highest]

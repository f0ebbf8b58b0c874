"""The frame of a metric: what it is, which pairs of forms it compares, and the loop over rows.

A kernel compares `rows`: two predictives with one leading axis, `(candidate, reference) -> (row,)`.
The frame drops the queries that do not apply, cuts the rest into blocks that stay in the
processor's cache, and refuses NaN. Values are never clipped, smoothed or repaired: a divergence of
-1e-17 is printed as such, and an infinite one as infinite.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ShapeError
from veribayes.predictive import LOG_SQRT_2PI, Array, Predictive
from veribayes.tree import IntArray

Kernel = Callable[..., Array]
BLOCK = (
    1 << 18
)  # elements of one temporary array: 2 MiB, so that a kernel's few temporaries stay in cache
TIED = 1e-9  # relative: probabilities and densities that differ by less are equal but for rounding


@dataclass(frozen=True, eq=False)
class Metric:
    """A score of a candidate's predictive against the reference's.

    Attributes:
        name: the part's name.
        symbol: how the literature writes it.
        unit: `nats`, `bits`, `1`, `observation` (the unit of y), or `observation squared`.
        ideal: value of a perfect candidate.
        needs: what it compares, in words.
        citation: source.
        kernels: (candidate form, reference form) -> kernel on rows.
        sees_outcome: whether kernels also take the realised value and an independent uniform
            number, both (row,).
    """

    name: str
    symbol: str
    unit: str
    ideal: float
    needs: str
    citation: str
    kernels: Mapping[tuple[str, str], Kernel] = field(repr=False)
    sees_outcome: bool = False

    def applies(self, candidate_form: str, reference_form: str) -> bool:
        """Whether this pair of forms can be compared."""
        return (candidate_form, reference_form) in self.kernels

    def score(
        self,
        candidate: Predictive,
        reference: Predictive,
        outcome: Array,
        *,
        index: IntArray | None = None,
    ) -> Array:
        """Score of every query, (dataset, position, query); NaN where `outcome` is NaN (the query
        does not apply).

        Args:
            candidate, reference: predictives with the leading shape of `outcome`.
            outcome: realised values.
            index: data set numbers (dataset,); randomised metrics draw their noise from them.
                Default: 0, 1, ….

        Raises:
            InputError: the forms cannot be compared by this metric.
            ShapeError: leading shapes differ.
            ArithmeticError: a score that applies came out as NaN; it is never passed on.
        """
        kernel = self._kernel(candidate, reference, outcome.shape)
        asked = ~np.isnan(outcome)
        extra: tuple[Array, ...] = ()
        if self.sees_outcome:
            random = uniforms(self.name, outcome.shape, index)
            extra = (outcome[asked], random[asked])
        scores = rowwise(kernel, candidate[asked], reference[asked], *extra)
        if np.isnan(scores).any():
            missing = int(np.isnan(scores).sum())
            text = f"{self.name} is NaN in {missing} of {scores.size} queries that apply"
            raise ArithmeticError(text)
        out = np.full(outcome.shape, np.nan)
        out[asked] = scores
        return out

    def _kernel(
        self, candidate: Predictive, reference: Predictive, shape: tuple[int, ...]
    ) -> Kernel:
        if not self.applies(candidate.form, reference.form):
            raise InputError(
                f"forms that {self.name} compares ({self.needs})",
                f"candidate '{candidate.form}', reference '{reference.form}'",
                "choose another metric",
            )
        if candidate.shape != shape or reference.shape != shape:
            raise ShapeError(
                f"candidate and reference with the leading shape {shape} of the outcomes",
                f"{candidate.shape} and {reference.shape}",
            )
        return self.kernels[candidate.form, reference.form]


def rowwise(
    kernel: Kernel, candidate: Predictive, reference: Predictive, *extra: Array | Predictive
) -> Array:
    """Apply a kernel to blocks of rows; the widest temporary has a row for each pair of trailing
    entries.
    """
    (rows,) = reference.shape
    step = max(1, BLOCK // (_width(candidate) * _width(reference)))
    parts = []
    for block in slices(rows, step):
        more = [each[block] for each in extra]
        parts.append(kernel(candidate[block], reference[block], *more))
    return np.concatenate(parts) if parts else np.empty(0)


def slices(rows: int, step: int) -> Iterator[slice]:
    """Consecutive slices of at most `step` rows."""
    return (slice(start, start + step) for start in range(0, rows, step))


def log_sum_exp(terms: Array) -> Array:
    """log of the sum of exp over the last axis but one: components before points, so that the sum
    runs along memory.
    """
    top = np.maximum(terms.max(-2), np.finfo(float).min)
    with np.errstate(divide="ignore"):
        total = np.exp(terms - top[..., None, :]).sum(-2)
        return np.asarray(top + np.log(total))


def normal_density(z: Array | float) -> Array:
    """Of a standard normal."""
    return np.asarray(np.exp(-0.5 * z * z - LOG_SQRT_2PI))


def uniforms(stream: str, shape: tuple[int, ...], index: IntArray | None = None) -> Array:
    """Uniform numbers in (0, 1) that are a function of (stream, data set number, place in the data
    set) alone.
    """
    datasets = np.arange(shape[0]) if index is None else index
    if datasets.shape != shape[:1]:
        raise ShapeError(f"one number a data set, ({shape[0]},)", f"{datasets.shape}")
    entries = np.arange(np.prod(shape[1:], dtype=np.int64))
    place = entries.reshape(shape[1:]).astype(np.uint64)
    key = np.uint64(zlib.crc32(stream.encode()))
    state = _splitmix(datasets.astype(np.uint64) ^ key)
    rows = state.reshape(-1, *[1] * place.ndim)
    bits = _splitmix(rows ^ _splitmix(place)[None])
    whole = (bits >> np.uint64(11)).astype(np.float64)
    return np.asarray((whole + 0.5) * 2.0**-53)


def _splitmix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64 (doi:10.1145/2714064.2660195): a bijection of 64 bits whose outputs look
    independent.
    """
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _width(law: Predictive) -> int:
    """Entries of a row's longest trailing axis."""
    widths = [1]
    for name, array in law.variables().items():
        if law.trailing[name]:
            widths.append(array.shape[-1])
    return max(widths)


def deciding(form: str, categories: bool) -> str:
    """The metric by which a candidate of this form is judged, where its tolerance is known before
    its answers.

    Bins by densities, since their masses alone do not see what lies inside a bin or a tail; draws
    and quantiles have none, and a point has nothing but its mean.
    """
    if form == "point":
        return "squared_error"
    if form == "bins":
        return "kl_density"
    if form not in ("draws", "quantiles"):
        return "kl"
    return "half_chi_square" if categories else "crps"

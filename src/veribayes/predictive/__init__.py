"""The six predictive forms: what a reference or a candidate may say about the next observation.

    form          variables (trailing axes)                           density  cdf
    categorical   probs[category], or log_probs[category]             yes      –
    normal        mean, sd                                            yes      yes
    mixture       weights, mean, sd [component]                       yes      yes
    bins          probs[bin] or log_probs[bin], edges[edge],          yes      yes
                  tail_scale[tail]
    quantiles     levels[level], values[level]                        no       yes
    draws         draws[draw]                                         no       yes

Every form has a leading shape (usually dataset, position, query). Methods that take points `y` expect that leading
shape plus one axis of points, `(*shape, points)`; nothing broadcasts. All arithmetic is NumPy float64.

A zero among probabilities is a statement only as far as the type of the numbers can make it. Two roundings give zeros: 1 - p
and a sigmoid do below half an ulp of 1, and a softmax far below that. So a zero may stand for any mass up to `zero_limit`:
1.1e-16 in float64, 6.0e-8 in float32, 4.9e-4 in float16, 3.9e-3 in bfloat16. Logarithms hold what probabilities cannot: minus
infinity in `log_probs` is zero, up to the rounding of the float64 numbers that it is compared with.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, logsumexp, ndtr, ndtri

from veribayes.errors import EntryError, InputError, ShapeError

Array = npt.NDArray[np.float64]
MASS_TOLERANCE = 1e-3  # float32 softmax over thousands of bins is off by 1e-6; three decades more is a different object
LOG_SQRT_2PI = 0.5 * float(np.log(2 * np.pi))
FLOAT64_LIMIT = 2.0**-53
ZERO_LIMITS = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}  # half an ulp of one
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Predictive(ABC):
    """A batch of predictive distributions with a common form and leading `shape`."""

    form: ClassVar[str]
    trailing: ClassVar[
        Mapping[str, str | None]
    ]  # variable -> its trailing dimension; None: one number
    shared: ClassVar[frozenset[str]] = frozenset()  # variables without the leading shape

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if value is not None:
                object.__setattr__(self, f.name, to_float64(value, f.name))
        self._check()

    @abstractmethod
    def _check(self) -> None: ...

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Leading shape."""

    @abstractmethod
    def expectation(self) -> Array:
        """Expectation; for categories, the probability-weighted index. Shape: the leading shape."""

    @abstractmethod
    def standard_deviation(self) -> Array:
        """Standard deviation. Shape: the leading shape."""

    def log_prob(self, y: npt.ArrayLike) -> Array:
        """Log density (or log mass) at `y` of shape (*shape, points), nats."""
        raise InputError(
            "a form with a density",
            f"'{self.form}'",
            "score it by CRPS, or return probabilities, bins or a mixture",
        )

    def cdf(self, y: npt.ArrayLike) -> Array:
        """Distribution function at `y` of shape (*shape, points)."""
        raise InputError(
            "an ordered form",
            f"'{self.form}'",
            "categories have no order; compare their probabilities",
        )

    @abstractmethod
    def quantile(self, u: npt.ArrayLike) -> Array:
        """Quantiles at levels `u` of shape (*shape, points)."""

    def sample(self, rng: np.random.Generator, draws: int) -> Array:
        """`draws` independent draws by inversion; shape (*shape, draws)."""
        return self.quantile(rng.random((*self.shape, draws)))

    def total_mass(self) -> Array:
        """Mass of the distribution; 1 up to rounding for every valid form."""
        return np.ones(self.shape)

    def variables(self) -> dict[str, Array]:
        """Field name -> array, without absent ones: the names under which the form is stored."""
        return {
            f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None
        }

    def __getitem__(self, key: Any) -> Predictive:
        """Index the leading dimensions."""
        return type(self)(
            **{n: v if n in self.shared else v[key] for n, v in self.variables().items()}
        )

    def _points(self, y: npt.ArrayLike) -> Array:
        out = to_float64(y)
        if out.ndim != len(self.shape) + 1 or out.shape[:-1] != self.shape:
            raise ShapeError(
                f"points of shape {(*self.shape, 'points')}",
                f"{out.shape}",
                "add a trailing axis of points",
            )
        return out


class Masses(Predictive):
    """What the two forms with probabilities share; no dataclass, so that each of them orders its fields itself.

    Attributes:
        probs: (..., cell).
        log_probs: their logarithms, where those were given; probs are then exp of them.
        zero_limit: the largest mass that a zero in probs may stand for, (...,); None: that of float64.
    """

    probs: Array
    log_probs: Array | None
    zero_limit: Array | None

    def __post_init__(self) -> None:
        limit = zero_limit_of(self.probs)
        if self.zero_limit is None and limit > FLOAT64_LIMIT:
            object.__setattr__(self, "zero_limit", np.full(np.shape(self.probs)[:-1], limit))
        super().__post_init__()

    def _normalise(self) -> None:
        if self.log_probs is None:
            object.__setattr__(self, "probs", _normalised(self.probs, "probs", self.zero_limits))
            return
        _same_shape(probs=self.probs, log_probs=self.log_probs)
        object.__setattr__(self, "log_probs", _log_normalised(self.log_probs))
        object.__setattr__(self, "probs", np.exp(self.log_probs))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.probs.shape[:-1]

    @property
    def log_masses(self) -> Array:
        """Logarithms of the probabilities, (..., cell); minus infinity for zeros, without a warning."""
        if self.log_probs is not None:
            return self.log_probs
        with np.errstate(divide="ignore"):
            return np.log(self.probs)

    @property
    def zero_limits(self) -> Array:
        """The largest mass that a zero may stand for, (...,)."""
        return np.full(self.shape, FLOAT64_LIMIT) if self.zero_limit is None else self.zero_limit

    def total_mass(self) -> Array:
        return self.probs.sum(-1)


@dataclass(frozen=True, eq=False)
class Categorical(Masses):
    """Probabilities over categories 0..K-1, zero-padded beyond a variable's own number of categories."""

    probs: Array  # (..., category)
    log_probs: Array | None = None  # (..., category)
    zero_limit: Array | None = None
    form: ClassVar[str] = "categorical"
    trailing: ClassVar[Mapping[str, str | None]] = {
        "probs": "category",
        "log_probs": "category",
        "zero_limit": None,
    }

    def _check(self) -> None:
        if self.probs.ndim < 1:
            raise ShapeError("probs with a trailing axis 'category'", f"{self.probs.shape}")
        self._normalise()

    def expectation(self) -> Array:
        return self.probs @ np.arange(self.probs.shape[-1], dtype=float)

    def standard_deviation(self) -> Array:
        k = np.arange(self.probs.shape[-1], dtype=float)
        return np.sqrt(np.maximum(self.probs @ k**2 - self.expectation() ** 2, 0.0))

    def log_prob(self, y: npt.ArrayLike) -> Array:
        index = self._points(y).astype(np.int64)
        return np.take_along_axis(self.log_masses, index, axis=-1)

    def quantile(self, u: npt.ArrayLike) -> Array:
        levels = self._points(u)
        below = np.cumsum(self.probs, axis=-1)[..., :-1]
        return (levels[..., None] > below[..., None, :]).sum(-1).astype(float)


@dataclass(frozen=True, eq=False)
class Normal(Predictive):
    """Normal with `mean` and standard deviation `sd` (not variance)."""

    mean: Array
    sd: Array
    form: ClassVar[str] = "normal"
    trailing: ClassVar[Mapping[str, str | None]] = {"mean": None, "sd": None}

    def _check(self) -> None:
        _same_shape(mean=self.mean, sd=self.sd)
        _finite("mean", self.mean)
        _positive("sd", self.sd)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mean.shape

    def expectation(self) -> Array:
        return self.mean

    def standard_deviation(self) -> Array:
        return self.sd

    def log_prob(self, y: npt.ArrayLike) -> Array:
        z = (self._points(y) - self.mean[..., None]) / self.sd[..., None]
        return -0.5 * z * z - np.log(self.sd)[..., None] - LOG_SQRT_2PI

    def cdf(self, y: npt.ArrayLike) -> Array:
        return np.asarray(ndtr((self._points(y) - self.mean[..., None]) / self.sd[..., None]))

    def quantile(self, u: npt.ArrayLike) -> Array:
        return np.asarray(self.mean[..., None] + self.sd[..., None] * ndtri(self._points(u)))


@dataclass(frozen=True, eq=False)
class NormalMixture(Predictive):
    """Finite mixture of normals; the last axis is the component."""

    weights: Array
    mean: Array
    sd: Array
    form: ClassVar[str] = "mixture"
    trailing: ClassVar[Mapping[str, str | None]] = {
        "weights": "component",
        "mean": "component",
        "sd": "component",
    }

    def _check(self) -> None:
        _same_shape(weights=self.weights, mean=self.mean, sd=self.sd)
        _finite("mean", self.mean, trailing=1)
        _positive("sd", self.sd, trailing=1)
        object.__setattr__(self, "weights", _normalised(self.weights, "weights"))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mean.shape[:-1]

    def expectation(self) -> Array:
        return (self.weights * self.mean).sum(-1)

    def standard_deviation(self) -> Array:
        centre = self.expectation()[..., None]
        return np.sqrt((self.weights * (self.sd**2 + (self.mean - centre) ** 2)).sum(-1))

    def log_prob(self, y: npt.ArrayLike) -> Array:
        z = (self._points(y)[..., None] - self.mean[..., None, :]) / self.sd[..., None, :]
        with np.errstate(divide="ignore"):
            log_terms = (
                np.log(self.weights)[..., None, :] - np.log(self.sd)[..., None, :] - 0.5 * z * z
            )
        return np.asarray(logsumexp(log_terms, axis=-1)) - LOG_SQRT_2PI

    def cdf(self, y: npt.ArrayLike) -> Array:
        z = (self._points(y)[..., None] - self.mean[..., None, :]) / self.sd[..., None, :]
        return np.asarray((self.weights[..., None, :] * ndtr(z)).sum(-1))

    def quantile(self, u: npt.ArrayLike) -> Array:
        """By bisection inside the components' own quantiles, to 60 halvings."""
        levels = self._points(u)
        each = self.mean[..., None, :] + self.sd[..., None, :] * ndtri(levels)[..., None]
        low, high = each.min(-1), each.max(-1)
        for _ in range(60):
            middle = 0.5 * (low + high)
            under = self.cdf(middle) < levels
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        return 0.5 * (low + high)

    def sample(self, rng: np.random.Generator, draws: int) -> Array:
        component = Categorical(self.weights).sample(rng, draws).astype(np.int64)
        noise = rng.standard_normal(component.shape)
        return (
            np.take_along_axis(self.mean, component, -1)
            + np.take_along_axis(self.sd, component, -1) * noise
        )


@dataclass(frozen=True, eq=False)
class Bins(Masses):
    """Bar distribution: uniform inside bins, half-normal tails outside the borders (arXiv 2112.10510).

    `edges` has C + 1 increasing borders, shared by the batch. With `tail_scale` (left, right; standard deviation of the
    normal whose half is used) `probs` has C + 2 cells, the tails first and last; without it C cells and no tails. Borders are
    finite: a half-line is a tail, and only a scale says how its mass lies on it.
    """

    probs: Array  # (..., bin)
    edges: Array  # (edge,)
    tail_scale: Array | None = None  # (tail,)
    log_probs: Array | None = None  # (..., bin)
    zero_limit: Array | None = None
    form: ClassVar[str] = "bins"
    trailing: ClassVar[Mapping[str, str | None]] = {
        "probs": "bin",
        "edges": "edge",
        "tail_scale": "tail",
        "log_probs": "bin",
        "zero_limit": None,
    }
    shared: ClassVar[frozenset[str]] = frozenset({"edges", "tail_scale"})

    def _check(self) -> None:
        _check_edges(self.edges)
        if self.tail_scale is not None:
            if self.tail_scale.shape != (2,):
                raise ShapeError(
                    "tail_scale of shape (2,): left, right", f"{self.tail_scale.shape}"
                )
            _positive("tail_scale", self.tail_scale, trailing=1)
        cells = self.edges.size - 1 + (2 if self.tail_scale is not None else 0)
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
        e = self.edges
        if self.tail_scale is None:
            return e[:-1], e[1:]
        return np.concatenate([[-np.inf], e]), np.concatenate([e, [np.inf]])

    def _with_tails(self) -> tuple[Array, Array, Array]:
        """Left mass, inner masses, right mass."""
        if self.tail_scale is None:
            zero = np.zeros(self.shape)
            return zero, self.probs, zero
        return self.probs[..., 0], self.probs[..., 1:-1], self.probs[..., -1]

    def _moment(self, power: int) -> Array:
        left, inner, right = self._with_tails()
        a, b = self.edges[:-1], self.edges[1:]
        out = inner @ ((a + b) / 2 if power == 1 else (a * a + a * b + b * b) / 3)
        if self.tail_scale is not None:
            half_mean = self.tail_scale * np.sqrt(2 / np.pi)
            lo, hi = self.edges[0], self.edges[-1]
            if power == 1:
                out = out + left * (lo - half_mean[0]) + right * (hi + half_mean[1])
            else:
                out = out + left * (lo**2 - 2 * lo * half_mean[0] + self.tail_scale[0] ** 2)
                out = out + right * (hi**2 + 2 * hi * half_mean[1] + self.tail_scale[1] ** 2)
        return np.asarray(out)

    def expectation(self) -> Array:
        return self._moment(1)

    def standard_deviation(self) -> Array:
        return np.sqrt(np.maximum(self._moment(2) - self._moment(1) ** 2, 0.0))

    def log_prob(self, y: npt.ArrayLike) -> Array:
        points, logs = self._points(y), self.log_masses
        inner = logs if self.tail_scale is None else logs[..., 1:-1]
        cell = np.clip(
            np.searchsorted(self.edges, points, side="right") - 1, 0, inner.shape[-1] - 1
        )
        out = np.take_along_axis(inner, cell, -1) - np.log(np.diff(self.edges))[cell]
        for outside, side in ((points < self.edges[0], 0), (points > self.edges[-1], 1)):
            tail = np.full(points.shape, -np.inf)
            if self.tail_scale is not None:
                z = (points - self.edges[-side]) / self.tail_scale[side]
                tail = (
                    logs[..., -side][..., None]
                    + np.log(2 / self.tail_scale[side])
                    - 0.5 * z * z
                    - LOG_SQRT_2PI
                )
            out = np.where(outside, tail, out)
        return out

    def cdf(self, y: npt.ArrayLike) -> Array:
        points = self._points(y)
        left, inner, right = self._with_tails()
        cell = np.clip(
            np.searchsorted(self.edges, points, side="right") - 1, 0, inner.shape[-1] - 1
        )
        below = left[..., None] + np.cumsum(inner, -1) - inner
        share = np.clip((points - self.edges[cell]) / np.diff(self.edges)[cell], 0.0, 1.0)
        out = np.take_along_axis(below, cell, -1) + share * np.take_along_axis(inner, cell, -1)
        if self.tail_scale is not None:
            z_left = np.minimum(points - self.edges[0], 0.0) / self.tail_scale[0]
            z_right = np.maximum(points - self.edges[-1], 0.0) / self.tail_scale[1]
            out = np.where(points < self.edges[0], left[..., None] * 2 * ndtr(z_left), out)
            out = np.where(
                points > self.edges[-1], 1.0 - right[..., None] * 2 * ndtr(-z_right), out
            )
        return np.asarray(out)

    def quantile(self, u: npt.ArrayLike) -> Array:
        levels = self._points(u)
        left, inner, right = self._with_tails()
        above = left[..., None] + np.cumsum(inner, -1)
        cell = np.minimum((levels[..., None] > above[..., None, :]).sum(-1), inner.shape[-1] - 1)
        mass = np.take_along_axis(inner, cell, -1)
        start = np.take_along_axis(above, cell, -1) - mass
        share = np.divide(levels - start, mass, out=np.full(mass.shape, 0.5), where=mass > 0)
        out = self.edges[cell] + np.clip(share, 0.0, 1.0) * np.diff(self.edges)[cell]
        if self.tail_scale is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                low = self.edges[0] + self.tail_scale[0] * ndtri(levels / (2 * left[..., None]))
                high = self.edges[-1] - self.tail_scale[1] * ndtri(
                    (1 - levels) / (2 * right[..., None])
                )
            out = np.where(levels < left[..., None], low, out)
            out = np.where(levels > 1 - right[..., None], high, out)
        return np.asarray(out)


@dataclass(frozen=True, eq=False)
class Quantiles(Predictive):
    """Values at increasing probability levels, shared by the batch; the cdf is linear between them."""

    levels: Array  # (level,)
    values: Array  # (..., level)
    form: ClassVar[str] = "quantiles"
    trailing: ClassVar[Mapping[str, str | None]] = {"levels": "level", "values": "level"}
    shared: ClassVar[frozenset[str]] = frozenset({"levels"})

    def _check(self) -> None:
        inside = (
            self.levels.ndim == 1
            and self.levels.size >= 2
            and self.levels[0] > 0
            and self.levels[-1] < 1
        )
        if not inside or not np.all(np.diff(self.levels) > 0):
            raise ShapeError(
                "levels: one axis of at least two increasing numbers inside (0, 1)",
                f"shape {self.levels.shape}",
            )
        if not self.values.ndim or self.values.shape[-1] != self.levels.size:
            raise ShapeError(
                f"{self.levels.size} values, one a level", f"values of shape {self.values.shape}"
            )
        _finite("values", self.values, trailing=1)
        crossing = np.diff(self.values, axis=-1) < 0
        _refuse(
            crossing,
            1,
            "values that do not decrease in the level",
            "crossing quantiles",
            "sort them, or say so",
        )

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape[:-1]

    def expectation(self) -> Array:
        return np.asarray(np.trapezoid(self._full_values(), self._full_levels(), axis=-1))

    def standard_deviation(self) -> Array:
        second = np.trapezoid(self._full_values() ** 2, self._full_levels(), axis=-1)
        return np.sqrt(np.maximum(second - self.expectation() ** 2, 0.0))

    def _full_levels(self) -> Array:
        return np.concatenate([[0.0], self.levels, [1.0]])

    def _full_values(self) -> Array:
        return np.concatenate([self.values[..., :1], self.values, self.values[..., -1:]], -1)

    def cdf(self, y: npt.ArrayLike) -> Array:
        points = self._points(y)
        out = np.empty(points.shape)
        levels, knots = self._full_levels(), self._full_values()
        for i in np.ndindex(self.shape):
            out[i] = np.interp(points[i], knots[i], levels, left=0.0, right=1.0)
        return out

    def quantile(self, u: npt.ArrayLike) -> Array:
        levels = self._points(u)
        out = np.empty(levels.shape)
        for i in np.ndindex(self.shape):
            out[i] = np.interp(levels[i], self.levels, self.values[i])
        return out


@dataclass(frozen=True, eq=False)
class Draws(Predictive):
    """Independent draws; their order carries no information. Categories are drawn as their index.

    `again` is the answer to a second request, where there was one: it shows how far answers scatter, so that no score has to
    assume it. Moments, quantiles and the cdf are those of the first answer.
    """

    draws: Array  # (..., draw)
    again: Array | None = None  # (..., draw_again); their number may differ
    form: ClassVar[str] = "draws"
    trailing: ClassVar[Mapping[str, str | None]] = {"draws": "draw", "again": "draw_again"}

    def _check(self) -> None:
        for name, draws in self.variables().items():
            if draws.ndim < 1 or draws.shape[-1] < 2:
                raise ShapeError("at least two draws on the last axis", f"{draws.shape}")
            _finite(name, draws, trailing=1)
        if self.again is not None and self.again.shape[:-1] != self.shape:
            raise ShapeError(
                f"a second answer with the leading shape {self.shape}", f"{self.again.shape[:-1]}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return self.draws.shape[:-1]

    def expectation(self) -> Array:
        return self.draws.mean(-1)

    def standard_deviation(self) -> Array:
        return self.draws.std(-1, ddof=1)

    def cdf(self, y: npt.ArrayLike) -> Array:
        points = self._points(y)
        ordered = np.sort(self.draws, -1)
        out = np.empty(points.shape)
        for i in np.ndindex(self.shape):
            out[i] = np.searchsorted(ordered[i], points[i], side="right") / ordered.shape[-1]
        return out

    def quantile(self, u: npt.ArrayLike) -> Array:
        levels = self._points(u)
        ordered = np.sort(self.draws, -1)
        index = np.clip(
            np.ceil(levels * ordered.shape[-1]).astype(np.int64) - 1, 0, ordered.shape[-1] - 1
        )
        return np.take_along_axis(ordered, index, -1)

    def frequencies(self, categories: int) -> tuple[Array, int]:
        """Counts of categories 0..K-1, shape (*shape, category), and the number of draws."""
        return _counts(self.draws, categories), self.draws.shape[-1]

    def frequencies_again(self, categories: int) -> tuple[Array, int]:
        """The same of the second answer."""
        assert self.again is not None
        return _counts(self.again, categories), self.again.shape[-1]


FORMS: Mapping[str, type[Predictive]] = {
    "categorical": Categorical,
    "normal": Normal,
    "mixture": NormalMixture,
    "bins": Bins,
    "quantiles": Quantiles,
    "draws": Draws,
}


def as_predictive(output: object, shape: tuple[int, ...], n_categories: int | None) -> Predictive:
    """Read a candidate's output: a `Predictive` or a dict with the variables of one of the six forms.

    Args:
        output: what the candidate returned; torch, JAX and NumPy arrays are all accepted.
        shape: the leading shape it must have, (dataset, query) or (dataset, position, query).
        n_categories: number of categories of the support, or None for a real-valued support.

    Raises:
        ShapeError: an axis is missing, or there is one too many.
        InputError: unknown variables, a form that does not fit the support.
        EntryError: NaN, mass that is not one, and whatever else cannot be; with the first place.
    """
    try:
        found = output if isinstance(output, Predictive) else _from_mapping(output)
    except EntryError as error:
        raise error.placed(_place) if len(error.index) == len(shape) else error from None
    if found.shape != shape:
        names = ("dataset", "position", "query") if len(shape) == 3 else ("dataset", "query")
        wanted = ", ".join(f"{name}={size}" for name, size in zip(names, shape, strict=True))
        raise ShapeError(
            f"'{found.form}' with leading axes ({wanted})",
            f"{found.shape}",
            "return one distribution per data set and query; extra axes are never broadcast",
        )
    discrete = n_categories is not None
    if discrete != (found.form == "categorical") and found.form != "draws":
        raise InputError(
            "a form that fits the support " + ("(categories)" if discrete else "(real line)"),
            f"'{found.form}'",
            "return probs[category]"
            if discrete
            else "return mean and sd, a mixture, bins, quantiles or draws",
        )
    if isinstance(found, Categorical) and found.probs.shape[-1] != n_categories:
        raise ShapeError(
            f"{n_categories} categories",
            f"probs of shape {found.probs.shape}",
            "pad variables with fewer categories by zeros",
        )
    return found


def stack(parts: Sequence[Predictive], axis: int) -> Predictive:
    """Join predictives of one form along a new leading axis (positions become one branch)."""
    return _joined(parts, lambda arrays: np.stack(arrays, axis))


def concatenate(parts: Sequence[Predictive], axis: int = 0) -> Predictive:
    """Join predictives of one form along an existing leading axis (shards become one branch)."""
    return _joined(parts, lambda arrays: np.concatenate(arrays, axis))


def to_float64(value: object, name: str = "") -> Array:
    """NumPy float64 from a NumPy, JAX or torch array (detached, copied to the host) or nested lists.

    Masked entries become NaN, so that no form takes them for numbers. Complex numbers, text and times are refused.
    """
    wanted = "an array of numbers" + (f" for '{name}'" if name else "")
    try:
        return _real(value)
    except (TypeError, ValueError) as error:
        raise ShapeError(wanted, type(value).__name__, str(error)) from None


def _real(value: Any) -> Array:
    if callable(getattr(value, "detach", None)):
        if getattr(value, "is_complex", bool)():
            raise TypeError(f"{value.dtype} is not real")
        value = value.detach().cpu().double().numpy()
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(np.float64), np.nan)
    array = np.asarray(value)
    if array.dtype.kind in "cSUMm":  # would be converted in silence
        raise TypeError(f"{array.dtype} is not real")
    if array.dtype.kind == "O" and any(
        isinstance(entry, str | bytes | np.datetime64) for entry in array.flat
    ):
        raise TypeError("an array of objects that are not numbers")
    return np.asarray(array, dtype=np.float64)


def zero_limit_of(value: object) -> float:
    """The largest mass that a zero in this array may stand for: half the distance of 1 to its neighbour in its type."""
    kind = str(getattr(value, "dtype", "") or np.asarray(value).dtype).removeprefix("torch.")
    return ZERO_LIMITS.get(kind, FLOAT64_LIMIT)


def log_normal_interval(low: Array, high: Array) -> Array:
    """log P(low < Z < high) for a standard normal, through the smaller tail so that nothing cancels."""
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    upper, lower = log_ndtr(b), log_ndtr(a)
    with np.errstate(divide="ignore"):
        return np.asarray(upper + np.log1p(-np.exp(np.minimum(lower - upper, 0.0))))


def _from_mapping(output: object) -> Predictive:
    if not isinstance(output, Mapping):
        raise InputError(
            "a Predictive or a dict with probs, or mean and sd, or draws, …", type(output).__name__
        )
    given = {str(k): v for k, v in output.items() if str(k) not in ("form", "n_categories")}
    if {"probs", "log_probs"} <= given.keys():
        raise InputError("probs or log_probs", "both", "return one of them")
    names = {"probs" if name == "log_probs" else name for name in given}
    form = Bins if {"probs", "edges"} <= names else _KEYS.get(frozenset(names))
    if form is None:
        hints = [hint for words, hint in _HINTS.items() if set(words) & names]
        hint = hints[0] if hints else "see the six predictive forms"
        raise InputError("the variables of one predictive form", f"{sorted(given)}", hint)
    if "log_probs" in given:
        logs = to_float64(given["log_probs"], "log_probs")
        with np.errstate(over="ignore"):
            given = {**given, "probs": np.exp(logs), "log_probs": logs}
    return form(**given)


_KEYS: Mapping[frozenset[str], type[Predictive]] = {
    frozenset({"probs"}): Categorical,
    frozenset({"mean", "sd"}): Normal,
    frozenset({"weights", "mean", "sd"}): NormalMixture,
    frozenset({"levels", "values"}): Quantiles,
    frozenset({"draws"}): Draws,
}
_HINTS = {
    ("var", "variance"): "a variance is not an sd: return sd",
    ("logits",): "return log_probs, after a log-softmax",
    ("log_prob", "logprobs"): "return log_probs",
}


def _place(index: tuple[int, ...]) -> str:
    """Where a distribution stands in a batch (dataset, query) or (dataset, position, query)."""
    names = ("data set", "position", "query") if len(index) == 3 else ("data set", "query")
    return "in " + ", ".join(f"{name} {i}" for name, i in zip(names, index, strict=True))


def _joined(parts: Sequence[Predictive], join: Any) -> Predictive:
    forms = {p.form for p in parts}
    if len(forms) != 1:
        raise InputError(
            "one predictive form throughout a run",
            f"{sorted(forms)}",
            "return the same form at every position",
        )
    first = parts[0]
    for name in first.shared:
        if any(
            not np.array_equal(p.variables().get(name, 0.0), first.variables().get(name, 0.0))
            for p in parts
        ):
            raise InputError(f"the same '{name}' throughout a run", "different ones")
    shared = {n: v for n, v in first.variables().items() if n in first.shared}
    names = {n: None for p in parts for n in p.variables() if n not in first.shared}
    joined = {n: join([_variable(p, n) for p in parts]) for n in names}
    return type(first)(**joined, **shared)


def _counts(draws: Array, categories: int) -> Array:
    """How often each category was drawn, (*leading, category)."""
    index = draws.astype(np.int64)
    if index.size and (np.any(index != draws) or index.min() < 0 or index.max() >= categories):
        raise InputError(
            f"draws that are categories 0..{categories - 1}",
            "other values",
            "return the index of the category",
        )
    rows = index.reshape(-1, index.shape[-1])
    cells = rows + categories * np.arange(len(rows))[:, None]
    counts = np.bincount(cells.ravel(), minlength=len(rows) * categories)
    return counts.reshape(*draws.shape[:-1], categories).astype(float)


def _variable(part: Predictive, name: str) -> Array:
    """A variable that some parts have; of those without it, what it would be."""
    if isinstance(part, Masses) and name == "log_probs":
        return part.log_masses
    if isinstance(part, Masses) and name == "zero_limit":
        return part.zero_limits
    return part.variables()[name]


def _check_edges(edges: Array) -> None:
    if edges.ndim != 1 or edges.size < 2:
        raise ShapeError(
            "edges: one axis of increasing borders, shared by the batch", f"shape {edges.shape}"
        )
    if not np.all(np.isfinite(edges)):
        first = int(np.flatnonzero(~np.isfinite(edges))[0])
        remedy = "leave a half-line out of the edges: tail_scale gives it a cell and says how its mass lies on it"
        raise InputError(
            "finite edges", f"{edges[first]} as border {first} of {edges.size}", remedy
        )
    with np.errstate(over="ignore"):
        width = np.diff(edges)
    if not np.all((width > 0) & np.isfinite(width)):
        first = int(np.flatnonzero(~((width > 0) & np.isfinite(width)))[0])
        raise InputError(
            "increasing edges",
            f"{edges[first]:g} before {edges[first + 1]:g}, borders {first} and {first + 1}",
        )


def _normalised(probs: Array, name: str, limits: Array | float = 0.0) -> Array:
    """The probabilities over their sum, which may be off by what the type of the numbers rounds."""
    wanted, remedy = f"{name} that are finite and not negative", "return probabilities, not logits"
    _refuse(~(np.isfinite(probs) & (probs >= 0)), 1, wanted, probs, remedy)
    total = probs.sum(-1, keepdims=True)
    off = np.abs(total - 1) > np.maximum(MASS_TOLERANCE, np.asarray(limits)[..., None])
    _refuse(
        off,
        1,
        f"{name} that sum to 1",
        total,
        "apply a softmax, or check which axis is the category",
    )
    return np.asarray(probs / total)


def _log_normalised(logs: Array) -> Array:
    """Log probabilities, less the logarithm of their sum."""
    wanted = "log_probs that are numbers or minus infinity"
    _refuse(
        np.isnan(logs) | np.isposinf(logs),
        1,
        wanted,
        logs,
        "minus infinity stands for an impossible outcome",
    )
    total = (
        np.asarray(logsumexp(logs, axis=-1, keepdims=True))
        if logs.size
        else np.zeros((*logs.shape[:-1], 1))
    )
    off = ~(np.abs(np.expm1(np.minimum(total, 1.0))) <= MASS_TOLERANCE)
    _refuse(
        off,
        1,
        "log_probs whose exponentials sum to 1",
        np.exp(np.minimum(total, 700.0)),
        "apply a log-softmax",
    )
    return np.asarray(logs - total)


def _refuse(
    bad: Mask, trailing: int, expected: str, problem: str | Array, remedy: str = ""
) -> None:
    """Raise an `EntryError` where anything is bad.

    Args:
        bad: which entries, with `trailing` axes behind the leading shape.
        problem: what is wrong, or the values, of which the first bad one is shown.
    """
    if not bad.any():
        return
    entry = tuple(int(i) for i in np.argwhere(bad)[0])
    shown = problem if isinstance(problem, str) else _number(float(problem[entry]))
    rows = bad.any(axis=tuple(range(bad.ndim - trailing, bad.ndim)))
    raise EntryError(
        expected, shown, remedy, entry[: bad.ndim - trailing], int(rows.sum()), rows.size
    )


def _number(value: float) -> str:
    return "NaN" if np.isnan(value) else f"{value:.6g}"


def _same_shape(**arrays: Array) -> None:
    if len({a.shape for a in arrays.values()}) != 1:
        raise ShapeError(
            "equal shapes of " + ", ".join(arrays),
            ", ".join(str(a.shape) for a in arrays.values()),
            "an extra axis is an error, never a broadcast",
        )


def _finite(name: str, array: Array, trailing: int = 0) -> None:
    _refuse(~np.isfinite(array), trailing, f"finite {name}", array)


def _positive(name: str, array: Array, trailing: int = 0) -> None:
    remedy = (
        ""
        if name != "sd"
        else "an sd below what the type of the numbers holds becomes 0: compute in float64"
    )
    _refuse(~(np.isfinite(array) & (array > 0)), trailing, f"positive finite {name}", array, remedy)

"""Mixture of transition distributions: a Markov chain of order m whose law is a mixture of m
first-order steps.

    weights ~ Dirichlet(concentration 1_m),   P(Y_t = y | past) = sum_g weights_g pi_g(y_{t-g}, y),
    g = 1..m

The transition matrices pi_g are known and shared by all sequences; only the weights of a sequence
are unknown. The first m symbols are independent and uniform. Raftery, J. R. Stat. Soc. B 47 (1985)
528; Berchtold & Raftery, Stat. Sci. 17 (2002) 328.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ModelError
from veribayes.models._check import integer, mapping, number, shown
from veribayes.models._data import array_of, require_codes, require_length
from veribayes.models._layout import Layout
from veribayes.models._model import Distance, Groups, Infer, Model, Table, Variable, log_in_turn
from veribayes.models._random import integers, keys, log_gamma, uniforms
from veribayes.models._task import Design
from veribayes.models.mtd import _views
from veribayes.predictive import Array, Categorical, Predictive
from veribayes.tree import Data, IntArray, Simulation
from veribayes.tree.shown import Example, Shown

if TYPE_CHECKING:
    import jax

MOST_LAGS = 4  # a grid over more lag weights is too large for long prefixes
ROW_SUM_TOLERANCE = 1e-9  # a matrix is written for this model, so there is no rounding to forgive


@dataclass(frozen=True)
class MTD(Model):
    """A mixture of transition distributions over q symbols and m lags.

    Attributes:
        q, m: number of symbols and of lags.
        concentration: parameter of the symmetric Dirichlet law of the weights.
        matrix_seed: draw the matrix rows from Dirichlet(1) with this seed (0 unless given), or take
        matrix: rows of probabilities, (q, q), or (m, q, q) with `per_lag`.
        per_lag: one matrix for each lag instead of a shared one (MTDg).

    Raises:
        ModelError: a value outside its range, or rows that are no distributions.
    """

    q: int
    m: int
    concentration: float = 1.0
    matrix_seed: int | None = None
    matrix: Any = None  # stored as nested tuples of floats
    per_lag: bool = False
    kind: ClassVar[str] = "mtd"

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "q", integer("q", self.q, at_least=2, at_most=4096))
        put(self, "m", integer("m", self.m, at_least=1, at_most=256))
        put(self, "concentration", number("concentration", self.concentration, above=0))
        if not isinstance(self.per_lag, bool):
            raise ModelError("true or false for 'per_lag'", shown(self.per_lag))
        if self.matrix is None:
            seed = 0 if self.matrix_seed is None else self.matrix_seed
            put(self, "matrix_seed", integer("matrix_seed", seed, at_least=0))
        elif self.matrix_seed is None:
            put(self, "matrix", _nested(self._checked_matrix()))
        else:
            raise ModelError("either a matrix or a matrix_seed", "both")

    @property
    def n_categories(self) -> int:
        return self.q

    @property
    def latents(self) -> tuple[Variable, ...]:
        return (Variable("weights", ("lag",), "simplex"),)

    @cached_property
    def matrices(self) -> Array:
        """pi, (m, q, q): the lag, the symbol at that lag, the next symbol."""
        shape = (self.m if self.per_lag else 1, self.q, self.q)
        if self.matrix is not None:
            rows = np.array(self.matrix).reshape(shape)
        else:
            # normalised exponentials by hand: NumPy may change how it draws a Dirichlet, but not
            # its uniforms
            rng = np.random.Generator(np.random.PCG64(self.matrix_seed))
            exponentials = -np.log1p(-rng.random(shape))
            rows = exponentials / exponentials.sum(-1, keepdims=True)
        return np.array(np.broadcast_to(rows, (self.m, self.q, self.q)))

    @property
    def layout(self) -> Layout:
        return _views.SYMBOLS

    # -- helpers of every engine -------------------------------------------------------------------

    def likelihood_terms(self, y: IntArray) -> Array:
        """a[t, g] = pi_g(y_{t-g}, y_t), (B, T) -> (B, T, m); ones for t < m, where the weights play
        no part.
        """
        terms = np.ones((*y.shape, self.m))
        following = y[:, self.m :]
        for g in range(self.m):
            at_lag = y[:, self.m - g - 1 : y.shape[1] - g - 1]
            terms[:, self.m :, g] = self.matrices[g][at_lag, following]
        return terms

    def next_rows(self, y: IntArray, t: int) -> Array:
        """pi_g(y_{t-g}, .) for the symbol after the prefix of length t >= m, (B, m, q)."""
        rows = [self.matrices[g][y[:, t - g - 1]] for g in range(self.m)]
        return np.stack(rows, axis=1)

    def next_symbol(self, weights: Array, y: IntArray, t: int) -> Array:
        """Probabilities (B, q) of the symbol after the prefix of length t, for weights (B, m)."""
        return np.einsum("bg,bgk->bk", weights, self.next_rows(y, t))

    # -- the protocol of a model -------------------------------------------------------------------

    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "q": self.q,
            "m": self.m,
            "concentration": self.concentration,
            "per_lag": self.per_lag,
        }
        if self.matrix is None:
            return {**spec, "matrix_seed": self.matrix_seed}
        return {**spec, "matrix": np.array(self.matrix).tolist()}

    @classmethod
    def from_spec(cls, spec: Any) -> MTD:
        """The model that `spec` describes."""
        allowed = ["q", "m", "concentration", "matrix_seed", "matrix", "per_lag"]
        return cls(**mapping("an mtd", spec, allowed=allowed, required=["q", "m"]))

    def default_design(self) -> Design:
        usual = tuple(t for t in (4, 8, 16, 32, 64, 128) if t >= self.m)
        return Design(usual or (self.m, 2 * self.m))

    def defaults(self) -> dict[str, Any]:
        reference, second_route = "simplex_quadrature", "lag_counts"
        if self.m > MOST_LAGS:
            reference, second_route = "lag_quasi_monte_carlo", "nuts"
        return {
            "reference": reference,
            "second_route": second_route,
            "rivals": ("mirror_descent",),
            "wrong_prior": {"concentration": 0.3 * self.concentration},
        }

    def simulate(self, design: Design, seed: int, stream: str, index: IntArray) -> Simulation:
        """Draw data sets: `y` (B, T), T the largest position; the outcome is the symbol after each
        prefix.
        """
        import jax

        if design.positions[0] < self.m:
            wanted = f"positions of at least m = {self.m}"
            remedy = "the first m symbols are uniform"
            raise InputError(wanted, f"{design.positions[0]}", remedy)
        positions = np.array(design.positions, dtype=np.int64)
        with jax.enable_x64(True):
            simulator = _simulator(self, int(positions[-1]) + 1)
            drawn = simulator(keys(seed, stream, index), self.matrices)
            weights, y = map(np.array, drawn)
        context = np.broadcast_to(positions, (index.size, positions.size)).copy()
        outcome = y[:, positions, None].astype(np.float64)
        data = Data({"y": y[:, :-1]}, positions, index)
        return Simulation(data, {"weights": weights}, outcome, context)

    def inputs(self, data: Data, position: int) -> tuple[Any, Any]:
        """(the prefix y[:, :t], None)."""
        return data.arrays["y"][:, : data.positions[position]], None

    def require_data(self, data: Data) -> None:
        """Refuse sequences with other symbols than 0, …, q - 1.

        Raises:
            InputError: no symbol, other axes, or fewer symbols than a position asks for.
        """
        y = array_of(data, "y", [len(data.index), "time"])
        longest = require_length(data, "y", y.shape[1])
        require_codes("y", y[:, :longest], self.q, data=data)

    def program(self, a: jax.Array) -> None:
        """weights ~ Dirichlet; each row of a (T, m) contributes log sum_g a_g weights_g."""
        import jax.numpy as jnp
        import numpyro
        from numpyro import distributions as dist

        weights = numpyro.sample("weights", dist.Dirichlet(jnp.full(self.m, self.concentration)))
        numpyro.factor("symbols", jnp.log(a @ weights).sum())

    def program_data(self, data: Data, position: int) -> dict[str, npt.NDArray[Any]]:
        """`a` (B, T, m) with ones beyond the prefix,
        so that one compilation serves every prefix.
        """
        a = self.likelihood_terms(data.arrays["y"])
        a[:, data.positions[position] :] = 1.0
        return {"a": a}

    def latent_mask(self, data: Data, position: int) -> dict[str, npt.NDArray[np.bool_]]:
        del position  # every weight is meaningful at every prefix
        return {"weights": np.ones((data.index.size, self.m), dtype=bool)}

    def conditional(
        self, latent_draws: Mapping[str, Array], data: Data, position: int
    ) -> Predictive:
        """Probabilities (B, 1, q) averaged over the draws of the weights (B, S, m)."""
        mean = np.asarray(latent_draws["weights"], dtype=np.float64).mean(1)
        length = int(data.positions[position])
        probs = self.next_symbol(mean, data.arrays["y"], length)
        return Categorical(probs[:, None])

    def log_evidence(self, data: Data, infer: Infer) -> Array:
        """Symbol by symbol; the first m are uniform."""
        first = np.full(len(data.index), -min(self.m, int(data.positions[0])) * np.log(self.q))
        return first + log_in_turn(data, "y", self.m, infer)

    def prior_predictive(self, data: Data) -> Predictive:
        """Equal weights of all lags on the last m symbols;
        a uniform symbol after a shorter prefix.
        """
        weights = np.full((data.index.size, self.m), 1 / self.m)
        uniform = np.full((data.index.size, self.q), 1 / self.q)
        by_position = []
        for t in data.positions.tolist():
            probs = uniform
            if t >= self.m:
                probs = self.next_symbol(weights, data.arrays["y"], t)
            by_position.append(probs)
        return Categorical(np.stack(by_position, axis=1)[:, :, None])

    # -- for readers -------------------------------------------------------------------------------

    def sentence(self) -> str:
        return _views.sentence(self)

    def show(self, example: Example) -> Shown:
        return _views.example(example)

    def groups(self, data: Data, sizes: Groups) -> Groups:
        return _views.groups(self, data)

    def distance(self, context: Any, query: Any) -> Distance:
        return _views.distance(self, context)

    def known_tables(self, length: int) -> Sequence[Table]:
        return _views.tables(self, length)

    def _checked_matrix(self) -> Array:
        shape = (self.m, self.q, self.q) if self.per_lag else (self.q, self.q)
        try:
            matrix = np.array(self.matrix, dtype=np.float64)
        except (TypeError, ValueError):
            raise ModelError("a matrix of numbers", shown(self.matrix)) from None
        if matrix.shape != shape:
            raise ModelError(f"a matrix of shape {shape}", f"{matrix.shape}")
        total = matrix.sum(-1)
        proper = np.all(np.isfinite(matrix) & (matrix >= 0))
        if not proper or np.any(np.abs(total - 1) > ROW_SUM_TOLERANCE):
            sums = f"sums from {total.min():g} to {total.max():g}"
            raise ModelError("matrix rows that are >= 0 and sum to one", sums)
        return matrix


def _nested(a: Array) -> Any:
    """Nested tuples: hashable, and equal exactly when the numbers are."""
    return tuple(_nested(x) for x in a) if a.ndim > 1 else tuple(a.tolist())


@lru_cache(maxsize=16)
def _simulator(model: MTD, length: int) -> Any:
    """Compiled keys (B,), matrices (m, q, q) -> weights (B, m), y (B, length)."""
    import jax
    import jax.numpy as jnp

    shapes = [(model.m,), (model.m,), (length - model.m,)]

    def one(key: jax.Array, matrices: jax.Array) -> tuple[jax.Array, jax.Array]:
        for_weights, for_start, for_rest = uniforms(key, *shapes)
        log_gammas = log_gamma(key, for_weights, model.concentration)
        weights = jax.nn.softmax(log_gammas)
        start = integers(for_start, model.q)

        def step(recent: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
            """The next symbol, where recent[g] = y_{t-1-g}."""
            rows = matrices[jnp.arange(model.m), recent]
            above = jnp.cumsum(weights @ rows)
            symbol = (u >= above[:-1] / above[-1]).sum()
            return jnp.concatenate([symbol[None], recent[:-1]]), symbol

        _, rest = jax.lax.scan(step, start[::-1], for_rest)
        return weights, jnp.concatenate([start, rest])

    return jax.jit(jax.vmap(one, in_axes=(0, None)))


__all__ = ["MTD"]

PART = MTD

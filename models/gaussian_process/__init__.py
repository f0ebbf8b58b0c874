"""Gaussian process regression: y_i = f(x_i) + e_i, f ~ GP(0, kernel), e_i ~ N(0, noise_sd^2).

Hyperparameters are fixed numbers or have a prior. Their names in `theta` are `noise_sd` and `kernel.<name>`, for example
`kernel.lengthscale`, or `kernel.0.lengthscale` inside a sum or product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from veribayes.errors import ModelError, ShapeError
from veribayes.models._check import choice, integer, mapping
from veribayes.models._data import array_of, require_finite, require_length
from veribayes.models._kernels import (
    RBF,
    Grid,
    Hyper,
    HyperPrior,
    Kernel,
    Linear,
    LogNormal,
    LogUniform,
    Matern12,
    Matern32,
    Matern52,
    Periodic,
    Product,
    Sum,
    Theta,
    below,
    hyper,
    kernel_from_spec,
    plain,
)  # fmt: skip
from veribayes.models._layout import Layout
from veribayes.models._model import Distance, Draw, Groups, Model, Variable
from veribayes.models._random import keys, normal, uniforms
from veribayes.models._task import Design
from veribayes.models.gaussian_process import _views
from veribayes.predictive import Array, NormalMixture, Predictive
from veribayes.tree import Data, IntArray, Simulation
from veribayes.tree.shown import Example, Shown

if TYPE_CHECKING:
    import jax

SPLIT = (
    1e-6  # share of the noise variance that keeps the factorisation of K proper; see `_simulator`
)
RANK_TOLERANCE = (
    1e-12  # eigenvalues of K below this share of the largest are rounding, not information
)


class PointsContext(NamedTuple):
    """Observed points: x (dataset, n, d), y (dataset, n)."""

    x: Array
    y: Array


@dataclass(frozen=True)
class GaussianProcess(Model):
    """Gaussian process regression.

    Attributes:
        kernel: covariance function of f.
        noise_sd: standard deviation (not variance) of the noise, or its prior.
        d: dimension of x.
        input_law: `normal`: x ~ N(0, I_d / d); `uniform`: x ~ U[0, 1]^d.

    Raises:
        ModelError: a value outside its range, or a kernel that does not fit the dimension.
    """

    kernel: Kernel
    noise_sd: Hyper
    d: int = 1
    input_law: str = "normal"
    kind: ClassVar[str] = "gaussian_process"

    def __post_init__(self) -> None:
        object.__setattr__(self, "d", integer("d", self.d, at_least=1, at_most=4096))
        object.__setattr__(self, "noise_sd", hyper("noise_sd", self.noise_sd))
        choice("input_law", self.input_law, ("normal", "uniform"))
        if not isinstance(self.kernel, Kernel):
            raise ModelError(
                "a Kernel",
                type(self.kernel).__name__,
                "for example RBF(amplitude=1.0, lengthscale=0.8)",
            )
        self.kernel.check(self.d)

    @property
    def layout(self) -> Layout:
        return _views.POINTS

    # -- hyperparameters ----------------------------------------------------------------------------------------------

    @property
    def priors(self) -> dict[str, HyperPrior]:
        """The hyperparameters that have a prior, by name."""
        noise = {"noise_sd": self.noise_sd} if isinstance(self.noise_sd, HyperPrior) else {}
        return {**{f"kernel.{n}": p for n, p in self.kernel.priors().items()}, **noise}

    @property
    def fixed(self) -> bool:
        """Whether every hyperparameter is a number."""
        return not self.priors

    def hyper_nodes(self, n: int = 24) -> tuple[dict[str, Array], Array]:
        """Product quadrature over the hyperparameters.

        Args:
            n: nodes for each continuous hyperprior; grids are summed exactly.

        Returns:
            theta: name -> (node,), always with `noise_sd`; prior weights (node,), sum one. One node when all are fixed.
        """
        names, laws = list(self.priors), [p.nodes(n) for p in self.priors.values()]
        weights = np.array([np.prod(w) for w in product(*(w for _, w in laws))])
        values = np.array(list(product(*(at for at, _ in laws)))).reshape(weights.size, len(names))
        theta = {name: values[:, i] for i, name in enumerate(names)}
        return self._with_noise(theta, weights.shape), weights

    def covariance(self, x: jax.Array, z: jax.Array, theta: Theta) -> jax.Array:
        """Covariance (n, k) of f(x), f(z) for x (n, d), z (k, d): pure JAX."""
        return self.kernel(x, z, below("kernel.", theta))

    def variance(self, x: jax.Array, theta: Theta) -> jax.Array:
        """Variance (n,) of f(x) for x (n, d): pure JAX."""
        return self.kernel.variance(x, below("kernel.", theta))

    def _with_noise(self, theta: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
        return (
            dict(theta)
            if "noise_sd" in self.priors
            else {**theta, "noise_sd": np.full(shape, self.noise_sd)}
        )

    # -- the protocol of a model --------------------------------------------------------------------------------------

    @property
    def latents(self) -> tuple[Variable, ...]:
        """`f` at the context points when all hyperparameters are fixed, otherwise the hyperparameters with a prior."""
        if self.fixed:
            return (Variable("f", ("observation",), "real"),)
        return tuple(Variable(n, (), "positive") for n in self.priors)

    @property
    def enumerated(self) -> bool:
        """Whether a hyperparameter has a grid of values, whose posterior is a sum and nothing for a sampler of real latents."""
        return any(prior.discrete for prior in self.priors.values())

    def spec(self) -> dict[str, Any]:
        return {
            "kernel": self.kernel.spec(),
            "noise_sd": plain(self.noise_sd),
            "d": self.d,
            "input_law": self.input_law,
        }

    @classmethod
    def from_spec(cls, spec: Any) -> GaussianProcess:
        """The model that `spec` describes."""
        names = ["kernel", "noise_sd", "d", "input_law"]
        given = mapping("a gaussian_process", spec, allowed=names, required=names[:2])
        return cls(**{**given, "kernel": kernel_from_spec(given["kernel"])})

    def default_design(self) -> Design:
        return Design((1, 2, 4, 8, 16, 32, 64), queries=8)

    def defaults(self) -> dict[str, Any]:
        return {
            "reference": "cholesky",
            "second_route": "sequential",
            "rivals": ("kernel_descent",)
            if self.fixed
            else (),  # which needs to know the kernel and the noise
            "wrong_prior": self._wrong_hyperparameters(),
        }

    def _wrong_hyperparameters(self) -> dict[str, Any]:
        """An RBF kernel gets a lengthscale that is 25 % too long; any other model a noise that is 50 % too large."""
        kernel, noise = self.kernel, self.noise_sd
        if isinstance(kernel, RBF) and isinstance(kernel.lengthscale, float):
            return {"kernel": {**kernel.spec(), "lengthscale": 1.25 * kernel.lengthscale}}
        if isinstance(noise, float):
            return {"noise_sd": 1.5 * noise}
        at, weight = noise.nodes(8)
        return {"noise_sd": float(1.5 * at @ weight)}

    def simulate(self, design: Design, seed: int, stream: str, index: IntArray) -> Simulation:
        """Draw data sets: `x` (B, N, d), `y` (B, N), `x_query` (B, Q, d); the outcome is a noisy y at x_query.

        Latents: `f` (B, N) at the context points, and each hyperparameter with a prior (B,).
        """
        import jax

        n, queries = max(design.positions), design.queries
        with jax.enable_x64(True):
            theta, x, f, y, normals = _simulator(self, n, queries)(keys(seed, stream, index))
        x, f, y = np.array(x), np.array(f), np.array(y)
        singular = np.flatnonzero(~np.isfinite(y).all(1))
        if singular.size:
            f[singular], y[singular] = self._by_spectrum(x[singular], {k: v[singular] for k, v in theta.items()},
                                                         *(np.array(z)[singular] for z in normals))  # fmt: skip
        positions = np.array(design.positions, dtype=np.int64)
        latents = {"f": f[:, :n], **{name: np.array(theta[name]) for name in self.priors}}
        arrays = {"x": x[:, :n], "y": y[:, :n], "x_query": x[:, n:]}
        outcome = np.repeat(y[:, None, n:], positions.size, axis=1)
        context = np.broadcast_to(positions, (index.size, positions.size)).copy()
        return Simulation(Data(arrays, positions, index), latents, outcome, context)

    def inputs(self, data: Data, position: int) -> tuple[Any, Any]:
        """(PointsContext of the first n points, x_query)."""
        n = data.positions[position]
        return PointsContext(data.arrays["x"][:, :n], data.arrays["y"][:, :n]), data.arrays[
            "x_query"
        ]

    def require_data(self, data: Data) -> None:
        """Refuse points and values that are no finite numbers.

        Raises:
            InputError: NaN or infinity, other axes, or fewer points than a position asks for.
        """
        batch = len(data.index)
        x = array_of(data, "x", [batch, "observation", self.d])
        y = array_of(data, "y", [batch, x.shape[1]])
        longest = require_length(data, "y", y.shape[1])
        require_finite("x", x[:, :longest], data)
        require_finite("y", y[:, :longest], data)
        require_finite("x_query", array_of(data, "x_query", [batch, "query", self.d]), data)

    def program(self, **data: jax.Array) -> None:
        """Fixed hyperparameters: z ~ N(0, I), f = root z, y ~ N(f, noise). Otherwise: hyperparameters ~ prior, y ~ marginal.

        Entries outside `mask` are not observed. With fixed hyperparameters the eigenvector root makes the posterior of z
        independent in every coordinate.
        """
        (self._latent_program if self.fixed else self._marginal_program)(**data)

    def program_data(self, data: Data, position: int) -> dict[str, npt.NDArray[Any]]:
        """`y`, `mask` (B, N), and `root` (B, N, N) with K = root root^T if all hyperparameters are fixed, else `x`."""
        x, y = data.arrays["x"], data.arrays["y"]
        n = int(data.positions[position])
        mask = np.broadcast_to(np.arange(y.shape[1]) < n, y.shape).copy()
        if not self.fixed:
            return {"x": x, "y": y, "mask": mask}
        root = np.zeros((*y.shape, y.shape[1]))
        values, vectors = self._spectrum(x[:, :n])
        root[:, :n, :n] = vectors * np.sqrt(values)[:, None]
        return {"y": y, "mask": mask, "root": root}

    def latent_mask(self, data: Data, position: int) -> dict[str, npt.NDArray[np.bool_]]:
        size = data.index.size
        if not self.fixed:
            return {n: np.ones(size, dtype=bool) for n in self.priors}
        n = data.arrays["y"].shape[1]
        return {"f": np.broadcast_to(np.arange(n) < data.positions[position], (size, n)).copy()}

    def conditional(
        self, latent_draws: Mapping[str, Array], data: Data, position: int
    ) -> Predictive:
        """Equal mixture (B, Q, S) of the normal predictives given each draw of `f` (B, S, N) or of hyperparameters (B, S)."""
        mean, variance = (self._given_f if self.fixed else self._given_theta)(
            latent_draws, data, position
        )
        return NormalMixture(np.full(mean.shape, 1 / mean.shape[-1]), mean, np.sqrt(variance))

    def extended(self, data: Data, size: int, draw: Draw) -> Data:
        """The next input of the context, with an outcome that is drawn."""
        x = data.arrays["x"][:, size]
        asked = replace(data, arrays={**data.arrays, "x_query": x[:, None]})
        return self.layout.extended(data, size, {"x": x, "y": draw(asked)[:, 0]})

    def latent_values(self) -> dict[str, tuple[float, ...]]:
        grids = {name: prior for name, prior in self.priors.items() if isinstance(prior, Grid)}
        return (
            {name: grid.values for name, grid in grids.items()}
            if len(grids) == len(self.priors)
            else {}
        )

    def latent_nodes(self) -> dict[str, Array]:
        return self.hyper_nodes()[0]

    # -- for readers --------------------------------------------------------------------------------------------------

    def sentence(self) -> str:
        return _views.sentence(self)

    def show(self, example: Example) -> Shown:
        return _views.example(example)

    def groups(self, data: Data, sizes: Groups) -> Groups:
        return _views.groups(data)

    def distance(self, context: Any, query: Any) -> Distance:
        return _views.distance(context, query)

    # -- programs -----------------------------------------------------------------------------------------------------

    def _latent_program(self, y: jax.Array, mask: jax.Array, root: jax.Array) -> None:
        import jax.numpy as jnp
        import numpyro
        from numpyro import distributions as dist

        z = numpyro.sample("z", dist.Normal(jnp.zeros(y.shape[0]), 1.0).to_event(1))
        f = numpyro.deterministic("f", root @ z)
        numpyro.sample("y", dist.Normal(f, self.noise_sd).mask(mask).to_event(1), obs=y)

    def _marginal_program(self, x: jax.Array, y: jax.Array, mask: jax.Array) -> None:
        import jax.numpy as jnp
        import numpyro

        theta = self._with_noise(
            {n: numpyro.sample(n, p.distribution()) for n, p in self.priors.items()}, ()
        )
        both = mask[:, None] & mask[None, :]
        padded = jnp.where(both, self.covariance(x, x, theta), 0.0)
        noise = jnp.where(
            mask, theta["noise_sd"] ** 2, 1.0
        )  # ones outside the mask contribute log 1 = 0
        factor = jnp.linalg.cholesky(padded + jnp.diag(noise))
        white = jnp.linalg.solve(factor, jnp.where(mask, y, 0.0))
        log_density = (
            -0.5 * white @ white
            - jnp.log(jnp.diag(factor)).sum()
            - 0.5 * mask.sum() * jnp.log(2 * jnp.pi)
        )
        numpyro.factor("y", log_density)

    # -- predictives given latents ------------------------------------------------------------------------------------

    def _by_spectrum(self, x: Array, theta: Theta, z: Array, noise: Array) -> tuple[Array, Array]:
        """f and y (B, n) from normals (B, n), where K has no factor in floating point but has its eigenvectors."""
        import jax

        with jax.enable_x64(True):
            k = np.array(jax.vmap(lambda a, t: self.covariance(a, a, t))(x, theta))
        values, vectors = np.linalg.eigh(k)
        f = np.einsum("bnk,bk->bn", vectors, np.sqrt(np.maximum(values, 0.0)) * z)
        return f, f + np.asarray(theta["noise_sd"])[:, None] * noise

    def _spectrum(self, x: Array) -> tuple[Array, Array]:
        """Eigenvalues (B, n), clipped at zero, and eigenvectors (B, n, n) of K for fixed hyperparameters."""
        import jax

        with jax.enable_x64(True):
            k = np.array(jax.vmap(lambda a: self.covariance(a, a, {}))(x))
        values, vectors = np.linalg.eigh(k)
        return np.maximum(values, 0.0), vectors

    def _given_f(
        self, draws: Mapping[str, Array], data: Data, position: int
    ) -> tuple[Array, Array]:
        """Mean and variance (B, Q, S), conditioned on what f carries above rounding: its leading eigencoordinates."""
        import jax

        (x, _), query = self.inputs(data, position)
        n = x.shape[1]
        f = np.asarray(draws["f"], dtype=np.float64)[:, :, :n]
        values, vectors = self._spectrum(x)
        with jax.enable_x64(True):
            across = np.array(
                jax.vmap(lambda a, b: self.covariance(a, b, {}))(x, query)
            )  # (B, n, Q)
            prior = np.array(jax.vmap(lambda a: self.variance(a, {}))(query))
        kept = values > RANK_TOLERANCE * values.max(-1, keepdims=True, initial=0.0)
        inverse = np.divide(1.0, values, out=np.zeros_like(values), where=kept)
        rotated = vectors.mT @ across  # (B, n, Q)
        weights = rotated * inverse[..., None]
        mean = np.einsum("bnq,bsn->bqs", weights, f @ vectors)
        variance = prior - (rotated * weights).sum(1)
        return mean, np.broadcast_to(
            (np.maximum(variance, 0.0) + _square(self.noise_sd))[..., None], mean.shape
        )

    def _given_theta(
        self, draws: Mapping[str, Array], data: Data, position: int
    ) -> tuple[Array, Array]:
        import jax

        (x, y), query = self.inputs(data, position)
        first = np.asarray(draws[next(iter(self.priors))])
        if first.ndim != 2:
            raise ShapeError("draws (dataset, draw)", f"{first.shape}")
        theta = self._with_noise(
            {n: np.asarray(draws[n], dtype=np.float64) for n in self.priors}, first.shape
        )
        with jax.enable_x64(True):
            mean, variance = _predictor(self)(theta, x, y, query)
        return np.array(mean).mT, np.array(variance).mT

    def predict(
        self, theta: Theta, x: jax.Array, y: jax.Array, query: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Mean and variance (Q,) of a noisy y at `query` (Q, d) given x (n, d), y (n,): pure JAX, by Cholesky."""
        import jax.numpy as jnp
        from jax.scipy.linalg import solve_triangular

        noise = theta["noise_sd"] ** 2
        factor = jnp.linalg.cholesky(self.covariance(x, x, theta) + noise * jnp.eye(x.shape[0]))
        half = solve_triangular(factor, self.covariance(x, query, theta), lower=True)
        white = solve_triangular(factor, y, lower=True)
        return half.T @ white, self.variance(query, theta) + noise - (half**2).sum(0)


@lru_cache(maxsize=16)
def _simulator(model: GaussianProcess, context: int, queries: int) -> Any:
    """Compiled keys (B,) -> theta, x (B, n + Q, d), f and y (B, n + Q), and the normals behind f and the noise.

    Where K and what is added to it have no factor either, f and y are NaN.

    K alone has no factor in floating point. A millionth of the noise variance is moved into it, so that y has exactly the
    declared law, and f differs from a draw of the process by noise of sd 1e-3 noise_sd.
    Compiled in two parts: in one, XLA inverts the distribution function of x again for every entry of K.
    """
    import jax
    import jax.numpy as jnp

    n = context + queries

    def draw(key: jax.Array) -> tuple[Any, ...]:
        for_theta, for_x, for_f, for_noise = uniforms(
            key, (len(model.priors),), (n, model.d), (n,), (n,)
        )
        drawn = {
            name: prior.sample(for_theta[i]) for i, (name, prior) in enumerate(model.priors.items())
        }
        x = for_x if model.input_law == "uniform" else normal(for_x) / np.sqrt(model.d)
        return model._with_noise(drawn, ()), x, normal(for_f), normal(for_noise)

    def process(theta: Any, x: jax.Array, z: jax.Array, noise: jax.Array) -> tuple[Any, ...]:
        variance = theta["noise_sd"] ** 2
        f = jnp.linalg.cholesky(model.covariance(x, x, theta) + SPLIT * variance * jnp.eye(n)) @ z
        return theta, x, f, f + jnp.sqrt((1 - SPLIT) * variance) * noise

    drawn, made = jax.jit(jax.vmap(draw)), jax.jit(jax.vmap(process))

    def simulated(keys: jax.Array) -> tuple[Any, ...]:
        ingredients = drawn(keys)
        return (*made(*ingredients), ingredients[2:])

    return simulated


@lru_cache(maxsize=16)
def _predictor(model: GaussianProcess) -> Any:
    """Compiled `predict` over data sets and draws: theta (B, S), x (B, n, d), y (B, n), query (B, Q, d) -> (B, S, Q) twice."""
    import jax

    return jax.jit(jax.vmap(jax.vmap(model.predict, in_axes=(0, None, None, None))))


def _square(value: Hyper) -> float:
    assert isinstance(value, float)
    return value**2


__all__ = [
    "RBF", "GaussianProcess", "Grid", "Linear", "LogNormal", "LogUniform", "Matern12", "Matern32", "Matern52", "Periodic",
    "Product", "Sum",
]  # fmt: skip

PART = GaussianProcess

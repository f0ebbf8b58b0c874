"""The model: a kernel, a noise and a law of the inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from veribayes.errors import ModelError
from veribayes.models._check import choice, integer, mapping
from veribayes.models._data import array_of, require_finite, require_length
from veribayes.models._layout import Layout
from veribayes.models._model import Distance, Draw, Groups, Infer, Model, Variable
from veribayes.models._task import Design
from veribayes.models.gaussian_process import _views
from veribayes.models.gaussian_process._conditional import given_f, given_theta, spectrum
from veribayes.models.gaussian_process._hyper import (
    Grid,
    Hyper,
    HyperPrior,
    Theta,
    below,
    hyper,
    plain,
)
from veribayes.models.gaussian_process._kernels import RBF, Kernel, kernel_from_spec
from veribayes.models.gaussian_process._simulation import simulate, values_at
from veribayes.predictive import Array, NormalMixture, Predictive
from veribayes.tree import Data, IntArray, Simulation
from veribayes.tree.shown import Example, Shown

if TYPE_CHECKING:
    import jax

KERNEL_EXAMPLE = "for example RBF(amplitude=1.0, lengthscale=0.8)"
TOO_LONG = 1.25  # times the length-scale: of the wrong prior of an RBF kernel
TOO_LARGE = 1.5  # times the noise: of the wrong prior of any other model


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
            raise ModelError("a Kernel", type(self.kernel).__name__, KERNEL_EXAMPLE)
        self.kernel.check(self.d)

    @property
    def layout(self) -> Layout:
        return _views.POINTS

    # -- hyperparameters ---------------------------------------------------------------------------

    @property
    def priors(self) -> dict[str, HyperPrior]:
        """The hyperparameters that have a prior, by name."""
        priors = {f"kernel.{name}": prior for name, prior in self.kernel.priors().items()}
        if isinstance(self.noise_sd, HyperPrior):
            priors["noise_sd"] = self.noise_sd
        return priors

    @property
    def fixed(self) -> bool:
        """Whether every hyperparameter is a number."""
        return not self.priors

    def hyper_nodes(self, n: int = 24) -> tuple[dict[str, Array], Array]:
        """Product quadrature over the hyperparameters.

        Args:
            n: nodes for each continuous hyperprior; grids are summed exactly.

        Returns:
            theta: name -> (node,), always with `noise_sd`; prior weights (node,), sum one. One node
                when all are fixed.
        """
        places, shares = [], []
        for prior in self.priors.values():
            at, weight = prior.nodes(n)
            places.append(at)
            shares.append(weight)
        weights = np.array([np.prod(combination) for combination in product(*shares)])
        combinations = np.array(list(product(*places)))
        values = combinations.reshape(weights.size, len(places))
        theta = {name: values[:, i] for i, name in enumerate(self.priors)}
        return self.with_noise(theta, weights.shape), weights

    def covariance(self, x: jax.Array, z: jax.Array, theta: Theta) -> jax.Array:
        """Covariance (n, k) of f(x), f(z) for x (n, d), z (k, d): pure JAX."""
        return self.kernel(x, z, below("kernel.", theta))

    def variance(self, x: jax.Array, theta: Theta) -> jax.Array:
        """Variance (n,) of f(x) for x (n, d): pure JAX."""
        return self.kernel.variance(x, below("kernel.", theta))

    def with_noise(self, theta: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
        """The values of the hyperparameters with the noise among them,
        also where it is a number.
        """
        if "noise_sd" in self.priors:
            return dict(theta)
        return {**theta, "noise_sd": np.full(shape, self.noise_sd)}

    def known_noise(self) -> float:
        """The noise, where it is a number."""
        assert isinstance(self.noise_sd, float)
        return self.noise_sd

    # -- the protocol of a model -------------------------------------------------------------------

    @property
    def latents(self) -> tuple[Variable, ...]:
        """`f` at the context points when all hyperparameters are fixed, otherwise the
        hyperparameters with a prior.
        """
        if self.fixed:
            return (Variable("f", ("observation",), "real"),)
        return tuple(Variable(n, (), "positive") for n in self.priors)

    @property
    def enumerated(self) -> bool:
        """Whether a hyperparameter has a grid of values.

        Its posterior is a sum, and nothing for a sampler of real latents.
        """
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
        # which needs to know the kernel and the noise
        rivals = ("kernel_descent",) if self.fixed else ()
        return {
            "reference": "cholesky",
            "second_route": "sequential",
            "rivals": rivals,
            "wrong_prior": self._wrong_hyperparameters(),
        }

    def _wrong_hyperparameters(self) -> dict[str, Any]:
        """An RBF kernel gets a lengthscale that is 25 % too long; any other model a noise that is
        50 % too large.
        """
        kernel, noise = self.kernel, self.noise_sd
        if isinstance(kernel, RBF) and isinstance(kernel.lengthscale, float):
            longer = TOO_LONG * kernel.lengthscale
            return {"kernel": {**kernel.spec(), "lengthscale": longer}}
        if isinstance(noise, float):
            return {"noise_sd": TOO_LARGE * noise}
        at, weight = noise.nodes(8)
        return {"noise_sd": float(TOO_LARGE * at @ weight)}

    def simulate(self, design: Design, seed: int, stream: str, index: IntArray) -> Simulation:
        """Draw data sets: `x` (B, N, d), `y` (B, N), `x_query` (B, Q, d); the outcome is a noisy y
        at x_query.

        Latents: `f` (B, N) at the context points, and each hyperparameter with a prior (B,).
        """
        return simulate(self, design, seed, stream, index)

    def inputs(self, data: Data, position: int) -> tuple[Any, Any]:
        """(PointsContext of the first n points, x_query)."""
        n = data.positions[position]
        context = PointsContext(data.arrays["x"][:, :n], data.arrays["y"][:, :n])
        return context, data.arrays["x_query"]

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
        """Fixed hyperparameters: z ~ N(0, I), f = root z, y ~ N(f, noise).

        Otherwise: hyperparameters ~ prior, y ~ marginal. Entries outside `mask` are not observed.
        With fixed hyperparameters the eigenvector root makes the posterior of z independent in
        every coordinate.
        """
        program = self._latent_program if self.fixed else self._marginal_program
        program(**data)

    def program_data(self, data: Data, position: int) -> dict[str, npt.NDArray[Any]]:
        """`y`, `mask` (B, N), and `root` (B, N, N) with K = root root^T if all hyperparameters are
        fixed, else `x`.
        """
        x, y = data.arrays["x"], data.arrays["y"]
        n = int(data.positions[position])
        observed = np.arange(y.shape[1]) < n
        mask = np.broadcast_to(observed, y.shape).copy()
        if not self.fixed:
            return {"x": x, "y": y, "mask": mask}
        root = np.zeros((*y.shape, y.shape[1]))
        values, vectors = spectrum(self, x[:, :n])
        root[:, :n, :n] = vectors * np.sqrt(values)[:, None]
        return {"y": y, "mask": mask, "root": root}

    def latent_mask(self, data: Data, position: int) -> dict[str, npt.NDArray[np.bool_]]:
        size = data.index.size
        if not self.fixed:
            return {n: np.ones(size, dtype=bool) for n in self.priors}
        n = data.arrays["y"].shape[1]
        observed = np.arange(n) < data.positions[position]
        return {"f": np.broadcast_to(observed, (size, n)).copy()}

    def conditional(
        self, latent_draws: Mapping[str, Array], data: Data, position: int
    ) -> Predictive:
        """Equal mixture (B, Q, S) of the normal predictives given each draw.

        Draws are those of `f` (B, S, N), or of the hyperparameters (B, S).
        """
        given = given_f if self.fixed else given_theta
        mean, variance = given(self, latent_draws, data, position)
        weights = np.full(mean.shape, 1 / mean.shape[-1])
        return NormalMixture(weights, mean, np.sqrt(variance))

    def log_evidence(self, data: Data, infer: Infer) -> Array:
        """Value by value at the inputs, whose own law is not asked about."""
        return _views.log_evidence(data, infer)

    def redrawn(self, data: Data, design: Design, seed: int, index: IntArray) -> Data:
        """Other values at the same inputs."""
        x = data.arrays["x"][:, : data.positions[0]]
        y = values_at(self, x, seed, "replicate", index)
        return replace(data, arrays={**data.arrays, "x": x, "y": y}, index=index)

    def extended(self, data: Data, size: int, draw: Draw) -> Data:
        """The next input of the context, with an outcome that is drawn."""
        x = data.arrays["x"][:, size]
        asked = replace(data, arrays={**data.arrays, "x_query": x[:, None]})
        y = draw(asked)[:, 0]
        return self.layout.extended(data, size, {"x": x, "y": y})

    def latent_values(self) -> dict[str, tuple[float, ...]]:
        values = {}
        for name, prior in self.priors.items():
            if not isinstance(prior, Grid):
                return {}
            values[name] = prior.values
        return values

    def latent_nodes(self) -> dict[str, Array]:
        return self.hyper_nodes()[0]

    # -- for readers -------------------------------------------------------------------------------

    def sentence(self) -> str:
        return _views.sentence(self)

    def show(self, example: Example) -> Shown:
        return _views.example(example)

    def groups(self, data: Data, sizes: Groups) -> Groups:
        return _views.groups(data)

    def distance(self, context: Any, query: Any) -> Distance:
        return _views.distance(context, query)

    # -- programs ----------------------------------------------------------------------------------

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

        drawn = {}
        for name, prior in self.priors.items():
            drawn[name] = numpyro.sample(name, prior.distribution())
        theta = self.with_noise(drawn, ())
        both = mask[:, None] & mask[None, :]
        padded = jnp.where(both, self.covariance(x, x, theta), 0.0)
        # ones outside the mask contribute log 1 = 0
        noise = jnp.where(mask, theta["noise_sd"] ** 2, 1.0)
        factor = jnp.linalg.cholesky(padded + jnp.diag(noise))
        white = jnp.linalg.solve(factor, jnp.where(mask, y, 0.0))
        half_log_det = jnp.log(jnp.diag(factor)).sum()
        constant = 0.5 * mask.sum() * jnp.log(2 * jnp.pi)
        numpyro.factor("y", -0.5 * white @ white - half_log_det - constant)

"""A stranger's family: mu ~ N(0, prior_sd^2), y | mu ~ N(mu, noise_sd^2),
and two routes to its posterior predictive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from veribayes.inference._engine import certify, require_served
from veribayes.models._layout import Column, Layout
from veribayes.models._model import Model, Variable
from veribayes.models._task import Design, Task
from veribayes.predictive import Normal, NormalMixture, stack
from veribayes.tree import Branch, Data, Simulation

VALUES = Layout(
    (Column("y", "observation", ("draw",)),), order="set", one="value seen", several="values seen"
)


@dataclass(frozen=True)
class NormalMean(Model):
    """Both standard deviations are known; the mean of a data set is not."""

    prior_sd: float = 1.0
    noise_sd: float = 0.5
    kind: ClassVar[str] = "normal_mean"

    @property
    def latents(self) -> tuple[Variable, ...]:
        return (Variable("mu", (), "real"),)

    @property
    def layout(self) -> Layout:
        return VALUES

    def spec(self) -> dict[str, Any]:
        return {"prior_sd": self.prior_sd, "noise_sd": self.noise_sd}

    @classmethod
    def from_spec(cls, spec: Any) -> NormalMean:
        return cls(**spec)

    def default_design(self) -> Design:
        return Design((1, 4, 16))

    def defaults(self) -> dict[str, Any]:
        wrong = {"noise_sd": 2 * self.noise_sd}
        return {"reference": "shrunken_mean", "second_route": "updated_mean", "wrong_prior": wrong}

    def simulate(self, design: Design, seed: int, stream: str, index: Any) -> Simulation:
        positions = np.array(design.positions)
        streams = [
            np.random.default_rng([seed, *stream.encode(), number]) for number in index.tolist()
        ]
        drawn = np.stack([rng.standard_normal(positions[-1] + 2) for rng in streams])
        mu = self.prior_sd * drawn[:, 0]
        y = mu[:, None] + self.noise_sd * drawn[:, 1:]
        outcome = np.repeat(y[:, None, -1:], positions.size, axis=1)
        context = np.broadcast_to(positions, (index.size, positions.size)).copy()
        return Simulation(Data({"y": y[:, :-1]}, positions, index), {"mu": mu}, outcome, context)

    def inputs(self, data: Data, position: int) -> tuple[Any, Any]:
        return data.arrays["y"][:, : data.positions[position]], None

    def program(self, y: Any, mask: Any) -> None:
        import numpyro
        from numpyro import distributions as dist

        mu = numpyro.sample("mu", dist.Normal(0.0, self.prior_sd))
        numpyro.sample("y", dist.Normal(mu, self.noise_sd).mask(mask).to_event(1), obs=y)

    def program_data(self, data: Data, position: int) -> dict[str, Any]:
        y = data.arrays["y"]
        return {
            "y": y,
            "mask": np.broadcast_to(
                np.arange(y.shape[1]) < data.positions[position], y.shape
            ).copy(),
        }

    def latent_mask(self, data: Data, position: int) -> dict[str, Any]:
        return {"mu": np.ones(data.index.size, dtype=bool)}

    def conditional(
        self, latent_draws: Mapping[str, Any], data: Data, position: int
    ) -> NormalMixture:
        mean = latent_draws["mu"][:, None]
        return NormalMixture(
            np.full(mean.shape, 1 / mean.shape[-1]), mean, np.full(mean.shape, self.noise_sd)
        )

    def posterior(self, data: Data) -> tuple[Any, Any]:
        """Mean and variance of mu behind every context, (dataset, position)."""
        counts = data.positions
        sums = np.stack([data.arrays["y"][:, :n].sum(1) for n in counts], axis=1)
        variance = 1 / (1 / self.prior_sd**2 + counts / self.noise_sd**2)
        return sums / self.noise_sd**2 * variance, np.broadcast_to(variance, sums.shape)


@dataclass(frozen=True)
class ShrunkenMean:
    """The conjugate posterior."""

    method: ClassVar[str] = "exact"
    families: ClassVar[tuple[str, ...]] = ("normal_mean",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        model: Any = task.model
        mean, variance = model.posterior(data)
        predictive = Normal(mean[..., None], np.sqrt(variance + model.noise_sd**2)[..., None])
        posterior = {"mu": {"mean": mean, "sd": np.sqrt(variance)}}
        return Branch(predictive, certify(self.method, 1e-13), posterior)


@dataclass(frozen=True)
class UpdatedMean:
    """The same, one value after the other."""

    method: ClassVar[str] = "exact"
    families: ClassVar[tuple[str, ...]] = ("normal_mean",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        model: Any = task.model
        laws = [self._predictive(model, data.arrays["y"][:, :n]) for n in data.positions]
        return Branch(stack(laws, axis=1), certify(self.method, 1e-13))

    def _predictive(self, model: Any, y: Any) -> Normal:
        mean, variance = np.zeros(len(y)), model.prior_sd**2
        for value in y.T:
            gain = variance / (variance + model.noise_sd**2)
            mean, variance = mean + gain * (value - mean), (1 - gain) * variance
        return Normal(mean[:, None], np.full((len(y), 1), np.sqrt(variance + model.noise_sd**2)))

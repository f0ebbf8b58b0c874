"""The frame of engines that draw Markov chains:
a ladder of samplers, each data set climbing until its chains pass.

A `Rung` draws all chains of many data sets in lockstep, compiled once. Two independent halves of
the chains give two estimates of every predictive; the answer is their mean, and their difference
lets a comparison subtract the Monte Carlo bias. Predictives average `model.conditional` over draws
(Rao-Blackwell), never draws of the observation. The chains of a data set start over-dispersed and
must pass the gates of `_diagnostics` together; data sets that do not go to the next rung of the
ladder, and those that fail the last one count against `max_refused`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from typing import Any, ClassVar

import jax
import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import (
    certify_by_draws,
    equal_chunks,
    float64,
    name_of,
    require_positive,
    require_served,
)
from veribayes.models._random import keys
from veribayes.models._task import Task
from veribayes.predictive import Array, Categorical, NormalMixture, Predictive, concatenate, stack
from veribayes.statistics.diagnostics import Gates, Mask, measure
from veribayes.storage import waiting
from veribayes.tree import Branch, Certificate, Data, IntArray
from veribayes.tree.method import Method

# of a mixture over draws, each half: thinned evenly, since predictives of neighbours are alike
COMPONENTS = 500
# starts are uniform on [-2, 2] in unconstrained space, wider than the posteriors that data make
START = 2.0
WORST: Mapping[
    str, Callable[[Array], Any]
] = {  # of each gate's number over data sets and positions
    "rank_r_hat": np.max,
    "split_r_hat": np.max,
    "divergences": np.max,
    "ess_bulk": np.min,
    "ess_tail": np.min,
    "e_bfmi": np.min,
}

Draws = Mapping[str, Array]
Sampler = Callable[..., tuple[Any, Any, Any]]


@dataclass(frozen=True)
class Rung:
    """One way to draw the chains of many data sets.

    Attributes:
        name: its random stream, and what its count is called.
        compiled: model -> (keys (dataset, chain), data -> latents (dataset, chain, draw, *event),
            energy and divergence of every draw).
        draws: of each chain.
        lanes: chains in lockstep; what waits for the slowest lane wants few of them.
    """

    name: str
    compiled: Callable[[Any], Sampler]
    draws: int
    lanes: int


@dataclass(frozen=True)
class Mcmc(ABC):
    """Options that all engines of this kind share.

    Attributes:
        warmup, draws: iterations of each chain.
        chains: in each of the two halves.
        max_refused: largest share of data sets at a position that no rung of the ladder may
            satisfy. One in a hundred moves a mean over data sets by at most a hundredth of its own
            error; more is a reference that cannot be had.
        latents: also return the posterior moments of every latent.
        keep: also return every draw of every latent.
    """

    warmup: int = 500
    draws: int = 500
    chains: int = 2
    max_refused: float = 0.01
    latents: bool = True
    keep: bool = False
    method: ClassVar[Method] = Method.MCMC
    families: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_positive(self, warmup=self.warmup, draws=self.draws, chains=self.chains)
        if self.draws < 4 or not 0 <= self.max_refused < 1:
            wanted = f"draws >= 4 and max_refused in [0, 1) for the engine '{name_of(self)}'"
            raise InputError(wanted, f"{self.draws}, {self.max_refused}")

    @abstractmethod
    def ladder(self, task: Task) -> Sequence[Rung]:
        """Rungs in the order in which a data set meets them."""

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        if not task.model.latents:
            wanted = f"a model with unknown latents for the engine '{name_of(self)}'"
            raise InputError(wanted, f"the task '{task.name}' without any", "use 'junction_tree'")
        require_served(self, task, data)
        ladder = self.ladder(task)
        positions = range(data.positions.size)
        runs = [self._climbed(ladder, task.model, data, p, seed) for p in positions]
        first = stack([run.halves[0] for run in runs], axis=1)
        second = stack([run.halves[1] for run in runs], axis=1)
        posterior = _posterior(runs) if self.latents or self.keep else {}
        certificate = self._certificate(runs, ladder)
        return Branch(mixed(first, second), certificate, posterior, (first, second))

    def _climbed(
        self, ladder: Sequence[Rung], model: Any, data: Data, position: int, seed: int
    ) -> Run:
        """All data sets at one position, each by the first rung that satisfies it,
        else by the last.
        """
        datasets = data.index.size
        run = self.run(ladder[0], model, data, position, seed)
        for number, rung in enumerate(ladder[1:], start=1):
            failed = np.flatnonzero(~run.gates.passed)
            if not failed.size:
                break
            power_of_two = 2 ** int(np.ceil(np.log2(failed.size)))  # few sizes, few compilations
            repeated = np.resize(failed, min(power_of_two, datasets))
            again = self.run(rung, model, data.select(datasets=repeated), position, seed)
            order = np.arange(datasets)
            order[failed] = datasets + np.arange(failed.size)
            run = run.joined(again.at(number)).taken(order)
        return run

    def run(self, rung: Rung, model: Any, data: Data, position: int, seed: int) -> Run:
        """One rung on every data set, in chunks of equal size;
        longer chains are thinned to `draws` where draws are kept.
        """
        latent_mask = model.latent_mask(data, position)
        chunks = self._chunks(rung, data)
        drawn_chunks = self.draws_of(rung, model, data, position, seed)
        runs = []
        for chunk, (draws, energy, diverging) in zip(chunks, drawn_chunks, strict=True):
            some = data.select(datasets=chunk)
            first = {name: values[:, : self.chains] for name, values in draws.items()}
            second = {name: values[:, self.chains :] for name, values in draws.items()}
            halves = (
                self._conditional(model, some, position, first),
                self._conditional(model, some, position, second),
            )
            chunk_mask = {name: mask[chunk] for name, mask in latent_mask.items()}
            gates, latents = judged(draws, energy, diverging, chunk_mask)
            if self.keep:
                self._keep(latents, draws, rung)
            runs.append(Run(halves, gates, latents, np.zeros(chunk.size, dtype=np.int64)))
        return reduce(Run.joined, runs).taken(np.arange(data.index.size))

    def _keep(self, latents: dict[str, dict[str, Array]], draws: Draws, rung: Rung) -> None:
        """Write the draws beside the moments of every latent."""
        thin = max(rung.draws // self.draws, 1)
        for name, statistics in latents.items():
            statistics["draws"] = draws[name][:, :, ::thin]

    def draws_of(
        self, rung: Rung, model: Any, data: Data, position: int, seed: int
    ) -> Iterator[tuple[Draws, Array, Mask]]:
        """Latents (dataset, chain, draw, *event), energies and divergences by chunks,
        of which the last may repeat itself.
        """
        program_data = model.program_data(data, position)
        dataset_keys = keys(seed, rung.name, data.index)
        sampler = rung.compiled(model)
        context_size = int(data.positions[position])
        for chunk in self._chunks(rung, data):
            numbers = f"{chunk[0] + 1} to {chunk[-1] + 1} of {data.index.size}"
            waiting.at(f"{rung.name} on data sets {numbers}")
            chunk_data = {name: values[chunk] for name, values in program_data.items()}
            with float64(), jax.numpy_rank_promotion("allow"):  # NumPyro's transforms rely on it
                lanes = _lanes(dataset_keys[chunk], context_size, 2 * self.chains)
                drawn = jax.tree.map(np.asarray, sampler(lanes, chunk_data))
            yield drawn

    def _chunks(self, rung: Rung, data: Data) -> list[IntArray]:
        return equal_chunks(data.index.size, rung.lanes // (2 * self.chains))

    def _conditional(self, model: Any, data: Data, position: int, by_chain: Draws) -> Predictive:
        """The predictive averaged over the draws of some chains;
        a mixture over draws is thinned.
        """
        draws = {}
        for name, values in by_chain.items():
            datasets, _, _, *event = values.shape
            draws[name] = values.reshape(datasets, -1, *event)
        if model.n_categories is None and not model.moments:
            size = min(COMPONENTS, self.chains * self.draws)
            last = next(iter(draws.values())).shape[1] - 1
            kept = np.linspace(0, last, size).astype(np.int64)
            draws = {name: values[:, kept] for name, values in draws.items()}
        predictive: Predictive = model.conditional(draws, data, position)
        return predictive

    def _certificate(self, runs: Sequence[Run], ladder: Sequence[Rung]) -> Certificate:
        """Trusted when few enough data sets fail at every position."""
        gates = [run.gates for run in runs]
        refused_share = max(float((~each.passed).mean()) for each in gates)
        tolerated = refused_share <= self.max_refused
        kept = [each.taken(each.passed if tolerated else slice(None)) for each in gates]
        diagnostics = {}
        for name, worst_of in WORST.items():
            values = np.concatenate([getattr(each, name) for each in kept])
            diagnostics[name] = float(worst_of(values))
        diagnostics["refused_share"] = refused_share
        for number, rung in enumerate(ladder[1:], start=1):
            climbed_share = max(float((run.rung >= number).mean()) for run in runs)
            diagnostics[f"{rung.name.replace(' ', '_')}_share"] = climbed_share
        reasons: tuple[str, ...] = ()
        if not tolerated:
            gate_reasons = (reason for each in gates for reason in each.reasons())
            reasons = (self._refusal(refused_share, ladder), *dict.fromkeys(gate_reasons))
        ess = diagnostics["ess_bulk"]
        bound = float(1 / np.sqrt(ess)) if ess > 0 else np.inf
        return certify_by_draws(self.method, bound, reasons, diagnostics)

    def _refusal(self, refused_share: float, ladder: Sequence[Rung]) -> str:
        """How many data sets failed, and after what."""
        chains = 2 * self.chains
        attempts = [f"{chains} chains of {rung.draws} draws by {rung.name}" for rung in ladder]
        tried = ", then ".join(attempts)
        return (
            f"{refused_share:.1%} of data sets fail a gate with {tried}; {self.max_refused:.1%} may"
        )


@dataclass(frozen=True)
class Run:
    """What chains made of a batch at one position.

    Attributes:
        halves: predictives (dataset, query) from the first and the second half of the chains.
        gates: (dataset,) each.
        latents: name -> statistic -> (dataset, *event), NaN where the latent has no meaning.
        rung: (dataset,) the number of the rung in the ladder.
    """

    halves: tuple[Predictive, Predictive]
    gates: Gates
    latents: Mapping[str, Mapping[str, Array]]
    rung: IntArray

    def joined(self, other: Run) -> Run:
        """Both batches, one after the other."""
        first = concatenate([self.halves[0], other.halves[0]])
        second = concatenate([self.halves[1], other.halves[1]])
        columns = []
        for field in fields(Gates):
            pair = (getattr(self.gates, field.name), getattr(other.gates, field.name))
            columns.append(np.concatenate(pair))
        latents = {}
        for name, statistics in self.latents.items():
            others = other.latents[name]
            latents[name] = {
                key: np.concatenate([values, others[key]]) for key, values in statistics.items()
            }
        rung = np.concatenate([self.rung, other.rung])
        return Run((first, second), Gates(*columns), latents, rung)

    def taken(self, order: IntArray) -> Run:
        """Some of the data sets, in this order."""
        halves = (self.halves[0][order], self.halves[1][order])
        latents = {}
        for name, statistics in self.latents.items():
            latents[name] = {key: values[order] for key, values in statistics.items()}
        return Run(halves, self.gates.taken(order), latents, self.rung[order])

    def at(self, rung: int) -> Run:
        """The same, by the rung with this number."""
        return Run(self.halves, self.gates, self.latents, np.full(self.rung.shape, rung))


def _posterior(runs: Sequence[Run]) -> dict[str, dict[str, Array]]:
    """Statistics of every latent with the positions as their second axis."""
    posterior = {}
    for name, statistics in runs[0].latents.items():
        posterior[name] = {key: _at_all_positions(runs, name, key) for key in statistics}
    return posterior


def _at_all_positions(runs: Sequence[Run], latent: str, statistic: str) -> Array:
    return np.stack([run.latents[latent][statistic] for run in runs], axis=1)


def judged(
    draws: Draws, energy: Array, diverging: Mask, mask: Mapping[str, Mask]
) -> tuple[Gates, dict[str, dict[str, Array]]]:
    """Gates and moments from the draws of latents, (dataset, chain, draw, *event) each."""
    used_columns = {name: np.flatnonzero(mask[name].all(0)) for name in draws}
    used_draws = []
    for name, columns in used_columns.items():
        by_column = draws[name].reshape(*energy.shape, -1)
        used_draws.append(by_column[..., columns])
    by_latent = np.moveaxis(np.concatenate(used_draws, axis=-1), -1, 1)
    gates, statistics = measure(by_latent, energy, diverging)
    latents: dict[str, dict[str, Array]] = {}
    end = 0
    for name, columns in used_columns.items():
        start, end = end, end + columns.size
        shape = mask[name].shape
        latents[name] = {
            key: _placed(values[:, start:end], columns, shape) for key, values in statistics.items()
        }
    return gates, latents


def _placed(values: Array, columns: IntArray, shape: tuple[int, ...]) -> Array:
    """Statistics (dataset, used latent) in their places (dataset, *event), NaN elsewhere."""
    datasets, *event = shape
    out = np.full((datasets, int(np.prod(event))), np.nan)
    out[:, columns] = values
    return out.reshape(shape)


def mixed(first: Predictive, second: Predictive) -> Predictive:
    """The equal mixture of two predictives."""
    if isinstance(first, Categorical) and isinstance(second, Categorical):
        return Categorical((first.probs + second.probs) / 2)
    if isinstance(first, NormalMixture) and isinstance(second, NormalMixture):
        weights = np.concatenate([first.weights, second.weights], axis=-1)
        mean = np.concatenate([first.mean, second.mean], axis=-1)
        sd = np.concatenate([first.sd, second.sd], axis=-1)
        return NormalMixture(weights / 2, mean, sd)
    raise InputError("two categoricals or two mixtures", f"'{first.form}' and '{second.form}'")


def _lanes(key: jax.Array, size: int, chains: int) -> jax.Array:
    """Keys (dataset, chain) from keys (dataset,) and the context size."""

    def of_dataset(one: jax.Array) -> jax.Array:
        return jax.random.split(jax.random.fold_in(one, size), chains)

    return jax.vmap(of_dataset)(key)

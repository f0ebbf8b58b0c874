"""The frame of engines that draw Markov chains: a ladder of methods, each data set climbing until its chains pass.

A `Method` draws all chains of many data sets in lockstep, compiled once. Two independent halves of the chains give two
estimates of every predictive; the answer is their mean, and their difference lets a comparison subtract the Monte Carlo
bias. Predictives average `model.conditional` over draws (Rao-Blackwell), never draws of the observation. The chains of a
data set start over-dispersed and must pass the gates of `_diagnostics` together; data sets that do not go to the next
method of the ladder, and those that fail the last one count against `max_refused`.
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

COMPONENTS = 500  # of a mixture over draws, each half: thinned evenly, since predictives of neighbours are alike
START = 2.0  # starts are uniform on [-2, 2] in unconstrained space, wider than the posteriors that data make

Draws = Mapping[str, Array]
Sampler = Callable[..., tuple[Any, Any, Any]]


@dataclass(frozen=True)
class Method:
    """One way to draw the chains of many data sets.

    Attributes:
        name: its random stream, and what its count is called.
        compiled: model -> (keys (dataset, chain), data -> latents (dataset, chain, draw, *event), energy and divergence of
            every draw).
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
        max_refused: largest share of data sets at a position that no method of the ladder may satisfy. One in a hundred
            moves a mean over data sets by at most a hundredth of its own error; more is a reference that cannot be had.
        latents: also return the posterior moments of every latent.
        keep: also return every draw of every latent.
    """

    warmup: int = 500
    draws: int = 500
    chains: int = 2
    max_refused: float = 0.01
    latents: bool = True
    keep: bool = False
    method: ClassVar[str] = "mcmc"
    families: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_positive(self, warmup=self.warmup, draws=self.draws, chains=self.chains)
        if self.draws < 4 or not 0 <= self.max_refused < 1:
            wanted = f"draws >= 4 and max_refused in [0, 1) for the engine '{name_of(self)}'"
            raise InputError(wanted, f"{self.draws}, {self.max_refused}")

    @abstractmethod
    def ladder(self, task: Task) -> Sequence[Method]:
        """Methods in the order in which a data set meets them."""

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        if not task.model.latents:
            wanted = f"a model with unknown latents for the engine '{name_of(self)}'"
            raise InputError(wanted, f"the task '{task.name}' without any", "use 'junction_tree'")
        require_served(self, task, data)
        methods = self.ladder(task)
        runs = [
            self._climbed(methods, task.model, data, position, seed)
            for position in range(data.positions.size)
        ]
        halves = tuple(stack([run.halves[i] for run in runs], axis=1) for i in (0, 1))
        posterior = {
            name: {
                key: np.stack([run.latents[name][key] for run in runs], axis=1)
                for key in runs[0].latents[name]
            }
            for name in runs[0].latents
        }
        answer = _mean(*halves)
        found = posterior if self.latents or self.keep else {}
        return Branch(answer, self._certificate(runs, methods), found, (halves[0], halves[1]))

    def _climbed(
        self, methods: Sequence[Method], model: Any, data: Data, position: int, seed: int
    ) -> Run:
        """All data sets at one position, each with the first method that satisfies it, else with the last."""
        run = self.run(methods[0], model, data, position, seed)
        for rung, method in enumerate(methods[1:], start=1):
            failed = np.flatnonzero(~run.gates.passed)
            if not failed.size:
                break
            size = min(
                2 ** int(np.ceil(np.log2(failed.size))), data.index.size
            )  # few sizes, few compilations
            again = self.run(
                method, model, data.select(datasets=np.resize(failed, size)), position, seed
            )
            order = np.arange(data.index.size)
            order[failed] = data.index.size + np.arange(failed.size)
            run = run.joined(again.at(rung)).taken(order)
        return run

    def run(self, method: Method, model: Any, data: Data, position: int, seed: int) -> Run:
        """One method on every data set, in chunks of equal size; longer chains are thinned to `draws` where draws are kept."""
        mask, parts = model.latent_mask(data, position), []
        drawn = self.draws_of(method, model, data, position, seed)
        for chunk, (found, energy, diverging) in zip(
            self._chunks(method, data), drawn, strict=True
        ):
            some = data.select(datasets=chunk)
            halves = [
                self._conditional(model, some, position, {n: d[:, half] for n, d in found.items()})
                for half in (slice(None, self.chains), slice(self.chains, None))
            ]
            gates, latents = judged(
                found, energy, diverging, {k: v[chunk] for k, v in mask.items()}
            )
            if self.keep:
                thin = max(method.draws // self.draws, 1)
                latents = {
                    n: {**moments, "draws": found[n][:, :, ::thin]}
                    for n, moments in latents.items()
                }
            parts.append(
                Run((halves[0], halves[1]), gates, latents, np.zeros(chunk.size, dtype=np.int64))
            )
        return reduce(Run.joined, parts).taken(np.arange(data.index.size))

    def draws_of(
        self, method: Method, model: Any, data: Data, position: int, seed: int
    ) -> Iterator[tuple[Draws, Array, Mask]]:
        """Latents (dataset, chain, draw, *event), energies and divergences by chunks, of which the last may repeat itself."""
        program, key, sampler = (
            model.program_data(data, position),
            keys(seed, method.name, data.index),
            method.compiled(model),
        )
        for chunk in self._chunks(method, data):
            waiting.at(
                f"{method.name} on data sets {chunk[0] + 1} to {chunk[-1] + 1} of {data.index.size}"
            )
            with float64(), jax.numpy_rank_promotion("allow"):  # NumPyro's transforms rely on it
                lanes = _lanes(key[chunk], int(data.positions[position]), 2 * self.chains)
                drawn = jax.tree.map(
                    np.asarray, sampler(lanes, {k: v[chunk] for k, v in program.items()})
                )
            yield drawn

    def _chunks(self, method: Method, data: Data) -> list[IntArray]:
        return equal_chunks(data.index.size, method.lanes // (2 * self.chains))

    def _conditional(self, model: Any, data: Data, position: int, found: Draws) -> Predictive:
        """The predictive averaged over the draws of some chains; a mixture over draws is thinned."""
        draws = {n: d.reshape(d.shape[0], -1, *d.shape[3:]) for n, d in found.items()}
        if model.n_categories is None and not model.moments:
            size = min(COMPONENTS, self.chains * self.draws)
            kept = np.linspace(0, next(iter(draws.values())).shape[1] - 1, size).astype(np.int64)
            draws = {n: d[:, kept] for n, d in draws.items()}
        answer: Predictive = model.conditional(draws, data, position)
        return answer

    def _certificate(self, runs: Sequence[Run], methods: Sequence[Method]) -> Certificate:
        """Trusted when few enough data sets fail at every position."""
        gates = [r.gates for r in runs]
        share = max(float((~g.passed).mean()) for g in gates)
        kept = [g.taken(g.passed if share <= self.max_refused else slice(None)) for g in gates]
        worst = {
            **{"rank_r_hat": np.max, "split_r_hat": np.max, "divergences": np.max},
            **{"ess_bulk": np.min, "ess_tail": np.min, "e_bfmi": np.min},
        }
        diagnostics = {
            name: float(pick(np.concatenate([getattr(g, name) for g in kept])))
            for name, pick in worst.items()
        }
        reasons: tuple[str, ...] = ()
        if share > self.max_refused:
            tried = ", then ".join(
                f"{2 * self.chains} chains of {m.draws} draws by {m.name}" for m in methods
            )
            head = f"{share:.1%} of data sets fail a gate with {tried}; {self.max_refused:.1%} may"
            reasons = (head, *dict.fromkeys(reason for g in gates for reason in g.reasons()))
        diagnostics["refused_share"] = share
        for rung, method in enumerate(methods[1:], start=1):
            diagnostics[f"{method.name.replace(' ', '_')}_share"] = max(
                float((r.rung >= rung).mean()) for r in runs
            )
        bound = 1 / np.sqrt(diagnostics["ess_bulk"]) if diagnostics["ess_bulk"] > 0 else np.inf
        return Certificate(
            "refused" if reasons else "trusted",
            self.method,
            float(bound),
            "montecarlo",
            reasons,
            diagnostics,
        )


@dataclass(frozen=True)
class Run:
    """What chains made of a batch at one position.

    Attributes:
        halves: predictives (dataset, query) from the first and the second half of the chains.
        gates: (dataset,) each.
        latents: name -> statistic -> (dataset, *event), NaN where the latent has no meaning.
        rung: (dataset,) the number of the method in the ladder.
    """

    halves: tuple[Predictive, Predictive]
    gates: Gates
    latents: Mapping[str, Mapping[str, Array]]
    rung: IntArray

    def joined(self, other: Run) -> Run:
        """Both batches, one after the other."""
        first, second = (
            concatenate([a, b]) for a, b in zip(self.halves, other.halves, strict=True)
        )
        gates = Gates(
            *(
                np.concatenate([getattr(g, f.name) for g in (self.gates, other.gates)])
                for f in fields(Gates)
            )
        )
        latents = {
            n: {k: np.concatenate([v, other.latents[n][k]]) for k, v in each.items()}
            for n, each in self.latents.items()
        }
        return Run((first, second), gates, latents, np.concatenate([self.rung, other.rung]))

    def taken(self, order: IntArray) -> Run:
        """Some of the data sets, in this order."""
        latents = {n: {k: v[order] for k, v in each.items()} for n, each in self.latents.items()}
        return Run(
            (self.halves[0][order], self.halves[1][order]),
            self.gates.taken(order),
            latents,
            self.rung[order],
        )

    def at(self, rung: int) -> Run:
        """The same, by the method with this number."""
        return Run(self.halves, self.gates, self.latents, np.full(self.rung.shape, rung))


def judged(
    found: Draws, energy: Array, diverging: Mask, mask: Mapping[str, Mask]
) -> tuple[Gates, dict[str, dict[str, Array]]]:
    """Gates and moments from the draws of latents, (dataset, chain, draw, *event) each."""
    used = {name: np.flatnonzero(mask[name].all(0)) for name in found}
    flat = [found[name].reshape(*energy.shape, -1)[..., columns] for name, columns in used.items()]
    gates, statistics = measure(
        np.moveaxis(np.concatenate(flat, axis=-1), -1, 1), energy, diverging
    )
    ends = np.cumsum([columns.size for columns in used.values()])
    latents = {name: {k: _placed(v[:, end - columns.size : end], columns, mask[name].shape) for k, v in statistics.items()}
               for (name, columns), end in zip(used.items(), ends, strict=True)}  # fmt: skip
    return gates, latents


def _placed(values: Array, columns: IntArray, shape: tuple[int, ...]) -> Array:
    """Statistics (dataset, used latent) in their places (dataset, *event), NaN elsewhere."""
    out = np.full((shape[0], int(np.prod(shape[1:]))), np.nan)
    out[:, columns] = values
    return out.reshape(shape)


def _mean(first: Predictive, second: Predictive) -> Predictive:
    """The equal mixture of two predictives."""
    if isinstance(first, Categorical) and isinstance(second, Categorical):
        return Categorical((first.probs + second.probs) / 2)
    if isinstance(first, NormalMixture) and isinstance(second, NormalMixture):
        pairs = (
            (getattr(first, name), getattr(second, name)) for name in ("weights", "mean", "sd")
        )
        weights, mean, sd = (np.concatenate(pair, axis=-1) for pair in pairs)
        return NormalMixture(weights / 2, mean, sd)
    raise InputError("two categoricals or two mixtures", f"'{first.form}' and '{second.form}'")


def _lanes(key: jax.Array, size: int, chains: int) -> jax.Array:
    """Keys (dataset, chain) from keys (dataset,) and the context size."""
    return jax.vmap(lambda one: jax.random.split(jax.random.fold_in(one, size), chains))(key)

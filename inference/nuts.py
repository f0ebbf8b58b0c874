"""No-U-turn sampling of any model's NumPyro program: compiled once, run in lockstep over data sets and chains.

Two independent halves of the chains give two estimates of every predictive; the answer is their mean, and their difference
lets a comparison subtract the Monte Carlo bias. Predictives average `model.conditional` over draws (Rao-Blackwell), never
draws of the observation. All chains of a data set, from over-dispersed starts, must pass the gates of `_diagnostics`. Data
sets that do not are run once more, with chains twice as long and smaller steps, and count against `max_refused` if they
fail again.

Hoffman & Gelman (2014), arXiv 1111.4246; Phan et al. (2019), arXiv 1912.11554.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache, reduce
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import NUTS, init_to_uniform

from veribayes.errors import InputError
from veribayes.inference._diagnostics import ESS, Gates, Mask, measure
from veribayes.inference._engine import equal_chunks, float64, name_of, require_positive
from veribayes.models._random import keys
from veribayes.models._task import Task
from veribayes.predictive import Array, Categorical, NormalMixture, Predictive, concatenate, stack
from veribayes.tree import Branch, Certificate, Data, IntArray

LANES = 512  # chains in lockstep: more fill no wider vector and wait for slower ones
COMPONENTS = 500  # of a mixture over draws, each half: thinned evenly, since predictives of neighbours are alike
START = 2.0  # starts are uniform on [-2, 2] in unconstrained space, wider than the posteriors that data make
DEPTH = (5, 10)  # doublings of a trajectory while warming up and after: one lost lane must not hold up all others
LONGER, SMALLER = 2, 0.95  # the second run: chains this many times as long, at this target acceptance

Draws = Mapping[str, Array]


@dataclass(frozen=True)
class Nuts:
    """NUTS with diagonal mass matrix.

    Attributes:
        warmup, draws: iterations of each chain.
        chains: in each of the two halves.
        target_accept: mean acceptance probability that the step size aims at.
        max_refused: largest share of data sets at a position that may fail the gates twice. One in a hundred moves a mean
            over data sets by at most a hundredth of its own error; more is a reference that cannot be had this way.
        latents: also return the posterior of every latent.
    """

    warmup: int = 500
    draws: int = 500
    chains: int = 4
    target_accept: float = 0.8
    max_refused: float = 0.01
    latents: bool = True
    method: ClassVar[str] = "mcmc"
    families: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_positive(
            self, warmup=self.warmup, draws=self.draws, chains=self.chains, target_accept=self.target_accept
        )
        if self.draws < 4 or not self.target_accept < 1 or not 0 <= self.max_refused < 1:
            wanted = f"draws >= 4, target_accept < 1 and max_refused in [0, 1) for the engine '{name_of(self)}'"
            raise InputError(wanted, f"{self.draws}, {self.target_accept}, {self.max_refused}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        if not task.model.latents:
            wanted = "a model with unknown latents for the engine 'nuts'"
            raise InputError(wanted, f"the task '{task.name}' without any", "use 'elimination'")
        runs = [self._certain(task.model, data, position, seed) for position in range(data.positions.size)]
        halves = tuple(stack([run.halves[i] for run in runs], axis=1) for i in (0, 1))
        posterior = {
            name: {key: np.stack([run.latents[name][key] for run in runs], axis=1) for key in runs[0].latents[name]}
            for name in runs[0].latents
        }
        answer = _mean(*halves)
        return Branch(answer, self._certificate(runs), posterior if self.latents else {}, (halves[0], halves[1]))

    def _certain(self, model: Any, data: Data, position: int, seed: int) -> Run:
        """All data sets at one position; those that fail a gate are replaced by a longer run, where that can help."""
        first = self._run(model, data, position, keys(seed, "nuts", data.index))
        failed = np.flatnonzero(~first.gates.passed)
        if not failed.size or 2 * self.chains * LONGER * self.draws < ESS:
            return first
        padded = np.resize(
            failed, min(2 ** int(np.ceil(np.log2(failed.size))), data.index.size)
        )  # few sizes, few compilations
        longer = replace(
            self, warmup=LONGER * self.warmup, draws=LONGER * self.draws, target_accept=max(SMALLER, self.target_accept)
        )
        again = longer._run(
            model, data.select(datasets=padded), position, keys(seed, "nuts longer", data.index[padded]), self.draws
        )
        order = np.arange(data.index.size)
        order[failed] = data.index.size + np.arange(failed.size)
        return replace(first.joined(again).taken(order), rerun=failed.size)

    def _run(self, model: Any, data: Data, position: int, key: jax.Array, draws: int | None = None) -> Run:
        """One run of every data set, in chunks of equal size; mixtures get a component for each of `draws`, at most."""
        program, mask = model.program_data(data, position), model.latent_mask(data, position)
        components = min(COMPONENTS, self.chains * (draws or self.draws))
        sampler = _sampler(model, self.warmup, self.draws, self.target_accept)
        parts = []
        for chunk in equal_chunks(data.index.size, LANES // (2 * self.chains)):
            with float64(), jax.numpy_rank_promotion("allow"):  # NumPyro's transforms rely on it
                lanes = _lanes(key[chunk], int(data.positions[position]), 2 * self.chains)
                found, energy, diverging = jax.tree.map(
                    np.asarray, sampler(lanes, {k: v[chunk] for k, v in program.items()})
                )
            some = data.select(datasets=chunk)
            first = _conditional(model, some, position, {n: d[:, : self.chains] for n, d in found.items()}, components)
            second = _conditional(model, some, position, {n: d[:, self.chains :] for n, d in found.items()}, components)
            judged = _judged(found, energy, diverging, {k: v[chunk] for k, v in mask.items()})
            parts.append(Run((first, second), *judged))
        return reduce(Run.joined, parts).taken(np.arange(data.index.size))

    def _certificate(self, runs: list[Run]) -> Certificate:
        """Trusted when few enough data sets fail at every position."""
        gates = [r.gates for r in runs]
        share = max(float((~g.passed).mean()) for g in gates)
        kept = [g.taken(g.passed if share <= self.max_refused else slice(None)) for g in gates]
        worst = {"rank_r_hat": np.max, "ess_bulk": np.min, "ess_tail": np.min, "divergences": np.max, "e_bfmi": np.min}
        diagnostics = {
            name: float(pick(np.concatenate([getattr(g, name) for g in kept]))) for name, pick in worst.items()
        }
        reasons: tuple[str, ...] = ()
        if share > self.max_refused:
            run = f"{2 * self.chains} chains of {self.draws} draws"
            again = ", and with longer ones" * any(r.rerun for r in runs)
            head = f"{share:.1%} of data sets fail a gate with {run}{again}; {self.max_refused:.1%} may"
            reasons = (head, *dict.fromkeys(reason for g in gates for reason in g.reasons()))
        diagnostics |= {"refused_share": share, "rerun_share": max(r.rerun / r.gates.passed.size for r in runs)}
        bound = 1 / np.sqrt(diagnostics["ess_bulk"]) if diagnostics["ess_bulk"] > 0 else np.inf
        return Certificate(
            "refused" if reasons else "trusted", self.method, float(bound), "montecarlo", reasons, diagnostics
        )


@dataclass(frozen=True)
class Run:
    """What a run made of a batch at one position.

    Attributes:
        halves: predictives (dataset, query) from the first and the second half of the chains.
        gates: (dataset,) each.
        latents: name -> statistic -> (dataset, *event), NaN where the latent has no meaning.
        rerun: how many data sets needed the longer run.
    """

    halves: tuple[Predictive, Predictive]
    gates: Gates
    latents: Mapping[str, Mapping[str, Array]]
    rerun: int = 0

    def joined(self, other: Run) -> Run:
        """Both batches, one after the other."""
        first, second = (concatenate([a, b]) for a, b in zip(self.halves, other.halves, strict=True))
        gates = Gates(*(np.concatenate([getattr(g, f.name) for g in (self.gates, other.gates)]) for f in fields(Gates)))
        latents = {
            n: {k: np.concatenate([v, other.latents[n][k]]) for k, v in each.items()}
            for n, each in self.latents.items()
        }
        return Run((first, second), gates, latents)

    def taken(self, order: IntArray) -> Run:
        """Some of the data sets, in this order."""
        latents = {n: {k: v[order] for k, v in each.items()} for n, each in self.latents.items()}
        return Run((self.halves[0][order], self.halves[1][order]), self.gates.taken(order), latents)


def _judged(
    found: Draws, energy: Array, diverging: Mask, mask: Mapping[str, Mask]
) -> tuple[Gates, dict[str, dict[str, Array]]]:
    """Gates and moments from the draws of latents, (dataset, chain, draw, *event) each."""
    used = {name: np.flatnonzero(mask[name].all(0)) for name in found}
    flat = [found[name].reshape(*energy.shape, -1)[..., columns] for name, columns in used.items()]
    gates, statistics = measure(np.moveaxis(np.concatenate(flat, axis=-1), -1, 1), energy, diverging)
    ends = np.cumsum([columns.size for columns in used.values()])
    latents = {name: {k: _placed(v[:, end - columns.size : end], columns, mask[name].shape) for k, v in statistics.items()}
               for (name, columns), end in zip(used.items(), ends, strict=True)}  # fmt: skip
    return gates, latents


def _conditional(model: Any, data: Data, position: int, found: Draws, components: int) -> Predictive:
    """The predictive averaged over the draws of some chains; a mixture is thinned."""
    draws = {n: d.reshape(d.shape[0], -1, *d.shape[3:]) for n, d in found.items()}
    if model.n_categories is None:
        kept = np.linspace(0, next(iter(draws.values())).shape[1] - 1, components).astype(np.int64)
        draws = {n: d[:, kept] for n, d in draws.items()}
    answer: Predictive = model.conditional(draws, data, position)
    return answer


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
        pairs = ((getattr(first, name), getattr(second, name)) for name in ("weights", "mean", "sd"))
        weights, mean, sd = (np.concatenate(pair, axis=-1) for pair in pairs)
        return NormalMixture(weights / 2, mean, sd)
    raise InputError("two categoricals or two mixtures", f"'{first.form}' and '{second.form}'")


def _lanes(key: jax.Array, size: int, chains: int) -> jax.Array:
    """Keys (dataset, chain) from keys (dataset,) and the context size."""
    return jax.vmap(lambda one: jax.random.split(jax.random.fold_in(one, size), chains))(key)


@lru_cache(maxsize=16)
def _sampler(model: Any, warmup: int, draws: int, target_accept: float) -> Callable[..., tuple[Draws, Array, Mask]]:
    """Compiled keys (dataset, chain), data -> latents (dataset, chain, draw, *event), energy and divergence of every draw."""

    def chain(key: jax.Array, data: dict[str, jax.Array]) -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
        kernel = NUTS(
            model.program,
            target_accept_prob=target_accept,
            init_strategy=init_to_uniform(radius=START),
            max_tree_depth=DEPTH,
        )
        start = kernel.init(key, warmup, None, (), data)

        def move(i: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:  # one loop: the body is compiled once
            state = kernel.sample(carry[0], (), data)
            place = jnp.maximum(i - warmup, 0)
            return state, jax.tree.map(lambda kept, new: kept.at[place].set(new), carry[1], _output(state))

        empty = jax.tree.map(lambda a: jnp.zeros((draws, *a.shape), a.dtype), _output(start))
        _, (z, energy, diverging) = jax.lax.fori_loop(0, warmup + draws, move, (start, empty))
        values = jax.vmap(kernel.postprocess_fn((), data))(z)
        return {latent.name: values[latent.name] for latent in model.latents}, energy, diverging

    return jax.jit(jax.vmap(jax.vmap(chain, in_axes=(0, None))))


def _output(state: Any) -> tuple[Any, jax.Array, jax.Array]:
    return jax.tree.map(jnp.asarray, (state.z, state.energy, state.diverging))


PART = Nuts

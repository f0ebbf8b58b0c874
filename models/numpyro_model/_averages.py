"""Laws of entries averaged over draws of the latents: compiled once, one data set after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from veribayes.models.numpyro_model._joint import Joint, Seen, Weighted
from veribayes.predictive import Array, Categorical, NormalMixture, Predictive

COMPONENTS = 4096  # of a mixture: above, each draw of the latents gets one of its discrete states
RESAMPLED = 500  # components that stand for weighted draws, spread evenly over their ranks
LEAST_SD = 1e-300  # of a law without noise, which no density is defined for


@dataclass(frozen=True, eq=False)
class Averages:
    """Averages of a program's laws.

    Attributes:
        joint: its densities.
        seen_of: arrays of one data set -> what is seen of it.
        running: enters the arithmetic in which programs run.
    """

    joint: Joint
    seen_of: Callable[[Mapping[str, Any]], Seen]
    running: Callable[[], AbstractContextManager[None]]

    def predictive(
        self, latents: Mapping[str, Array], arrays: Mapping[str, Any], entries: Any
    ) -> Predictive:
        """The law of each entry (dataset, query), averaged.

        Args:
            latents: draws (dataset, draw, *event); one data set's where all have the same.
            arrays: of `program`, first axis dataset.
            entries: numbers of the entries that are asked about (query,).
        """
        with self.running():
            averaged = self._compiled(dict(latents), dict(arrays), entries)
            parts = {name: np.asarray(values) for name, values in averaged.items()}
        if "probs" in parts:
            return Categorical(parts["probs"])
        sd = np.maximum(parts["sd"], LEAST_SD)
        return NormalMixture(parts["weights"], parts["mean"], sd)

    def states(self, arrays: Mapping[str, Any]) -> dict[str, Array]:
        """Probabilities of each discrete latent's values where there is no other latent."""
        outline = self.joint.outline
        with self.running():
            found = self._states(dict(arrays))
            shared, own, chain = (np.asarray(values) for values in found)
        probabilities = {}
        for name, states in outline.shared.items():
            values = np.unique(states)
            is_value = states[..., None] == values  # (state, *shape, value)
            probabilities[name] = np.tensordot(shared, is_value.astype(float), axes=(1, 0))
        for name, states in outline.by_entry.items():
            flat = states.reshape(len(states), -1)[:, 0]
            values = np.unique(flat)
            is_value = (flat[:, None] == values).astype(float)
            probabilities[name] = np.einsum("bke,kv->bev", own, is_value)
        for name in outline.chained:
            probabilities[name] = chain
        return probabilities

    @cached_property
    def _states(self) -> Callable[..., Any]:
        import jax
        import jax.numpy as jnp

        def of_data_set(one: Mapping[str, Any]) -> Any:
            seen = self.seen_of(one)
            shared, own = self.joint.state_weights({}, seen)
            chained = self.joint.outline.chained
            chain = self.joint.chain_weights({}, seen) if chained else jnp.zeros(())
            return shared, own, chain

        return jax.jit(lambda arrays: jax.lax.map(of_data_set, arrays))

    def weighted(
        self, latents: Mapping[str, Array], arrays: Mapping[str, Any], entries: Any
    ) -> tuple[Predictive, Array]:
        """The law of each entry (dataset, query) by draws of all latents, weighted by what is seen;
        and their effective number (dataset,).
        """
        with self.running():
            found = self._weighted(dict(latents), dict(arrays), entries)
            parts, effective = {n: np.asarray(v) for n, v in found[0].items()}, np.asarray(found[1])
        if "probs" in parts:
            return Categorical(parts["probs"]), effective
        sd = np.maximum(parts["sd"], LEAST_SD)
        return NormalMixture(np.full(sd.shape, 1 / sd.shape[-1]), parts["mean"], sd), effective

    @cached_property
    def _weighted(self) -> Callable[..., Any]:
        import jax
        import jax.numpy as jnp

        def of_data_set(latents: Any, one: Any, entries: Any) -> Any:
            seen = self.seen_of(one)
            heights, laws = jax.vmap(lambda draw: self.joint.fixed(draw, seen, entries))(latents)
            weights = jax.nn.softmax(heights)  # (draw,)
            effective = 1 / (weights**2).sum()
            if "probs" in laws:
                return {"probs": jnp.einsum("d,dqc->qc", weights, laws["probs"])}, effective
            levels = (jnp.arange(RESAMPLED) + 0.5) / RESAMPLED
            rows = jnp.searchsorted(jnp.cumsum(weights), levels)
            rows = jnp.minimum(rows, len(weights) - 1)
            return {name: values[rows].T for name, values in laws.items()}, effective

        def all_data_sets(latents: Any, arrays: Any, entries: Any) -> Any:
            return jax.lax.map(lambda one: of_data_set(latents, one, entries), arrays)

        return jax.jit(all_data_sets)

    @cached_property
    def _compiled(self) -> Callable[..., Any]:
        import jax

        def all_data_sets(latents: Any, arrays: Any, entries: Any) -> Any:
            leaves = jax.tree.leaves(latents)
            datasets = len(arrays["seen"])
            if leaves and len(leaves[0]) < datasets:
                only = jax.tree.map(lambda leaf: leaf[0], latents)
                return jax.lax.map(lambda one: self._one(only, one, entries), arrays)
            return jax.lax.map(lambda pair: self._one(pair[0], pair[1], entries), (latents, arrays))

        return jax.jit(all_data_sets)

    def _one(self, latents: Any, arrays: Any, entries: Any) -> Any:
        """Of one data set: probabilities (query, category), or a mixture (query, component)."""
        import jax

        seen = self.seen_of(arrays)

        def of_entry(entry: Any) -> Any:
            if not latents:
                weighted = jax.tree.map(lambda leaf: leaf[None], self.joint.law({}, seen, entry))
            else:
                weighted = jax.vmap(lambda one: self.joint.law(one, seen, entry))(latents)
            return _averaged(weighted)

        return jax.vmap(of_entry)(entries)


def _averaged(weighted: Weighted) -> Mapping[str, Any]:
    """One law from those of every draw and state, (draw, shared state, own state, …)."""
    import jax.numpy as jnp

    draws = weighted.weights.shape[0]
    weights = weighted.weights.reshape(draws, -1)
    if "probs" in weighted.laws:
        cells = weighted.laws["probs"].shape[-1]
        probs = weighted.laws["probs"].reshape(draws, -1, cells)
        return {"probs": jnp.einsum("ds,dsc->c", weights, probs) / draws}
    mean = weighted.laws["mean"].reshape(draws, -1)
    sd = weighted.laws["sd"].reshape(draws, -1)
    if weights.size > COMPONENTS:
        weights, mean, sd = _picked(weights, mean, sd)
    return {
        "weights": weights.reshape(-1) / draws,
        "mean": mean.reshape(-1),
        "sd": sd.reshape(-1),
    }


def _picked(weights: Any, mean: Any, sd: Any) -> tuple[Any, Any, Any]:
    """One state a draw, at levels that are spread evenly over the draws."""
    import jax.numpy as jnp

    draws = weights.shape[0]
    levels = np.random.default_rng(0).permutation((np.arange(draws) + 0.5) / draws)
    below = jnp.cumsum(weights, axis=1)[:, :-1]
    state = (levels[:, None] > below).sum(1)
    rows = jnp.arange(draws)
    return jnp.ones((draws, 1)), mean[rows, state][:, None], sd[rows, state][:, None]

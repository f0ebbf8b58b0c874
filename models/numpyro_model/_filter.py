"""The forward recursion for a discrete latent inside `scan`:
a hidden Markov model of any emissions.

    a_t(k) = sum_j a_{t-1}(j) P(state k | state j) p(entry t | state k), seen entries alone counting

`scan` is intercepted, and its step run for every pair of states at each t; what a step hands on may
depend on its own state and on the entries, and on nothing before them. Rabiner (1989),
doi:10.1109/5.18626.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from veribayes.models.numpyro_model._entries import Kind, law_at, log_densities

NEVER = -1e30  # log probability of where a chain is not: infinity has no derivative


class Chain(NamedTuple):
    """What a step of the recursion needs to know.

    Attributes:
        state: the discrete site.
        states: its values (state,).
        predict: the predicted site.
        kind: of its entries.
        values: of the sites inside that are given, each (T, …).
        seen: which entries are seen (T,).
        tilt: added to the log probability of each state at each step, (T, state); zero.
    """

    state: str
    states: Any
    predict: str
    kind: Kind
    values: Mapping[str, Any]
    seen: Any
    tilt: Any


class Recursion(NamedTuple):
    """What the recursion says.

    Attributes:
        log_evidence: of the seen entries.
        log_weights: of each pair of states before entry t is seen, (T, state before, state).
        laws: of entry t in each of them, arrays (T, state before, state, …).
        off: how much what is handed on depends on the state before.
    """

    log_evidence: Any
    log_weights: Any
    laws: Any
    off: Any


def filtered(chain: Chain) -> Any:
    """A handler that runs a `scan` with a discrete latent by the forward recursion; what it found
    is its `found`, a `Recursion`, or None where there was no `scan`.
    """
    return _handler()(chain)


@cache
def _handler() -> Any:
    """The class of the handler, made when it is first needed: importing NumPyro takes seconds."""
    from numpyro.primitives import Messenger

    class Filter(Messenger):
        def __init__(self, chain: Chain) -> None:
            self.chain = chain
            self.found: Recursion | None = None
            super().__init__(None)

        def process_message(self, msg: Any) -> None:
            if msg["type"] != "control_flow":
                return
            step, start, inputs, length, _ = msg["args"]
            self.found, last, outputs = _forward(self.chain, step, start, inputs)
            nothing = _no_sites()
            msg["value"] = ((length, None, last), (nothing, outputs))

    return Filter


def _forward(chain: Chain, step: Any, start: Any, inputs: Any) -> tuple[Recursion, Any, Any]:
    """The recursion; what is handed on in the end;
    and what the steps put out, in the first state.
    """
    import jax
    import jax.numpy as jnp
    from jax.scipy.special import logsumexp

    states = jnp.asarray(chain.states)
    count = len(states)

    def repeated(leaf: Any) -> Any:
        return jnp.broadcast_to(jnp.asarray(leaf), (count, *jnp.shape(leaf)))

    def move(given: Any, now: Any) -> Any:
        log_before, carried = given
        values, seen, tilt, row = now

        def pair(before: Any, state: Any) -> Any:
            return _one_step(chain, step, before, row, {**values, chain.state: state})

        over_states = jax.vmap(pair, in_axes=(None, 0))
        over_pairs = jax.vmap(over_states, in_axes=(0, None))
        handed_on, output, log_move, log_entry, law = over_pairs(carried, states)
        log_weights = log_before[:, None] + log_move + tilt
        log_after = logsumexp(log_weights + jnp.where(seen, log_entry, 0.0), axis=0)
        own = jax.tree.map(lambda leaf, old: leaf[0].astype(old.dtype), handed_on, carried)
        off = _largest_difference(handed_on)
        first = jax.tree.map(lambda leaf: leaf[0, 0], output)
        return (log_after, own), (log_weights, law, off, first)

    log_start = jnp.full(count, NEVER).at[0].set(0.0)
    carried = jax.tree.map(repeated, start)
    given = {name: jnp.asarray(values) for name, values in chain.values.items()}
    rows = (given, chain.seen, chain.tilt, inputs)
    (log_end, own), (log_weights, laws, off, outputs) = jax.lax.scan(
        move, (log_start, carried), rows
    )
    last = jax.tree.map(lambda leaf: leaf[0], own)
    recursion = Recursion(logsumexp(log_end), log_weights, laws, off.max())
    return recursion, last, outputs


def _one_step(chain: Chain, step: Any, before: Any, row: Any, values: Mapping[str, Any]) -> Any:
    """One step with every site given: what it hands on and puts out, the log density of its latents
    and of its entry, and the entry's law.
    """
    import jax
    import jax.numpy as jnp
    from numpyro import handlers

    fixed = handlers.condition(step, data=dict(values))
    with handlers.block(), handlers.seed(rng_seed=jax.random.key(0)), handlers.trace() as sites:
        handed_on, output = fixed(before, row)
    log_move, log_entry = jnp.zeros(()), jnp.zeros(())
    for name, site in sites.items():
        if site["type"] != "sample":
            continue
        if name == chain.predict:
            log_entry = log_densities(site["fn"], site["value"]).sum()
        else:
            log_move = log_move + site["fn"].log_prob(site["value"]).sum()
    entry = sites[chain.predict]
    law = law_at(chain.kind, entry["fn"], entry["value"], jnp.zeros(1, dtype=bool), 0)
    handed_on, output = jax.tree.map(jnp.asarray, (handed_on, output))
    return handed_on, output, log_move, log_entry, law


def _largest_difference(handed_on: Any) -> Any:
    """Between what is handed on from different states before, (before, state, …) each."""
    import jax
    import jax.numpy as jnp

    off = jnp.zeros(())
    for leaf in jax.tree.leaves(handed_on):
        off = jnp.maximum(off, jnp.abs(leaf - leaf[:1]).max() * 1.0)
    return off


def _no_sites() -> Any:
    """A trace without sites: those of a step have been counted."""
    from numpyro.ops.pytree import PytreeTrace

    return PytreeTrace({})

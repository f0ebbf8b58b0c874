"""The NumPyro program of a sequence whose parameters are unknown; its states are summed out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from veribayes.models.hmm._parameters import TABLES, in_order, shapes

if TYPE_CHECKING:
    import jax

    from veribayes.models.hmm import HMM


def program(model: HMM, y: jax.Array, mask: jax.Array) -> None:
    """Rows ~ Dirichlet(concentration), and the likelihood of the symbols that the mask keeps.

    What is named are the tables with the states in order: a relabelling of the states changes
    nothing else, so that chains which have found different labels agree about them.
    """
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist

    drawn = {}
    for name, shape in shapes(model.states, model.symbols).items():
        rows = dist.Dirichlet(jnp.full(shape, model.concentration))
        drawn[name] = numpyro.sample(f"{name}_by_label", rows.to_event(len(shape) - 1))
    ordered = in_order(drawn)
    tables = {name: numpyro.deterministic(name, ordered[name]) for name in TABLES}
    numpyro.factor("symbols", log_evidence(tables, y, mask))


def log_evidence(tables: dict[str, jax.Array], y: jax.Array, mask: jax.Array) -> jax.Array:
    """log P(symbols that the mask keeps | tables), nats;
    symbols (time,), of which a prefix is kept.
    """
    import jax
    import jax.numpy as jnp

    log_transition = jnp.log(tables["transition"])
    log_likelihoods = jnp.log(tables["emission"]).T[y]  # (time, state)

    def step(
        log_joint: jax.Array, seen: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        log_likelihood, kept = seen
        joint = log_joint + log_likelihood
        moved = jax.nn.logsumexp(joint[:, None] + log_transition, axis=0)
        return jnp.where(kept, moved, log_joint), jnp.zeros(())

    start = jnp.log(tables["initial"])
    log_joint, _ = jax.lax.scan(step, start, (log_likelihoods, mask))
    return jax.nn.logsumexp(log_joint)

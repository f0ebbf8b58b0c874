"""Data sets drawn from a network: rows of unknown tables, or evidence under known ones."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from veribayes.errors import InputError
from veribayes.models._random import integers, uniforms
from veribayes.models._task import Design
from veribayes.tree import Data, IntArray, Simulation

if TYPE_CHECKING:
    import jax

    from veribayes.models.bayesian_network._network import BayesianNetwork

OBSERVED = 0.5  # probability with which a node is observed where the tables are known


def simulate_learning(
    model: BayesianNetwork, design: Design, key: jax.Array, index: IntArray
) -> Simulation:
    """Complete rows of each data set, and fresh rows that are cut at every node."""
    n, m = max(design.positions), len(model.nodes)
    simulator = _learning_simulator(model, n, design.queries)
    theta, rows, edges = (np.array(drawn) for drawn in simulator(key))
    fresh = np.repeat(rows[:, n:], m, axis=1)
    target = np.tile(np.arange(m), design.queries)
    before_target = np.arange(m) < target[:, None]
    query = np.where(before_target, fresh, -1)
    arrays = {"rows": rows[:, :n], "query": query, "target": target}
    positions = np.array(design.positions, dtype=np.int64)
    latents = {"theta": theta}
    if model.edges:
        latents["edges"] = edges
    at_target = np.take_along_axis(fresh, target[None, :, None], axis=-1)
    value = at_target[..., 0].astype(np.float64)
    outcome = np.repeat(value[:, None], positions.size, axis=1)
    context = np.broadcast_to(positions, (index.size, positions.size)).copy()
    data = Data(arrays, positions, index, model.layout.shared)
    return Simulation(data, latents, outcome, context)


def simulate_inference(
    model: BayesianNetwork, design: Design, key: jax.Array, index: IntArray
) -> Simulation:
    """Evidence on some nodes of a row, and all nodes as queries; observed ones have no outcome."""
    if len(design.positions) != 1:
        wanted = "one position where the tables are known"
        raise InputError(wanted, f"{design.positions}", "the evidence is the context")
    simulator = _inference_simulator(model)
    row, observed = (np.array(drawn) for drawn in simulator(key, model.theta))
    evidence = np.where(observed, row, -1)
    arrays = {"evidence": evidence, "target": np.arange(len(model.nodes))}
    positions = np.array(design.positions, dtype=np.int64)
    outcome = np.where(observed, np.nan, row)[:, None]
    context = observed.sum(1, keepdims=True).astype(np.int64)
    data = Data(arrays, positions, index, model.layout.shared)
    return Simulation(data, {}, outcome, context)


@lru_cache(maxsize=16)
def _learning_simulator(model: BayesianNetwork, context: int, queries: int) -> Any:
    """Compiled keys (B,) -> theta (B, R, K), rows (B, context + queries, M), edges (B, M, M).

    Edges are empty where the graph is known.
    """
    import jax
    import jax.numpy as jnp

    m = len(model.nodes)
    shapes: list[tuple[int, ...]] = [(model.n_rows, model.width), (context + queries, m)]
    if model.edges:
        shapes += [(m, m), ()]

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        for_theta, for_rows, *for_edges = uniforms(key, *shapes)
        theta = model.require_prior().sample(key, for_theta, model.row_states)
        edges = jnp.zeros(0, dtype=bool)
        if model.edges:
            edges, row = _tied(model, *for_edges)
            theta = theta[row]
        return theta, _sample_rows(model, theta, for_rows), edges

    return jax.jit(jax.vmap(one))


@lru_cache(maxsize=4)
def _inference_simulator(model: BayesianNetwork) -> Any:
    """Compiled keys (B,), theta (R, K) -> row (B, M), observed (B, M)."""
    import jax

    m = len(model.nodes)

    def one(key: jax.Array, theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        for_row, coins, for_spared = uniforms(key, (1, m), (m,), ())
        spared = integers(for_spared, m)
        observed = (coins < OBSERVED).at[spared].set(False)
        return _sample_rows(model, theta, for_row)[0], observed

    return jax.jit(jax.vmap(one, in_axes=(0, None)))


def _tied(
    model: BayesianNetwork, level: jax.Array, density: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """A graph, and the rows of theta that are the same under it.

    Args:
        model: with an unknown graph.
        level: uniforms (M, M), child first.
        density: a uniform, the place of the graph's density in its interval.

    Returns:
        Which nodes are parents (M, M), child first; for each row of theta the row that it equals.
    """
    import jax.numpy as jnp

    law = model.require_edges()
    chosen = level < law.low + (law.high - law.low) * density
    index, stride = model.padded_parents
    node = np.repeat(np.arange(len(model.nodes)), model.configurations)
    number = np.arange(model.n_rows) - model.offsets[node]  # of the configuration
    own_stride = np.maximum(stride[node], 1)
    states = number[:, None] // own_stride % model.cardinalities[index[node]]
    used = jnp.take_along_axis(chosen, index, axis=1)[node]
    same_row = model.offsets[node] + (used * states * stride[node]).sum(-1)
    earlier = np.tri(len(model.nodes), k=-1, dtype=bool)
    return chosen & earlier, same_row


def _sample_rows(model: BayesianNetwork, theta: jax.Array, uniform: jax.Array) -> jax.Array:
    """Complete rows (n, M) by inversion from theta (R, K) and uniforms (n, M), node after node."""
    import jax
    import jax.numpy as jnp

    cumulative = jnp.cumsum(theta, axis=-1)
    # exactly one from the last possible state on: it is never overshot
    above = cumulative / cumulative[:, -1:]

    def step(rows: jax.Array, node: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        i, offset, parents, stride, u = node
        configuration = offset + (rows[:, parents] * stride[None]).sum(-1)
        passed = u[:, None] >= above[configuration, :-1]
        return rows.at[:, i].set(passed.sum(-1)), None

    columns = (np.arange(len(model.nodes)), model.offsets, *model.padded_parents, uniform.T)
    empty = jnp.zeros(uniform.shape, dtype=jnp.int64)
    rows, _ = jax.lax.scan(step, empty, columns)
    return rows

"""Bayesian networks over finite variables, for two kinds of question.

Learning (a `prior` over the rows of the conditional probability tables is given): the context is n complete rows of one
data set with unknown tables, a query is a row known up to its target node.
Inference (the tables `cpts` are given): the context is evidence on some nodes, a query asks for one other node.

Notation: M nodes in topological order; a *row* of theta is one parent configuration of one node, R rows in all, stacked in
node order and inside a node in C order of its parents (the last parent varies fastest); K is the largest number of states.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ModelError
from veribayes.models._check import integer, mapping, number, sequence, shown
from veribayes.models._data import array_of, require_codes, require_length
from veribayes.models._layout import Layout
from veribayes.models._model import Distance, Draw, Groups, Model, Variable
from veribayes.models._model import Table as KnownTable
from veribayes.models._names import name_notes
from veribayes.models._priors import (
    BIMODAL,
    Dirichlet,
    RowPrior,
    UniformInterval,
    UniformMixture,
    prior_from_spec,
)
from veribayes.models._random import integers, keys, uniforms
from veribayes.models._task import Design
from veribayes.models.bayesian_network import _views
from veribayes.predictive import Array, Categorical, Predictive
from veribayes.tree import Data, IntArray, Simulation
from veribayes.tree.shown import Example, Shown

if TYPE_CHECKING:
    import jax

ROW_SUM_TOLERANCE = (
    1e-4  # published networks are rounded: off by 1e-7 (alarm) to 3.5e-5 (insurance)
)
ROUNDING = (
    1e-12  # rows this close to one are left alone, so that storing and reading changes no digit
)
MAX_ENTRIES = 2**21  # four times the largest published network

UNKNOWN = "unknown"  # instead of parents

Table = tuple[tuple[float, ...], ...]
Parents = Mapping[str, Sequence[str]] | Sequence[Sequence[int]] | str
States = int | Mapping[str, Any] | Sequence[Any]
Tables = Mapping[str, npt.ArrayLike] | Sequence[npt.ArrayLike]


@dataclass(frozen=True)
class Edges:
    """Prior of an unknown graph: each earlier node is a parent with one probability for the whole graph, U(low, high)."""

    low: float
    high: float

    def __post_init__(self) -> None:
        low, high = number("low", self.low), number("high", self.high)
        if not 0 <= low < high <= 1:
            raise ModelError("edges with 0 <= low < high <= 1", f"low={low:g}, high={high:g}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def spec(self) -> dict[str, float]:
        return {"low": self.low, "high": self.high}


class RowQuery(NamedTuple):
    """Predict `row[dataset, query, target[query]]`.

    Attributes:
        row: (dataset, query, node), states known so far and -1 from the target on.
        target: (query,), the node asked for.
    """

    row: IntArray
    target: IntArray


@dataclass(frozen=True, init=False)
class BayesianNetwork(Model):
    """A directed acyclic graph over finite variables with known tables, or with a prior over their rows.

    Args:
        nodes: names; they are brought into topological order, otherwise keeping the given one.
        parents: name -> names of its parents (nodes left out have none), or for each node the positions of its parents in
            the given order of `nodes`.
        states: number of states of every node, or name -> number or list of state names, or a list in the order of `nodes`.
        cpts: for each node (by name or in the order of `nodes`) an array (*parents' states, states) or (configurations,
            states). Rows are renormalised when they sum to one within 1e-4; `notes` says so.
        prior: prior of every row of every table; exactly one of `cpts` and `prior` is given.
        edges: prior of a graph that is drawn for each data set, given with `prior` and `parents="unknown"`; the order of the
            nodes is known. The attribute `parents` then holds all earlier nodes, and rows of theta that differ only in nodes
            that are no parents are the same.
        notes: what a reader has to say about the file, one sentence each; more are added where tables are renormalised, and
            where names look alike or hold what is not seen.

    Raises:
        ModelError: duplicate or unknown names, a cycle, tables of the wrong size or rows that are no distributions.
    """

    nodes: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]  # positions in the topological order of `nodes`
    states: tuple[tuple[str, ...], ...]
    cpts: tuple[Table, ...] | None
    prior: RowPrior | None
    edges: Edges | None
    notes: tuple[str, ...] = field(
        compare=False
    )  # what a reader of results has to know, one sentence each
    kind: ClassVar[str] = "bayesian_network"

    def __init__(self, nodes: Sequence[str], parents: Parents, states: States = 2, *, cpts: Tables | None = None,
                 prior: RowPrior | None = None, edges: Edges | None = None, notes: Sequence[str] = ()) -> None:  # fmt: skip
        names = _names(nodes)
        if (edges is not None) != (parents == UNKNOWN) or (edges is not None and prior is None):
            raise ModelError("unknown parents together with edges and a prior", "only some of them")
        links = [tuple(range(i)) for i in range(len(names))] if edges else _links(names, parents)
        order = _topological(names, links)
        place = {old: new for new, old in enumerate(order)}
        labels = _labels(names, states)
        put = object.__setattr__
        put(self, "nodes", tuple(names[i] for i in order))
        put(self, "parents", tuple(tuple(place[p] for p in links[i]) for i in order))
        put(self, "states", tuple(labels[i] for i in order))
        put(self, "prior", prior)
        put(self, "edges", edges)
        put(self, "cpts", None)
        put(self, "notes", (*notes, *name_notes(self.nodes, self.states)))
        if (cpts is None) == (prior is None):
            raise ModelError(
                "either cpts or a prior over their rows", "both" if prior else "neither"
            )
        if self.n_rows * self.width > MAX_ENTRIES:
            raise ModelError(f"at most {MAX_ENTRIES} table entries", f"{self.n_rows * self.width}")
        if prior is not None:
            prior.check(self.row_states)
        else:
            self._take_tables(_in_order(names, cpts, order))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Kept, since hashing a hundred thousand numbers takes longer than a posterior."""
        return hash((self.nodes, self.parents, self.states, self.cpts, self.prior, self.edges))

    @property
    def layout(self) -> Layout:
        return _views.LEARNING if self.prior else _views.INFERENCE

    # -- sizes --------------------------------------------------------------------------------------------------------

    @cached_property
    def cardinalities(self) -> IntArray:
        """Number of states of each node, (M,)."""
        return np.array([len(s) for s in self.states], dtype=np.int64)

    @property
    def width(self) -> int:
        """K, the largest number of states."""
        return int(self.cardinalities.max())

    @property
    def n_categories(self) -> int:
        return self.width

    @cached_property
    def configurations(self) -> tuple[int, ...]:
        """Number of parent configurations of each node."""
        sizes = [len(s) for s in self.states]
        return tuple(math.prod(sizes[p] for p in parents) for parents in self.parents)

    @property
    def n_rows(self) -> int:
        """R, the number of table rows of the network."""
        return sum(self.configurations)

    @cached_property
    def offsets(self) -> IntArray:
        """First row of each node in theta, (M,)."""
        return np.concatenate([[0], np.cumsum(self.configurations)[:-1]]).astype(np.int64)

    @cached_property
    def row_states(self) -> IntArray:
        """Number of states of each row of theta, (R,)."""
        return np.repeat(self.cardinalities, self.configurations)

    @cached_property
    def padded_parents(self) -> tuple[IntArray, IntArray]:
        """Parents and their strides, both (M, P) with stride 0 where a node has fewer than P parents."""
        most = max(len(p) for p in self.parents)
        index, stride = np.zeros((2, len(self.nodes), most), dtype=np.int64)
        for i, parents in enumerate(self.parents):
            sizes = self.cardinalities[list(parents)]
            index[i, : len(parents)] = parents
            stride[i, : len(parents)] = [
                math.prod(sizes[j + 1 :].tolist()) for j in range(len(parents))
            ]
        return index, stride

    @cached_property
    def theta(self) -> Array:
        """Known tables as (R, K), zero beyond a row's own states."""
        out = np.zeros((self.n_rows, self.width))
        for i, table in enumerate(self._known()):
            out[self.offsets[i] : self.offsets[i] + len(table), : len(self.states[i])] = table
        return out

    @cached_property
    def tables(self) -> tuple[Array, ...]:
        """Known table of each node, (*parents' states, states), read only."""
        out = []
        for parents, own, table in zip(self.parents, self.states, self._known(), strict=True):
            out.append(np.array(table).reshape([*(len(self.states[p]) for p in parents), len(own)]))
            out[-1].flags.writeable = False
        return tuple(out)

    def table(self, node: int) -> Array:
        """Known table of one node, (*parents' states, states)."""
        return self.tables[node]

    def configuration(self, rows: IntArray) -> IntArray:
        """Row of theta that governs each node, given complete rows (..., M) -> (..., M).

        Entries whose parents are unknown (-1) are meaningless, but stay inside theta.
        """
        index, stride = self.padded_parents
        return np.asarray(self.offsets + (np.maximum(rows, 0)[..., index] * stride).sum(-1))

    def count(self, rows: IntArray) -> IntArray:
        """Counts of states by row of theta over the n rows of each batch entry, (..., n, M) -> (..., R, K)."""
        cell = self.configuration(rows) * self.width + rows
        batch = rows.shape[:-2]
        number, size = math.prod(batch), self.n_rows * self.width
        flat = cell.reshape(number, -1) + size * np.arange(number)[:, None]
        return np.bincount(flat.ravel(), minlength=number * size).reshape(
            *batch, self.n_rows, self.width
        )

    def query_rows(self, query: RowQuery) -> IntArray:
        """Row of theta that answers each query, (dataset, query): the target's parents all come before it."""
        each = self.configuration(query.row)
        return np.take_along_axis(each, query.target[None, :, None], axis=-1)[..., 0]

    # -- the protocol of a model --------------------------------------------------------------------------------------

    @property
    def latents(self) -> tuple[Variable, ...]:
        return (
            (Variable("theta", ("row", "category"), "simplex"),)
            if self.prior and not self.edges
            else ()
        )

    def spec(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "nodes": list(self.nodes),
            "parents": {
                n: [self.nodes[p] for p in ps]
                for n, ps in zip(self.nodes, self.parents, strict=True)
                if ps
            },
            "states": {n: list(s) for n, s in zip(self.nodes, self.states, strict=True)},
        }
        if self.edges:
            out |= {"parents": UNKNOWN, "edges": self.edges.spec()}
        if self.prior:
            return {**out, "prior": self.prior.spec()}
        return {
            **out,
            "cpts": {
                n: [list(r) for r in t] for n, t in zip(self.nodes, self._known(), strict=True)
            },
        }

    @classmethod
    def from_spec(cls, spec: Any) -> BayesianNetwork:
        """The model that `spec` describes."""
        allowed = ["nodes", "parents", "states", "cpts", "prior", "edges"]
        given = {
            "parents": {},
            **mapping("a bayesian_network", spec, allowed=allowed, required=["nodes"]),
        }
        if given.get("prior") is not None:
            given["prior"] = prior_from_spec(given["prior"])
        if given.get("edges") is not None:
            given["edges"] = Edges(
                **mapping(
                    "edges", given["edges"], allowed=["low", "high"], required=["low", "high"]
                )
            )
        return cls(**given)

    def default_design(self) -> Design:
        return Design((1, 2, 5, 10, 20, 50, 100) if self.prior else (0,))

    def defaults(self) -> dict[str, Any]:
        if self.prior is None:
            return {"reference": "junction_tree", "second_route": "elimination"}
        routes = (
            ("structure_averaging", "graph_enumeration")
            if self.edges
            else ("conjugate", "row_quadrature")
        )
        other = 4.0 * self.prior.concentration if isinstance(self.prior, Dirichlet) else 1.0
        return {
            "reference": routes[0],
            "second_route": routes[1],
            "rivals": ("all_predecessors", "mle"),
            "wrong_prior": {"prior": {"kind": "dirichlet", "concentration": other}},
        }

    def simulate(self, design: Design, seed: int, stream: str, index: IntArray) -> Simulation:
        """Draw data sets.

        Learning: `rows` (B, N, M), `query` (B, Q, M), `target` (Q,) with Q = design.queries * M: fresh rows cut at every node.
        Inference: `evidence` (B, M), `target` (M,): a row from the joint, each node observed with probability 1/2, one node
        chosen uniformly never observed; the outcome is NaN at observed nodes. The only position says nothing.
        """
        import jax

        draw = self._simulate_learning if self.prior else self._simulate_inference
        with jax.enable_x64(True):
            return draw(design, keys(seed, stream, index), index)

    def inputs(self, data: Data, position: int) -> tuple[Any, Any]:
        """Learning: (rows[:, :n], RowQuery). Inference: (evidence, target)."""
        if self.prior is None:
            return data.arrays["evidence"], data.arrays["target"]
        query = RowQuery(data.arrays["query"], data.arrays["target"])
        return data.arrays["rows"][:, : data.positions[position]], query

    def require_data(self, data: Data) -> None:
        """Refuse arrays that hold what is no state.

        Learning: rows are complete; a query is known before its target, and what stands from there on is not read.
        Inference: -1 is what is not observed.

        Raises:
            InputError: a code that is no state, other axes, or fewer rows than a position asks for.
        """
        batch, m = len(data.index), len(self.nodes)
        target = array_of(data, "target", ["query"])
        require_codes("target", target, m)
        if self.prior is None:
            evidence = array_of(data, "evidence", [batch, m])
            require_codes("evidence", evidence, self.cardinalities, missing=True, data=data)
            return
        rows = array_of(data, "rows", [batch, "row", m])
        longest = require_length(data, "rows", rows.shape[1])
        require_codes("rows", rows[:, :longest], self.cardinalities, data=data)
        query = array_of(data, "query", [batch, target.size, m])
        require_codes("query", query, self.cardinalities, missing=True, data=data)
        known = np.arange(m) < target[:, None]
        require_codes("query", np.where(known, query, 0), self.cardinalities, data=data)

    def program(self, counts: jax.Array) -> None:
        """Draw theta ~ prior, count states by row, (R, K); the site `theta` is (R, K), zero beyond a row's states."""
        import jax.numpy as jnp
        import numpyro

        if self.edges:
            raise InputError(
                "a known graph for a program",
                "unknown parents",
                "average over them by structure_averaging",
            )
        theta = numpyro.deterministic("theta", self._unknown().program(self.row_states, self.width))
        seen = counts > 0  # log 0 where nothing was counted would poison the gradient
        numpyro.factor(
            "rows", jnp.sum(jnp.where(seen, counts * jnp.log(jnp.where(seen, theta, 1.0)), 0.0))
        )

    def program_data(self, data: Data, position: int) -> dict[str, npt.NDArray[Any]]:
        """`counts` (B, R, K)."""
        self._unknown()
        rows, _ = self.inputs(data, position)
        return {"counts": self.count(rows).astype(np.float64)}

    def latent_mask(self, data: Data, position: int) -> dict[str, npt.NDArray[np.bool_]]:
        inside = np.arange(self.width) < self.row_states[:, None]
        return (
            {"theta": np.broadcast_to(inside, (data.index.size, *inside.shape))}
            if self.latents
            else {}
        )

    def conditional(
        self, latent_draws: Mapping[str, Array], data: Data, position: int
    ) -> Predictive:
        """Probabilities (B, Q, K) averaged over the draws of theta (B, S, R, K)."""
        self._unknown()
        _, query = self.inputs(data, position)
        mean = np.asarray(latent_draws["theta"], dtype=np.float64).mean(1)
        return Categorical(np.take_along_axis(mean, self.query_rows(query)[..., None], axis=1))

    def without_context(self, data: Data) -> Data:
        """Learning: no row. Inference: no evidence."""
        if self.prior is not None:
            return super().without_context(data)
        nothing = np.full_like(data.arrays["evidence"], -1)
        return replace(data, arrays={**data.arrays, "evidence": nothing})

    def extended(self, data: Data, size: int, draw: Draw) -> Data | None:
        """A row, node by node; known tables have no list of rows."""
        if self.prior is None:
            return None
        row = np.full((len(data.index), len(self.nodes)), -1, dtype=np.int64)
        for node in range(len(self.nodes)):
            asked = {**data.arrays, "query": row[:, None].copy(), "target": np.array([node])}
            row[:, node] = draw(replace(data, arrays=asked))[:, 0]
        return self.layout.extended(data, size, {"rows": row})

    def tempered(self, power: float) -> Model:
        if power == 1 or self.cpts is None:
            return super().tempered(power)
        return _tempered(self, power)

    # -- for readers --------------------------------------------------------------------------------------------------

    @property
    def asked(self) -> tuple[str, ...]:
        return self.nodes

    def widths(self, data: Data) -> IntArray:
        return self.cardinalities[data.arrays["target"]]

    def labels(self, data: Data, query: int) -> tuple[str, ...]:
        return self.states[int(data.arrays["target"][query])]

    def sentence(self) -> str:
        return _views.sentence(self)

    def show(self, example: Example) -> Shown:
        return _views.example(self, example)

    def groups(self, data: Data, sizes: Groups) -> Groups:
        return _views.groups(self, data, sizes)

    def distance(self, context: Any, query: Any) -> Distance:
        return _views.distance(self, context, query)

    def known_tables(self, length: int) -> Sequence[KnownTable]:
        return _views.tables(self)

    # -- simulation ---------------------------------------------------------------------------------------------------

    def _simulate_learning(self, design: Design, key: jax.Array, index: IntArray) -> Simulation:
        n, m = max(design.positions), len(self.nodes)
        theta, rows, edges = (
            np.array(a) for a in _learning_simulator(self, n, design.queries)(key)
        )
        fresh = np.repeat(rows[:, n:], m, axis=1)
        target = np.tile(np.arange(m), design.queries)
        arrays = {
            "rows": rows[:, :n],
            "query": np.where(np.arange(m) < target[:, None], fresh, -1),
            "target": target,
        }
        positions = np.array(design.positions, dtype=np.int64)
        shape = (index.size, positions.size)
        value = np.take_along_axis(fresh, target[None, :, None], axis=-1)[..., 0].astype(np.float64)
        latents = {"theta": theta, "edges": edges} if self.edges else {"theta": theta}
        return Simulation(
            Data(arrays, positions, index, self.layout.shared), latents, np.repeat(value[:, None], positions.size, axis=1),
            np.broadcast_to(positions, shape).copy())  # fmt: skip

    def _simulate_inference(self, design: Design, key: jax.Array, index: IntArray) -> Simulation:
        if len(design.positions) != 1:
            raise InputError(
                "one position where the tables are known",
                f"{design.positions}",
                "the evidence is the context",
            )
        row, observed = (np.array(a) for a in _inference_simulator(self)(key, self.theta))
        arrays = {"evidence": np.where(observed, row, -1), "target": np.arange(len(self.nodes))}
        return Simulation(
            Data(arrays, np.array(design.positions, dtype=np.int64), index, self.layout.shared), {},
            np.where(observed, np.nan, row)[:, None], observed.sum(1, keepdims=True).astype(np.int64))  # fmt: skip

    def _tied(self, level: jax.Array, density: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Which nodes are parents (M, M), child first, from uniforms; and for each row of theta the row that it equals."""
        import jax.numpy as jnp

        edges = _known_edges(self)
        chosen = level < edges.low + (edges.high - edges.low) * density
        index, stride = self.padded_parents
        node = np.repeat(np.arange(len(self.nodes)), self.configurations)
        number = (np.arange(self.n_rows) - self.offsets[node])[:, None]  # of the configuration
        states = number // np.maximum(stride[node], 1) % self.cardinalities[index[node]]
        used = jnp.take_along_axis(chosen, index, axis=1)[node]
        return chosen & np.tri(len(self.nodes), k=-1, dtype=bool), self.offsets[node] + (
            used * states * stride[node]
        ).sum(-1)

    def _sample_rows(self, theta: jax.Array, uniform: jax.Array) -> jax.Array:
        """Complete rows (n, M) by inversion from theta (R, K) and uniforms (n, M), node after node."""
        import jax
        import jax.numpy as jnp

        above = jnp.cumsum(theta, axis=-1)
        above = (
            above / above[:, -1:]
        )  # exactly one from the last possible state on: it is never overshot

        def step(rows: jax.Array, node: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
            i, offset, parents, stride, u = node
            configuration = offset + (rows[:, parents] * stride[None]).sum(-1)
            state = (u[:, None] >= above[configuration, :-1]).sum(-1)
            return rows.at[:, i].set(state), None

        columns = (np.arange(len(self.nodes)), self.offsets, *self.padded_parents, uniform.T)
        rows, _ = jax.lax.scan(step, jnp.zeros(uniform.shape, dtype=jnp.int64), columns)
        return rows

    # -- construction -------------------------------------------------------------------------------------------------

    def _take_tables(self, tables: list[Any]) -> None:
        found, off = [], {}
        for i, given in enumerate(tables):
            table, off[self.nodes[i]] = checked_table(
                self.nodes[i], given, self.configurations[i], len(self.states[i])
            )
            found.append(tuple(map(tuple, table.tolist())))
        object.__setattr__(self, "cpts", tuple(found))
        worst = max(off, key=off.__getitem__)
        if off[worst] > ROUNDING:
            number = sum(d > ROUNDING for d in off.values())
            note = f"rows of {number} tables were renormalised; the largest sum was off by {off[worst]:.1g} ({shown(worst)})"
            object.__setattr__(self, "notes", (*self.notes, note))

    def _unknown(self) -> RowPrior:
        if self.prior is None:
            raise InputError(
                "a network with a prior over its tables", "known tables", "nothing is left to learn"
            )
        return self.prior

    def _known(self) -> tuple[Table, ...]:
        if self.cpts is None:
            raise InputError("a network with known tables", "one with a prior over them")
        return self.cpts


def checked_table(node: str, given: Any, configurations: int, states: int) -> tuple[Array, float]:
    """A table as (configurations, states) with rows that sum to one, and by how much they were off before."""
    where = f"the table of {shown(node)}"
    try:
        table = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise ModelError(f"numbers in {where}", shown(given)) from None
    if (
        table.size != configurations * states
        or table.ndim == 0
        or (table.ndim > 1 and table.shape[-1] != states)
    ):
        raise ModelError(
            f"{configurations} rows of {states} probabilities in {where}", f"shape {table.shape}"
        )
    table = table.reshape(configurations, states)
    total = table.sum(1)
    if (
        table.min() >= 0 and abs(total.min() - 1) <= ROUNDING and abs(total.max() - 1) <= ROUNDING
    ):  # most tables; no NaN is
        return table, float(max(abs(total.min() - 1), abs(total.max() - 1)))
    if not np.all(np.isfinite(table)) or np.any(table < 0):
        bad = table[~np.isfinite(table) | (table < 0)][0]
        raise ModelError(f"finite probabilities >= 0 in {where}", f"{bad:g}")
    off = np.abs(total - 1)
    if off.max() > ROW_SUM_TOLERANCE:
        raise ModelError(
            f"rows that sum to one in {where}", f"{total[off.argmax()]:g} in row {off.argmax() + 1}"
        )
    return np.where(off[:, None] > ROUNDING, table / total[:, None], table), float(off.max())


@lru_cache(maxsize=8)
def _tempered(model: BayesianNetwork, power: float) -> BayesianNetwork:
    raised = [np.array(table) ** power for table in model._known()]
    tables = [table / table.sum(-1, keepdims=True) for table in raised]
    return BayesianNetwork(model.nodes, model.parents, model.states, cpts=tables)


@lru_cache(maxsize=16)
def _learning_simulator(model: BayesianNetwork, context: int, queries: int) -> Any:
    """Compiled keys (B,) -> theta (B, R, K), rows (B, context + queries, M), edges (B, M, M) where they are drawn."""
    import jax
    import jax.numpy as jnp

    shapes: list[tuple[int, ...]] = [
        (model.n_rows, model.width),
        (context + queries, len(model.nodes)),
    ]
    if model.edges:
        shapes += [(len(model.nodes), len(model.nodes)), ()]

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        for_theta, for_rows, *for_edges = uniforms(key, *shapes)
        theta, edges = (
            model._unknown().sample(key, for_theta, model.row_states),
            jnp.zeros(0, dtype=bool),
        )
        if model.edges:
            edges, row = model._tied(*for_edges)
            theta = theta[row]
        return theta, model._sample_rows(theta, for_rows), edges

    return jax.jit(jax.vmap(one))


@lru_cache(maxsize=4)
def _inference_simulator(model: BayesianNetwork) -> Any:
    """Compiled keys (B,), theta (R, K) -> row (B, M), observed (B, M)."""
    import jax

    m = len(model.nodes)

    def one(key: jax.Array, theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        for_row, coins, spared = uniforms(key, (1, m), (m,), ())
        observed = (coins < 0.5).at[integers(spared, m)].set(False)
        return model._sample_rows(theta, for_row)[0], observed

    return jax.jit(jax.vmap(one, in_axes=(0, None)))


def _known_edges(model: BayesianNetwork) -> Edges:
    if model.edges is None:
        raise InputError("a network with unknown parents", "a known graph")
    return model.edges


def _names(nodes: Any) -> tuple[str, ...]:
    names = tuple(_text("node", n) for n in sequence("nodes", nodes))
    if not names:
        raise ModelError("at least one node", "none")
    if len(set(names)) < len(names):
        twice = next(n for i, n in enumerate(names) if n in names[:i])
        raise ModelError("nodes with different names", f"{shown(twice)} twice")
    return names


def _links(names: tuple[str, ...], parents: Any) -> list[tuple[int, ...]]:
    """Positions of the parents of each node, in the given order."""
    place = {n: i for i, n in enumerate(names)}
    if isinstance(parents, Mapping):
        given = {_text("node", k): v for k, v in parents.items()}
        mapping("parents", given, allowed=place)
        listed = {n: sequence(f"parents of {shown(n)}", given.get(n, ())) for n in names}
        links = [tuple(_known_name(place, _text("parent", p), n) for p in listed[n]) for n in names]
    else:
        each = sequence("parents", parents)
        if len(each) != len(names):
            raise ModelError(f"parents of {len(names)} nodes", f"{len(each)}")
        last = len(names) - 1
        links = [
            tuple(integer("parents", p, at_least=0, at_most=last) for p in sequence("parents", ps))
            for ps in each
        ]
    for name, link in zip(names, links, strict=True):
        if len(set(link)) < len(link):
            raise ModelError(f"each parent of {shown(name)} once", shown([names[p] for p in link]))
    return links


def _known_name(place: Mapping[str, int], parent: str, child: str) -> int:
    if parent not in place:
        raise ModelError(f"a declared parent of {shown(child)}", shown(parent))
    return place[parent]


def _topological(names: Sequence[str], links: Sequence[tuple[int, ...]]) -> list[int]:
    """Order of the nodes in which parents come first; among free nodes the earliest given."""
    waiting = [len(p) for p in links]
    children: list[list[int]] = [[] for _ in links]
    for child, parents in enumerate(links):
        for parent in parents:
            children[parent].append(child)
    free = [i for i, n in enumerate(waiting) if n == 0]
    order = []
    while free:
        order.append(heapq.heappop(free))
        for child in children[order[-1]]:
            waiting[child] -= 1
            if waiting[child] == 0:
                heapq.heappush(free, child)
    if len(order) < len(links):
        raise ModelError("a graph without cycles", _cycle(names, links, set(order)))
    return order


def _cycle(names: Sequence[str], links: Sequence[tuple[int, ...]], done: set[int]) -> str:
    """One cycle in words, along the arrows: every node left over has a parent left over."""
    path = [min(set(range(len(links))) - done)]
    seen = {path[0]: 0}
    while True:
        parent = next(p for p in links[path[-1]] if p not in done)
        if parent in seen:
            loop = [names[i] for i in reversed([*path[seen[parent] :], parent])]
            return " -> ".join(loop if len(loop) <= 8 else [*loop[:4], "…", *loop[-3:]])
        seen[parent] = len(path)
        path.append(parent)


def _labels(names: tuple[str, ...], states: Any) -> list[tuple[str, ...]]:
    """State names of each node, in the given order."""
    if isinstance(states, Mapping):
        given = mapping(
            "states",
            {_text("node", k): v for k, v in states.items()},
            allowed=dict.fromkeys(names),
            required=names,
        )
        each: Iterable[Any] = [given[n] for n in names]
    elif isinstance(states, int):
        each = [states] * len(names)
    else:
        listed = sequence("states", states)
        if len(listed) != len(names):
            raise ModelError(f"states of {len(names)} nodes", f"{len(listed)}")
        each = listed
    return [_state_names(n, s) for n, s in zip(names, each, strict=True)]


def _state_names(name: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, int | np.integer):
        return tuple(
            str(k) for k in range(integer(f"states of {name}", given, at_least=1, at_most=2**16))
        )
    labels = tuple(_text(f"state of {name}", s) for s in sequence(f"states of {name}", given))
    if not labels or len(set(labels)) < len(labels):
        raise ModelError(f"different states of {shown(name)}, at least one", shown(list(labels)))
    return labels


def _text(what: str, value: Any) -> str:
    """A name; digits are names too."""
    if isinstance(value, bool) or not isinstance(value, str | int | np.integer) or value == "":
        raise ModelError(f"a name for a {what}", shown(value), "put it in quotes")
    return str(value)


def _in_order(names: tuple[str, ...], cpts: Any, order: Sequence[int]) -> list[Any]:
    if isinstance(cpts, Mapping):
        given = mapping(
            "cpts",
            {_text("node", k): v for k, v in cpts.items()},
            allowed=dict.fromkeys(names),
            required=names,
        )
        return [given[names[i]] for i in order]
    tables = sequence("cpts", cpts)
    if len(tables) != len(names):
        raise ModelError(f"tables of {len(names)} nodes", f"{len(tables)}")
    return [tables[i] for i in order]


__all__ = ["BIMODAL", "BayesianNetwork", "Dirichlet", "UniformInterval", "UniformMixture"]

PART = BayesianNetwork

"""The model: a network with known tables, or with a prior over their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ModelError
from veribayes.models._check import mapping, shown
from veribayes.models._data import array_of, require_codes, require_length
from veribayes.models._layout import Layout
from veribayes.models._model import Distance, Draw, Groups, Infer, Model, Variable
from veribayes.models._model import Table as KnownTable
from veribayes.models._names import name_notes
from veribayes.models._priors import Dirichlet, RowPrior, prior_from_spec
from veribayes.models._random import keys
from veribayes.models._task import Design
from veribayes.models.bayesian_network import _given, _views
from veribayes.models.bayesian_network._graph import (
    UNKNOWN,
    Edges,
    Parents,
    States,
    labels_of,
    links_of,
    names_of,
    topological,
)
from veribayes.models.bayesian_network._simulation import simulate_inference, simulate_learning
from veribayes.models.bayesian_network._structure import RowQuery, Structure
from veribayes.models.bayesian_network._tables import (
    MAX_ENTRIES,
    ROUNDING,
    Table,
    Tables,
    checked_table,
    tables_in_order,
)
from veribayes.predictive import Array, Categorical, Predictive
from veribayes.tree import Data, IntArray, Simulation
from veribayes.tree.shown import Example, Shown

if TYPE_CHECKING:
    import jax


@dataclass(frozen=True, init=False)
class BayesianNetwork(Structure, Model):
    """A directed acyclic graph over finite variables with known tables, or with a prior over their
    rows.

    Args:
        nodes: names; they are brought into topological order, otherwise keeping the given one.
        parents: name -> names of its parents (nodes left out have none), or for each node the
            positions of its parents in the given order of `nodes`.
        states: number of states of every node, or name -> number or list of state names, or a list
            in the order of `nodes`.
        cpts: for each node (by name or in the order of `nodes`) an array (*parents' states, states)
            or (configurations, states). Rows are renormalised when they sum to one within 1e-4;
            `notes` says so.
        prior: prior of every row of every table; exactly one of `cpts` and `prior` is given.
        edges: prior of a graph that is drawn for each data set, given with `prior` and
            `parents="unknown"`; the order of the nodes is known. The attribute `parents` then holds
            all earlier nodes, and rows of theta that differ only in nodes that are no parents are
            the same.
        notes: what a reader has to say about the file, one sentence each; more are added where
            tables are renormalised, and where names look alike or hold what is not seen.

    Raises:
        ModelError: duplicate or unknown names, a cycle, tables of the wrong size or rows that are
            no distributions.
    """

    nodes: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]  # positions in the topological order of `nodes`
    states: tuple[tuple[str, ...], ...]
    cpts: tuple[Table, ...] | None
    prior: RowPrior | None
    edges: Edges | None
    notes: tuple[str, ...] = field(compare=False)
    kind: ClassVar[str] = "bayesian_network"

    def __init__(
        self,
        nodes: Sequence[str],
        parents: Parents,
        states: States = 2,
        *,
        cpts: Tables | None = None,
        prior: RowPrior | None = None,
        edges: Edges | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        names = names_of(nodes)
        _require_whole_prior_of_graph(parents, prior, edges)
        links = [tuple(range(i)) for i in range(len(names))] if edges else links_of(names, parents)
        order = topological(names, links)
        place = {old: new for new, old in enumerate(order)}
        labels = labels_of(names, states)
        placed_links = [tuple(map(place.__getitem__, links[node])) for node in order]
        put = object.__setattr__
        put(self, "nodes", tuple(names[node] for node in order))
        put(self, "parents", tuple(placed_links))
        put(self, "states", tuple(labels[node] for node in order))
        put(self, "prior", prior)
        put(self, "edges", edges)
        put(self, "cpts", None)
        put(self, "notes", (*notes, *name_notes(self.nodes, self.states)))
        if (cpts is None) == (prior is None):
            got = "both" if prior else "neither"
            raise ModelError("either cpts or a prior over their rows", got)
        entries = self.n_rows * self.width
        if entries > MAX_ENTRIES:
            raise ModelError(f"at most {MAX_ENTRIES} table entries", f"{entries}")
        if prior is not None:
            prior.check(self.row_states)
        else:
            self._take_tables(tables_in_order(names, cpts, order))

    def _take_tables(self, tables: list[Any]) -> None:
        taken, off = [], {}
        for i, given in enumerate(tables):
            node, states = self.nodes[i], len(self.states[i])
            table, off[node] = checked_table(node, given, self.configurations[i], states)
            taken.append(tuple(map(tuple, table.tolist())))
        object.__setattr__(self, "cpts", tuple(taken))
        worst = max(off, key=off.__getitem__)
        if off[worst] > ROUNDING:
            number = sum(distance > ROUNDING for distance in off.values())
            largest = f"the largest sum was off by {off[worst]:.1g} ({shown(worst)})"
            note = f"rows of {number} tables were renormalised; {largest}"
            object.__setattr__(self, "notes", (*self.notes, note))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Kept, since hashing a hundred thousand numbers takes longer than a posterior."""
        return hash((self.nodes, self.parents, self.states, self.cpts, self.prior, self.edges))

    @property
    def completing(self) -> str:
        return "row_completions" if self.prior and not self.edges else ""

    @cached_property
    def layout(self) -> Layout:
        return _given.layout(self)

    @property
    def n_categories(self) -> int:
        return self.width

    @property
    def latents(self) -> tuple[Variable, ...]:
        if self.edges or not self.prior:
            return ()
        return (Variable("theta", ("row", "category"), "simplex"),)

    # -- what is not known -------------------------------------------------------------------------

    def require_prior(self) -> RowPrior:
        """The prior of the tables' rows.

        Raises:
            InputError: the tables are known.
        """
        if self.prior is None:
            wanted = "a network with a prior over its tables"
            raise InputError(wanted, "known tables", "nothing is left to learn")
        return self.prior

    def require_edges(self) -> Edges:
        """The prior of the graph.

        Raises:
            InputError: the graph is known.
        """
        if self.edges is None:
            raise InputError("a network with unknown parents", "a known graph")
        return self.edges

    # -- the protocol of a model -------------------------------------------------------------------

    def spec(self) -> dict[str, Any]:
        parents: dict[str, list[str]] = {}
        for node, positions in zip(self.nodes, self.parents, strict=True):
            if positions:
                parents[node] = [self.nodes[p] for p in positions]
        states = {node: list(own) for node, own in zip(self.nodes, self.states, strict=True)}
        spec: dict[str, Any] = {"nodes": list(self.nodes), "parents": parents, "states": states}
        if self.edges:
            spec |= {"parents": UNKNOWN, "edges": self.edges.spec()}
        if self.prior:
            return {**spec, "prior": self.prior.spec()}
        tables = {}
        for node, table in zip(self.nodes, self.require_tables(), strict=True):
            tables[node] = [list(row) for row in table]
        return {**spec, "cpts": tables}

    @classmethod
    def from_spec(cls, spec: Any) -> BayesianNetwork:
        """The model that `spec` describes."""
        allowed = ["nodes", "parents", "states", "cpts", "prior", "edges"]
        described = mapping("a bayesian_network", spec, allowed=allowed, required=["nodes"])
        given = {"parents": {}, **described}
        if given.get("prior") is not None:
            given["prior"] = prior_from_spec(given["prior"])
        if given.get("edges") is not None:
            limits = ["low", "high"]
            edges = mapping("edges", given["edges"], allowed=limits, required=limits)
            given["edges"] = Edges(**edges)
        return cls(**given)

    def default_design(self) -> Design:
        return Design((1, 2, 5, 10, 20, 50, 100) if self.prior else (0,))

    def defaults(self) -> dict[str, Any]:
        if self.prior is None:
            return {"reference": "junction_tree", "second_route": "elimination"}
        reference, second_route = "conjugate", "row_quadrature"
        if self.edges:
            reference, second_route = "structure_averaging", "graph_enumeration"
        other = 4.0 * self.prior.concentration if isinstance(self.prior, Dirichlet) else 1.0
        wrong_prior = {"kind": "dirichlet", "concentration": other}
        return {
            "reference": reference,
            "second_route": second_route,
            "rivals": ("all_predecessors", "mle"),
            "wrong_prior": {"prior": wrong_prior},
        }

    def simulate(self, design: Design, seed: int, stream: str, index: IntArray) -> Simulation:
        """Draw data sets.

        Learning: `rows` (B, N, M), `query` (B, Q, M), `target` (Q,) with Q = design.queries * M:
        fresh rows cut at every node. Inference: `evidence` (B, M), `target` (M,): a row from the
        joint, each node observed with probability 1/2, one node chosen uniformly never observed;
        the outcome is NaN at observed nodes. The only position says nothing.
        """
        import jax

        draw = simulate_learning if self.prior else simulate_inference
        with jax.enable_x64(True):
            return draw(self, design, keys(seed, stream, index), index)

    def inputs(self, data: Data, position: int) -> tuple[Any, Any]:
        """Learning: (rows[:, :n], RowQuery). Inference: (evidence, target)."""
        if self.prior is None:
            return data.arrays["evidence"], data.arrays["target"]
        query = RowQuery(data.arrays["query"], data.arrays["target"])
        return data.arrays["rows"][:, : data.positions[position]], query

    def require_data(self, data: Data) -> None:
        """Refuse arrays that hold what is no state.

        Learning: rows are complete; a query is known before its target, and what stands from there
        on is not read. Inference: -1 is what is not observed.

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
        before_target = np.arange(m) < target[:, None]
        known = np.where(before_target, query, 0)
        require_codes("query", known, self.cardinalities, data=data)

    def program(self, counts: jax.Array) -> None:
        """Draw theta ~ prior, count states by row, (R, K); the site `theta` is (R, K).

        It is zero beyond a row's states.
        """
        import jax.numpy as jnp
        import numpyro

        if self.edges:
            remedy = "average over them by structure_averaging"
            raise InputError("a known graph for a program", "unknown parents", remedy)
        drawn = self.require_prior().program(self.row_states, self.width)
        theta = numpyro.deterministic("theta", drawn)
        seen = counts > 0  # log 0 where nothing was counted would poison the gradient
        log_theta = jnp.log(jnp.where(seen, theta, 1.0))
        log_likelihood = jnp.where(seen, counts * log_theta, 0.0)
        numpyro.factor("rows", jnp.sum(log_likelihood))

    def program_data(self, data: Data, position: int) -> dict[str, npt.NDArray[Any]]:
        """`counts` (B, R, K)."""
        self.require_prior()
        rows, _ = self.inputs(data, position)
        return {"counts": self.count(rows).astype(np.float64)}

    def latent_mask(self, data: Data, position: int) -> dict[str, npt.NDArray[np.bool_]]:
        if not self.latents:
            return {}
        inside = np.arange(self.width) < self.row_states[:, None]
        return {"theta": np.broadcast_to(inside, (data.index.size, *inside.shape))}

    def conditional(
        self, latent_draws: Mapping[str, Array], data: Data, position: int
    ) -> Predictive:
        """Probabilities (B, Q, K) averaged over the draws of theta (B, S, R, K)."""
        self.require_prior()
        _, query = self.inputs(data, position)
        mean = np.asarray(latent_draws["theta"], dtype=np.float64).mean(1)
        rows = self.query_rows(query)[..., None]
        return Categorical(np.take_along_axis(mean, rows, axis=1))

    def applies(self, data: Data) -> npt.NDArray[np.bool_]:
        return _given.applies(self, data)

    def log_evidence(self, data: Data, infer: Infer) -> Array | None:
        return _given.log_evidence(self, data, infer)

    def redrawn(self, data: Data, design: Design, seed: int, index: IntArray) -> Data:
        return _given.redrawn(self, data, design, seed, index)

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
            query, target = row[:, None].copy(), np.array([node])
            asked = {**data.arrays, "query": query, "target": target}
            row[:, node] = draw(replace(data, arrays=asked))[:, 0]
        return self.layout.extended(data, size, {"rows": row})

    def tempered(self, power: float) -> Model:
        if power == 1 or self.cpts is None:
            return super().tempered(power)
        return _tempered(self, power)

    # -- for readers -------------------------------------------------------------------------------

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


def _require_whole_prior_of_graph(
    parents: Any, prior: RowPrior | None, edges: Edges | None
) -> None:
    """Refuse unknown parents without edges and a prior, and edges without the two others."""
    unknown = parents == UNKNOWN
    drawn = edges is not None
    if unknown != drawn or (drawn and prior is None):
        raise ModelError("unknown parents together with edges and a prior", "only some of them")


@lru_cache(maxsize=8)
def _tempered(model: BayesianNetwork, power: float) -> BayesianNetwork:
    tables = []
    for table in model.require_tables():
        raised = np.array(table) ** power
        tables.append(raised / raised.sum(-1, keepdims=True))
    return BayesianNetwork(model.nodes, model.parents, model.states, cpts=tables)

"""What the engines that learn tables share:
counts at every prefix, and the posterior of a row given its counts.

A row of theta has its own independent prior, so its posterior given complete rows depends on the
counts of its states alone, and the predictive of a query is the posterior mean of the one row that
governs its target.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from veribayes.errors import InputError
from veribayes.inference._beta import log_interval
from veribayes.inference._engine import EPS, Engine, name_of, require_family, require_served
from veribayes.models._priors import Dirichlet, RowPrior, UniformInterval, UniformMixture
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork, RowQuery
from veribayes.predictive import Array
from veribayes.tree import Data, IntArray

Mask = npt.NDArray[np.bool_]
Intervals = UniformInterval | UniformMixture

BACKOFFS = ("uniform", "nearest")  # what counting says of a configuration that no row has
SIDE = 128  # the pairs of counts below it are tabulated once for each prior


def learning(engine: Engine, task: Task, data: Data) -> tuple[BayesianNetwork, RowPrior]:
    """The task's network and the prior over its tables."""
    require_family(engine, task)
    model = task.model
    if not isinstance(model, BayesianNetwork) or model.prior is None:
        wanted = f"a network with a prior over its tables for the engine '{name_of(engine)}'"
        raise InputError(
            wanted, f"the task '{task.name}'", "known tables are served by junction_tree"
        )
    require_served(engine, task, data)
    return model, model.prior


def require_known_graph(engine: Engine, model: BayesianNetwork, data: Data) -> None:
    """Refuse rows from an unknown graph; without rows every graph says the same."""
    if model.edges is not None and data.positions.any():
        wanted = f"a network with known parents for the engine '{name_of(engine)}'"
        raise InputError(wanted, "unknown ones", "average over them by structure_averaging")


def query_of(data: Data) -> RowQuery:
    """The queries of the batch."""
    return RowQuery(data.arrays["query"], data.arrays["target"])


def prefix_counts(model: BayesianNetwork, rows: IntArray, positions: IntArray) -> IntArray:
    """Counts of states by row of theta after each prefix, (dataset, position, R, K),
    in one pass over the rows.
    """
    datasets, length, _ = rows.shape
    order = np.argsort(positions, kind="stable")
    # first position that contains each row
    first = np.searchsorted(positions[order], np.arange(length), side="right")
    shape = (datasets, positions.size + 1, model.n_rows, model.width)
    dataset = np.arange(datasets)[:, None, None]
    batch = dataset * shape[1] + first[None, :, None]
    row = batch * model.n_rows + model.configuration(rows)
    cell = row * model.width + rows
    new = np.bincount(cell.ravel(), minlength=int(np.prod(shape))).reshape(shape)
    counts = np.empty((datasets, positions.size, *shape[2:]), dtype=np.int64)
    counts[:, order] = new[:, :-1].cumsum(axis=1)
    return counts


def at_query(model: BayesianNetwork, by_row: IntArray, query: RowQuery) -> IntArray:
    """The counts that govern each query, (dataset, position, R, K) -> (dataset,
    position, query, K).
    """
    rows = model.query_rows(query)
    datasets = np.arange(len(rows))[:, None]
    return np.asarray(by_row[datasets, :, rows].swapaxes(1, 2))


def matching_counts(model: BayesianNetwork, data: Data, relevant: Mask) -> IntArray:
    """Counts of the target's states among rows that agree with the query on its relevant nodes,
    (dataset, position, query, K).

    Args:
        relevant: (query, node).
    """
    agrees_or_not_asked = _equal_to_query(data) | ~relevant[:, None]
    agrees = np.asarray(agrees_or_not_asked.all(-1))  # (dataset, query, row)
    seen = (agrees[..., None] & _target_states(model, data)).cumsum(2)
    none = np.zeros_like(seen[:, :, :1])
    by_length = np.concatenate([none, seen], axis=2)
    return np.asarray(by_length[:, :, data.positions].swapaxes(1, 2))


def _equal_to_query(data: Data) -> Mask:
    """Whether each node of a row has the state that the query gives it, (dataset, query,
    row, node).
    """
    rows = data.arrays["rows"]
    query = query_of(data).row
    return np.asarray(rows[:, None] == query[:, :, None])


def _target_states(model: BayesianNetwork, data: Data) -> Mask:
    """Which state the target of a query has in each row, (dataset, query, row, K)."""
    target = query_of(data).target
    value = data.arrays["rows"][..., target].swapaxes(1, 2)
    return np.asarray(value[..., None] == np.arange(model.width))


def predecessor_counts(model: BayesianNetwork, data: Data) -> IntArray:
    """Counts of the target's states among rows that agree with the query on all nodes before it;
    shaped as `at_query`.
    """
    return matching_counts(model, data, predecessors_of(model, query_of(data)))


def parents_of(model: BayesianNetwork, query: RowQuery) -> Mask:
    """Which nodes are parents of the target of each query, (query, node)."""
    nodes = np.arange(len(model.nodes))
    is_parent = [np.isin(nodes, model.parents[target]) for target in query.target]
    return np.array(is_parent).reshape(-1, nodes.size)


def predecessors_of(model: BayesianNetwork, query: RowQuery) -> Mask:
    """Which nodes come before the target of each query, (query, node)."""
    nodes = np.arange(len(model.nodes))
    return np.asarray(nodes < query.target[:, None])


def closest_counts(model: BayesianNetwork, data: Data, relevant: Mask) -> IntArray:
    """Counts of the target's states among the rows that agree with the query on the most relevant
    nodes; as `at_query`.

    Where a row agrees on all of them these are the counts of `matching_counts`.
    Without rows they are zero.

    Args:
        relevant: (query, node).
    """
    agreement = (_equal_to_query(data) & relevant[:, None]).sum(-1)  # (dataset, query, row)
    state = _target_states(model, data)
    counts = [_of_closest(agreement[..., :n], state[..., :n, :]) for n in data.positions]
    return np.stack(counts, axis=1)


def _of_closest(agreement: IntArray, state: Mask) -> IntArray:
    """Counts (..., K) of the states (..., row, K) of the rows whose agreement (...,
    row) is the largest.
    """
    largest = agreement.max(-1, keepdims=True, initial=0)
    is_closest: Mask = np.equal(agreement, largest)
    return np.asarray((state & is_closest[..., None]).sum(-2))


def frequencies(counts: IntArray, states: Mask) -> Array:
    """Shares of the counts (..., K); uniform over the states that are there where nothing was
    counted.
    """
    share = np.where(counts.any(-1, keepdims=True), counts, states)
    return np.asarray(share / share.sum(-1, keepdims=True))


def inside(model: BayesianNetwork, query: RowQuery) -> Mask:
    """Which categories the target of each query has, (query, K)."""
    states = model.cardinalities[query.target][:, None]
    return np.asarray(np.arange(model.width) < states)


def row_posterior(prior: RowPrior, counts: IntArray, states: Mask) -> tuple[Array, Array, float]:
    """First and second raw moment of rows given counts (..., K),
    and a bound on the error of a mean.

    Args:
        prior: of every row.
        counts: zero beyond a row's own states.
        states: truth values that broadcast against counts: which categories the row has.
    """
    if isinstance(prior, Dirichlet):
        first, second = _dirichlet(prior.concentration, counts, states)
        return first, second, 8 * EPS  # two sums of positive terms and a quotient
    if isinstance(prior, Intervals):
        return _intervals(prior, counts)
    wanted = "a Dirichlet, uniform or uniform-mixture prior"
    raise InputError(wanted, f"'{prior.kind}'", "use 'nuts'")


def _dirichlet(concentration: float, counts: IntArray, states: Mask) -> tuple[Array, Array]:
    share = counts + concentration * states
    total = share.sum(-1, keepdims=True)
    square = share * (share + states)
    return share / total, square / (total * (total + 1))


def _intervals(prior: Intervals, counts: IntArray) -> tuple[Array, Array, float]:
    code, log_moments, error = interval_evidence(prior, counts)
    first = np.exp(log_moments[1] - log_moments[0])[code]
    second = np.exp(log_moments[2] - log_moments[0])[code]
    mean = np.stack([1 - first, first], -1)
    square = np.stack([1 - 2 * first + second, second], -1)
    return mean, square, 2 * error  # a quotient of two


def interval_evidence(prior: Intervals, counts: IntArray) -> tuple[IntArray, Array, float]:
    """Where each pair of counts (..., 2) stands in a table (3, side^2);
    the table, and a bound on its error.

    The table holds logs of E[t^(ones + j) (1 - t)^zeros], j = 0, 1, 2, of the pairs that occur:
    contexts of n rows have at most (n + 1)(n + 2) / 2, however many queries there are.
    Counts below SIDE share one table.
    """
    largest = int(counts.max(initial=0))
    side = SIDE if largest < SIDE else largest + 1
    code = counts[..., 1] * side + counts[..., 0]
    if side == SIDE:
        return code, *_small_counts(prior)
    used = np.zeros(side * side, dtype=bool)
    used[code.ravel()] = True
    moments = np.zeros((3, side * side))
    moments[:, used], error = _log_moments(prior, np.flatnonzero(used), side)
    return code, moments, error


@cache
def _small_counts(prior: Intervals) -> tuple[Array, float]:
    return _log_moments(prior, np.arange(SIDE * SIDE), SIDE)


def _log_moments(prior: Intervals, pairs: IntArray, side: int) -> tuple[Array, float]:
    ones = (pairs // side).astype(np.float64) + 1
    zeros = (pairs % side).astype(np.float64) + 1
    powers = np.arange(3)[:, None]
    return _log_evidence(prior, ones + powers, np.tile(zeros, (3, 1)))


def _log_evidence(prior: Intervals, a: Array, b: Array) -> tuple[Array, float]:
    """Log of sum_j w_j / (high_j - low_j) * integral of t^(a-1) (1-t)^(b-1) over component j,
    and its largest error.
    """
    terms = []
    error = 0.0
    for weight, low, high in prior.components:
        log_mass, growth = log_interval(a, b, low, high)
        terms.append(np.log(weight / (high - low)) + log_mass)
        # logs are rounded at their own size
        size = np.maximum(np.abs(log_mass), gammaln(a + b))
        rounding = growth * (4 * EPS * (16 + size))
        error = max(error, float(rounding.max(initial=0.0)))
    return np.asarray(np.logaddexp.reduce(terms, axis=0)), error

"""In which contexts a divergence might concentrate: named groups of predictions, by what each family's contexts can show.

All families: the context size. Networks that learn tables: the variable asked for, and whether its parents' configuration
occurs in the context at all. Known tables: the variable, and what was observed of each other one. Chains: the last
symbol, and whether the last two are equal. Processes: how far the query lies from the nearest input of the context, and
from the middle.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.models.mtd import MTD
from veribayes.predictive import Array
from veribayes.tree import Data, IntArray, Simulation
from veribayes.validation.search import Mask

PAIRS = 60  # groups of one context size and one variable are searched up to this number
QUARTILES = (0.25, 0.75)

Groups = dict[str, Mask]


def groups(task: Task, simulation: Simulation) -> Groups:
    """Name -> (dataset, position, query): which predictions belong to each group."""
    data, shape = simulation.data, simulation.outcome.shape
    found = {f"context size {n}": simulation.context == n for n in np.unique(simulation.context)}
    spread: Mapping[str, npt.NDArray[np.bool_]] = {name: mask[..., None] for name, mask in found.items()}
    spread = dict(spread) if len(spread) > 1 else {}
    model = task.model
    if isinstance(model, BayesianNetwork):
        spread = {**spread, **(_learning(model, data, spread) if model.cpts is None else _inference(model, data))}
    elif isinstance(model, MTD):
        spread = {**spread, **_chain(model, data)}
    elif isinstance(model, GaussianProcess):
        spread = {**spread, **_process(data)}
    return {name: np.array(np.broadcast_to(mask, shape)) for name, mask in spread.items()}


def _asked(model: BayesianNetwork, target: IntArray) -> Groups:
    return {f"variable {model.nodes[i]}": (target == i)[None, None] for i in np.unique(target)}


def _learning(model: BayesianNetwork, data: Data, sizes: Mapping[str, Mask]) -> Groups:
    variables = _asked(model, data.arrays["target"])
    pairs = {f"{v} at {s}": variables[v] & sizes[s] for v in variables for s in sizes} if len(variables) > 1 else {}
    seen = _times_seen(model, data)
    known = {"parents' configuration not in the context": seen == 0, "parents' configuration once in the context": seen == 1}
    return {**variables, **known, **(pairs if len(pairs) <= PAIRS else {})}


def _times_seen(model: BayesianNetwork, data: Data) -> IntArray:
    """How many context rows have the query's parent configuration, (dataset, position, query)."""
    rows, asked, target = (data.arrays[name] for name in ("rows", "query", "target"))
    every = np.empty((*asked.shape[:2], rows.shape[1] + 1), dtype=np.int64)
    for q, node in enumerate(target):
        parents = list(model.parents[node])
        agree = (rows[..., parents] == asked[:, None, q][..., parents]).all(-1)
        every[:, q] = np.concatenate([np.zeros((len(rows), 1), dtype=np.int64), agree.cumsum(1)], axis=1)
    return np.moveaxis(every[..., data.positions], -1, 1)


def _inference(model: BayesianNetwork, data: Data) -> Groups:
    found, evidence = _asked(model, data.arrays["target"]), data.arrays["evidence"][:, None, None]
    for i, node in enumerate(model.nodes):
        states = {f"{node} not observed": -1, **{f"{node} = {state}": j for j, state in enumerate(model.states[i])}}
        found |= {name: evidence[..., i] == state for name, state in states.items()}
    return found


def _chain(model: MTD, data: Data) -> Groups:
    y, positions = data.arrays["y"], data.positions
    last, before = (y[:, np.maximum(positions - back, 0)][..., None] for back in (1, 2))
    symbols = {f"last symbol {s}": last == s for s in range(model.q)} if model.q <= PAIRS else {}
    return {**symbols, "last two symbols equal": last == before}


def _process(data: Data) -> Groups:
    x, query = data.arrays["x"], data.arrays["x_query"]
    distance = np.linalg.norm(query[:, :, None] - x[:, None], axis=-1)  # (dataset, query, observation)
    running = np.minimum.accumulate(distance, axis=-1)
    alone = np.full((*distance.shape[:2], 1), np.inf)
    nearest = np.moveaxis(np.concatenate([alone, running], -1)[..., data.positions], -1, 1)
    return {
        **_extremes("nearest input of the context", "away", nearest),
        **_extremes("query", "from the origin", np.linalg.norm(query, axis=-1)[:, None]),
        **{f"query with negative input {i + 1}": (query[:, None, :, i] < 0) for i in range(query.shape[-1])},
    }


def _extremes(what: str, how: str, size: Array) -> Groups:
    """The lowest and the highest quarter."""
    low, high = np.quantile(size[np.isfinite(size)], QUARTILES)
    return {f"{what} at most {low:.2g} {how}": size <= low, f"{what} more than {high:.2g} {how}": size > high}

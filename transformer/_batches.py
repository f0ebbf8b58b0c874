"""Training batches: a pure function of (recipe, seed, step), with the exact predictive or a drawn label as target.

    make_batch     simulate, ask the exact engine, cut into groups of one context size each
    context_sizes  the law of these sizes
    stretched      contexts that lie further out than the model draws them

How contexts are cut and become arrays is said by the tokens of the network, what is wanted at its outputs by its head. Exact
targets instead of drawn labels: the same network, schedule and core reached half the divergence or less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Array, Predictive
from veribayes.transformer import _parts
from veribayes.transformer._config import Config
from veribayes.transformer._latents import wanted_latents
from veribayes.transformer._recipe import Recipe
from veribayes.transformer.heads._head import Head
from veribayes.transformer.heads.categories import PART as CATEGORIES
from veribayes.tree import Data, Simulation

Targets = Callable[[Data], Predictive]


@dataclass(frozen=True)
class Group:
    """Data sets with one context size: arguments of the network, and what is wanted at its outputs.

    `at` selects the outputs that have a target, on the query axis: all of them for sets, the design's prefixes for a sequence.
    """

    arrays: tuple[Tensor, ...]
    at: slice
    target: Any  # what `head` makes of a law or a label
    latents: Tensor | None = None  # (B, V), the values of all latents side by side
    head: Head = CATEGORIES

    def to(self, device: torch.device) -> Group:
        arrays = tuple(array.to(device) for array in self.arrays)
        latents = None if self.latents is None else self.latents.to(device)
        return replace(self, arrays=arrays, target=self.target.to(device), latents=latents)

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, rows: slice) -> Group:
        arrays = tuple(array[rows] for array in self.arrays)
        latents = None if self.latents is None else self.latents[rows]
        return replace(self, arrays=arrays, target=self.target[rows], latents=latents)


def make_batch(
    task: Task, recipe: Recipe, config: Config, targets: Targets | None, seed: int, step: int
) -> list[Group]:
    """The batch of a step; nothing else decides it. Without `targets` they are labels."""
    tokens = _parts.tokens(config.family)
    positions = tokens.positions(task.design)
    design = replace(task.design, positions=positions, queries=recipe.queries)
    index = np.arange(step * recipe.batch, (step + 1) * recipe.batch)
    drawn = task.model.tempered(recipe.temper).simulate(design, seed, "train", index)
    if recipe.stretch > 1:
        names = tokens.stretched(task.model.layout)
        drawn = stretched(drawn, names, recipe.stretch, seed, step)
    rng = np.random.default_rng([seed, crc32(b"nodes"), step])
    if not tokens.cut:
        return [make_group(task, config, targets, drawn, rng)]
    sizes = _sizes(task, recipe, seed, step)
    each = recipe.batch // recipe.groups
    groups = []
    for number, size in enumerate(sizes):
        part = _part(drawn, slice(number * each, (number + 1) * each))
        asked = [size, positions[-1]] if tokens.compiled else [size]
        sized = replace(part, data=replace(part.data, positions=np.array(asked)))
        groups.append(make_group(task, config, targets, sized, rng))
    return groups


def stretched(
    drawn: Simulation, names: tuple[str, ...], most: float, seed: int, step: int
) -> Simulation:
    """The data sets with the real outcomes of half of the contexts multiplied by a factor from 1 to `most`.

    The drawn outcomes of the queries stay: they are those of the context that was not stretched, and no target.

    Args:
        names: of the arrays that hold real outcomes.

    Raises:
        InputError: contexts without real outcomes.
    """
    if not names:
        raise InputError("stretch: 1 for contexts without real outcomes", f"{most}")
    rng = np.random.default_rng([seed, crc32(b"stretch"), step])
    count = len(drawn.data.index)
    factor = np.where(rng.random(count) < 0.5, rng.uniform(1.0, most, count), 1.0)
    arrays = dict(drawn.data.arrays)
    for name in names:
        column = arrays[name]
        arrays[name] = column * factor.reshape(-1, *[1] * (column.ndim - 1))
    return replace(drawn, data=replace(drawn.data, arrays=arrays))


def context_sizes(
    largest: int, groups: int, seed: int, step: int, *, uniform: bool = False, fewest: int = 0
) -> list[int]:
    """One size a group on 0..largest, 1 + n log-uniform: early observations change the posterior most. Or n uniform.

    `fewest` is the smallest size where n is uniform.

    Stratified over the groups of a step, so that every step sees small and large contexts.
    """
    rng = np.random.default_rng([seed, crc32(b"context size"), step])
    share = (np.arange(groups) + rng.random(groups)) / groups
    if uniform:
        return [fewest + int(u * (largest + 1 - fewest)) for u in share]
    return [int((largest + 2) ** u) - 1 for u in share]


def make_group(
    task: Task,
    config: Config,
    targets: Targets | None,
    drawn: Simulation,
    rng: np.random.Generator,
) -> Group:
    """Sequence: all positions of the data, read at the longest. Set: the first position; `rng` is for a head's nodes."""
    tokens, head = _parts.tokens(config.family), _parts.head(config.head)
    data = drawn.data
    context, query = task.model.inputs(data, len(data.positions) - 1 if tokens.causal else 0)
    arrays = tokens.arrays(context, query)
    # leading shape (B, Q): the prefixes of a sequence, the queries of a set
    asked: Any = (slice(None), slice(None), 0) if tokens.causal else (slice(None), 0)
    exact = None if targets is None else targets(data)[asked]
    latents = wanted_latents(task, config, None if tokens.causal else exact, drawn)
    target = _target(head, config, exact, drawn.outcome[asked], rng)
    at = slice(None)
    if tokens.causal:
        at = slice(int(data.positions[0]), int(data.positions[-1]) + 1)
    return Group(arrays, at, target, latents, head)


def _target(
    head: Head,
    config: Config,
    exact: Predictive | None,
    outcome: Array,
    rng: np.random.Generator,
) -> Any:
    """By the exact law where it is known, else by what was drawn; (B, Q)."""
    if exact is None:
        return head.labels(config, outcome)
    return head.targets(config, exact, rng)


def _sizes(task: Task, recipe: Recipe, seed: int, step: int) -> list[int]:
    """The context sizes of a step by the recipe's law."""
    first, largest = task.design.positions[0], task.design.positions[-1]
    uniform = recipe.sizes != "logarithmic"
    fewest = first if recipe.sizes == "between" else 0
    return context_sizes(largest, recipe.groups, seed, step, uniform=uniform, fewest=fewest)


def _part(drawn: Simulation, rows: slice) -> Simulation:
    """Some of the data sets; their context sizes are not yet decided."""
    latents = {name: values[rows] for name, values in drawn.latents.items()}
    return Simulation(drawn.data.select(rows), latents, drawn.outcome[rows], drawn.context[rows])

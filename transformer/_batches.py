"""Training batches: a pure function of (recipe, seed, step), with the exact predictive as target.

    config_of     the network a task needs
    tensors       what a candidate sees, as the network's arguments
    make_batch    simulate, ask the exact engine, cut into groups of one context size each
    divergence    the loss: mean KL(exact || network) in nats
    distance      another: mean sum |target - network|, whose minimiser under doubt is a median and not a mean

Exact targets instead of drawn labels: the same network, schedule and core reached half the divergence or less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from veribayes.errors import InputError
from veribayes.models._check import choice, integer, mapping, number, text
from veribayes.models._task import Task
from veribayes.predictive import Categorical, Predictive
from veribayes.transformer._architectures import AnyConfig, AnyNetwork, config_from
from veribayes.transformer.network import Family
from veribayes.tree import Data

Targets = Callable[[Data], Predictive]
FAMILIES: Mapping[str, Family] = {"bayesian_network": "rows", "mtd": "symbols", "gaussian_process": "points"}
STATES: tuple[Family, ...] = ("rows", "nodes")  # families whose network has an output for every state of a node
LATER = {"loss": "kl", "targets": ""}  # settings that older cards do not have, and what they mean there


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, apart from the task and the seed; stored in the task's YAML.

    Attributes:
        steps, batch: number of steps and data sets a step; data set number = step * batch + i in the stream `train`.
        groups: context sizes a step (sets); each group of batch / groups data sets has one.
        queries: queries a data set, as `Design.queries`.
        learning_rate, warmup, weight_decay, clip: of the optimisers; warm-up over this share of the steps, then cosine to zero.
        evaluations: points of the curve measured during training.
        network: settings of the network's config that the task leaves open; `architecture` names another than the common one.
        loss: `kl` or `l1`.
        targets: engine that is imitated; empty: the task's reference. `mle` with `l1` makes a network that estimates.
    """

    steps: int
    batch: int
    learning_rate: float
    network: Mapping[str, Any]
    groups: int = 1
    queries: int = 1
    warmup: float = 0.03
    weight_decay: float = 0.01
    clip: float = 1.0
    evaluations: int = 10
    loss: str = "kl"
    targets: str = ""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "groups", "queries", "evaluations"):
            integer(name, getattr(self, name), at_least=1)
        for name in ("learning_rate", "clip"):
            number(name, getattr(self, name), above=0)
        for name in ("weight_decay", "warmup"):
            number(name, getattr(self, name), above=-1e-9, below=1)
        choice("loss", self.loss, LOSSES)
        text("targets", self.targets)
        if self.batch % self.groups:
            raise InputError("groups that divide the batch", f"{self.batch} data sets in {self.groups} groups")

    @classmethod
    def of(cls, task: Task, preset: str) -> Recipe:
        """The recipe under `training:` in the task's YAML.

        Raises:
            InputError: no such preset, or a key that is not a setting.
        """
        if preset not in task.training:
            raise InputError(f"a preset of task '{task.name}': {', '.join(task.training) or 'none'}", f"'{preset}'")
        required = ("steps", "batch", "learning_rate", "network")
        plain = mapping(
            f"preset '{preset}'", task.training[preset], allowed=[f.name for f in fields(cls)], required=required
        )
        return cls(**plain)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for cards and hashes; settings that came later are left out where they change nothing."""
        return {k: v for k, v in asdict(self).items() if k not in LATER or v != LATER[k]}


@dataclass(frozen=True)
class Group:
    """Data sets with one context size: arguments of the network, and exact probabilities at its outputs.

    `at` selects the outputs that have a target, on the query axis: all of them for sets, the design's prefixes for a sequence.
    """

    arrays: tuple[Tensor, ...]
    at: slice
    probs: Tensor  # (B, Q, K)

    def to(self, device: torch.device) -> Group:
        return Group(tuple(a.to(device) for a in self.arrays), self.at, self.probs.to(device))


def config_of(task: Task, settings: Mapping[str, Any]) -> AnyConfig:
    """The network for a task: the model decides the tokens and outputs, the settings the rest.

    Raises:
        InputError: the model's family has no tokens here.
    """
    family = family_of(task)
    model: Any = task.model
    own: dict[str, Any] = {"family": family}
    if family in STATES:
        own["states"] = model.cardinalities
    elif family == "symbols":
        own["states"] = (model.n_categories,)
        if settings.get("architecture") == "disentangled":  # its tables have a row for every distance
            own["length"] = task.design.positions[-1]
    else:
        own["inputs"] = model.d
    return config_from({**own, **settings})


def family_of(task: Task) -> Family:
    """Tokens of the task's model; a network whose tables are known is asked about its nodes."""
    kind = task.model.kind
    if kind not in FAMILIES:
        raise InputError(f"a model of kind {', '.join(FAMILIES)}", f"'{kind}' in the task '{task.name}'")
    return "nodes" if getattr(task.model, "cpts", None) is not None else FAMILIES[kind]


def tensors(family: str, context: Any, query: Any) -> tuple[Tensor, ...]:
    """(context, query) of a candidate -> arguments of `Network.forward`."""
    if family == "symbols":
        return (integers(context),)
    if family == "points":
        return reals(context.x), reals(context.y), reals(query)
    if family == "nodes":
        return integers(context), integers(query).expand(len(context), -1)
    rows = integers(query.row)
    return integers(context), rows, integers(query.target).expand(rows.shape[:2])


def integers(array: npt.ArrayLike) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.int64))


def reals(array: npt.ArrayLike) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))


def make_batch(
    task: Task, recipe: Recipe, config: AnyConfig, targets: Targets, seed: int, step: int
) -> list[Group]:
    """The batch of a step; nothing else decides it."""
    largest = task.design.positions[-1]
    design = replace(task.design, positions=(largest,), queries=recipe.queries)
    index = np.arange(step * recipe.batch, (step + 1) * recipe.batch)
    data = task.model.simulate(design, seed, "train", index).data
    if config.family == "symbols":
        prefixes = np.arange(task.design.positions[0], largest + 1)
        return [make_group(task, config, targets, replace(data, positions=prefixes))]
    if config.family == "nodes":
        return [make_group(task, config, targets, data)]
    sizes = context_sizes(largest, recipe.groups, seed, step)
    each = recipe.batch // recipe.groups
    parts = [data.select(slice(g * each, (g + 1) * each)) for g in range(recipe.groups)]
    # the largest size is asked for as well: an engine compiled for the arrays it needs is then compiled once
    shaped = [replace(part, positions=np.array([n, largest])) for part, n in zip(parts, sizes, strict=True)]
    return [make_group(task, config, targets, part) for part in shaped]


def context_sizes(largest: int, groups: int, seed: int, step: int) -> list[int]:
    """One size a group on 0..largest, 1 + n log-uniform: early observations change the posterior most.

    Stratified over the groups of a step, so that every step sees small and large contexts.
    """
    rng = np.random.default_rng([seed, crc32(b"context size"), step])
    share = (np.arange(groups) + rng.random(groups)) / groups
    return [int((largest + 2) ** u) - 1 for u in share]


def make_group(task: Task, config: AnyConfig, targets: Targets, data: Data) -> Group:
    """Sequence: all positions of `data`, read at the longest. Set: the first position."""
    sequence = config.family == "symbols"
    context, query = task.model.inputs(data, len(data.positions) - 1 if sequence else 0)
    exact = probabilities(config, targets(data) if sequence else targets(data)[:, :1])
    probs = torch.from_numpy(exact.astype(np.float32))  # (B, P, Q, K)
    first, last = int(data.positions[0]), int(data.positions[-1])
    at, wanted = (slice(first, last + 1), probs[:, :, 0]) if sequence else (slice(None), probs[:, 0])
    return Group(tensors(config.family, context, query), at, wanted)


def probabilities(config: AnyConfig, predictive: Predictive) -> npt.NDArray[np.float64]:
    """Exact mass of every output of the network, (B, P, Q, K): categories, or cells with their tails."""
    if isinstance(predictive, Categorical):
        return predictive.probs
    edges = edges_of(config)
    below = predictive.cdf(np.broadcast_to(edges, (*predictive.shape, edges.size)))
    ends = np.zeros((*predictive.shape, 1))
    return np.maximum(np.diff(np.concatenate([ends, below, ends + 1], axis=-1), axis=-1), 0.0)


def edges_of(config: Any) -> npt.NDArray[np.float64]:
    """Borders of the cells, (cells + 1,)."""
    return np.linspace(-config.reach, config.reach, config.cells + 1)


def divergence(network: AnyNetwork, group: Group) -> Tensor:
    """Mean over data sets and queries of KL(exact || network), nats."""
    log_q = network(*group.arrays)[:, group.at].log_softmax(-1)
    p = group.probs
    gap = torch.where(p > 0, p.clamp_min(torch.finfo(p.dtype).tiny).log() - log_q, 0.0)
    return (p * gap).sum(-1).mean()


def distance(network: AnyNetwork, group: Group) -> Tensor:
    """Mean over data sets and queries of sum |target - network|, which is twice the total variation."""
    probs = network(*group.arrays)[:, group.at].softmax(-1)
    return (probs - group.probs).abs().sum(-1).mean()


LOSSES: Mapping[str, Callable[[AnyNetwork, Group], Tensor]] = {"kl": divergence, "l1": distance}

"""Training batches: a pure function of (recipe, seed, step), with the exact predictive or a drawn label as target.

    config_of     the network a task needs
    tensors       what a candidate sees, as the network's arguments
    make_batch    simulate, ask the exact engine, cut into groups of one context size each
    divergence    the loss: mean KL(target || network) in nats; of a label that is the cross-entropy
    distance      another: mean sum |target - network|, whose minimiser under doubt is a median and not a mean

Exact targets instead of drawn labels: the same network, schedule and core reached half the divergence or less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, cast, get_args
from zlib import crc32

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from veribayes.checked import choice, integer, mapping, number, text
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Array, Categorical, Normal, NormalMixture, Predictive
from veribayes.transformer._architectures import AnyConfig, AnyNetwork, config_from
from veribayes.transformer._heads import Nodes, divergence_at, nodes_at, nodes_for
from veribayes.transformer.network import Family, Network
from veribayes.tree import Data, Simulation

Targets = Callable[[Data], Predictive]
STATES: tuple[Family, ...] = (
    "rows",
    "nodes",
)  # families whose network has an output for every state of a node
SIZES = ("logarithmic", "uniform", "between")
LABELS = "labels"  # instead of an engine's name: what was drawn
# settings that older cards do not have, and what they mean there
LATER = {"loss": "kl", "targets": "", "start": "", "average": 0.0, "bf16": False, "temper": 1.0,
         "sizes": "logarithmic", "stretch": 1.0}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, apart from the task and the seed; stored in the task's YAML.

    Attributes:
        steps, batch: number of steps and data sets a step; data set number = step * batch + i in the stream `train`.
        groups: context sizes a step (sets); each group of batch / groups data sets has one.
        sizes: law of the context sizes of sets: `logarithmic` or `uniform` from none on, or `between`, uniform from the
            design's first position to its last.
        queries: queries a data set, as `Design.queries`.
        learning_rate, warmup, weight_decay, clip: of the optimisers; warm-up over this share of the steps, then cosine to zero.
        evaluations: points of the curve measured during training.
        network: settings of the network's config that the task leaves open; `architecture` names another than the common one.
        loss: `kl` or `l1`.
        targets: engine that is imitated; empty: the task's reference. `mle` with `l1` makes a network that estimates.
            `labels`: no engine, but the outcome (and the latents) that were drawn.
        start: shipped checkpoint whose weights are the first ones; what it does not have begins as usual. Empty: none.
        average: decay a step of the moving average of the weights that is measured and kept; zero: the weights themselves.
        bf16: matrix products in bfloat16 on a GPU; a processor ignores it.
        temper: contexts are drawn from known tables raised to this power; below 1, rare evidence is met more often.
        stretch: the real outcomes of half of the contexts are multiplied by a factor that is uniform from 1 to this one, so
            that training meets what lies far out; targets are exact for the contexts as they then are.
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
    start: str = ""
    average: float = 0.0
    bf16: bool = False
    temper: float = 1.0
    sizes: str = "logarithmic"
    stretch: float = 1.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "groups", "queries", "evaluations"):
            integer(name, getattr(self, name), at_least=1)
        for name in ("learning_rate", "clip"):
            number(name, getattr(self, name), above=0)
        for name in ("weight_decay", "warmup", "average"):
            number(name, getattr(self, name), above=-1e-9, below=1)
        choice("loss", self.loss, LOSSES)
        choice("sizes", self.sizes, SIZES)
        text("targets", self.targets)
        text("start", self.start)
        if not isinstance(self.bf16, bool):
            raise InputError("bf16: true or false", repr(self.bf16))
        if not 0 < self.temper <= 1 or (self.temper < 1 and self.targets == LABELS):
            raise InputError(
                "temper: above 0, at most 1, and 1 where targets are labels", f"{self.temper}"
            )
        number("stretch", self.stretch)
        if self.stretch < 1 or (self.stretch > 1 and self.targets == LABELS):
            raise InputError(
                "stretch: at least 1, and 1 where targets are labels", f"{self.stretch}"
            )
        if self.batch % self.groups:
            raise InputError(
                "groups that divide the batch", f"{self.batch} data sets in {self.groups} groups"
            )

    @classmethod
    def of(cls, task: Task, preset: str) -> Recipe:
        """The recipe under `training:` in the task's YAML.

        Raises:
            InputError: no such preset, or a key that is not a setting.
        """
        if preset not in task.training:
            raise InputError(f"a preset of task '{task.name}': {', '.join(task.training) or 'none'}", f"'{preset}'",
                             "choose one with --preset")  # fmt: skip
        required = ("steps", "batch", "learning_rate", "network")
        plain = mapping(
            f"preset '{preset}'",
            task.training[preset],
            allowed=[f.name for f in fields(cls)],
            required=required,
        )
        return cls(**plain)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for cards and hashes; settings that came later are left out where they change nothing."""
        return {k: v for k, v in asdict(self).items() if k not in LATER or v != LATER[k]}


@dataclass(frozen=True)
class Group:
    """Data sets with one context size: arguments of the network, and the probabilities wanted at its outputs.

    `at` selects the outputs that have a target, on the query axis: all of them for sets, the design's prefixes for a sequence.
    The target is the probabilities of categories or cells, or nodes of the exact law for a head without cells.
    """

    arrays: tuple[Tensor, ...]
    at: slice
    target: Tensor | Nodes  # (B, Q, K)
    latents: Tensor | None = None  # (B, V), the values of all latents side by side

    def to(self, device: torch.device) -> Group:
        latents = None if self.latents is None else self.latents.to(device)
        return Group(
            tuple(a.to(device) for a in self.arrays), self.at, self.target.to(device), latents
        )


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
        if (
            settings.get("architecture") == "disentangled"
        ):  # its tables have a row for every distance
            own["length"] = task.design.positions[-1]
    else:
        own["inputs"] = model.d
        if settings.get("latents") is True:
            settings = {
                **settings,
                "latents": {name: list(values) for name, values in latent_values(task).items()},
            }
    return config_from({**own, **settings})


def latent_values(task: Task) -> dict[str, tuple[float, ...]]:
    """What each latent of the task can be.

    Raises:
        InputError: none, or one with more than finitely many values.
    """
    values = task.model.latent_values()
    if not values:
        raise InputError(
            "latents with grids of values", f"the task '{task.name}'", "leave out latents: true"
        )
    return values


def family_of(task: Task) -> Family:
    """Tokens that read the data of the task's model, as its layout says."""
    tokens = task.model.layout.tokens
    known = get_args(Family)
    if tokens not in known:
        wanted = f"a model whose data are read by the tokens {', '.join(known)}"
        raise InputError(wanted, f"'{task.model.kind}' in the task '{task.name}'")
    return cast(Family, tokens)


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
    task: Task, recipe: Recipe, config: AnyConfig, targets: Targets | None, seed: int, step: int
) -> list[Group]:
    """The batch of a step; nothing else decides it. Without `targets` they are labels."""
    first, largest = task.design.positions[0], task.design.positions[-1]
    wanted = tuple(range(first, largest + 1)) if config.family == "symbols" else (largest,)
    design = replace(task.design, positions=wanted, queries=recipe.queries)
    index = np.arange(step * recipe.batch, (step + 1) * recipe.batch)
    drawn = task.model.tempered(recipe.temper).simulate(design, seed, "train", index)
    if recipe.stretch > 1:
        drawn = stretched(drawn, recipe.stretch, seed, step)
    rng = np.random.default_rng([seed, crc32(b"nodes"), step])
    if config.family in ("symbols", "nodes"):
        return [make_group(task, config, targets, drawn, rng)]
    fewest = first if recipe.sizes == "between" else 0
    sizes = context_sizes(
        largest, recipe.groups, seed, step, uniform=recipe.sizes != "logarithmic", fewest=fewest
    )
    each = recipe.batch // recipe.groups
    parts = [_part(drawn, slice(g * each, (g + 1) * each)) for g in range(recipe.groups)]
    # where engines are compiled for the arrays they need, the largest size is asked for as well: they are then compiled once
    more, shaped = [largest] if config.family == "points" else [], []
    for part, n in zip(parts, sizes, strict=True):
        shaped.append(replace(part, data=replace(part.data, positions=np.array([n, *more]))))
    return [make_group(task, config, targets, part, rng) for part in shaped]


def stretched(drawn: Simulation, most: float, seed: int, step: int) -> Simulation:
    """The data sets with the real outcomes of half of the contexts multiplied by a factor from 1 to `most`.

    The drawn outcomes of the queries stay: they are those of the context that was not stretched, and no target.

    Raises:
        InputError: contexts without real outcomes.
    """
    if "y" not in drawn.data.arrays or drawn.data.arrays["y"].dtype.kind != "f":
        raise InputError("stretch: 1 for contexts without real outcomes", f"{most}")
    rng = np.random.default_rng([seed, crc32(b"stretch"), step])
    count = len(drawn.data.index)
    factor = np.where(rng.random(count) < 0.5, rng.uniform(1.0, most, count), 1.0)
    arrays = {**drawn.data.arrays, "y": drawn.data.arrays["y"] * factor[:, None]}
    return replace(drawn, data=replace(drawn.data, arrays=arrays))


def _part(drawn: Simulation, rows: slice) -> Simulation:
    """Some of the data sets; their context sizes are not yet decided."""
    latents = {name: values[rows] for name, values in drawn.latents.items()}
    return Simulation(drawn.data.select(rows), latents, drawn.outcome[rows], drawn.context[rows])


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
    config: AnyConfig,
    targets: Targets | None,
    drawn: Simulation,
    rng: np.random.Generator,
) -> Group:
    """Sequence: all positions of the data, read at the longest. Set: the first position; `rng` is for a head's nodes."""
    data, sequence = drawn.data, config.family == "symbols"
    context, query = task.model.inputs(data, len(data.positions) - 1 if sequence else 0)
    asked = slice(None) if sequence else slice(1)
    exact = None if targets is None else targets(data)[:, asked]
    latents = _latents(task, config, exact, drawn)
    posterior = None if latents is None else torch.from_numpy(latents.astype(np.float32))
    arrays = tensors(config.family, context, query)
    head = getattr(config, "head", "bins")
    if head != "bins":
        nodes = (
            nodes_at(drawn.outcome[:, 0]) if exact is None else nodes_for(head, exact[:, 0], rng)
        )
        return Group(arrays, slice(None), nodes, posterior)
    wanted = (
        one_hot(config, drawn.outcome[:, asked]) if exact is None else probabilities(config, exact)
    )
    probs = torch.from_numpy(wanted.astype(np.float32))  # (B, P, Q, K)
    if not sequence:
        return Group(arrays, slice(None), probs[:, 0], posterior)
    prefixes = slice(int(data.positions[0]), int(data.positions[-1]) + 1)
    return Group(arrays, prefixes, probs[:, :, 0], posterior)


def _latents(
    task: Task, config: AnyConfig, exact: Predictive | None, drawn: Simulation
) -> Array | None:
    """Posterior or drawn values of the latents that the network answers for, (B, V)."""
    if not getattr(config, "latents", {}):
        return None
    return (
        drawn_latents(config, drawn) if exact is None else exact_latents(task, config, exact[:, 0])
    )


def one_hot(config: Any, outcome: Array) -> Array:
    """The output that each outcome (B, P, Q) falls on, (B, P, Q, K); nothing where a query does not apply."""
    points = config.family == "points"
    number = np.searchsorted(edges_of(config), outcome) if points else outcome
    return np.asarray(
        number[..., None] == np.arange(config.cells + 2 if points else max(config.states)),
        dtype=np.float64,
    )


def drawn_latents(config: Any, drawn: Simulation) -> Array | None:
    """One where the drawn latents are, (B, V)."""
    values = getattr(config, "latents", {})
    return (
        np.concatenate(
            [drawn.latents[n][:, None] == np.array(v) for n, v in values.items()], axis=-1
        )
        if values
        else None
    )


def exact_latents(task: Task, config: Any, predictive: Predictive) -> Array:
    """Posterior probabilities (..., V) of the latents, which are weights in the exact mixture (..., query).

    Raises:
        InputError: targets that are no mixture over the nodes of the latents.
    """
    nodes = task.model.latent_nodes()
    if not isinstance(predictive, NormalMixture) or predictive.weights.shape[-1] != len(
        next(iter(nodes.values()))
    ):
        raise InputError(
            "targets that say how probable each value of the latents is", f"'{predictive.form}'"
        )
    which = np.concatenate(
        [nodes[name][:, None] == np.array(values) for name, values in config.latents.items()],
        axis=-1,
    )
    return np.asarray(predictive.weights[..., 0, :] @ which)


def probabilities(config: AnyConfig, predictive: Predictive) -> npt.NDArray[np.float64]:
    """Exact mass of every output of the network, (B, P, Q, K): categories, or cells with their tails."""
    if isinstance(predictive, Categorical):
        return predictive.probs
    below = _below(predictive, edges_of(config))
    mass = np.empty((*predictive.shape, below.shape[-1] + 1))
    mass[..., 0], mass[..., -1] = below[..., 0], 1 - below[..., -1]
    np.subtract(below[..., 1:], below[..., :-1], out=mass[..., 1:-1])
    return np.maximum(mass, 0.0, out=mass)


def _below(predictive: Predictive, edges: Array) -> Array:
    """Exact mass below every border, (B, P, Q, border); torch's normal distribution function is faster than SciPy's."""
    if isinstance(predictive, Normal):
        z = (edges - predictive.mean[..., None]) / predictive.sd[..., None]
        return np.asarray(torch.special.ndtr(torch.from_numpy(z)).numpy())
    return predictive.cdf(np.broadcast_to(edges, (*predictive.shape, edges.size)))


def edges_of(config: Any) -> npt.NDArray[np.float64]:
    """Borders of the cells, (cells + 1,)."""
    return np.linspace(-config.reach, config.reach, config.cells + 1)


def divergence(network: AnyNetwork, group: Group) -> Tensor:
    """Mean over data sets and queries of KL(exact || network), nats; and to it the KL of each latent."""
    if group.latents is None:
        return _apart(network(*group.arrays), group).mean()
    outputs, latents = cast(Network, network).with_latents(*group.arrays)
    assert latents is not None  # the config that asked for targets has made the head
    return _apart(outputs, group).mean() + kl(group.latents, latents).mean()


def _apart(outputs: Tensor, group: Group) -> Tensor:
    """KL(target || network) at every query with a target, (B, Q)."""
    asked = outputs[:, group.at]
    if isinstance(group.target, Nodes):
        return divergence_at(asked, group.target)
    return kl(group.target, asked.log_softmax(-1))


def kl(p: Tensor, log_q: Tensor) -> Tensor:
    """Sum over the last axis of p log(p / q), nothing where p is zero."""
    gap = torch.where(p > 0, p.clamp_min(torch.finfo(p.dtype).tiny).log() - log_q, 0.0)
    return (p * gap).sum(-1)


def distance(network: AnyNetwork, group: Group) -> Tensor:
    """Mean over data sets and queries of sum |target - network|, which is twice the total variation.

    Raises:
        InputError: a head without cells, which has no masses to compare.
    """
    if isinstance(group.target, Nodes):
        raise InputError("loss: kl for a head without cells", "l1", "use the head bins")
    probs = network(*group.arrays)[:, group.at].softmax(-1)
    return (probs - group.target).abs().sum(-1).mean()


LOSSES: Mapping[str, Callable[[AnyNetwork, Group], Tensor]] = {"kl": divergence, "l1": distance}

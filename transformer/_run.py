"""A training run: what changes while it lasts, one step of it, and how it is stored and continued.

    Run            network, optimisers, step and measurements
    optimisers_of  Muon for the matrices of the blocks, AdamW for the rest
    learning_rate  warm-up and cosine

The batch of a step is a function of (recipe, seed, step), and the state holds the rest, so a run
that was stopped and continued gives the same bits as one that was not: same machine, versions and
threads, and on a GPU only with PyTorch's deterministic algorithms.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from veribayes import registry
from veribayes.errors import CheckpointError, InputError
from veribayes.models._task import Task, hash_of
from veribayes.transformer._architectures import build, config_of
from veribayes.transformer._batches import Group
from veribayes.transformer._candidates import Candidate, NetworkCandidate
from veribayes.transformer._checkpoint import (
    CARD,
    Card,
    decode,
    encode,
    load,
    read_card,
    save,
    write_atomically,
)
from veribayes.transformer._config import InContext
from veribayes.transformer._losses import LOSSES
from veribayes.transformer._muon import Muon
from veribayes.transformer._parallel import ALONE, Ranks
from veribayes.transformer._recipe import Recipe

# forgets squared gradients sooner than the default .999: runs are thousands of steps, not millions
BETAS = (0.9, 0.98)

STEPS = "steps"  # folder of the weights that are kept on the way

Evaluate = Callable[[Candidate], Mapping[str, Any]]


@dataclass
class Run:
    """Network, optimiser and measurements after `step` steps."""

    recipe: Recipe
    seed: int
    model_hash: str
    identity: str  # hash of everything that decides the weights
    network: InContext
    optimisers: tuple[torch.optim.Optimizer, ...]
    average: InContext | None = None  # of the weights so far, where the recipe wants it
    ranks: Ranks = ALONE  # processes that learn together
    step: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    recent: float = math.nan  # running mean of the training loss
    clock: float = field(default_factory=time.monotonic)

    @classmethod
    def start(
        cls, task: Task, recipe: Recipe, seed: int, device: torch.device, ranks: Ranks = ALONE
    ) -> Run:
        config = config_of(task, recipe.network)
        network = build(config).initialise(seed).to(device)
        parts = {
            "model": task.model_hash,
            "positions": list(task.design.positions),
            "recipe": recipe.to_dict(),
            "seed": seed,
        }
        if recipe.start:
            parts["start"] = begin(network, task, recipe.start)
        return cls(
            recipe=recipe,
            seed=seed,
            model_hash=task.model_hash,
            identity=hash_of(parts),
            network=network,
            optimisers=optimisers_of(network, recipe),
            average=copy.deepcopy(network) if recipe.average else None,
            ranks=ranks,
        )

    @property
    def result(self) -> InContext:
        """The network that is measured and kept."""
        return self.network if self.average is None else self.average

    @property
    def milestones(self) -> set[int]:
        """Steps after which the curve is measured, evenly spaced; the last one is the end's own
        measurement.
        """
        n = self.recipe.evaluations
        return {self.recipe.steps * i // n for i in range(1, n)}

    def learn(self, groups: list[Group]) -> float:
        """One step of the optimiser; returns the batch's loss before it."""
        for optimiser in self.optimisers:
            optimiser.param_groups[0]["lr"] = learning_rate(self.recipe, self.step)
            optimiser.zero_grad(set_to_none=True)
        value = self.ranks.average(self.network, self._add_gradients(groups))
        if not math.isfinite(value):
            got = f"{value} at step {self.step}"
            raise InputError("a finite loss", got, "lower the recipe's learning_rate")
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        for optimiser in self.optimisers:
            optimiser.step()
        if self.average is not None:
            self._move_average(self.average)
        self.step += 1
        self.recent = value if math.isnan(self.recent) else 0.98 * self.recent + 0.02 * value
        return value

    def _add_gradients(self, groups: list[Group]) -> float:
        """The loss; groups are of one context size each, and their gradients add up as if they were
        one batch.
        """
        kind = next(self.network.parameters()).device.type
        bf16 = self.recipe.bf16 and kind == "cuda"
        value = 0.0
        for group in groups:
            share = self.ranks.share(group)
            with torch.autocast(kind, torch.bfloat16, enabled=bf16):
                loss = LOSSES[self.recipe.loss](self.network, share) / len(groups)
            loss.backward()  # type: ignore[no-untyped-call]
            value += loss.item()
        return value

    @torch.no_grad()
    def _move_average(self, average: InContext) -> None:
        """A step of the moving average of the weights."""
        pairs = zip(average.parameters(), self.network.parameters(), strict=True)
        for kept, new in pairs:
            kept.lerp_(new, 1 - self.recipe.average)

    def measure(self, evaluate: Evaluate, log: Callable[[str, float, int], None]) -> None:
        """Add a point to the curve."""
        scores = dict(evaluate(NetworkCandidate(self.result)))
        seconds = round(self._elapsed(), 1)
        point = {"step": self.step, "training": self.recent, "seconds": seconds}
        self.curve.append({**point, **scores})
        for name, score in scores.items():
            if isinstance(score, float):
                log(name, score, self.step)

    def save(self, path: Path) -> None:
        """Everything needed to continue, in one file: tensors, and the rest as its metadata."""
        tensors: dict[str, Tensor] = {}
        for name, network in self._networks.items():
            for key, value in network.state_dict().items():
                tensors[f"{name}.{key}"] = value
        for which, optimiser in enumerate(self.optimisers):
            for i, slots in optimiser.state_dict()["state"].items():
                for key, value in slots.items():
                    tensors[f"optimiser.{which}.{i}.{key}"] = value
        rest = {
            "identity": self.identity,
            "step": self.step,
            "recent": self.recent,
            "curve": self.curve,
            "seconds": self._elapsed(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, encode(tensors, {"run": json.dumps(rest)}))

    def resume(self, path: Path) -> None:
        """Take over a saved state, if there is one.

        Raises:
            CheckpointError: the state is damaged or belongs to another run.
        """
        if not path.exists():
            return
        content = path.read_bytes()
        tensors, rest = decode(content), _metadata(content)
        if rest["identity"] != self.identity:
            got, remedy = f"another run's in '{path}'", "choose another --out, or remove it"
            raise CheckpointError("the state of this run", got, remedy)
        for name, network in self._networks.items():
            network.load_state_dict(_below(tensors, name))
        for which, optimiser in enumerate(self.optimisers):
            slots: dict[int, dict[str, Tensor]] = {}
            for name, value in _below(tensors, f"optimiser.{which}").items():
                i, slot = name.split(".")
                slots.setdefault(int(i), {})[slot] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": slots})
        self.step, self.recent, self.curve = rest["step"], rest["recent"], rest["curve"]
        self.clock = time.monotonic() - rest["seconds"]

    def finished(self, out: Path) -> Card | None:
        """The card of this run's checkpoint, if `out` holds it.

        Raises:
            CheckpointError: `out` holds another checkpoint.
        """
        if not (out / CARD).exists():
            return None
        card = read_card(out)
        own = (self.network.config.to_dict(), self.recipe.to_dict(), self.seed, self.model_hash)
        if (card.network, card.recipe, card.seed, card.model_hash) != own:
            got = f"another one in '{out}'"
            wanted = "an empty folder or this run's checkpoint"
            raise CheckpointError(wanted, got, "choose another --out")
        return card

    def finish(self, task: Task, out: Path, command: str, evaluate: Evaluate) -> Card:
        """Measure, then write weights and card."""
        scores = dict(evaluate(NetworkCandidate(self.result)))
        return self.write(task, out, command, scores)

    def keep(self, task: Task, out: Path, command: str) -> None:
        """Write the weights after this step as a checkpoint of its own, which nobody has
        measured.
        """
        folder = kept_folder(out, self.step)
        self.write(task, folder, f"{command}, after step {self.step}", {})

    def write(self, task: Task, out: Path, command: str, scores: Mapping[str, Any]) -> Card:
        """Weights and card."""
        weights = encode(self.result.state_dict())
        card = Card(
            task=task.name,
            model_hash=task.model_hash,
            network=self.network.config.to_dict(),
            recipe=self.recipe.to_dict(),
            seed=self.seed,
            command=command,
            weights_sha256=hashlib.sha256(weights).hexdigest(),
            parameters=sum(p.numel() for p in self.network.parameters()),
            hardware=hardware(next(self.network.parameters()).device),
            threads=torch.get_num_threads(),
            versions={name: version(name) for name in ("torch", "jax", "numpy", "safetensors")},
            seconds=round(self._elapsed(), 1),
            curve=self.curve,
            scores=scores,
        )
        save(out, card, weights)
        return card

    @property
    def _networks(self) -> dict[str, InContext]:
        if self.average is None:
            return {"network": self.network}
        return {"network": self.network, "average": self.average}

    def _elapsed(self) -> float:
        return time.monotonic() - self.clock


def kept_folder(out: Path, step: int) -> Path:
    """Where the weights after this step are kept."""
    return out / STEPS / f"{step:07d}"


def begin(network: InContext, task: Task, name: str) -> str:
    """Give a network the weights of a shipped checkpoint of the same model; returns their hash.

    Raises:
        InputError: no such checkpoint, or one with other tensors than those that the network has
            and perhaps more.
        CheckpointError: it was changed, or was trained for another model.
    """
    folder = registry.checkpoint_path(name)
    if folder is None:
        remedy = "see 'veribayes list candidates'"
        raise InputError("a shipped checkpoint to start from", f"'{name}'", remedy)
    trained, card = load(folder, task)
    own, given = network.state_dict(), trained.state_dict()
    unlike = [k for k in given if k not in own or own[k].shape != given[k].shape]
    if unlike:
        wanted = f"a network with the tensors of '{name}'"
        raise InputError(wanted, f"no such {', '.join(unlike[:3])}")
    network.load_state_dict({**own, **given})
    return card.weights_sha256


def optimisers_of(network: InContext, recipe: Recipe) -> tuple[torch.optim.Optimizer, ...]:
    """Muon (arXiv 2502.16982) for the matrices of the blocks, AdamW for tokens, norms and head.

    Muon orthogonalises each update; with its updates scaled to AdamW's size one learning rate
    serves both. On the Gaussian process it reached .015 nats after 400 steps where AdamW alone
    stood at .047.
    """
    matrices = network.matrices()
    chosen = {id(weight) for weight in matrices}
    rest = [weight for weight in network.parameters() if id(weight) not in chosen]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    adam = torch.optim.AdamW(rest, lr=rate, weight_decay=decay, betas=BETAS, fused=True)
    if not matrices:
        return (adam,)
    return Muon(matrices, lr=rate, weight_decay=decay), adam


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then half a cosine to zero."""
    warm = (step + 1) / max(1.0, recipe.warmup * recipe.steps)
    return recipe.learning_rate * min(warm, 0.5 * (1 + math.cos(math.pi * step / recipe.steps)))


def hardware(device: torch.device) -> str:
    """The processor's name, as far as the system tells."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _below(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `name` and a dot, without it."""
    first = f"{name}."
    return {k.removeprefix(first): v for k, v in tensors.items() if k.startswith(first)}


def _metadata(content: bytes) -> dict[str, Any]:
    """The JSON that `save` put into the header of a safetensors file."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    try:
        state = dict(json.loads(header["__metadata__"]["run"]))
    except (KeyError, ValueError):
        got = "a safetensors file without it"
        raise CheckpointError("the state of a training run", got) from None
    missing = {"identity", "step", "recent", "curve", "seconds"} - set(state)
    if missing:
        got = f"one without {', '.join(sorted(missing))}"
        raise CheckpointError("the state of a training run", got, "remove it")
    return state

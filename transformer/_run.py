"""A training run: what changes while it lasts, one step of it, and how it is stored and continued.

    Run            network, optimisers, step and measurements
    optimisers_of  Muon for the matrices of the blocks, AdamW for the rest
    learning_rate  warm-up and cosine

The batch of a step is a function of (recipe, seed, step), and the state holds the rest, so a run that was stopped and
continued gives the same bits as one that was not: same machine, versions and threads, and on a GPU only with PyTorch's
deterministic algorithms.
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
from veribayes.transformer._architectures import AnyNetwork, build
from veribayes.transformer._batches import LOSSES, Group, Recipe, config_of
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
from veribayes.transformer._muon import Muon
from veribayes.transformer._parallel import ALONE, Ranks
from veribayes.transformer.network import Network

BETAS = (
    0.9,
    0.98,
)  # forgets squared gradients sooner than the default .999: runs are thousands of steps, not millions

Evaluate = Callable[[Candidate], Mapping[str, Any]]


@dataclass
class Run:
    """Network, optimiser and measurements after `step` steps."""

    recipe: Recipe
    seed: int
    model_hash: str
    identity: str  # hash of everything that decides the weights
    network: AnyNetwork
    optimisers: tuple[torch.optim.Optimizer, ...]
    average: AnyNetwork | None = None  # of the weights so far, where the recipe wants it
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
        average = copy.deepcopy(network) if recipe.average else None
        return cls(
            recipe,
            seed,
            task.model_hash,
            hash_of(parts),
            network,
            optimisers_of(network, recipe),
            average,
            ranks,
        )

    @property
    def result(self) -> AnyNetwork:
        """The network that is measured and kept."""
        return self.network if self.average is None else self.average

    @property
    def milestones(self) -> set[int]:
        """Steps after which the curve is measured, evenly spaced; the last one is the end's own measurement."""
        n = self.recipe.evaluations
        return {self.recipe.steps * i // n for i in range(1, n)}

    def learn(self, groups: list[Group]) -> float:
        """One step of the optimiser; returns the batch's loss before it."""
        for optimiser in self.optimisers:
            optimiser.param_groups[0]["lr"] = learning_rate(self.recipe, self.step)
            optimiser.zero_grad(set_to_none=True)
        value = 0.0
        kind = next(self.network.parameters()).device.type
        for group in map(
            self.ranks.share, groups
        ):  # of one context size each: gradients add up, as if it were one batch
            with torch.autocast(kind, torch.bfloat16, enabled=self.recipe.bf16 and kind == "cuda"):
                loss = LOSSES[self.recipe.loss](self.network, group) / len(groups)
            loss.backward()  # type: ignore[no-untyped-call]
            value += loss.item()
        value = self.ranks.average(self.network, value)
        if not math.isfinite(value):
            raise InputError(
                "a finite loss", f"{value} at step {self.step}", "lower the recipe's learning_rate"
            )
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        for optimiser in self.optimisers:
            optimiser.step()
        if self.average is not None:
            with torch.no_grad():
                for kept, new in zip(
                    self.average.parameters(), self.network.parameters(), strict=True
                ):
                    kept.lerp_(new, 1 - self.recipe.average)
        self.step += 1
        self.recent = value if math.isnan(self.recent) else 0.98 * self.recent + 0.02 * value
        return value

    def measure(self, evaluate: Evaluate, log: Callable[[str, float, int], None]) -> None:
        """Add a point to the curve."""
        scores = dict(evaluate(NetworkCandidate(self.result)))
        self.curve.append(
            {
                "step": self.step,
                "training": self.recent,
                "seconds": round(self._elapsed(), 1),
                **scores,
            }
        )
        for name, score in scores.items():
            if isinstance(score, float):
                log(name, score, self.step)

    def save(self, path: Path) -> None:
        """Everything needed to continue, in one file: tensors, and the rest as its metadata."""
        tensors: dict[str, Tensor] = {
            f"{name}.{k}": v
            for name, network in self._networks.items()
            for k, v in network.state_dict().items()
        }
        for which, optimiser in enumerate(self.optimisers):
            for i, slots in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{which}.{i}.{k}": v for k, v in slots.items()}
        rest = {
            "identity": self.identity,
            "step": self.step,
            "recent": self.recent,
            "curve": self.curve,
        }
        rest["seconds"] = self._elapsed()
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
            raise CheckpointError(
                "the state of this run",
                f"another run's in '{path}'",
                "choose another --out, or remove it",
            )
        for name, network in self._networks.items():
            network.load_state_dict(
                {
                    k.removeprefix(f"{name}."): v
                    for k, v in tensors.items()
                    if k.startswith(f"{name}.")
                }
            )
        for which, optimiser in enumerate(self.optimisers):
            slots: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                if name.startswith(f"optimiser.{which}."):
                    i, slot = name.split(".")[2:]
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
        same = (card.network, card.recipe, card.seed) == (
            self.network.config.to_dict(),
            self.recipe.to_dict(),
            self.seed,
        )
        if not same or card.model_hash != self.model_hash:
            raise CheckpointError(
                "an empty folder or this run's checkpoint",
                f"another one in '{out}'",
                "choose another --out",
            )
        return card

    def finish(self, task: Task, out: Path, command: str, evaluate: Evaluate) -> Card:
        """Measure, then write weights and card."""
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
            scores=dict(evaluate(NetworkCandidate(self.result))),
        )
        save(out, card, weights)
        return card

    @property
    def _networks(self) -> dict[str, AnyNetwork]:
        return {
            "network": self.network,
            **({} if self.average is None else {"average": self.average}),
        }

    def _elapsed(self) -> float:
        return time.monotonic() - self.clock


def begin(network: AnyNetwork, task: Task, name: str) -> str:
    """Give a network the weights of a shipped checkpoint of the same model; returns their hash.

    Raises:
        InputError: no such checkpoint, or one with other tensors than those that the network has and perhaps more.
        CheckpointError: it was changed, or was trained for another model.
    """
    folder = registry.checkpoint_path(name)
    if folder is None:
        raise InputError(
            "a shipped checkpoint to start from", f"'{name}'", "see 'veribayes list candidates'"
        )
    trained, card = load(folder, task)
    own, given = network.state_dict(), trained.state_dict()
    if unlike := [k for k, v in given.items() if k not in own or own[k].shape != v.shape]:
        raise InputError(
            f"a network with the tensors of '{name}'", f"no such {', '.join(unlike[:3])}"
        )
    network.load_state_dict({**own, **given})
    return card.weights_sha256


def optimisers_of(network: AnyNetwork, recipe: Recipe) -> tuple[torch.optim.Optimizer, ...]:
    """Muon (arXiv 2502.16982) for the matrices of the blocks, AdamW for tokens, norms and head.

    Muon orthogonalises each update; with its updates scaled to AdamW's size one learning rate serves both. On the Gaussian
    process it reached .015 nats after 400 steps where AdamW alone stood at .047.
    """
    matrices = (
        [p for p in network.blocks.parameters() if p.ndim == 2]
        if isinstance(network, Network)
        else []
    )
    chosen = {id(p) for p in matrices}
    rest = [p for p in network.parameters() if id(p) not in chosen]
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


def _metadata(content: bytes) -> dict[str, Any]:
    """The JSON that `save` put into the header of a safetensors file."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    try:
        found = dict(json.loads(header["__metadata__"]["run"]))
    except (KeyError, ValueError):
        raise CheckpointError(
            "the state of a training run", "a safetensors file without it"
        ) from None
    if missing := {"identity", "step", "recent", "curve", "seconds"} - set(found):
        raise CheckpointError(
            "the state of a training run", f"one without {', '.join(sorted(missing))}", "remove it"
        )
    return found

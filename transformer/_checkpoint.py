"""Checkpoints: weights as safetensors beside a card in JSON; never pickle.

A folder holds `weights.safetensors` (float32) and `card.json`. The card says for which model the
weights were trained, how they can be made again, and what they scored. Nothing is believed that can
be checked: `load` recomputes the file's hash, compares the model's, and builds the network from the
card before any tensor enters it.

A recipe that was trained with several seeds has one card. The first seed's network is the one that
is judged unless another is asked for; those of further seeds lie beside it, `seed-N.safetensors`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from veribayes.checked import integer, mapping, number, sequence, shown, text
from veribayes.errors import CheckpointError, InputError
from veribayes.models._task import NAME, Task
from veribayes.transformer._architectures import build, config_from
from veribayes.transformer._config import InContext

SCHEMA = "veribayes.checkpoint/1"
WEIGHTS, CARD = "weights.safetensors", "card.json"
MAX_CARD_BYTES = 1_000_000  # a card is some kilobytes; anything beyond was not written here
MAX_WEIGHTS_BYTES = 2**30  # the shipped ones are a thousandth of it
# What a card says of each network on its own; the rest of a card is the same for all seeds.
OF_A_SEED = (
    "seed",
    "command",
    "weights_sha256",
    "hardware",
    "threads",
    "versions",
    "seconds",
    "curve",
    "scores",
)
LATER: Mapping[str, Any] = {"seeds": [], "between": {}}  # what cards of one seed do not have
PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt"}


@dataclass(frozen=True)
class Card:
    """What a checkpoint says about itself.

    Attributes:
        task, model_hash: what it was trained for; the hash binds, the name informs.
        network: fields of the network's config.
        recipe: fields of `Recipe`, steps included, as `Recipe.to_dict` gives them.
        seed: of initialisation and data.
        command: makes the checkpoint again.
        weights_sha256: of the weights file.
        parameters: number of them.
        hardware, threads, versions, seconds: where and how long it was trained.
        curve: measurements during training: step, training loss, and what `evaluate` returned.
        scores: what `evaluate` returned at the end.
        seeds: of each further network of the same recipe, the entries `OF_A_SEED`.
        between: what the seeds scored together, with an interval between them.
    """

    task: str
    model_hash: str
    network: Mapping[str, Any]
    recipe: Mapping[str, Any]
    seed: int
    command: str
    weights_sha256: str
    parameters: int
    hardware: str
    threads: int
    versions: Mapping[str, str]
    seconds: float
    curve: list[dict[str, Any]] = field(default_factory=list)
    scores: Mapping[str, Any] = field(default_factory=dict)
    schema: str = SCHEMA
    seeds: list[dict[str, Any]] = field(default_factory=list)
    between: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("model_hash", "command", "weights_sha256", "hardware"):
            text(name, getattr(self, name))
        for name in ("seed", "parameters", "threads"):
            integer(name, getattr(self, name), at_least=0)
        for name in ("network", "recipe", "versions", "scores", "between"):
            if not isinstance(getattr(self, name), Mapping):
                raise InputError(f"a mapping for '{name}'", shown(getattr(self, name)))
        number("seconds", self.seconds)
        sequence("curve", self.curve)
        if not NAME.fullmatch(
            text("task", self.task)
        ):  # no path, no module, nothing that a terminal would obey
            raise InputError("the name of a task", shown(self.task))
        entries = [self._checked(entry) for entry in sequence("seeds", self.seeds)]
        trained = [self.seed, *(entry["seed"] for entry in entries)]
        if len(set(trained)) < len(trained):
            raise InputError("networks of different seeds", ", ".join(map(str, trained)))

    def of(self, seed: int) -> Card:
        """The card of one seed's network alone.

        Raises:
            InputError: no network of this seed.
        """
        if seed == self.seed:
            return replace(self, seeds=[], between={})
        entries = {entry["seed"]: entry for entry in self.seeds}
        if seed not in entries:
            trained = ", ".join(map(str, (self.seed, *entries)))
            raise InputError(f"a seed of the checkpoint of '{self.task}': {trained}", f"{seed}")
        return replace(self, **entries[seed], seeds=[], between={})

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what came later is left out where it says nothing."""
        plain = asdict(self)
        return {key: value for key, value in plain.items() if LATER.get(key) != value}

    def _checked(self, entry: Any) -> Mapping[str, Any]:
        """A further seed's entries, which have to make a card of their own."""
        plain = mapping("seeds", entry, allowed=OF_A_SEED, required=OF_A_SEED)
        replace(self, **plain, seeds=[], between={})
        return plain


def save(folder: Path, card: Card, weights: bytes) -> None:
    """Write weights, then card; a folder without a card is not a checkpoint, so an interrupted
    write leaves none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / WEIGHTS, weights)
    write_card(folder, card)


def write_card(folder: Path, card: Card) -> None:
    """Store a card in JSON."""
    text_of_card = json.dumps(card.to_dict(), indent=1, allow_nan=False) + "\n"
    write_atomically(folder / CARD, text_of_card.encode())


def load(folder: Path, task: Task | None = None, seed: int | None = None) -> tuple[InContext, Card]:
    """The network in evaluation mode and its card.

    Args:
        seed: of the training; None: the first that the card names.

    Raises:
        CheckpointError: the folder is no checkpoint, a file was changed, the tensors do not fit the
            card, or the card is for another model than `task`'s.
        InputError: no network of this seed.
    """
    card = read_card(folder, seed)
    file = file_of(folder, seed)
    if task is not None and card.model_hash != task.model_hash:
        wanted = f"a checkpoint for the model of task '{task.name}' ({task.model_hash[:12]}…)"
        got = f"one for '{card.task}' ({card.model_hash[:12]}…)"
        raise CheckpointError(wanted, got, "train one: veribayes train TASK")
    content = read_weights(file, card)
    try:
        # without memory: whatever the card asks for, only the file's tensors take any
        with torch.device("meta"):
            network = build(config_from(card.network))
        network.load_state_dict(content, assign=True)
    except (InputError, RuntimeError, TypeError) as error:
        raise CheckpointError(
            "weights that fit the card's network", str(error).splitlines()[0]
        ) from None
    return network.eval(), card


def read_card(folder: Path, seed: int | None = None) -> Card:
    """Read `card.json` by its schema.

    Args:
        seed: whose network's card is wanted alone; None: the whole card.

    Raises:
        CheckpointError: missing, not JSON, too large, or not a card.
        InputError: no network of this seed.
    """
    path = Path(folder) / CARD
    if not path.is_file():
        raise CheckpointError(f"a folder with {CARD} and {WEIGHTS}", _described(Path(folder)))
    content = _plain_file(path, MAX_CARD_BYTES)
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError("a card in JSON", str(error)) from None
    names = {f.name for f in fields(Card)}
    if isinstance(plain, dict):
        plain = {**LATER, **plain}
    if not isinstance(plain, dict) or set(plain) != names or plain["schema"] != SCHEMA:
        raise CheckpointError(f"a card of schema {SCHEMA}", _difference(plain, names))
    try:
        card = Card(**plain)
    except InputError as error:
        raise CheckpointError(
            f"a card of schema {SCHEMA}", f"one that breaks it: {error}"
        ) from None
    return card if seed is None else card.of(seed)


def file_of(folder: Path, seed: int | None) -> Path:
    """The file with the weights of one seed's network; None: of the first that the card names."""
    first = seed is None or seed == read_card(folder).seed
    return Path(folder) / (WEIGHTS if first else f"seed-{seed}.safetensors")


def read_weights(path: Path, card: Card) -> dict[str, Tensor]:
    """The tensors of a file, after its hash was found equal to the card's."""
    if not path.is_file():
        raise CheckpointError(f"{path.name} beside the card", _described(path.parent))
    content = _plain_file(path, MAX_WEIGHTS_BYTES)
    found = hashlib.sha256(content).hexdigest()
    if found != card.weights_sha256:
        expected = f"weights with SHA-256 {card.weights_sha256[:12]}…"
        raise CheckpointError(expected, f"{found[:12]}…", "the file was changed; make it again")
    tensors = decode(content)
    kinds = {str(t.dtype) for t in tensors.values()} - {"torch.float32"}
    if kinds:
        raise CheckpointError("weights in float32", ", ".join(sorted(kinds)))
    return tensors


def encode(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Tensors as safetensors bytes."""
    return tensors_to_bytes(
        {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, dict(metadata or {})
    )


def decode(content: bytes) -> dict[str, Tensor]:
    """Tensors from safetensors bytes; finite ones only.

    Raises:
        CheckpointError: another format (a pickle, say), or NaN.
    """
    try:
        tensors = tensors_from_bytes(content)
    except SafetensorError as error:
        raise CheckpointError(
            "a file in the safetensors format", str(error), "pickles are never opened"
        ) from None
    if not all(torch.isfinite(t).all() for t in tensors.values()):
        raise CheckpointError("finite weights", "NaN or infinite entries")
    return tensors


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name, then rename: a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _plain_file(path: Path, most: int) -> bytes:
    """The content of a file of bounded size; a link could point anywhere."""
    if path.is_symlink():
        raise CheckpointError(f"{path.name} as a plain file", "a link")
    if path.stat().st_size > most:
        raise CheckpointError(
            f"{path.name} of at most {most} bytes", f"{path.stat().st_size} bytes"
        )
    return path.read_bytes()


def _described(folder: Path) -> str:
    if not folder.is_dir():
        return f"'{folder}', which is no folder"
    listed = sorted(p.name for p in folder.iterdir())
    pickles = [name for name in listed if Path(name).suffix in PICKLES]
    if pickles:
        return f"a pickle, {pickles[0]}, which is never opened"
    return f"a folder with {', '.join(listed[:5]) or 'nothing'}"


def _difference(plain: object, names: set[str]) -> str:
    if not isinstance(plain, dict):
        return type(plain).__name__
    if plain.get("schema") != SCHEMA:
        return f"schema {plain.get('schema')!r}"
    return f"missing {sorted(names - set(plain))}, unknown {sorted(set(plain) - names)}"

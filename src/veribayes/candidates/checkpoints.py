"""A trained transformer as a candidate: a shipped checkpoint by name, any other by its folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from veribayes import registry
from veribayes.candidates._adapter import BY_NAME, Adapter
from veribayes.candidates._asking import predict
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.storage.store import digest_of, source_digest
from veribayes.tree import Branch, Data
from veribayes.validation.candidate import Candidate


def of_checkpoint(name: str, task: Task) -> Candidate:
    """A shipped checkpoint by its name, any other by its folder."""
    from veribayes.transformer import _checkpoint as checkpoint
    from veribayes.transformer._candidates import network_candidate

    folder = registry.checkpoint_path(name) or Path(name).resolve()
    card = asdict(checkpoint.read_card(folder))
    network = network_candidate(folder, task)

    def infer(task: Task, data: Data, seed: int) -> Branch:
        del seed  # a network is a function
        return predict(network, task, data)

    identity = digest_of({"card": card, "source": source_digest()})
    return Candidate(folder.name, identity, infer, "checkpoint", card, exposes_latents=True)


def shipped_for(task: Task) -> Candidate:
    """The checkpoint that has the task's name.

    Raises:
        InputError: none is shipped.
    """
    if registry.checkpoint_path(task.name) is None:
        remedy = "no checkpoint is shipped for it; name one with --candidate"
        raise InputError(f"a candidate for the task '{task.name}'", "none", remedy)
    return of_checkpoint(task.name, task)


class Checkpoints(Adapter):
    """The name of a shipped checkpoint, or a folder with a card."""

    order = BY_NAME + 2

    def accepts(self, thing: object) -> bool:
        if not isinstance(thing, str):
            return False
        return bool(registry.checkpoint_path(thing)) or (Path(thing) / "card.json").is_file()

    def candidate(self, thing: object, task: Task) -> Candidate:
        return of_checkpoint(str(thing), task)


PART = Checkpoints()

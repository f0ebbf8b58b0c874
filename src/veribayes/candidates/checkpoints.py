"""A trained transformer as a candidate: a shipped checkpoint by name, any other by its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from veribayes import registry
from veribayes.candidates._adapter import BY_NAME, Adapter, require_no_options
from veribayes.candidates._asking import predict
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.storage.store import digest_of, source_digest
from veribayes.tree import Branch, Data
from veribayes.validation.candidate import Candidate


def of_checkpoint(name: str, task: Task, seed: int | None = None) -> Candidate:
    """A shipped checkpoint by its name, any other by its folder.

    Args:
        seed: of the training, where the checkpoint holds several networks; None: the first.
    """
    from veribayes.transformer import _checkpoint as checkpoint
    from veribayes.transformer._candidates import network_candidate

    folder = registry.checkpoint_path(name) or Path(name).resolve()
    card = checkpoint.read_card(folder, seed).to_dict()
    network = network_candidate(folder, task, seed)

    def infer(task: Task, data: Data, seed: int) -> Branch:
        del seed  # a network is a function
        return predict(network, task, data)

    identity = digest_of({"card": card, "seed": seed, "source": source_digest()})
    shown = folder.name if seed is None else f"{folder.name}, seed {seed}"
    return Candidate(shown, identity, infer, "checkpoint", card, exposes_latents=True)


def shipped_for(task: Task, options: Mapping[str, str] | None = None) -> Candidate:
    """The checkpoint that has the task's name.

    Raises:
        InputError: none is shipped.
    """
    if registry.checkpoint_path(task.name) is None:
        remedy = "no checkpoint is shipped for it; name one with --candidate"
        raise InputError(f"a candidate for the task '{task.name}'", "none", remedy)
    return Checkpoints().configured(task.name, task, options or {})


class Checkpoints(Adapter):
    """The name of a shipped checkpoint, or a folder with a card."""

    order = BY_NAME + 2

    def accepts(self, thing: object) -> bool:
        if not isinstance(thing, str):
            return False
        return bool(registry.checkpoint_path(thing)) or (Path(thing) / "card.json").is_file()

    def candidate(self, thing: object, task: Task) -> Candidate:
        return of_checkpoint(str(thing), task)

    def configured(self, thing: object, task: Task, options: Mapping[str, str]) -> Candidate:
        """`seed` chooses among networks that were trained with several."""
        rest = {key: value for key, value in options.items() if key != "seed"}
        if "seed" not in options or rest:
            candidate = self.candidate(thing, task)
            require_no_options(candidate, rest)
            return candidate
        if not options["seed"].isdecimal():
            raise InputError("a seed of a training, such as 1", f"'{options['seed']}'")
        return of_checkpoint(str(thing), task, int(options["seed"]))


PART = Checkpoints()

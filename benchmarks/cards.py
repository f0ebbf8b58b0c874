"""Measure shipped checkpoints again and put the figures into their cards; nothing is trained.

Run: python -m benchmarks.cards CHECKPOINT... [--write]

The figures are those with which a training ends: 400 data sets of the stream `replicate`, by the
metric that `verify` judges the network's form by. The weights are loaded by the hash of the card;
curve and everything else of the card stay.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from veribayes import registry
from veribayes.cli import terminal
from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.run import training
from veribayes.statistics import limits
from veribayes.transformer import _checkpoint
from veribayes.transformer._candidates import NetworkCandidate
from veribayes.transformer._recipe import LABELS


def main(arguments: list[str]) -> int:
    """Print one line a checkpoint, old figure and new;
    with --write put the new ones into the card.
    """
    for name in [a for a in arguments if not a.startswith("--")]:
        folder = registry.checkpoint_path(name)
        if folder is None:
            raise InputError("shipped checkpoints", f"'{name}'", "see 'veribayes list candidates'")
        task = _spec.load_task(_checkpoint.read_card(folder).task)
        network, card = _checkpoint.load(folder, task)
        imitated = str(card.recipe.get("targets", ""))
        measure = training.measurement(task, imitated="" if imitated == LABELS else imitated)
        card, before = replace(card, scores=measure(NetworkCandidate(network))), line(card.scores)
        print(f"{name}: {before} -> {line(card.scores)}", flush=True)
        if "--write" in arguments:
            _checkpoint.write_card(folder, card)
    return 0


def line(scores: Mapping[str, Any]) -> str:
    """The figure of a card with its limits; cards of before say nothing of their metric,
    and state KL between masses.
    """
    name = scores.get("metric", "kl")
    keys = {"estimate": name, **{key: f"{name}_{key}" for key in ("low", "high", "reason")}}
    values = {key: scores.get(stored) for key, stored in keys.items()}
    return f"{name} {limits.words(values, terminal.number)}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

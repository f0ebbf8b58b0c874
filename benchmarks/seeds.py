"""Join networks of one recipe and several seeds into one checkpoint with one card.

Run: python -m benchmarks.seeds CHECKPOINT FOLDER FOLDER...

The folders are what `veribayes train TASK --preset P --seed N --out FOLDER` has left, one a seed.
The first folder's network becomes the one that is judged unless another is asked for (`--set
candidate.seed=N`), whatever it scored. Beside each network's own scores the card keeps what they
scored together: the geometric mean of their divergences with 95 % limits by Student's t on the
logarithms, the seed being the unit of replication.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from veribayes.errors import InputError
from veribayes.registry import HERE
from veribayes.transformer import _checkpoint
from veribayes.transformer._checkpoint import OF_A_SEED, Card

CHECKPOINTS = HERE / "transformer" / "checkpoints"
LEVEL = 0.95
SAME = ("task", "model_hash", "network", "recipe")  # what all seeds have to have in common


def main(arguments: Sequence[str]) -> int:
    """Write the joined checkpoint and print what its card says."""
    if len(arguments) < 3:
        raise InputError("a checkpoint's name and at least two folders", " ".join(arguments))
    name, *folders = arguments
    out = CHECKPOINTS / name
    card = joined([Path(folder) for folder in folders], out)
    print(f"{name}: {card.between}")
    return 0


def joined(folders: Sequence[Path], out: Path) -> Card:
    """The checkpoint `out` of the networks in these folders, the first folder's first.

    Raises:
        InputError: other tasks, recipes or networks than the first one's, or a seed twice.
    """
    cards = [_checkpoint.read_card(folder) for folder in folders]
    first = cards[0]
    for folder, card in zip(folders, cards, strict=True):
        unlike = [field for field in SAME if getattr(card, field) != getattr(first, field)]
        if unlike:
            raise InputError(f"the {unlike[0]} of '{folders[0]}'", f"another in '{folder}'")
    entries = [{field: getattr(card, field) for field in OF_A_SEED} for card in cards]
    card = replace(first, seeds=entries[1:], between=between([card.scores for card in cards]))
    out.mkdir(parents=True, exist_ok=True)
    for folder, of_seed in zip(folders, cards, strict=True):
        content = (folder / _checkpoint.WEIGHTS).read_bytes()
        if hashlib.sha256(content).hexdigest() != of_seed.weights_sha256:
            raise InputError(f"the weights of the card in '{folder}'", "others")
        _checkpoint.write_atomically(out / _file(of_seed, first), content)
    _checkpoint.write_card(out, card)
    return card


def between(scores: Sequence[Any]) -> dict[str, Any]:
    """The metric's geometric mean over seeds with its limits:
    `metric`, `metric_low`, `metric_high`.
    """
    metric = scores[0]["metric"]
    logs = np.log([score[metric] for score in scores])
    half = student.isf((1 - LEVEL) / 2, len(logs) - 1) * logs.std(ddof=1) / len(logs) ** 0.5
    low, middle, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
    return {
        "seeds": len(logs),
        "metric": metric,
        metric: float(middle),
        f"{metric}_low": float(low),
        f"{metric}_high": float(high),
        "interval": "95 % between seeds, geometric mean, t on logarithms",
    }


def _file(card: Card, first: Card) -> str:
    return _checkpoint.WEIGHTS if card is first else f"seed-{card.seed}.safetensors"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

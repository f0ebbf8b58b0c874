"""docs/markov-induction.svg and a table of docs/markov-chains.md: how a two-layer network that
learns Markov chains in context passes from uniform over unigram to bigram Bayes.

Run: python -m benchmarks.induction_heads [--write] [FOLDER]

Trains `markov-3` by its recipe `full` (seed 0) into FOLDER (default runs/markov-3-s0), keeping the
weights after some steps, unless that was done before; then `vb.track` on 200 data sets (seed 0).
arXiv 2402.11004.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

import veribayes as vb
from benchmarks import _documents, _pictures
from veribayes.run import training

TASK = "markov-3"
KEPT = (0, 5, 10, 20, 40, 60, 80, 100, 150, 200, 300, 400, 600, 800, 1000, 1500)
SHOWN = (0, 20, 40, 80, 150, 300, 600, 1500)
NAMES = {
    "uniform_symbol": "uniform",
    "markov_order(order=0)": "unigram",
    "markov_order(order=1)": "bigram (exact Bayes)",
    "markov_order(order=2)": "trigram",
}
DATASETS = 200


def main(arguments: Sequence[str]) -> int:
    """Print the table; with --write put table and figure into docs/."""
    folders = [argument for argument in arguments if not argument.startswith("--")]
    folder = Path(folders[0] if folders else "runs/markov-3-s0")
    training.train_task(TASK, preset="full", device="cpu", out=folder, threads=1, keep=KEPT)
    found = vb.track(TASK, folder, against=list(NAMES), datasets=DATASETS)
    text = f"{table(found.table())}\n\n{DATASETS} data sets, seed 0; 95 % by data set."
    print(text)
    if "--write" in arguments:
        _documents.put("markov-chains.md", "induction", text)
        _pictures.write(found.plot(NAMES), _documents.DOCS / "markov-induction.svg")
    return 0


def table(curves: pd.DataFrame) -> str:
    """Steps down, predictors across, over all context sizes."""
    overall = curves[curves["context"] == "all"]
    rows = []
    for step in SHOWN:
        row = {"step": f"{step:,}"}
        for name, label in NAMES.items():
            chosen = (overall["step"] == step) & (overall["predictor"] == name)
            entry = overall[chosen].iloc[0]
            low, high = (f"{entry[limit]:.2g}" for limit in ("low", "high"))
            row[label] = f"{entry['estimate']:.2g} [{low}, {high}]"
        rows.append(row)
    return _documents.table(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

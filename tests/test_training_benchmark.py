"""The benchmark of training: how tokens are counted, what a ratio's interval is,
and the batches that the peer is handed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import training

from veribayes.models import _spec
from veribayes.run.training import exact_targets
from veribayes.transformer._batches import Group, Recipe, make_batch
from veribayes.transformer._run import Run


def test_the_ratio_over_rounds() -> None:
    peer = np.array([100.0, 200.0, 50.0])
    row = training.compared("plain", peer * [2.9, 3.0, 3.1], peer)
    assert row["low"] < row["ratio"] < row["high"]
    assert row["ratio"] == pytest.approx(3, rel=1e-3)
    assert training.line(row).endswith("goal 1.3")
    same = training.compared("default", peer * 2, peer)
    assert same["low"] == pytest.approx(same["high"])
    share = {
        "task": "t",
        "tokens_per_second": 1e4,
        "data_share": 0.2,
        "waiting_share": 0.05,
        "cores": 2,
    }
    first, second = training.tables([share, row]).split("\n\n")
    assert first.endswith("| t | 10,000 | 5.0% | 10% | 20.0% | 2 |")
    assert second.startswith("| peer |")


def test_the_time_that_learning_waits_for_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that come at once take next to nothing of it; ones that come late nearly all."""
    monkeypatch.setattr(training, "STEPS", 4)
    task = _spec.load_task("bn-general5")
    recipe = replace(Recipe.of(task, "quick"), batch=4)
    batch = make_batch(
        task, recipe, Run.start(task, recipe, 0, torch.device("cpu")).network.config, None, 0, 0
    )

    def slow(seconds: float) -> Callable[..., Iterator[list[Group]]]:
        def prefetched(*_: object) -> Iterator[list[Group]]:
            while True:
                time.sleep(seconds)
                yield batch

        return prefetched

    monkeypatch.setattr(training, "prefetched", slow(0))
    at_once = training.waiting(task, recipe)
    monkeypatch.setattr(training, "prefetched", slow(0.5))
    assert 0 <= at_once < 0.5 < training.waiting(task, recipe) < 1


def test_the_peer_learns_from_our_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "FOLDER", tmp_path)
    monkeypatch.setattr(training, "STEPS", 2)
    task = _spec.load_task("gp-rbf-1d")
    recipe = replace(Recipe.of(task, "full+bins"), groups=1, batch=4, queries=8)
    tokens = training.write_batches(task, recipe)
    stored = np.load(tmp_path / "batches.npz")
    network = json.loads((tmp_path / "network.json").read_text())
    assert (
        len(network["borders"])
        == Run.start(task, recipe, 0, torch.device("cpu")).network.config.cells + 3
    )
    assert tokens == 4 * sum(int(n) + 8 for n in stored["sizes"])
    ours = 0
    for step, n in enumerate(stored["sizes"]):
        config = Run.start(task, recipe, 0, torch.device("cpu")).network.config
        (group,) = make_batch(task, recipe, config, exact_targets(task), 0, training.WARM + step)
        context = group.arrays[0].shape[1]
        assert max(context, 1) == n  # the peer cannot do without one
        assert stored[f"x{step}"].shape == (4, n + 8, 1)
        assert stored[f"y{step}"].shape == (4, n + 8)
        ours += training.tokens_of(group, "points") + 4 * (n - context)
    assert ours == tokens

"""Every shipped checkpoint says what it said when its numbers were recorded, before tokens, heads
and architectures were parts.

`recorded.json` holds of each checkpoint and each variable of its form the sum of all entries, each
times the cosine of its number: any two entries that change places are seen. Inputs come from NumPy
alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from veribayes import registry
from veribayes.transformer._candidates import network_candidate

RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text(encoding="utf-8"))
TOLERANCE = 2e-5  # sums of float32 numbers in another order: below 1e-6 between one and two threads


def inputs(config: Any) -> tuple[Any, Any]:
    """Four data sets of ten observations, or twelve symbols, and some queries."""
    rng = np.random.default_rng(0)
    if config.family == "symbols":
        return rng.integers(0, config.states[0], (4, 12)), None
    if config.family == "points":
        x, y = rng.standard_normal((4, 10, config.inputs)), rng.standard_normal((4, 10))
        return SimpleNamespace(x=x, y=y), rng.standard_normal((4, 5, config.inputs))
    nodes = len(config.states)
    rows = rng.integers(0, config.states, (4, 10, nodes))
    if config.family == "nodes":
        return np.where(rng.random((4, nodes)) < 0.5, rows[:, 0], -1), np.arange(nodes)
    target = np.arange(nodes)
    few = nodes <= 10
    given = rows[:, :nodes] if few else rng.integers(0, config.states, (4, nodes, nodes))
    prefix = np.where(np.arange(nodes) < target[:, None], given, -1)
    return rows, SimpleNamespace(row=prefix, target=target)


def fingerprint(values: Any) -> float:
    array = np.asarray(values)
    return float((array * np.cos(np.arange(array.size)).reshape(array.shape)).sum())


def test_none_of_them_is_gone() -> None:
    assert set(RECORDED) <= set(registry.names("checkpoint"))


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_it_says_what_it_said(name: str) -> None:
    folder = registry.checkpoint_path(name)
    assert folder is not None
    candidate = network_candidate(folder)
    context, query = inputs(candidate.network.config)
    said: dict[str, Any] = dict(candidate(context, query))
    for latent, posterior in candidate.posterior(context, query).items():
        said |= {f"{latent}.{key}": values for key, values in posterior.items()}
    numbers = {key: fingerprint(values) for key, values in said.items()}
    assert numbers == pytest.approx(RECORDED[name], rel=TOLERANCE, abs=TOLERANCE)


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_card_and_its_config_agree(name: str) -> None:
    """The config that a card describes describes the same card."""
    folder = registry.checkpoint_path(name)
    assert folder is not None
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert network_candidate(folder).network.config.to_dict() == card["network"]

"""What a candidate is taken for: whether it takes a seed, and what it is then asked with."""

from __future__ import annotations

import functools
import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import veribayes as vb
from veribayes import candidates, registry
from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.models._task import Design, Task


def task() -> Task:
    return replace(_spec.load_task("gp-rbf-1d"), design=Design((2, 4), 3, 10))


def normal(shape: tuple[int, ...], value: float) -> dict[str, Any]:
    return {"mean": np.full(shape, value), "sd": np.ones(shape)}


def drawn(context: Any, query: Any, *, seed: int) -> dict[str, Any]:
    """A normal whose mean is noise of the seed."""
    return {
        "mean": np.random.default_rng(seed).normal(size=query.shape[:2]),
        "sd": np.ones(query.shape[:2]),
    }


def plain(context: Any, query: Any) -> dict[str, Any]:
    return normal(query.shape[:2], 0.0)


def weighted(weights: float, context: Any, query: Any, seed: int = 0) -> dict[str, Any]:
    del seed
    return normal(query.shape[:2], weights)


def second(context: Any, seed: Any) -> dict[str, Any]:
    """The query is what it calls `seed`."""
    return normal(seed.shape[:2], 0.0)


@functools.wraps(drawn)
def wrapped(*args: Any, **keywords: Any) -> dict[str, Any]:
    return drawn(*args, **keywords)


def swallowing(context: Any, query: Any, **keywords: Any) -> dict[str, Any]:
    assert not keywords
    return normal(query.shape[:2], 0.0)


class Seeded:
    def __call__(self, context: Any, query: Any, seed: int = 0) -> dict[str, Any]:
        return drawn(context, query, seed=seed)


class Unseeded:
    def __call__(self, context: Any, query: Any) -> dict[str, Any]:
        return plain(context, query)


class Module(torch.nn.Module):
    def forward(self, context: Any, query: Any, seed: int = 0) -> dict[str, Any]:
        noise = torch.Generator().manual_seed(seed)
        return {
            "mean": torch.randn(query.shape[:2], generator=noise),
            "sd": torch.ones(query.shape[:2]),
        }


SEEDED: dict[str, Any] = {
    "function": drawn,
    "wrapped": wrapped,
    "partial": functools.partial(weighted, 1.0),
    "object": Seeded(),
    "method": Seeded().__call__,
    "module": Module(),
    "lambda": lambda context, query, seed: drawn(context, query, seed=seed),
}
UNSEEDED: dict[str, Any] = {
    "function": plain,
    "object": Unseeded(),
    "bound already": functools.partial(drawn, seed=1),
    "bound, wrapped": functools.wraps(functools.partial(drawn, seed=1))(
        lambda *a, **k: drawn(*a, **{"seed": 1, **k})
    ),
    "another's place": second,
    "any keyword": swallowing,
    "module": torch.nn.Identity(),
}


@pytest.mark.parametrize("name", SEEDED)
def test_a_keyword_seed_is_seen(name: str) -> None:
    assert candidates.of_callable(SEEDED[name]).takes_seed


@pytest.mark.parametrize("name", UNSEEDED)
def test_what_takes_no_seed_gets_none(name: str) -> None:
    made = candidates.of_callable(UNSEEDED[name])
    assert not made.takes_seed
    if name != "module":
        made.infer(task(), task().simulate(range(3), seed=0).data, 0)


@pytest.mark.parametrize("name", ["function", "wrapped", "object", "module"])
def test_one_seed_repeats_and_requests_share_no_noise(name: str) -> None:
    made, each = candidates.of_callable(SEEDED[name]), task()
    first, second = (each.simulate(rows, seed=0).data for rows in (range(10), range(10, 20)))
    requests = ((first, 0), (first, 0), (first, 1), (second, 0))
    answers = [made.infer(each, data, seed).predictive.expectation() for data, seed in requests]
    assert np.array_equal(answers[0], answers[1])
    everything = np.concatenate([a.ravel() for a in (answers[0], *answers[2:])])
    assert (
        len(np.unique(everything)) == everything.size
    )  # no noise of another seed, batch or position


def test_engines_take_a_seed_and_recorded_predictions_cannot() -> None:
    each = task()
    assert candidates.resolve("cholesky", each).takes_seed
    assert not candidates.resolve(None, each).takes_seed  # the shipped network


def test_a_seed_is_small_enough_for_every_library() -> None:
    data = task().simulate(range(3), seed=0).data
    seeds = [candidates.request_seed(seed, data, k) for seed in (0, 2**40) for k in (0, 1)]
    assert len(set(seeds)) == 4
    assert all(0 <= s < 2**31 for s in seeds)
    assert seeds == [candidates.request_seed(seed, data, k) for seed in (0, 2**40) for k in (0, 1)]


def test_a_random_callable_with_a_seed_can_be_resumed() -> None:
    reference = f"{__name__}:drawn"
    made: list[candidates.Candidate] = [candidates.of_object(reference, task()) for _ in range(2)]
    assert made[0].identity == made[1].identity is not None


MELONS = """
from veribayes.validation.candidate import Candidate


class Melon:
    mean = 0.0


class Melons:
    def accepts(self, thing):
        return isinstance(thing, Melon) or thing == "melon:ripe"

    def candidate(self, thing, task):
        from veribayes.candidates import predict
        import numpy as np

        def answer(context, query):
            shape = query.shape[:2]
            return {"mean": np.zeros(shape), "sd": np.ones(shape)}

        infer = lambda task, data, seed: predict(answer, task, data)
        return Candidate("a melon", "melon 1", infer, "fruit")


PART = Melons()
"""


@pytest.fixture
def melons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Another distribution, with a kind of candidate that nobody here knows."""
    (tmp_path / "melons.py").write_text(MELONS)
    metadata = tmp_path / "melons-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: melons\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[veribayes.candidate]\nmelons = melons:PART\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    read_once = (registry._entries, registry._unreadable, registry._part)
    for cached in read_once:
        cached.cache_clear()
    yield importlib.import_module("melons")
    for cached in read_once:
        cached.cache_clear()
    monkeypatch.delitem(sys.modules, "melons")


def test_a_strangers_kind_of_candidate_is_judged(melons: Any) -> None:
    for thing in (melons.Melon(), "melon:ripe"):
        run = vb.verify(task(), thing, datasets=10, audit=0, tests="none")
        entry = json.loads(run.tree.attrs["result"])
        assert (entry["candidate"], entry["candidate_kind"]) == ("a melon", "fruit")
    with pytest.raises(InputError, match="ripeness for the fruit 'a melon'"):
        candidates.resolve(melons.Melon(), task(), {"ripeness": "full"})
    with pytest.raises(InputError, match="callable"):
        candidates.resolve(object(), task())


def test_every_shipped_kind_says_what_it_accepts() -> None:
    """One kind each, in the order in which they are asked."""
    things = {
        "engines": "cholesky",
        "constructions": registry.names("construction")[0],
        "checkpoints": "gp-rbf-1d",
        "predictions": "mine.nc",
        "tables": "mine.csv",
        "objects": "package.module:predict",
        "callables": plain,
    }
    assert set(things) == set(registry.names("candidate"))
    for kind, thing in things.items():
        accepting = [k for k in things if registry.load("candidate", k).accepts(thing)]
        assert accepting == [kind]

"""Networks of several seeds in one checkpoint:
the first is judged, an option chooses another, a card knows them all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import seeds
from scipy.stats import t as student

from veribayes.candidates import resolve
from veribayes.errors import CheckpointError, InputError
from veribayes.transformer._candidates import network_candidate
from veribayes.transformer._checkpoint import CARD, load, read_card
from veribayes.transformer._training import train


@pytest.fixture
def case(make_case: Callable[..., Any]) -> Any:
    return make_case("mtd", steps=1)


@pytest.fixture
def joined(case: Any, tmp_path: Path) -> Path:
    """A checkpoint of seeds 4, 0 and 7; each network scores what its seed says."""
    folders = []
    for seed in (4, 0, 7):
        folders.append(tmp_path / f"trained-{seed}")
        train(
            case.task,
            case.recipe,
            targets=case.targets,
            evaluate=lambda _, seed=seed: {"metric": "kl", "kl": 1e-3 * (1 + seed)},
            out=folders[-1],
            seed=seed,
            device="cpu",
            progress=False,
        )
    seeds.joined(folders, tmp_path / "joined")
    return tmp_path / "joined"


def test_one_folder_holds_a_file_a_seed(joined: Path) -> None:
    files = {path.name for path in joined.iterdir()}
    assert files == {CARD, "weights.safetensors", "seed-0.safetensors", "seed-7.safetensors"}
    card = read_card(joined)
    assert card.seed == 4
    assert [entry["seed"] for entry in card.seeds] == [0, 7]
    assert [card.of(seed).scores["kl"] for seed in (4, 0, 7)] == [5e-3, 1e-3, 8e-3]


def test_the_interval_between_seeds_is_students(joined: Path) -> None:
    said = read_card(joined).between
    logs = np.log([5e-3, 1e-3, 8e-3])
    half = student.ppf(0.975, 2) * logs.std(ddof=1) / np.sqrt(3)
    assert said["kl"] == pytest.approx(np.exp(logs.mean()))
    assert (said["kl_low"], said["kl_high"]) == pytest.approx(
        (np.exp(logs.mean() - half), np.exp(logs.mean() + half))
    )
    assert said["seeds"] == 3


def test_each_seed_has_its_own_weights(case: Any, joined: Path, tmp_path: Path) -> None:
    context, query = case.task.model.inputs(case.task.simulate(range(2), seed=0).data, 0)

    def probs(folder: Path, seed: int | None = None) -> Any:
        return network_candidate(folder, case.task, seed)(context, query)["probs"]

    for seed in (4, 0, 7):
        np.testing.assert_array_equal(probs(joined, seed), probs(tmp_path / f"trained-{seed}"))
    np.testing.assert_array_equal(probs(joined), probs(joined, 4))
    assert np.abs(probs(joined, 0) - probs(joined, 7)).max() > 0


def test_an_option_chooses_the_seed(case: Any, joined: Path) -> None:
    data = case.task.simulate(range(2), seed=0).data
    answers = {}
    for seed in (None, 4, 0):
        options = {} if seed is None else {"seed": str(seed)}
        candidate = resolve(str(joined), case.task, options)
        answers[seed] = candidate.infer(case.task, data, 0).predictive.probs
    assert candidate.card is not None
    assert candidate.card["seed"] == 0
    np.testing.assert_array_equal(answers[None], answers[4])
    assert np.abs(answers[4] - answers[0]).max() > 0
    with pytest.raises(InputError, match="4, 0, 7"):
        resolve(str(joined), case.task, {"seed": "1"})
    with pytest.raises(InputError, match="a seed of a training"):
        resolve(str(joined), case.task, {"seed": "first"})
    with pytest.raises(InputError, match="candidate options"):
        resolve(str(joined), case.task, {"sead": "0"})


def test_a_missing_or_changed_file_of_a_seed_is_refused(joined: Path) -> None:
    (joined / "seed-0.safetensors").write_bytes((joined / "seed-7.safetensors").read_bytes())
    (joined / "seed-7.safetensors").unlink()
    with pytest.raises(CheckpointError, match="was changed"):
        load(joined, seed=0)
    with pytest.raises(CheckpointError, match="beside the card"):
        load(joined, seed=7)
    load(joined)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"seed": -1},
        {"seed": "0"},
        {"scores": []},
        {"unknown": 1},
    ],
)
def test_entries_that_are_none_are_refused(joined: Path, change: dict[str, Any]) -> None:
    card = json.loads((joined / CARD).read_text())
    card["seeds"][0] |= change
    (joined / CARD).write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="a card of schema"):
        read_card(joined)


def test_other_recipes_are_not_joined(case: Any, joined: Path, tmp_path: Path) -> None:
    other = replace(case.recipe, learning_rate=case.recipe.learning_rate / 2)
    train(
        case.task,
        other,
        targets=case.targets,
        evaluate=case.evaluate,
        out=tmp_path / "other",
        seed=1,
        device="cpu",
        progress=False,
    )
    with pytest.raises(InputError, match="recipe"):
        seeds.joined([joined, tmp_path / "other"], tmp_path / "again")


def test_cards_of_one_seed_say_nothing_of_several(case: Any, tmp_path: Path) -> None:
    train(
        case.task,
        case.recipe,
        targets=case.targets,
        evaluate=case.evaluate,
        out=tmp_path,
        device="cpu",
        progress=False,
    )
    assert not {"seeds", "between"} & set(json.loads((tmp_path / CARD).read_text()))

"""vb.track: candidates of one task against named predictors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import veribayes as vb
from veribayes.errors import InputError
from veribayes.models.markov import Markov
from veribayes.predictive import Array
from veribayes.run import training

POOL = Markov(2, rows="pool", pool={"size": 8, "seed": 0})


def pooled() -> Any:
    return vb.task(POOL, name="pool", positions=(1, 4, 16))


def uniform(context: Array, query: Any) -> dict[str, Array]:
    del query
    return {"probs": np.full((len(context), 1, 2), 0.5)}


def test_distances_are_those_of_the_predictors() -> None:
    """The reference itself is at no distance; an engine's name means all its variants; a second
    call with the same seed says the same.
    """
    steps = {0: uniform, 10: "generalising", 20: "memorising"}
    found = vb.track(pooled(), steps, against=["exact", "markov_order"], datasets=60)
    table = found.table()
    assert list(dict.fromkeys(table["step"])) == [0, 10, 20]
    orders = [f"markov_order(order={order})" for order in range(4)]
    assert list(dict.fromkeys(table["predictor"])) == ["exact", *orders]
    assert list(dict.fromkeys(table["context"])) == ["all", 1, 4, 16]
    index = ["step", "predictor", "context"]
    means = table.set_index(index)["estimate"]
    assert means[20, "exact", "all"] == pytest.approx(0, abs=1e-12)
    assert means[10, "markov_order(order=1)", 16] == pytest.approx(0, abs=1e-12)
    assert means[0, "exact", "all"] > means[10, "exact", "all"] > 0.001
    again = vb.track(pooled(), [uniform], against=["exact"], datasets=60).table()
    assert again.set_index(index)["estimate"]["uniform", "exact", "all"] == means[0, "exact", "all"]
    inside = table[table["low"].notna()]
    assert (inside["low"] <= inside["estimate"] + 1e-12).all()


def test_the_relative_distance_runs_from_one_to_the_other() -> None:
    between = ["generalising", "memorising"]
    steps = ["generalising", "memorising"]
    found = vb.track(pooled(), steps, against=["exact"], between=between, datasets=60)
    relative = found.relative().set_index(["step", "context"])["estimate"]
    assert relative["generalising", "all"] == pytest.approx(-1)
    assert relative["memorising", 16] == pytest.approx(1)
    assert vb.track(pooled(), steps, datasets=20).relative().empty


def test_a_figure_has_a_line_for_every_predictor() -> None:
    steps = {0: uniform, 200: "generalising"}
    found = vb.track(pooled(), steps, against=["exact", "uniform_symbol"], datasets=20)
    left, right = found.plot({"uniform_symbol": "uniform"}).axes
    assert [line.get_label() for line in left.get_lines()] == ["exact", "uniform"]
    assert len(right.get_lines()) == 2


@pytest.mark.parametrize(
    ("checkpoints", "options", "word"),
    [
        ([], {}, "at least one candidate"),
        ("nowhere", {}, "a folder with 'steps'"),
        (3, {}, "a list for 'checkpoints'"),
        ([uniform], {"against": ["guessing"]}, "a predictor of the task"),
        ([uniform], {"between": ["exact"]}, "two predictors"),
        ([uniform], {"datasets": 1}, "datasets"),
        ([uniform], {"against": "exact"}, "a list for 'against'"),
        ([lambda context, query: {"draws": np.zeros((len(context), 1, 9))}], {}, "answers with"),
    ],
)
def test_what_cannot_be_tracked_is_refused(
    checkpoints: Any, options: dict[str, Any], word: str
) -> None:
    with pytest.raises(InputError, match=word):
        vb.track(pooled(), checkpoints, **{"datasets": 20, **options})


def test_a_training_is_tracked_by_its_folder(tmp_path: Path) -> None:
    network = {"width": 8, "layers": 1, "heads": 1}
    recipe = {"steps": 3, "batch": 2, "learning_rate": 0.01, "network": network}
    task = replace(vb.task(Markov(2), name="tiny", positions=(1, 4)), training={"quick": recipe})
    training.train_task(task, preset="quick", device="cpu", out=tmp_path, keep=(0, 3))
    table = vb.track(task, tmp_path, against=["exact"], datasets=20).table()
    assert list(dict.fromkeys(table["step"])) == [0, 3]
    first, last = table[table["context"] == "all"]["estimate"]
    assert first != last

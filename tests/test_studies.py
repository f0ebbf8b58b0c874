"""Studies behind the tables of docs/: what they count, and that an interrupted one continues."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from benchmarks import acceptance, again, below_zero, comparison

from veribayes.validation import questions
from veribayes.validation.checks._null import attainable

TASK: Any = SimpleNamespace(name="t", reference="exact")


@pytest.mark.parametrize(
    ("seen_by", "clusters"),
    [("leaked_mass", questions.ASKED), ("joint_kl", questions.ASKED), ("kl", 300)],
)
def test_a_defect_is_judged_on_as_many_data_sets_as_a_run_asks(
    seen_by: str, clusters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secondary endpoints see the first 200 data sets of a run, however many it has."""

    def measured(task: Any, engine: Any, pool: int) -> tuple[Any, float, float]:
        del task, engine
        return 2.0 + np.random.default_rng(0).random(pool), 1.0, 0.0

    engine = SimpleNamespace(seen_by=seen_by)
    monkeypatch.setattr(acceptance, "spoiling", lambda name, task: engine)
    monkeypatch.setattr(acceptance, "_kl", measured)
    monkeypatch.setattr(acceptance, "SECONDARY", dict.fromkeys(acceptance.SECONDARY, measured))
    study = acceptance.Study(runs=20, defect=300, pool=400)
    row = acceptance.defect_row(TASK, "d", study)
    assert (row.clusters, row.share) == (clusters, 1.0)


@pytest.mark.parametrize(
    ("form", "replicates", "pool"),
    [("mixture", None, 50), ("normal", None, 500), ("categorical", (1, 2), 50)],
)
def test_a_pool_is_a_tenth_where_the_truth_is_dear(
    form: str, replicates: object, pool: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch = SimpleNamespace(predictive=SimpleNamespace(form=form), replicates=replicates)
    monkeypatch.setattr(acceptance.registry, "engine", lambda name: lambda *data, seed: branch)
    task: Any = SimpleNamespace(
        reference="exact", simulate=lambda rows, seed: SimpleNamespace(data=None)
    )
    assert acceptance.affordable(task, 500) == pool


def test_an_interrupted_study_of_asking_again_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    case = (0.0, 0.0, 0.0)
    first = again.kept("normal", case, 40, 2)
    monkeypatch.setattr(again, "frequencies", lambda *given: pytest.fail("measured again"))
    assert again.kept("normal", case, 40, 2) == first


def test_every_kind_of_pair_of_posteriors_is_kept_in_a_file_of_its_own() -> None:
    cases = list(comparison.cases())
    assert len({case.file for case in cases}) == len(cases) == 4 * len(comparison.SHAPES)


def test_so_few_labellings_can_reject_and_their_frequency_has_limits() -> None:
    least = 1 / (comparison.PERMUTATIONS + 1)
    level = comparison.comparison.TEST_LEVEL
    attainable(level, dict.fromkeys(comparison.TESTS, least))
    row = {
        "shape": "uniform",
        "latents": 1,
        "chained": False,
        "runs": 200,
        "counts": {"different": 200},
    }
    assert comparison.shown(row)["different, %"] == "100.0 [98.2, 100.0]"


def test_an_interval_below_zero_is_counted_at_both_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Means that lie 0, 2.4 and 5 standard errors below zero:
    beyond neither level, the first, both.
    """
    monkeypatch.setattr(below_zero, "DESIGNS", 100)
    rng = np.random.default_rng(0)
    scores = below_zero.scores(rng, below_zero.predictive_sds(rng))
    centred = scores - scores.mean()
    error = centred.std(ddof=1) / 10
    runs = np.stack([centred, centred - 2.4 * error, centred - 5 * error], 1)
    assert below_zero.below(runs).tolist() == [[False, True, True], [False, False, True]]

"""Runs from task to verdict: who must pass, who must not, what is stored, and what survives a kill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import veribayes as vb
from veribayes import pipeline
from veribayes.errors import InputError, ReferenceRefused, ShapeError
from veribayes.models import _spec
from veribayes.models._task import Task

TASKS = ("bn-general5", "bn-asia", "mtd-q5-m3", "gp-rbf-1d")
QUICK = pipeline.Options(datasets=40, audit=0)


def entry(tree: xr.DataTree) -> dict[str, Any]:
    return dict(json.loads(tree.attrs["result"]))


def small(name: str, shard: int = 20) -> Task:
    """A task with three positions and small shards."""
    from dataclasses import replace

    task = _spec.load_task(name)
    return replace(task, design=replace(task.design, positions=task.design.positions[1:4], shard=shard))


@pytest.mark.parametrize("name", TASKS)
def test_knowing_nothing_is_different(name: str) -> None:
    result = entry(pipeline.run(_spec.load_task(name), "prior_only", QUICK))
    assert result["verdict"] == "different"
    assert abs(result["recovery"]["estimate"]) < 1e-12
    assert result["curve"]["context"] == list(_spec.load_task(name).design.positions)


@pytest.mark.parametrize("name", TASKS)
def test_the_second_exact_route_is_equivalent(name: str) -> None:
    result = entry(
        pipeline.run(small(name, 100), _spec.load_task(name).second_route, pipeline.Options(datasets=200, audit=0))
    )
    assert result["verdict"] == "equivalent"
    assert abs(result["primary"]["estimate"]) < 1e-9
    assert not result["rivals"]["prior_only"]["passes"]


@pytest.mark.parametrize("name", TASKS)
def test_finite_draws_of_the_truth_are_equivalent(name: str) -> None:
    result = entry(pipeline.run(small(name, 100), "finite_draws", pipeline.Options(datasets=200, audit=0)))
    assert result["verdict"] == "equivalent"
    assert result["primary"]["metric"] in ("kl_draws", "crps")


def test_too_few_data_sets_are_undecided_and_say_how_many() -> None:
    result = entry(pipeline.run(small("gp-rbf-1d"), "sequential", pipeline.Options(datasets=8, audit=0)))
    assert result["verdict"] == "undecided"
    assert result["primary"]["datasets_needed"] >= 200


def test_an_infinite_divergence_is_different_and_named() -> None:
    result = entry(pipeline.run(small("bn-general5"), "mle", QUICK))
    assert result["verdict"] == "different"
    assert result["primary"]["estimate"] is None
    assert result["primary"]["infinite_share"] > 0
    assert result["curve"]["metric"] == "js"
    assert "zero_probability" in {f["name"] for f in result["findings"]}


def test_a_reference_without_a_certificate_stops_the_run() -> None:
    options = pipeline.Options(datasets=4, audit=0, reference="nuts", reference_options={"draws": "20", "warmup": "20"})
    with pytest.raises(ReferenceRefused, match=r"ESS|R-hat"):
        pipeline.run(small("mtd-q5-m3"), "lag_counts", options)


def test_the_audit_agrees_and_is_stored() -> None:
    tree = pipeline.run(small("mtd-q5-m3"), "lag_counts", pipeline.Options(datasets=8, audit=2))
    assert entry(tree)["audit"]["verdict"] == "agrees"
    assert tree["audit"]["z"].shape == (2, 3)


def test_a_kill_and_a_second_start_change_nothing(tmp_path: Path) -> None:
    task, options = small("bn-general5"), pipeline.Options(datasets=60, audit=0)

    def kill(done: int) -> None:
        if done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.run(task, "all_predecessors", options, out=tmp_path, progress=kill)
    kept = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "shards").iterdir()}
    assert set(kept) == {"00000.nc", "00001.nc"}
    resumed = pipeline.run(task, "all_predecessors", options, out=tmp_path)
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "shards").iterdir() if p.name in kept} == kept
    straight = pipeline.run(task, "all_predecessors", options)
    for a, b in zip(resumed.subtree, straight.subtree, strict=True):
        xr.testing.assert_identical(a.to_dataset().drop_attrs(), b.to_dataset().drop_attrs())
    assert entry(resumed) == entry(straight)


def test_shards_of_another_candidate_seed_or_model_are_not_used(tmp_path: Path) -> None:
    task = small("bn-general5")
    first = pipeline.run(task, "all_predecessors", QUICK, out=tmp_path)
    other = pipeline.run(task, "row_quadrature", QUICK, out=tmp_path)
    assert entry(other)["primary"]["estimate"] < 1e-9 < entry(first)["primary"]["estimate"]
    again = pipeline.run(task, "row_quadrature", pipeline.Options(datasets=40, audit=0, seed=1), out=tmp_path)
    assert not np.array_equal(again["observed_data/outcome"], other["observed_data/outcome"])


def test_a_damaged_shard_is_computed_again(tmp_path: Path) -> None:
    task = small("bn-general5")
    first = pipeline.run(task, "row_quadrature", QUICK, out=tmp_path)
    (tmp_path / "shards" / "00001.nc").write_bytes(b"not netCDF")
    assert entry(pipeline.run(task, "row_quadrature", QUICK, out=tmp_path)) == entry(first)


def test_recorded_predictions_score_like_their_maker(tmp_path: Path) -> None:
    task = small("bn-general5")
    options = pipeline.Options(datasets=40, audit=0, keep_predictions=True)
    made = pipeline.run(task, "all_predecessors", options, out=tmp_path)
    read = pipeline.run(task, str(tmp_path / "run.nc"), QUICK)
    np.testing.assert_array_equal(made["scores/candidate/kl"], read["scores/candidate/kl"])
    with pytest.raises(InputError, match="recorded data sets"):
        pipeline.run(task, str(tmp_path / "run.nc"), pipeline.Options(datasets=41, audit=0))


def test_a_bare_callable_sees_context_and_query_only() -> None:
    seen: list[tuple[Any, Any]] = []

    def stubborn(context: Any, query: Any) -> dict[str, Any]:
        seen.append((context, query))
        return {"probs": np.broadcast_to([0.4, 0.6], (*query.row.shape[:2], 2))}

    result = vb.verify(small("bn-general5"), stubborn, datasets=40, audit=0)
    assert result.verdict == "different"
    context, query = seen[0]
    assert context.shape == (20, 2, 5)
    assert query.row.shape == (20, 5, 5)
    assert all((query.row[:, q, target:] == -1).all() for q, target in enumerate(query.target))
    assert list(result.table().index) == [2, 5, 10]
    assert result.recovery.low <= result.recovery.estimate <= result.recovery.high


@pytest.mark.parametrize("answer", [{"mean": 0.0}, {"probs": np.ones((20, 5))}, None])
def test_a_callable_that_answers_badly_is_told(answer: object) -> None:
    with pytest.raises((InputError, ShapeError)):
        vb.verify(small("bn-general5"), lambda context, query: answer, datasets=20, audit=0)


def test_a_users_model_gets_design_engines_and_tolerance() -> None:
    from veribayes.models.mtd import MTD

    task = vb.task(MTD(q=3, m=2, matrix_seed=4), positions=(4, 8), shard=50)
    result = vb.verify(task, "lag_counts", datasets=40, audit=0)
    assert result.entry["primary"]["tolerance"] > 0
    assert result.verdict == "undecided"


def test_result_is_saved_and_reported_without_torch_and_jax(tmp_path: Path) -> None:
    vb.verify(small("gp-rbf-1d"), "sequential", datasets=20, audit=0).save(tmp_path)
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["schema"] == "veribayes.result/1"
    page = (tmp_path / "report.html").read_text()
    (tmp_path / "report.html").unlink()
    code = f"""
import sys
from veribayes.cli import main
sys.argv = ["veribayes", "report", {str(tmp_path)!r}]
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
assert not {{"torch", "jax", "numpyro", "pgmpy"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True)
    assert (tmp_path / "report.html").read_text() == page


def test_references_are_float64_and_the_flag_is_left_alone() -> None:
    import jax

    tree = pipeline.reference(small("gp-rbf-1d"), pipeline.Options(datasets=20))
    assert tree["reference/posterior_predictive/mean"].dtype == np.float64
    assert not jax.config.jax_enable_x64

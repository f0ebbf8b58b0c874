"""Runs from task to verdict: who must pass, who must not, what is stored,
and what survives a kill.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import veribayes as vb
from veribayes import api, registry
from veribayes.candidates import Candidate
from veribayes.errors import InputError, ReferenceRefused, ShapeError
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.predictive import Bins, Normal
from veribayes.run import endpoint, pipeline, results, scored, shards, tolerance, truth
from veribayes.storage import store
from veribayes.tree import Branch, Data

TASKS = (
    "bn-general5",
    "bn-asia",
    pytest.param("mtd-q5-m3", marks=pytest.mark.study),
    pytest.param("gp-rbf-1d", marks=pytest.mark.study),
)
ONE = (
    "bn-general5",
    *(
        pytest.param(name, marks=pytest.mark.study)
        for name in ("bn-asia", "mtd-q5-m3", "gp-rbf-1d")
    ),
)
SIZES = (1, pytest.param(3, marks=pytest.mark.study))  # numbers of positions
QUICK = pipeline.Options(datasets=40, audit=0)


def entry(tree: xr.DataTree) -> dict[str, Any]:
    return dict(json.loads(tree.attrs["result"]))


def small(name: str, shard: int = 20, size: int = 3) -> Task:
    """A task with few positions and small shards."""
    task = _spec.load_task(name)
    return replace(
        task,
        design=replace(task.design, positions=task.design.positions[1 : 1 + size], shard=shard),
    )


@pytest.mark.parametrize("name", TASKS)
def test_knowing_nothing_is_different(name: str) -> None:
    result = entry(pipeline.run(_spec.load_task(name), "prior_only", QUICK))
    assert result["verdict"] == "different"
    assert abs(result["recovery"]["estimate"]) < 1e-12
    assert result["curve"]["context"] == list(_spec.load_task(name).design.positions)


@pytest.mark.parametrize("name", ONE)
def test_the_second_exact_route_is_equivalent(name: str) -> None:
    result = entry(
        pipeline.run(
            small(name, 100),
            _spec.load_task(name).second_route,
            pipeline.Options(datasets=500, audit=0),
        )
    )
    assert result["verdict"] == "equivalent"
    assert abs(result["primary"]["estimate"]) < 1e-9
    assert not result["rivals"]["prior_only"]["passes"]


@pytest.mark.parametrize("name", ONE)
def test_finite_draws_of_the_truth_are_equivalent(name: str) -> None:
    result = entry(
        pipeline.run(
            small(name, 100, 1), "finite_draws", replace(QUICK, datasets=500, tests="none")
        )
    )
    assert result["verdict"] == "equivalent"
    assert result["primary"]["metric"] in ("half_chi_square", "crps")


def test_too_few_data_sets_are_undecided_and_say_how_many() -> None:
    few = replace(QUICK, datasets=8, tests="none")
    result = entry(pipeline.run(small("bn-general5"), "row_quadrature", few))
    assert result["verdict"] == "undecided"
    assert result["primary"]["datasets_needed"] >= 370 / 1.1  # 3.7 / n of what the prior costs


def test_an_infinite_divergence_is_different_and_named() -> None:
    result = entry(pipeline.run(small("bn-general5"), "mle", QUICK))
    assert result["verdict"] == "different"
    assert result["primary"]["estimate"] is None
    assert result["primary"]["infinite_share"] > 0
    assert result["curve"]["metric"] == "js"
    assert "zero_probability" in {f["name"] for f in result["findings"]}


REFUSED = [
    ("simplex_quadrature", {"nodes": "2"}, "error bound"),
    pytest.param("nuts", {"draws": "20", "warmup": "20"}, r"ESS|R-hat", marks=pytest.mark.study),
]


@pytest.mark.parametrize(("engine", "given", "reason"), REFUSED)
def test_a_reference_without_a_certificate_stops_the_run(
    engine: str, given: dict[str, str], reason: str
) -> None:
    options = pipeline.Options(datasets=4, audit=0, reference=engine, reference_options=given)
    with pytest.raises(ReferenceRefused, match=reason):
        pipeline.run(small("mtd-q5-m3"), "lag_counts", options)


@pytest.mark.parametrize(
    "kept", [slice(2, 3), pytest.param(slice(1, 4), marks=pytest.mark.study)], ids=["one", "three"]
)
def test_the_audit_agrees_and_is_stored(kept: slice) -> None:
    task = small("mtd-q5-m3")
    task = replace(
        task,
        design=replace(task.design, positions=_spec.load_task("mtd-q5-m3").design.positions[kept]),
    )
    short = {"warmup": "100", "draws": "200"}
    options = replace(QUICK, datasets=8, audit=2, tests="none", audit_options=short)
    tree = pipeline.run(replace(task, rivals=()), "lag_counts", options)
    assert entry(tree)["audit"]["verdict"] == "agrees"
    assert tree["audit"]["z"].shape == (2, 3)  # at the middle position, three weights


@pytest.mark.parametrize("size", SIZES)
def test_what_no_sampler_serves_is_not_audited(size: int) -> None:
    """Hyperparameters on a grid: the exact answer is a sum."""
    tree = pipeline.run(small("gp-hyper-1d", size=size), "sequential", pipeline.Options(datasets=4))
    assert entry(tree)["audit"] is None
    assert entry(tree)["primary"]["verdict"] == "undecided"


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
    assert {
        p.name: p.stat().st_mtime_ns for p in (tmp_path / "shards").iterdir() if p.name in kept
    } == kept
    straight = pipeline.run(task, "all_predecessors", options)
    for a, b in zip(resumed.subtree, straight.subtree, strict=True):
        xr.testing.assert_identical(a.to_dataset().drop_attrs(), b.to_dataset().drop_attrs())
    assert entry(resumed) == entry(straight)


def test_shards_of_another_candidate_seed_or_model_are_not_used(tmp_path: Path) -> None:
    task = small("bn-general5")
    first = pipeline.run(task, "all_predecessors", QUICK, out=tmp_path)
    other = pipeline.run(task, "row_quadrature", QUICK, out=tmp_path)
    assert entry(other)["primary"]["estimate"] < 1e-9 < entry(first)["primary"]["estimate"]
    again = pipeline.run(
        task, "row_quadrature", pipeline.Options(datasets=40, audit=0, seed=1), out=tmp_path
    )
    assert not np.array_equal(again["observed_data/outcome"], other["observed_data/outcome"])


def test_a_data_set_is_simulated_inferred_and_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever needs it: scores, questions, groups of contexts, examples."""
    task = small("bn-general5")
    simulated: Counter[int] = Counter()
    inferred: Counter[int] = Counter()
    asked: Counter[int] = Counter()
    model = type(task.model)
    reference = registry.load("engine", "row_quadrature")  # rivals use the task's own
    simulate, infer = model.simulate, reference.__call__

    def counting_simulate(self: Any, design: Any, seed: int, stream: str, index: Any) -> Any:
        simulated.update(index.tolist() if stream == "verify" else [])
        return simulate(self, design, seed, stream, index)

    def counting_infer(self: Any, task: Task, data: Data, *, seed: int) -> Branch:
        inferred.update(data.index.tolist())
        return infer(self, task, data, seed=seed)

    def answer(task: Task, data: Data, seed: int) -> Branch:
        asked.update(data.index.tolist())
        return registry.engine("conjugate")(task, data, seed=seed)

    monkeypatch.setattr(model, "simulate", counting_simulate)
    monkeypatch.setattr(reference, "__call__", counting_infer)
    candidate = Candidate("once", None, answer, "callable", exposes_latents=True, askable=False)
    pipeline.run(task, candidate, replace(QUICK, tests="all", reference="row_quadrature"))
    once = Counter(range(QUICK.datasets))
    assert (simulated, inferred, asked) == (once, once, once)


def seeded_draws(context: Any, query: Any, seed: int) -> dict[str, Any]:
    """Whatever is asked, other draws with every seed."""
    shape = (*query.row.shape[:2], 6)
    return {"draws": np.random.default_rng(seed).integers(0, 2, shape)}


def test_examples_hold_the_answers_that_were_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept, or from the same request again where all predictives together are too large."""
    task = small("bn-general5")
    options = replace(QUICK, tests="none")
    kept = pipeline.run(task, seeded_draws, options)
    monkeypatch.setattr(shards, "KEPT_BYTES", 0)
    again = pipeline.run(task, seeded_draws, options)
    for role in shards.EXAMPLES_OF:
        one, other = (tree[f"examples/{role}"].to_dataset() for tree in (kept, again))
        xr.testing.assert_identical(one, other)
    assert entry(kept)["findings"] == entry(again)["findings"]
    assert "examples_differ" not in {finding["name"] for finding in entry(kept)["findings"]}


def test_a_candidate_without_a_seed_is_seen_to_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)

    def noisy(context: Any, query: Any) -> dict[str, Any]:
        share = rng.uniform(0.2, 0.8, query.row.shape[:2])
        return {"probs": np.stack([share, 1 - share], -1)}

    monkeypatch.setattr(shards, "KEPT_BYTES", 0)
    result = entry(pipeline.run(small("bn-general5"), noisy, replace(QUICK, tests="none")))
    assert "examples_differ" in {finding["name"] for finding in result["findings"]}


def test_what_numbers_depend_on_is_in_the_digest_of_sources() -> None:
    rooms = {path.relative_to(store.PACKAGE).parts[0] for path in store.sources()}
    assert {"models", "inference", "transformer", "validation"} < rooms
    assert {"candidates", "predictive", "run", "statistics", "storage", "tree"} < rooms
    assert not {"cli", "report"} & rooms
    checkout = (Path(__file__).parents[1] / ".git").exists()
    assert (store.provenance()["commit"] is not None) == checkout


@pytest.mark.parametrize("damage", ["truncated", "a flipped bit"])
def test_a_damaged_shard_is_computed_again(damage: str, tmp_path: Path) -> None:
    task = small("bn-general5")
    first = pipeline.run(task, "row_quadrature", QUICK, out=tmp_path)
    path = tmp_path / "shards" / "00001.nc"
    content = bytearray(path.read_bytes())
    scores = content.index(first["scores/candidate/kl"].to_numpy()[20:].tobytes())
    content[scores + 7] ^= 1
    path.write_bytes(content[:scores] if damage == "truncated" else content)
    assert entry(pipeline.run(task, "row_quadrature", QUICK, out=tmp_path)) == entry(first)


def test_recorded_predictions_score_like_their_maker(tmp_path: Path) -> None:
    task = small("bn-general5")
    options = pipeline.Options(datasets=40, audit=0, keep_predictions=True)
    made = pipeline.run(task, "all_predecessors", options, out=tmp_path)
    for recorded in (str(tmp_path / "run.nc"), made):
        read = pipeline.run(task, recorded, QUICK)
        np.testing.assert_array_equal(made["scores/candidate/kl"], read["scores/candidate/kl"])
    refused = {
        "recorded data sets": (task, pipeline.Options(datasets=41, audit=0)),
        "seed 1": (task, pipeline.Options(datasets=40, audit=0, seed=1)),
        "positions": (_spec.load_task("bn-general5"), QUICK),
        "model_hash": (_spec.load_task("bn-asia"), QUICK),
    }
    for message, (other, given) in refused.items():
        with pytest.raises(InputError, match=message):
            pipeline.run(other, made, given)
    with pytest.raises(InputError, match="another folder"):
        pipeline.run(task, str(tmp_path / "run.nc"), QUICK, out=tmp_path)


def test_recorded_predictions_go_by_their_labels(tmp_path: Path) -> None:
    """Data sets and positions in another order, dimensions transposed: the same scores;
    contradictions are refused.
    """
    task = small("bn-general5")
    made = pipeline.run(
        task, "all_predecessors", pipeline.Options(datasets=40, audit=0, keep_predictions=True)
    )
    index, about = (
        made["observed_data/index"].to_numpy(),
        json.loads(made["candidate"].attrs["made_for"]),
    )
    group = made["candidate"].to_dataset()
    order = np.random.default_rng(0).permutation(len(index))
    labelled = group.assign_coords(
        dataset=index, position=about["positions"], query=np.arange(group.sizes["query"])
    )
    turned = labelled.isel(
        dataset=order, position=slice(None, None, -1), query=slice(None, None, -1)
    )
    numbers = xr.Dataset({"index": ("dataset", index)})
    stored = {
        "/candidate": turned.transpose("query", "position", "dataset", ...),
        "/observed_data": numbers,
    }
    read = pipeline.run(task, xr.DataTree.from_dict(stored), QUICK)
    np.testing.assert_array_equal(made["scores/candidate/kl"], read["scores/candidate/kl"])
    wrong = {
        "position coordinates": {
            "/candidate": labelled.assign_coords(position=np.array(about["positions"]) + 1)
        },
        "dataset coordinates": {"/candidate": labelled.assign_coords(dataset=index + 7)},
        "different numbers": {
            "/observed_data": xr.Dataset({"index": ("dataset", np.zeros_like(index))})
        },
        "whole": {"/observed_data": xr.Dataset({"index": ("dataset", index + 0.5)})},
        "for 3 data sets": {"/observed_data": xr.Dataset({"index": ("dataset", index[:3])})},
        "made_for": {"/candidate": group.assign_attrs(made_for="{")},
    }
    for message, groups in wrong.items():
        plain = {"/candidate": group, "/observed_data": xr.Dataset({"index": ("dataset", index)})}
        with pytest.raises(InputError, match=message):
            pipeline.run(task, xr.DataTree.from_dict({**plain, **groups}), QUICK)


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


def test_a_candidate_may_write_into_what_it_sees_and_use_its_buffers_again() -> None:
    """Neither may change what it is judged by, nor what the others are."""
    buffers: dict[int, Any] = {}

    def careful(context: Any, query: Any) -> dict[str, Any]:
        mean = context.y.mean(1, keepdims=True) + np.zeros(query.shape[:2])
        return {"mean": mean, "sd": np.ones(query.shape[:2])}

    def careless(context: Any, query: Any) -> dict[str, Any]:
        said = careful(context, query)
        mine = buffers.setdefault(len(query), {n: np.empty_like(v) for n, v in said.items()})
        for name, values in said.items():
            mine[name][:] = values
        for array in (*context, query):
            array[...] = 0.0
        return dict(mine)

    first, second = (
        vb.verify(small("gp-rbf-1d"), c, datasets=20, audit=0) for c in (careful, careless)
    )
    for role in ("candidate", "prior_only", "kernel_descent"):
        np.testing.assert_array_equal(
            first.tree[f"scores/{role}/kl"], second.tree[f"scores/{role}/kl"]
        )


def test_bins_that_leave_the_truth_out_are_different() -> None:
    """Inside a window of .02 every smooth density is flat: comparing there alone would call this
    Bayes.
    """

    def window(context: Any, query: Any) -> dict[str, Any]:
        return {"probs": np.full((*query.shape[:2], 4), 0.25), "edges": np.linspace(-0.01, 0.01, 5)}

    result = vb.verify(small("gp-rbf-1d"), window, datasets=40, audit=0)
    assert result.verdict == "different"
    assert "zero_probability" in {f["name"] for f in result.entry["findings"]}


def cells(edges: np.ndarray, tails: bool) -> Any:
    """A candidate with its mass even over bins, or nearly all between the borders where it has
    tails.
    """

    def candidate(context: Any, query: Any) -> dict[str, Any]:
        count = edges.size - 1
        inner = np.full((*query.shape[:2], count), (1 - 2e-9 * tails) / count)
        if not tails:
            return {"probs": inner, "edges": edges}
        outer = np.full((*query.shape[:2], 1), 1e-9)
        return {
            "probs": np.concatenate([outer, inner, outer], -1),
            "edges": edges,
            "tail_scale": np.ones(2),
        }

    return candidate


@pytest.mark.parametrize("tails", [False, True])
@pytest.mark.parametrize("half", [1e6, 5.0])
def test_one_bin_over_everything_is_different(half: float, tails: bool) -> None:
    """Its masses are exact: the divergence between masses is nothing, the density within is flat
    over the whole range.
    """
    entry = vb.verify(
        small("gp-rbf-1d"),
        cells(np.array([-half, half]), tails),
        datasets=40,
        audit=0,
        tests="none",
    ).entry
    primary = entry["primary"]
    assert (entry["verdict"], primary["metric"], primary["unit"]) == (
        "different",
        "kl_density",
        "nats",
    )
    assert primary["estimate"] > (
        1.5 if half == 5 else 13
    )  # log 2e6 less the entropy of the exact predictive
    assert abs(entry["scores"]["kl"]["estimate"]) < 1e-3
    assert entry["curve"]["metric"] == "kl_density"
    assert entry["recovery"]["estimate"] < 0
    assert sum(w["mean"] for w in entry["worst"]) / len(entry["worst"]) >= primary["estimate"]
    price = next(f for f in entry["findings"] if f["name"] == "discretisation_floor")
    assert price["value"] == pytest.approx(
        primary["estimate"] - entry["scores"]["kl"]["estimate"], rel=1e-6
    )
    assert entry["rivals"]["prior_only"]["kl"]["estimate"] == pytest.approx(
        1, rel=0.5
    )  # a normal: KL as it was


@pytest.mark.parametrize(("outside", "infinite"), [(0.008, False), (0.015, True)])
def test_bins_that_leave_more_than_a_hundredth_out_say_too_little(
    outside: float, infinite: bool
) -> None:
    """Up to 1 % the exact mass outside the borders is paid for by minus the logarithm of what lies
    inside.
    """
    mass = np.full((60, 1, 1), outside)
    scores = {"kl_density": np.full((60, 1, 1), -np.log1p(-outside)), "missed_mass": mass}
    trusted = store.certificate_of(
        {
            "verdict": "trusted",
            "method": "exact",
            "error_bound": 0.0,
            "bound_kind": "bound",
            "reasons": [],
            "diagnostics": {},
        }
    )
    run = scored.Scored(
        {"candidate": scores},
        np.zeros((60, 1), dtype=np.int64),
        mass,
        trusted,
        {"candidate": "bins"},
    )
    clusters = endpoint.clusters_of(run, results.endpoint(_spec.load_task("gp-rbf-1d"), "bins"))
    assert np.isinf(clusters).all() == infinite


def test_what_bins_leave_out_is_added() -> None:
    metric, shape = registry.load("metric", "kl_density"), (1, 1, 1)
    exact = Normal(np.zeros(shape), np.ones(shape))
    edges = np.linspace(-2.5758293, 2.5758293, 2001)  # 1 % outside
    mass = np.diff(exact.cdf(edges[None, None, None]))
    found = metric.score(Bins(mass / mass.sum(), edges), exact, np.zeros(shape)).item()
    assert found == pytest.approx(-np.log(0.99), abs=1e-6)  # and 5e-7 for the bins


@pytest.mark.parametrize("name", ["gp-rbf-1d", "gp-hyper-1d"])
def test_no_tolerance_moves_with_the_endpoint_of_bins(name: str) -> None:
    """The prior predictive is a normal or a mixture, and so is the truth: for those both metrics
    are one.
    """
    task = _spec.load_task(name)
    simulation = task.simulate(range(20), seed=0, stream="replicate")
    exact = registry.engine(task.reference)(task, simulation.data, seed=0).predictive
    prior = registry.engine("prior_only")(task, simulation.data, seed=0).predictive
    both = [
        registry.load("metric", n).score(prior, exact, simulation.outcome)
        for n in ("kl", "kl_density")
    ]
    np.testing.assert_array_equal(*both)
    assert results.endpoint(task, "bins").tolerance == results.endpoint(task, exact.form).tolerance


def test_one_form_throughout_a_run() -> None:
    calls: list[int] = []

    def fickle(context: Any, query: Any) -> dict[str, Any]:
        calls.append(1)
        shape = query.shape[:2]
        return (
            {"mean": np.zeros(shape), "sd": np.ones(shape)}
            if len(calls) <= 3
            else {"draws": np.zeros((*shape, 4))}
        )

    with pytest.raises(InputError, match="one predictive form"):
        vb.verify(small("gp-rbf-1d"), fickle, datasets=40, audit=0)


@pytest.mark.parametrize(
    "engine",
    ["prior_only", "mle", "temperature", "wrong_prior", "finite_draws", "all_predecessors"],
)
def test_what_does_not_compute_the_posterior_is_no_reference(engine: str) -> None:
    with pytest.raises(ReferenceRefused, match="does not compute the posterior"):
        pipeline.run(
            small("bn-general5"), engine, pipeline.Options(datasets=200, audit=0, reference=engine)
        )


def test_the_reference_against_itself_is_said() -> None:
    result = entry(pipeline.run(small("bn-general5"), "conjugate", QUICK))
    assert "same_engine" in {f["name"] for f in result["findings"]}


def test_a_reference_that_cannot_be_audited_is_said() -> None:
    with pytest.raises(InputError, match="--audit 0"):
        pipeline.run(
            small("bn-general5"),
            "conjugate",
            pipeline.Options(datasets=20, audit=2, reference="row_quadrature"),
        )


def test_options_are_for_what_has_them() -> None:
    options = pipeline.Options(datasets=20, audit=0, candidate_options={"steps": "3"})
    with pytest.raises(InputError, match="candidate options"):
        pipeline.run(small("bn-general5"), "bn-general5", options)


def test_numbers_of_numpy_are_numbers() -> None:
    result = vb.verify(
        small("bn-general5"),
        "prior_only",
        datasets=np.int64(20),
        seed=np.int64(1),
        audit=np.int8(0),
    )
    assert (result.entry["datasets"], result.entry["seed"]) == (20, 1)


@pytest.mark.parametrize("what", [3, None])
def test_what_is_no_task_is_refused(what: object) -> None:
    with pytest.raises(InputError, match="a task, a model"):
        vb.task(what)
    with pytest.raises(InputError, match="a design for a model"):
        vb.task("bn-general5", positions=(1, 2))


@pytest.mark.parametrize("answer", [{"mean": 0.0}, {"probs": np.ones((20, 5))}, None])
def test_a_callable_that_answers_badly_is_told(answer: object) -> None:
    with pytest.raises((InputError, ShapeError)):
        vb.verify(small("bn-general5"), lambda context, query: answer, datasets=20, audit=0)


@pytest.mark.parametrize("datasets", [80, pytest.param(2000, marks=pytest.mark.study)])
def test_a_users_model_gets_design_engines_and_tolerance(
    datasets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from veribayes.models.mtd import MTD

    monkeypatch.setattr(
        tolerance, "compute_tolerance", partial(tolerance.compute_tolerance, datasets=datasets)
    )
    task = vb.task(MTD(q=3, m=2, matrix_seed=4), positions=(4, 8), shard=40)
    result = vb.verify(task, "lag_counts", datasets=40, audit=0)
    assert result.entry["primary"]["tolerance"] > 0
    assert result.verdict == "undecided"


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("bn-general5", "row_quadrature"),
        pytest.param("gp-rbf-1d", "sequential", marks=pytest.mark.study),
    ],
)
def test_result_is_saved_and_reported_without_torch_and_jax(
    name: str, engine: str, tmp_path: Path
) -> None:
    vb.verify(small(name), engine, datasets=20, audit=0).save(tmp_path)
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
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True
    )
    assert (tmp_path / "report.html").read_text() == page


def test_a_reference_alone_is_audited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def audited(task: Task, made: Any, datasets: int, **options: Any) -> None:
        raise ReferenceRefused(made.name, [f"{datasets} data sets"])

    monkeypatch.setattr(truth, "audited", audited)
    with pytest.raises(ReferenceRefused, match=r"cholesky.*3 data sets"):
        pipeline.reference(small("gp-rbf-1d"), pipeline.Options(datasets=20, audit=3))


@pytest.mark.parametrize(
    "audit", [0, pytest.param(pipeline.DEFAULT_AUDIT, marks=pytest.mark.study)]
)
def test_references_are_float64_and_the_flag_is_left_alone(audit: int) -> None:
    import jax

    tree = pipeline.reference(small("gp-rbf-1d"), pipeline.Options(datasets=20, audit=audit))
    assert tree["reference/posterior_predictive/mean"].dtype == np.float64
    assert not jax.config.jax_enable_x64


def slashes_and_dots(y: Any) -> None:
    import numpyro
    from numpyro import distributions as dist

    mean = numpyro.sample("a/b", dist.Normal(0, 1)) + numpyro.sample("a.b", dist.Normal(0, 1))
    numpyro.sample("y", dist.Normal(mean, 1), obs=y)


def test_latents_that_a_file_cannot_tell_apart_are_refused_before_the_work() -> None:
    task = api.task(slashes_and_dots, data={"y": np.ones(3)})
    with pytest.raises(InputError, match=r"'a/b' and 'a\.b', both 'a\.b'"):
        pipeline.reference(task, pipeline.Options(datasets=1, audit=0))
    for names in (["a", "chain"], ["a", "a_dim_0"], ["a_dim_0", "a"]):
        with pytest.raises(InputError, match=r"not called like .*; rename the site"):
            truth.require_names(names)
    truth.require_names(["a/b", "a", "b", "a_dim", "draws", "c_dim_0"])


def test_arrays_whose_names_look_like_axes_are_read_back_as_arrays(tmp_path: Path) -> None:
    arrays = {"y": np.ones((2, 3)), "y_1": np.zeros((2, 4))}
    tree = xr.DataTree(store.arrays_dataset(arrays, "example", 2, frozenset()))
    store.write_tree(tree, tmp_path / "arrays.nc")
    found = store.read_tree(tmp_path / "arrays.nc").data_vars
    assert {str(name): values.shape for name, values in found.items()} == {
        "y": (2, 3),
        "y_1": (2, 4),
    }

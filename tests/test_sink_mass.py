"""Mass on what is no observation: theory beside itself, who has none, and how a report shows it."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from veribayes import registry
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.models.context_switch import ContextSwitch
from veribayes.report import probe as pages
from veribayes.run import probes
from veribayes.transformer._architectures import build, config_of
from veribayes.transformer._candidates import NetworkCandidate

DATASETS = 20
SIZES = (1, 4, 16)


def task_of(cue: str = "observed") -> Task:
    return _spec.task_of(ContextSwitch(cue=cue), name="switch", positions=SIZES)


def found_by(task: Task, call: Any) -> Any:
    data = task.simulate(range(DATASETS), seed=0).data
    return registry.load("probe", "sink_mass").ask(probes.subject(task, call, data))


@pytest.mark.parametrize("cue", ["observed", "hidden"])
def test_theory_beside_itself(cue: str) -> None:
    task = task_of(cue)
    found = found_by(task, probes.construction("switch_sink", task, 16))
    assert found["construction"] == "switch_sink"
    names = ["cue on", "cue off"] if cue == "observed" else ["all queries"]
    assert list(found["groups"]) == names
    for name, rows in found["groups"].items():
        assert [row["context"] for row in rows] == list(SIZES)
        for row in rows:
            (mine,), (theory,) = row["layers"], row["theory"]
            assert mine == theory
            expected = 1.0 if name == "cue off" else 0.25 / (row["context"] + 0.25)
            assert mine["estimate"] == pytest.approx(expected, rel=1e-12)


def test_a_network_beside_theory() -> None:
    """Untrained heads leave something else; one without an anchor has nothing to say."""
    task = task_of()
    for anchor in ("sink", "diagonal"):
        config = config_of(task, {"architecture": "one_head", "anchor": anchor})
        found = found_by(task, NetworkCandidate(build(config).initialise(0)))
        on = found["groups"]["cue on"]
        masses = [row["layers"][0]["estimate"] for row in on]
        assert masses == sorted(masses, reverse=True)
        assert masses[1] != pytest.approx(on[1]["theory"][0]["estimate"], abs=1e-3)
    config = config_of(task, {"architecture": "one_head", "anchor": "none"})
    assert found_by(task, NetworkCandidate(build(config).initialise(0))) is None


def test_sequences_and_evidence_have_no_such_mass() -> None:
    for name in ("mtd-q3-m3", "bn-asia-inference"):
        assert found_by(_spec.load_task(name), None) is None


def test_many_groups_are_no_table() -> None:
    """Processes have five groups: the table is of all queries, beside the layer that reads."""
    task = replace(_spec.load_task("gp-rbf-1d"), design=replace(task_of().design, queries=3))
    found = found_by(task, probes.construction("gp_gradient_descent", task, 16))
    assert list(found["groups"]) == ["all queries"]
    first, second = found["groups"]["all queries"][0]["layers"]
    assert first["estimate"] == 1
    assert second["estimate"] == 0
    (theory,) = found["groups"]["all queries"][0]["theory"]
    assert theory["estimate"] == 0


def test_a_report_draws_the_table_of_a_probe_that_it_does_not_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = task_of()
    found = probes.probe(task, "switch-sink", datasets=DATASETS)
    json.dumps(found, allow_nan=False)
    (shown,) = found["shown"]
    assert (shown["name"], shown["rows"][0][0]) == ("sink_mass", "observations")
    text, page = pages.markdown(found), pages.page(found)
    assert "0.05882" in text
    assert "0.05882" in page
    assert "<h2>Mass on what is no observation</h2>" in page

    limits = {"estimate": 0.25, "low": 0.2, "high": 0.3}
    foreign = SimpleNamespace(place=0, label="a <b>", about="of others", ask=lambda subject: 3)
    foreign.rows = lambda entry: [["what", "value"], [f"x{entry}", limits]]
    load, names = registry.load, registry.usable
    monkeypatch.setattr(
        registry, "load", lambda kind, name: foreign if name == "foreign" else load(kind, name)
    )
    monkeypatch.setattr(
        registry,
        "usable",
        lambda kind: [*names(kind), "foreign"] if kind == "probe" else names(kind),
    )
    monkeypatch.setattr(registry, "attempted", lambda kind, name, use: use())
    found = probes.probe(task, "switch-sink", datasets=DATASETS)
    assert [shown["name"] for shown in found["shown"]] == ["foreign", "sink_mass"]
    page = pages.page(found)
    assert "<h2>A &lt;b&gt;</h2>" in page
    assert "0.25 [0.20, 0.30]" in page
    assert "x3" in pages.markdown(found)
    foreign.rows = None
    assert [s["name"] for s in probes.probe(task, "switch-sink", datasets=DATASETS)["shown"]] == [
        "sink_mass"
    ]


def test_groups_without_data_sets_are_left_out() -> None:
    """Two data sets whose cues are all on say nothing of the others."""
    task = task_of()
    data = task.simulate(range(DATASETS), seed=0).data
    data.arrays["cue"][:] = 1
    call = probes.construction("switch_sink", task, 16)
    part = registry.load("probe", "sink_mass")
    found = part.ask(probes.subject(task, call, data))
    assert found["groups"]["cue off"][0]["layers"] == [None]
    assert part.rows(found)[1][-1] == "–"
    assert np.isfinite(found["groups"]["cue on"][0]["layers"][0]["estimate"])

"""Calibration of engines as one command: the right ones pass, planted defects do not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from veribayes import api, cli
from veribayes.errors import InputError, ReferenceRefused
from veribayes.predictive import Categorical
from veribayes.run import calibration
from veribayes.tree import Branch, Certificate


def test_an_exact_engine_is_calibrated_and_a_defect_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A predictive of twice the spread; the prior predictive would pass, since it is calibrated
    too.
    """
    task = api.task("gp-rbf-1d")
    right = calibration.calibrate(task, "cholesky", datasets=300, seed=0)
    assert right["verdict"] == "calibrated"
    wrong = calibration.calibrate(
        task, "temperature", datasets=300, seed=0, options={"temperature": "4.0"}
    )
    assert wrong["verdict"] == "miscalibrated"
    json.dumps([right, wrong], allow_nan=False)


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        "sys.argv",
        ["veribayes", "calibrate-engine", "gp-rbf-1d", "--engine", "sequential", "--json"],
    )
    with pytest.raises(SystemExit) as end:
        cli.main()
    found = json.loads(capsys.readouterr().out)
    assert end.value.code == 0
    assert found["schema"] == calibration.SCHEMA


def test_a_posterior_that_is_the_prior_is_seen_by_the_likelihood() -> None:
    """Draws from the prior have uniform ranks in every latent; the likelihood of the data tells."""
    task = api.task("mtd-q5-m3")
    simulation = task.simulate(range(200), seed=0, stream="audit")
    data = simulation.data.select(positions=np.array([2]))
    weights = np.random.default_rng(0).dirichlet(np.ones(3), (200, 1, 2, calibration.DRAWS))
    answer, certificate = (
        Categorical(np.full((200, 1, 1, 5), 0.2)),
        Certificate("trusted", "prior", 0.0),
    )
    prior = Branch(answer, certificate, {"weights": {"draws": weights}})
    found = calibration._ranks_entry(*calibration._ranked(task, data, simulation, prior, 0))
    assert found["worst"] == "log likelihood"
    assert found["p_value"] < 1e-3


@pytest.mark.study
@pytest.mark.parametrize("engine", ["hmc", "nuts"])
def test_samplers_are_calibrated_latent_by_latent(engine: str) -> None:
    found = calibration.calibrate(api.task("mtd-q5-m3"), engine, datasets=200, seed=0)
    assert found["verdict"] == "calibrated"
    assert found["tests"]["sbc_rank"]["quantities"] == 4  # three weights and the likelihood


@pytest.mark.study
def test_an_engine_that_its_own_gate_refuses_is_not_asked() -> None:
    with pytest.raises(ReferenceRefused):
        calibration.calibrate(
            api.task("mtd-q5-m3"), "nuts", datasets=4, seed=0, options={"draws": "20"}
        )


def test_unknown_engines_are_named() -> None:
    with pytest.raises(InputError):
        calibration.calibrate(api.task("gp-rbf-1d"), "no_such_engine", datasets=4, seed=0)


@pytest.mark.parametrize(
    "command",
    [
        "calibrate-engine gp-rbf-1d --datasets -1",
        "calibrate-engine gp-rbf-1d --datasets 3",
        "calibrate-engine gp-rbf-1d --seed -1",
        "reference gp-rbf-1d --datasets 0",
    ],
)
def test_numbers_for_which_there_is_no_answer_are_refused(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the name of the option, before anything is computed."""
    monkeypatch.setattr("sys.argv", ["veribayes", *command.split()])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert command.split()[-2] in capsys.readouterr().err

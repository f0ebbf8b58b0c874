"""Calibration of engines as one command: the right ones pass, planted defects do not."""

from __future__ import annotations

import json

import pytest

from veribayes import api, calibrate, cli
from veribayes.errors import InputError, ReferenceRefused


def test_an_exact_engine_is_calibrated_and_a_defect_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    """A predictive of twice the spread; the prior predictive would pass, since it is calibrated too."""
    task = api.task("gp-rbf-1d")
    right = calibrate.calibrate(task, "cholesky", datasets=300, seed=0)
    assert right["verdict"] == "calibrated"
    wrong = calibrate.calibrate(task, "temperature", datasets=300, seed=0, options={"temperature": "4.0"})
    assert wrong["verdict"] == "miscalibrated"
    json.dumps([right, wrong], allow_nan=False)


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["veribayes", "calibrate-engine", "gp-rbf-1d", "--engine", "sequential", "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    found = json.loads(capsys.readouterr().out)
    assert end.value.code == 0
    assert found["schema"] == calibrate.SCHEMA


@pytest.mark.study
@pytest.mark.parametrize("engine", ["hmc", "nuts"])
def test_samplers_are_calibrated_latent_by_latent(engine: str) -> None:
    found = calibrate.calibrate(api.task("mtd-q5-m3"), engine, datasets=200, seed=0)
    assert found["verdict"] == "calibrated"
    assert found["tests"]["sbc_rank"]["quantities"] == 3


@pytest.mark.study
def test_an_engine_that_its_own_gate_refuses_is_not_asked() -> None:
    with pytest.raises(ReferenceRefused):
        calibrate.calibrate(api.task("mtd-q5-m3"), "nuts", datasets=4, seed=0, options={"draws": "20"})


def test_unknown_engines_are_named() -> None:
    with pytest.raises(InputError):
        calibrate.calibrate(api.task("gp-rbf-1d"), "no_such_engine", datasets=4, seed=0)

"""Eight realistic programs and a small one by the public path:
a certified reference, or a refusal with its reasons.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from veribayes import cli
from veribayes.posteriors import saved
from veribayes.storage import store

SOURCE = Path(__file__).parent / "numpyro_models.py"


@pytest.fixture(scope="module")
def programs() -> ModuleType:
    """The module as a user has it: importable by name."""
    spec = importlib.util.spec_from_file_location("numpyro_models", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["numpyro_models"] = module
    spec.loader.exec_module(module)
    return module


CERTIFIED = {
    "one_mean": ("centre", 1.4, 1.5),
    "zero_inflated": ("gate", 0.2, 0.5),
    "hidden_markov": ("emit[1]", 0.6, 0.95),
    "mixed_effects": ("centre[1]", 0.2, 1.6),
    "dawid_skene": ("share[1]", 0.2, 0.65),
    "predator_prey": ("rates[0]", 0.3, 0.8),
    "stochastic_volatility": ("step", 0.01, 0.3),
    "partially_pooled": ("mean", 0.22, 0.31),
    "horseshoe": ("beta[0]", 1.7, 2.3),
}
MAY_BE_REFUSED = {
    "partially_pooled",
    "horseshoe",
    "stochastic_volatility",
}  # funnels: divergences, whatever the step size
SHORT = ("one_mean",)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "name",
    [
        n if n in SHORT else pytest.param(n, marks=(pytest.mark.study, pytest.mark.timeout(3000)))
        for n in CERTIFIED
    ],
)
def test_reference_of_a_program(
    name: str,
    programs: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The posterior mean of one latent lies where the data were made to put it."""
    np.savez(tmp_path / "data.npz", **programs.DATA[name])
    file = tmp_path / "reference.nc"
    command = [
        "veribayes",
        "reference",
        f"numpyro_models:{name}",
        "--set",
        f"data={tmp_path / 'data.npz'}",
    ]
    monkeypatch.setattr("sys.argv", [*command, "--out", str(file), "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    if end.value.code == 4:
        assert name in MAY_BE_REFUSED
        assert (
            "divergent transitions" in said.err
            or "effective sample size" in said.err
            or "E-BFMI" in said.err
        )
        return
    assert not end.value.code, said.err
    assert json.loads(said.out)["reference"]["certificate"]["verdict"] == "trusted"
    found = saved.from_arviz(store.read_tree(file)).scalars
    latent, low, high = CERTIFIED[name]
    assert low < found[latent].mean() < high

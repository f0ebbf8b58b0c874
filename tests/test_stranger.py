"""A family that another distribution adds: installed into an empty folder, and not a line of the
package knows it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).resolve().parents[1]
STRANGER = Path(__file__).with_name("stranger")
SCRIPT = """
import json
import sys
from pathlib import Path

import veribayes as vb
from normal_mean import NormalMean
from veribayes import registry
from veribayes.errors import InputError
from veribayes.models import _spec

folder = Path(sys.argv[1])
task = vb.task(NormalMean(), name="mean", positions=(1, 4))
_spec.write_yaml(task, folder / "mean.yaml")
assert _spec.load_task(folder / "mean.yaml") == task
options = {"datasets": 400, "audit": 0}
result = vb.verify(task, "updated_mean", **options)
result.save(folder / "run")
entry = result.entry
said = {
    "families": registry.names("family"),
    "verdict": result.verdict,
    "words": entry["words"],
    "groups": len(entry["concentration"]["groups"]),
    "asked": sorted(entry["secondary"]["endpoints"]),
    "prior": entry["rivals"]["prior_only"]["recovery"]["estimate"],
    "wrong": entry["rivals"]["wrong_prior"]["verdict"],
    "defects": {
        name: vb.verify(task, name, **options).verdict
        for name in ("temperature", "shifted", "narrow", "order_dependent")
    },
}
try:
    vb.verify(task, "permuted_classes", **options)
except InputError as error:
    said["refused"] = str(error)
print(json.dumps(said))
"""

TRAINS = """
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
import veribayes as vb
from normal_mean import NormalMean
from veribayes import candidates
from veribayes.run import identification, pipeline, training
from veribayes.transformer._checkpoint import load

torch.set_num_threads(1)
folder = Path(sys.argv[1])
network = folder / "network"
task = vb.task(NormalMean(), name="mean", positions=(1, 4))
quick = {**training.suggested(task)["quick"], "steps": 80, "evaluations": 1}
trained = replace(task, training={"quick": quick})
card = training.train_task(trained, preset="quick", device="cpu", out=network)
result = vb.verify(task, str(network), datasets=100, audit=0)
result.save(folder / "run")
frozen = pipeline.frozen_tolerance(task, pipeline.Options(seed=0))
named = identification.identify(frozen, candidates.resolve(str(network), frozen), datasets=30)
print(json.dumps({
    "tokens": card["network"]["family"],
    "head": load(network, task)[0].config.head,
    "recovery": card["scores"]["recovery"],
    "verified": result.entry["recovery"]["estimate"],
    "verdict": result.verdict,
    "identified": named["conclusion"],
}))
"""
OWN_PARTS = """
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
import veribayes as vb
from normal_mean import VALUES, NormalMean
from veribayes import registry
from veribayes.run import training
from veribayes.transformer._checkpoint import load


class Plainly(NormalMean):
    @property
    def layout(self):
        return replace(VALUES, tokens="plain")


torch.set_num_threads(1)
SETTINGS = {
    "plain": (Plainly(), {}),
    "two_humps": (NormalMean(), {"head": "two_humps"}),
    "pooled": (NormalMean(), {"architecture": "pooled"}),
}
said = {"known": [registry.names(kind) for kind in ("tokens", "head", "architecture")]}
for name, (model, settings) in SETTINGS.items():
    task = vb.task(model, name="mean", positions=(1, 4))
    quick = {**training.suggested(task)["quick"], "steps": 50, "evaluations": 1}
    own = settings if "architecture" in settings else {**quick["network"], **settings}
    trained = replace(task, training={"quick": {**quick, "network": own}})
    folder = Path(sys.argv[1]) / name
    card = training.train_task(trained, preset="quick", device="cpu", out=folder)
    network = load(folder, task)[0]
    said[name] = {
        "recovery": card["scores"]["recovery"],
        "network": type(network).__name__,
        "head": network.config.head,
        "again": network.config.to_dict() == card["network"],
    }
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stranger's distribution in a folder of its own, built from a copy that holds nothing
    else.
    """
    folder = tmp_path_factory.mktemp("stranger")
    shutil.copytree(STRANGER, folder / "source")
    options = [
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--disable-pip-version-check",
    ]
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        *options,
        "--target",
        str(folder / "site"),
        str(folder / "source"),
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder / "site"


def environment(site: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(TOP / "src")))}


def test_it_is_listed(site: Path) -> None:
    code = "from veribayes.cli import main; main()"
    command = [sys.executable, "-c", code, "list", "families", "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment(site)
    )
    assert "normal_mean" in [row["name"] for row in json.loads(done.stdout)["families"]]


def test_it_is_verified_like_any_other(site: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(site))
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert "normal_mean" in said["families"]
    assert said["verdict"] == "equivalent"
    assert said["words"]["observation"] == ["value seen", "values seen"]
    assert said["words"]["model"] == "normal mean: prior sd 1, noise sd 0.5"
    assert {"order_dependence", "batch_dependence", "repeatability"} <= set(said["asked"])
    assert abs(said["prior"]) < 1e-6
    assert said["wrong"] == "different"
    assert set(said["defects"].values()) == {"different"}
    assert "predictions of categories" in said["refused"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "values seen" in page
    assert "normal mean: prior sd 1" in page


def answer(site: Path, script: str, folder: Path) -> Any:
    """The last line of a script in a process that sees the stranger, as JSON."""
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(site))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_it_trains_a_network_by_the_recipe_of_its_layout(site: Path, tmp_path: Path) -> None:
    """An eighth of the quick preset's steps; the checkpoint is judged, named and reported as any
    other.
    """
    said = answer(site, TRAINS, tmp_path)
    assert (said["tokens"], said["head"]) == ("vectors", "normal")
    assert said["recovery"] > 0.9  # .98 after 60 steps
    assert said["verified"] > 0.9
    assert said["verdict"] in ("equivalent", "undecided")
    assert said["identified"]
    assert "values seen" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.study
def test_its_own_head_tokens_and_architecture_serve_like_those_that_are_shipped(
    site: Path, tmp_path: Path
) -> None:
    said = answer(site, OWN_PARTS, tmp_path)
    assert [
        name in known
        for name, known in zip(("plain", "two_humps", "pooled"), said["known"], strict=True)
    ] == [True] * 3
    assert said["pooled"]["network"] == "Pooled"
    assert said["two_humps"]["head"] == "two_humps"
    for name in ("plain", "two_humps", "pooled"):
        assert said[name]["again"], name
        assert said[name]["recovery"] > 0.6, name  # .91 to .99 after 80 steps


@pytest.mark.study
def test_its_quick_preset_ends_in_equivalence(site: Path, tmp_path: Path) -> None:
    """From a task file without recipes, by the commands."""
    write = (
        "import sys; import veribayes as vb; from normal_mean import NormalMean; from "
        "veribayes.models import _spec;_spec.write_yaml(vb.task(NormalMean(), name='mean'), "
        "sys.argv[1])"
    )
    task, network = str(tmp_path / "mean.yaml"), str(tmp_path / "network")
    options = ["--candidate", network, "--datasets", "400"]
    commands = [
        ["train", task, "--preset", "quick", "--out", network, "--threads", "1"],
        ["verify", task, *options, "--out", str(tmp_path / "run")],
        ["identify", task, *options, "--out", str(tmp_path / "named")],
        ["report", str(tmp_path / "run"), "--out", str(tmp_path / "page.html")],
    ]
    main = "from veribayes.cli import main; main()"
    for script, arguments in ((write, [task]), *((main, command) for command in commands)):
        command = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(site))
        assert done.returncode == 0, (arguments, done.stderr[-3000:], done.stdout[-1000:])
    assert (tmp_path / "page.html").exists()


def test_not_a_line_of_the_package_knows_it() -> None:
    folders = [TOP / name for name in ("models", "inference", "transformer", "validation", "src")]
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        assert "normal_mean" not in path.read_text(encoding="utf-8")

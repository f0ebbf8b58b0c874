"""A family that another distribution adds: installed into an empty folder, and not a line of the package knows it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stranger's distribution in a folder of its own, built from a copy that holds nothing else."""
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


def test_not_a_line_of_the_package_knows_it() -> None:
    folders = [TOP / name for name in ("models", "inference", "transformer", "validation", "src")]
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        assert "normal_mean" not in path.read_text(encoding="utf-8")

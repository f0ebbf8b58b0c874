"""A folder belongs to one request, has one writer, and keeps what is there; files appear whole or
not at all.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from veribayes import api, cli, report
from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.run import ownership, pipeline
from veribayes.storage import folders, store

TOP = Path(__file__).resolve().parents[1]


def _module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, TOP / "tests" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


_fake_run = _module("_fake_run")
VERDICT = {  # what the table of the terminal shows
    "verdict": "equivalent",
    "primary": {
        "metric": "kl",
        "estimate": 1e-4,
        "low": 1e-4,
        "high": 2e-4,
        "tolerance": 1e-3,
        "datasets_needed": None,
    },
    "recovery": {"estimate": 0.99, "low": 0.98, "high": 1.0},
    "rivals": {},
    "findings": [],
}
HOLD = """
import sys, time
from pathlib import Path
from veribayes.storage.folders import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
WAIT = """
import sys
from pathlib import Path
from veribayes.storage.folders import locked
with locked(Path(sys.argv[1]), wait=True):
    print("mine", flush=True)
"""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["veribayes", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time of change and content of every file below a folder."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in files}


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`pipeline.run` replaced by one that stores a synthetic run; what it was asked."""
    asked: list[str] = []

    def stored(
        task: Any, candidate: Any, options: Any, *, out: Path | None = None, progress: Any = None
    ) -> xr.DataTree:
        asked.append(f"{task.name} {candidate} {options.datasets}")
        entry = {
            "task": task.name,
            "candidate": candidate or task.name,
            "datasets": options.datasets,
            **VERDICT,
        }
        provenance = {"model_hash": task.model_hash, "options": {"seed": options.seed}}
        tree = xr.DataTree()
        tree.attrs = {
            "schema": store.SCHEMA,
            "result": json.dumps(entry),
            "provenance": json.dumps(provenance),
        }
        if out is not None:
            store.write_tree(tree, out / "run.nc")
        return tree

    def page(trees: list[xr.DataTree], path: Path) -> None:
        folders.write_text(
            path, " ".join(json.loads(each.attrs["result"])["task"] for each in trees)
        )

    monkeypatch.setattr(pipeline, "run", stored)
    monkeypatch.setattr(report, "write", page)  # test_report.py draws real ones
    return asked


def tasks_of(path: Path) -> list[str]:
    return [entry["task"] for entry in json.loads(path.read_text())["results"]]


# -- whose folder it is ----------------------------------------------------------------------------

OTHERS = {
    "candidate": ("--candidate", "prior_only"),
    "seed": ("--seed", "1"),
    "tolerance": ("--tolerance", "0.01"),
    "reference": ("--reference", "nuts"),
    "tests": ("--tests", "all"),
    "audit": ("--audit", "0"),
    "keep_predictions": ("--keep-predictions",),
    "sequential": ("--sequential",),
    "draws": ("--set", "reference.draws=20"),
    "fewer data sets": ("--datasets", "20"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_request_is_refused_and_nothing_is_touched(
    case: str,
    stubbed: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usual = ("verify", "bn-general5", "--datasets", "40", "--out", str(tmp_path))
    assert run(monkeypatch, *usual) in (0, 1, 3)
    before = snapshot(tmp_path)
    capsys.readouterr()
    assert run(monkeypatch, *usual, *OTHERS[case]) == 2
    said = capsys.readouterr().err
    assert "choose another --out" in said
    assert str(tmp_path / "bn-general5") in said
    assert len(said.strip().splitlines()) == 1
    assert snapshot(tmp_path) == before
    assert len(stubbed) == 1


def test_the_same_request_and_more_data_sets_go_on(
    stubbed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for datasets in ("40", "40", "80"):
        assert run(
            monkeypatch, "verify", "bn-general5", "--datasets", datasets, "--out", str(tmp_path)
        ) in (0, 1, 3)
    assert [line.split()[-1] for line in stubbed] == ["40", "40", "80"]


def test_other_spellings_are_the_same_request(
    stubbed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for candidate in ("row-quadrature", "row_quadrature"):
        arguments = ("verify", "bn-general5", "--candidate", candidate, "--out", str(tmp_path))
        assert run(monkeypatch, *arguments) in (0, 1, 3)
    for asked in ((), ("--candidate", "gp-rbf-1d")):
        assert run(monkeypatch, "verify", "gp-rbf-1d", *asked, "--out", str(tmp_path)) in (0, 1, 3)


def test_results_that_are_there_are_kept(
    stubbed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task in ("bn-general5", "gp-rbf-1d", "bn-general5"):
        assert run(monkeypatch, "verify", task, "--out", str(tmp_path)) in (0, 1, 3)
    assert sorted(tasks_of(tmp_path / "result.json")) == ["bn-general5", "gp-rbf-1d"]
    assert (tmp_path / "report.html").read_text() == "bn-general5 gp-rbf-1d"


def test_every_request_finds_its_own_default_folder(
    stubbed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of the README after one another, twice: none meets the folder of another."""
    monkeypatch.chdir(tmp_path)
    commands = (
        ("gp-rbf-1d",),
        ("bn-asia", "--candidate", "ignores_parent"),
        ("bn-general5", "bn-asia", "mtd-q5-m3", "gp-rbf-1d"),
        ("gp-rbf-1d", "--candidate", "dropped_correlation", "--tests", "all"),
        ("gp-rbf-1d", "--datasets", "100"),
        ("gp-rbf-1d", "--seed", "3"),
        ("gp-rbf-1d", "--datasets", "2000"),
    )
    for command in commands[:-1] * 2 + commands[-1:]:
        assert run(monkeypatch, "verify", *command) in (0, 1, 3), command
    shipped = tasks_of(Path("runs/verify/result.json"))
    assert sorted(shipped) == ["bn-asia", "bn-general5", "gp-rbf-1d", "mtd-q5-m3"]
    assert len(list(Path("runs").iterdir())) == 5


def test_the_python_surface_refuses_too(stubbed: list[str], tmp_path: Path) -> None:
    api.verify("bn-general5", "prior_only", datasets=40, out=tmp_path)
    for task, candidate in (("bn-general5", "row_quadrature"), ("gp-rbf-1d", "prior_only")):
        with pytest.raises(InputError, match="choose another --out"):
            api.verify(task, candidate, datasets=40, out=tmp_path)
    assert tasks_of(tmp_path / "result.json") == ["bn-general5"]


def test_a_saved_result_replaces_no_other(stubbed: list[str], tmp_path: Path) -> None:
    mine = api.verify("bn-general5", "prior_only", datasets=40, out=tmp_path / "run")
    other = api.verify("gp-rbf-1d", "prior_only", datasets=40)
    mine.save(tmp_path / "run")  # the same run
    mine.save(tmp_path / "saved")
    mine.save(tmp_path / "saved")
    for folder in ("run", "saved"):
        before = snapshot(tmp_path / folder)
        with pytest.raises(InputError, match="choose another --out"):
            other.save(tmp_path / folder)
        assert snapshot(tmp_path / folder) == before


def test_callables_are_told_apart_by_where_they_are_defined() -> None:
    task = _spec.load_task("bn-general5")

    def one(context: object, query: object) -> None: ...

    class Two:
        def __call__(self, context: object, query: object) -> None: ...

    names = [
        ownership.name_of(c, task) for c in (one, Two(), None, "row-quadrature", Path(__file__))
    ]
    assert len(set(names)) == 5
    assert names[2:] == ["bn-general5", "row_quadrature", str(Path(__file__).resolve())]


def test_a_run_of_an_older_version_is_not_overwritten(
    stubbed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("verify", "bn-general5", "--out", str(tmp_path))
    assert run(monkeypatch, *arguments, "--candidate", "prior_only") in (0, 1, 3)
    (tmp_path / "bn-general5" / folders.REQUEST).unlink()
    assert run(monkeypatch, *arguments) == 2
    assert run(monkeypatch, *arguments, "--candidate", "prior_only") in (0, 1, 3)


# -- one writer ------------------------------------------------------------------------------------


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Another process that holds a folder."""
    started: list[subprocess.Popen[str]] = []

    def hold(folder: Path) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(TOP / "src")}
        command = [sys.executable, "-c", HOLD, str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        started.append(process)
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_second_writer_is_refused_and_a_killed_one_leaves_nothing_behind(
    holder: Callable[[Path], subprocess.Popen[str]],
    stubbed: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("verify", "bn-general5", "--out", str(tmp_path))
    other = holder(tmp_path / "bn-general5")
    assert run(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert f"process {other.pid}" in said
    assert "wait until it is done" in said
    assert stubbed == []
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert run(monkeypatch, *arguments) in (0, 1, 3)


def test_the_common_files_wait_for_another_writer(
    holder: Callable[[Path], subprocess.Popen[str]],
    stubbed: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two runs of different tasks at once: the second to end waits a moment, and both are in the
    report.
    """
    other = holder(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(TOP / "src")}
    command = [sys.executable, "-c", WAIT, str(tmp_path)]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    time.sleep(0.5)
    assert waiting.poll() is None
    other.kill()
    assert waiting.communicate(timeout=60)[0] == "mine\n"


# -- places that cannot be written -----------------------------------------------------------------


UNUSABLE = {  # places for --out that cannot hold a folder, for a reason that a root user meets too
    "a file": "file",
    "below a file": "file/deep",
    "no file system for files": "/proc/veribayes",
    "a name that is too long": "x" * 300,
    "a link to nothing": "dangling",
    "a folder in the place of the report": "taken",
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    case: str,
    stubbed: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "deep")
    (tmp_path / "taken" / "report.html").mkdir(parents=True)
    place = tmp_path / UNUSABLE[case]
    assert run(monkeypatch, "verify", "bn-general5", "--out", str(place)) == 2
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert "--out" in said
    assert stubbed == []


@pytest.mark.parametrize("name", ["plain/deep/er", "with blanks", "Größe-数据", "-dash", "link"])
def test_folders_of_all_sorts_are_written(
    name: str, stubbed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "verify", "bn-general5", f"--out={name}") in (0, 1, 3)
    assert (tmp_path / name / "report.html").is_file()
    assert (tmp_path / name / "bn-general5" / "run.nc").is_file()
    assert run(monkeypatch, "report", "--", name) == 0


def test_a_full_disk_is_said_and_leaves_no_half_file(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    whole = _fake_run.bayesian_network(n=240)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        with pytest.raises(InputError, match="choose another --out"):
            folders.write_text(tmp_path / "a.txt", "x" * 100_000)
        with pytest.raises(InputError, match="choose another --out"):
            store.write_tree(whole, tmp_path / "run.nc")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


def test_a_report_replaces_only_pages(
    stubbed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "verify", "bn-general5", "--out", str(tmp_path)) in (0, 1, 3)
    before = snapshot(tmp_path)
    for target in (tmp_path / "bn-general5" / "run.nc", tmp_path / "result.json", tmp_path):
        assert run(monkeypatch, "report", str(tmp_path), "--out", str(target)) == 2
    assert snapshot(tmp_path) == before
    assert (
        run(monkeypatch, "report", str(tmp_path), "--out", str(tmp_path / "deep" / "page.html"))
        == 0
    )


IDENTIFY = (
    ("identify", "mtd-q5-m3"),
    ("--candidate", "mirror_descent"),
    "runs/identify/mtd-q5-m3/identify.json",
)
PROBE = (("probe", "mtd-q5-m3"), ("--seed", "2"), "runs/probe/mtd-q5-m3/probe.json")


@pytest.mark.parametrize(("usual", "other", "file"), [IDENTIFY, PROBE])
def test_identify_and_probe_overwrite_no_other(
    usual: tuple[str, ...],
    other: tuple[str, ...],
    file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without --out every request has its own folder; into one folder goes one of them."""
    answers = iter(range(100))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("veribayes.candidates.resolve", lambda *given: None)
    monkeypatch.setattr(
        "veribayes.run.identification.identify",
        lambda *a, **k: {"n": next(answers), "conclusion": "bayes"},
    )
    monkeypatch.setattr("veribayes.run.probes.probe", lambda *a, **k: {"n": next(answers)})
    for pages in ("identification", "probe"):
        monkeypatch.setattr(f"veribayes.report.{pages}.markdown", lambda entry: "text")
    monkeypatch.setattr("veribayes.report.probe.page", lambda entry: "page")
    assert run(monkeypatch, *usual) == 0
    before = Path(file).read_bytes()
    assert run(monkeypatch, *usual, *other) == 0
    assert Path(file).read_bytes() == before
    assert run(monkeypatch, *usual, *other, "--out", str(Path(file).parents[1])) == 2
    assert Path(file).read_bytes() == before
    assert run(monkeypatch, *usual) == 0
    assert Path(file).read_bytes() != before

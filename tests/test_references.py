"""The store of references: computed once, reused, verified on reading, safe under two writers and a
kill.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from veribayes import api
from veribayes.candidates import Candidate
from veribayes.predictive import NormalMixture
from veribayes.run import references
from veribayes.tree import Branch, Certificate, Data

TASK = api.task("mtd-q5-m3")
DATA = TASK.simulate(range(3), seed=0).data


def branch(value: float = 0.0) -> Branch:
    """A small answer with everything that a branch may hold, draws and site names with a slash
    included.
    """
    ones = np.ones((3, 1, 2, 1))
    half = NormalMixture(ones, value * ones, ones)
    moments = {"mean": np.array([[[1.0, np.nan]]]), "draws": np.arange(12.0).reshape(1, 1, 2, 3, 2)}
    certificate = Certificate("trusted", "mcmc", 0.01, "montecarlo", (), {"ess_bulk": 400.0})
    return Branch(
        half, certificate, {"net/weight": moments, "b": {"mean": np.ones((3, 1))}}, (half, half)
    )


def same(one: Branch, other: Branch) -> bool:
    np.testing.assert_equal(one.predictive.variables(), other.predictive.variables())
    np.testing.assert_equal(
        {k: dict(v) for k, v in one.posterior.items()},
        {k: dict(v) for k, v in other.posterior.items()},
    )
    return (
        one.certificate == other.certificate
        and one.replicates is not None
        and other.replicates is not None
    )


def counting(calls: list[int], identity: str | None = "engine 1") -> Candidate:
    def infer(task: object, data: Data, seed: int) -> Branch:
        calls.append(seed)
        return branch(float(seed))

    return Candidate("engine", identity, infer, "engine")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(references.VARIABLE, str(tmp_path / "store"))
    return tmp_path / "store"


def test_computed_once_and_the_same_again(folder: Path) -> None:
    calls: list[int] = []
    engine = references.remembered(counting(calls))
    first, again = (engine.infer(TASK, DATA, 7) for _ in range(2))
    assert calls == [7]
    assert same(first, again)
    assert len(list(folder.rglob("*.nc"))) == 1


def test_everything_it_depends_on_is_in_the_key(folder: Path) -> None:
    calls: list[int] = []
    engine = counting(calls)
    other = TASK.simulate(range(1, 4), seed=0).data
    changed = replace(
        DATA, arrays={"y": np.where(np.arange(DATA.arrays["y"].shape[1]) == 0, 0, DATA.arrays["y"])}
    )
    keys = {
        references.key_of(engine, TASK, DATA, 0),
        references.key_of(engine, TASK, DATA, 1),
        references.key_of(engine, TASK, other, 0),
        references.key_of(engine, TASK, changed, 0),
        references.key_of(replace(engine, identity="engine 2"), TASK, DATA, 0),
        references.key_of(engine, api.task("gp-rbf-1d"), DATA, 0),
        references.key_of(engine, TASK, DATA.select(positions=slice(1, None)), 0),
    }
    assert len(keys) == 7


@pytest.mark.parametrize("damage", ["cut", "flipped", "renamed", "empty"])
def test_a_damaged_file_is_computed_again(folder: Path, damage: str) -> None:
    calls: list[int] = []
    engine = references.remembered(counting(calls))
    engine.infer(TASK, DATA, 1)
    engine.infer(TASK, DATA, 2)
    one, other = (
        folder / k[:2] / f"{k}.nc"
        for k in (references.key_of(counting([]), TASK, DATA, s) for s in (1, 2))
    )
    raw = one.read_bytes()
    at = raw.find(np.arange(12.0).tobytes()) + 5
    new = {
        "cut": raw[:-200],
        "flipped": raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :],
        "renamed": other.read_bytes(),
        "empty": b"",
    }[damage]
    one.write_bytes(new)
    assert same(engine.infer(TASK, DATA, 1), branch(1.0))
    assert calls == [1, 2, 1]
    assert references.read(one, one.stem) is not None


def test_without_a_folder_or_an_identity_nothing_is_stored(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = counting([], identity=None)
    assert references.remembered(bare) is bare
    monkeypatch.delenv(references.VARIABLE)
    named = counting([])
    assert references.remembered(named) is named
    assert not folder.exists()


def _write_often(path: str, times: int) -> None:
    for _ in range(times):
        references.write(Path(path), "key", branch(3.0))


@pytest.mark.study
def test_two_writers_leave_one_good_file(tmp_path: Path) -> None:
    path = tmp_path / "key.nc"
    with get_context("spawn").Pool(1) as pool:
        done = pool.apply_async(_write_often, (str(path), 10))
        while not done.ready():
            _write_often(str(path), 1)
            assert references.read(path, "key") is not None  # never half a file
            time.sleep(0.02)
        done.get()
    assert same(references.read(path, "key") or branch(-1.0), branch(3.0))
    assert [p.name for p in tmp_path.iterdir()] == ["key.nc"]


def test_a_kill_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; import tests_branch\n"
        "from veribayes.run import references; from veribayes.storage import store\n"
        "Path.replace = lambda *a: os._exit(9)\n"
        "references.write(Path(sys.argv[1]), 'key', tests_branch.branch())"
    )
    (tmp_path / "tests_branch.py").write_text(
        Path(__file__).read_text(encoding="utf-8"), encoding="utf-8"
    )
    path = tmp_path / "store" / "key.nc"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=environment, check=False, cwd=tmp_path
    )
    assert done.returncode == 9
    assert references.read(path, "key") is None
    references.write(path, "key", branch(1.0))
    assert same(references.read(path, "key") or branch(-1.0), branch(1.0))

"""The recipes of CONTRIBUTING.md are followed:
its files are installed, its commands are run, and they print what it says.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
TEXT = (TOP / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.S)
TRANSCRIPT = re.compile(r"```\n(\$ .*?)```", re.S)
INSTALL = (
    "-m",
    "pip",
    "install",
    "--quiet",
    "--no-deps",
    "--no-build-isolation",
    "--no-index",
    "--disable-pip-version-check",
)


@dataclass(frozen=True)
class Step:
    """A command of the page and the lines that it is said to print."""

    command: str
    lines: tuple[str, ...]


def steps() -> list[Step]:
    """Every line behind `$` with what follows it."""
    found = []
    for block in TRANSCRIPT.findall(TEXT):
        for part in block.split("$ ")[1:]:
            command, *lines = part.strip().splitlines()
            found.append(Step(command, tuple(line.strip() for line in lines)))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, its distribution being installed beside them."""
    folder = tmp_path_factory.mktemp("contributing")
    for name, content in FILE.findall(TEXT):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    command = [sys.executable, *INSTALL, "--target", str(folder / "site"), str(folder)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder


def test_the_page_has_files_and_commands() -> None:
    assert len(FILE.findall(TEXT)) >= 8
    assert len(steps()) >= 4


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.command)
def test_a_recipe_works(step: Step, folder: Path) -> None:
    paths = os.pathsep.join((str(folder / "site"), str(TOP / "src")))
    program, *arguments = shlex.split(step.command)
    entry = ["-c", "from veribayes.cli import main; main()"] if program == "veribayes" else []
    done = subprocess.run(
        [sys.executable, *entry, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for line in step.lines:
        assert line in done.stdout, done.stdout[-2000:]


def test_not_a_line_of_the_package_knows_it() -> None:
    for name in ("models", "inference", "transformer", "validation", "src"):
        for path in (TOP / name).rglob("*.py"):
            assert "coin_counts" not in path.read_text(encoding="utf-8")

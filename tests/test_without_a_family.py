"""A copy of the tree without the files of one family: the rest is listed, imported and verified."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from veribayes import registry

TOP = Path(__file__).resolve().parents[1]
FOLDERS = ("models", "inference", "transformer", "validation")
# what bears a family's name is its own; so is every engine and construction that serves it alone
OWN = {
    "mtd": ("mtd", "_simplex"),
    "gaussian_process": ("gp", "gaussian_process", "_gaussian"),
}


def serves_alone(path: Path, kind: str) -> bool:
    """Whether an engine or a construction says that it serves this family and no other."""
    if not {"inference", "transformer"} & set(path.parts):
        return False
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.AnnAssign)
            and getattr(node.target, "id", "") == "families"
            and node.value is not None
        ):
            return bool(ast.literal_eval(node.value) == (kind,))
    return False


def claims_of(path: Path, kind: str) -> bool:
    """Whether a file of claims measures on the family's tasks, which bear one of its words."""
    if path.parent.name != "claims":
        return False
    prefixes = tuple(f"{word}-" for word in OWN[kind])
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return any(isinstance(text, str) and text.startswith(prefixes) for text in texts)


def without(kind: str, folder: Path) -> Path:
    """A copy of the package with nothing of the family in it."""
    for name in FOLDERS:
        shutil.copytree(TOP / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(
        TOP / "src", folder / "src", symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    for path in sorted(folder.rglob("*"), reverse=True):
        inside = path.relative_to(folder).parts
        if inside[0] not in FOLDERS or not path.exists():
            continue
        named = any(
            path.stem == word or path.stem.startswith((f"{word}-", f"{word}_"))
            for word in OWN[kind]
        )
        if named and path.is_dir():
            shutil.rmtree(path)
        elif named or (
            path.suffix == ".py" and (serves_alone(path, kind) or claims_of(path, kind))
        ):
            path.unlink()
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = (
        f"import sys; sys.path.insert(0, {str(folder / 'src')!r}); from veribayes.cli import "
        "main; main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


@pytest.mark.parametrize("kind", ["mtd", pytest.param("gaussian_process", marks=pytest.mark.study)])
def test_the_rest_is_listed_and_verified(kind: str, tmp_path: Path) -> None:
    folder = without(kind, tmp_path)
    done = run(folder, "list", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    listed = json.loads(done.stdout)
    assert kind not in [row["name"] for row in listed["families"]]
    assert "bn-general5" in [row["name"] for row in listed["tasks"]]
    papers = [row["name"] for row in listed["claims"]]
    assert "simulate_mle" in papers
    assert len(papers) < len(registry.names("claim"))
    options = ["--datasets", "4", "--audit", "0", "--json", "--out", str(tmp_path / "run")]
    done = run(folder, "verify", "bn-general5", *options)
    assert done.returncode == 3, done.stderr[-3000:]


GENERIC = ("tests/parts", "tests/test_kinds.py", "tests/validation/test_decision.py")
BESIDE = ("pyproject.toml", "README.md", "docs", "benchmarks")  # what linters and these tests read


@pytest.mark.study
@pytest.mark.parametrize("kind", ["mtd", "gaussian_process"])
def test_the_rest_lints_and_passes_the_general_tests(kind: str, tmp_path: Path) -> None:
    """Styles, types and import contracts of the package, and what is asked of every task."""
    folder = without(kind, tmp_path)
    for name in (*BESIDE, "tests"):
        source = TOP / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    programs = Path(sys.executable).parent
    for command in (
        [str(programs / "ruff"), "check", "src", *FOLDERS],
        [str(programs / "mypy")],
        [str(programs / "lint-imports")],
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "not study",
            "-p",
            "no:cacheprovider",
            *GENERIC,
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
        assert done.returncode == 0, (command[0], done.stdout[-3000:], done.stderr[-1000:])

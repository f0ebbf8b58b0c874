"""What the documents say is there: commands with their options, findings,
and keys of the JSON documents.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from veribayes import candidates, registry
from veribayes.cli import app
from veribayes.models import Design, _spec
from veribayes.run import identification, pipeline, predictors

TOP = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([TOP / "README.md", *(TOP / "docs").glob("*.md")])
COMMANDS: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OPTIONS = {
    name: {o for p in command.params for o in p.opts} | {"--help"}
    for name, command in COMMANDS.items()
}
BENCHMARKS = {
    path.stem: path.read_text(encoding="utf-8") for path in (TOP / "benchmarks").glob("*.py")
}
SAID_OF_OTHERS = {"--no-deps", "--version"}  # options of other programs


def pieces(text: str) -> Iterator[str]:
    """Lines of fenced and indented code, and code within lines."""
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()
        else:
            yield from re.findall(r"`([^`]+)`", line)


def words(command: str) -> list[str]:
    """Words of a command without what follows it in the same line:
    a comment, or a column of explanation.
    """
    line = (
        re.split(r"\s{2,}|\s#\s|;\s", command.strip())[0]
        .replace("[", " ")
        .replace("]", " ")
        .replace("…", " ")
    )
    return [word.rstrip(",.:") for word in line.split()]


def flags(line: list[str]) -> list[str]:
    return [word.split("=")[0] for word in line if re.fullmatch(r"--[a-z][a-z-]+(=.*)?", word)]


def commands(program: str) -> list[tuple[str, list[str]]]:
    """(document, words behind the program's name) of every command that is shown."""
    shown = [(p.name, piece) for p in DOCUMENTS for piece in pieces(p.read_text(encoding="utf-8"))]
    return [
        (name, words(piece)[len(program.split()) :])
        for name, piece in shown
        if piece.startswith(f"{program} ")
    ]


def test_commands_that_are_shown_exist_with_their_options() -> None:
    shown = commands("veribayes")
    assert len(shown) > 30
    for document, line in shown:
        assert line[0] in COMMANDS, (document, line)
        assert set(flags(line)) <= OPTIONS[line[0]], (document, line)


def test_tasks_and_candidates_that_are_shown_exist() -> None:
    known = {
        name
        for kind in ("task", "checkpoint", "engine", "construction")
        for name in registry.names(kind)
    }
    kinds = {"tasks", "engines", "candidates", "metrics", "tests", *registry.names("claim")}
    for document, line in commands("veribayes"):
        values = [
            word
            for before, word in pairwise(line)
            if not word.startswith("-")
            and (before in ("--candidate", "--engine", "--against", "--task") or before == line[0])
        ]
        for word in values:
            variable = word.isupper() or not re.fullmatch(
                r"[a-z0-9_+-]+", word
            )  # TASK, a file, package.module:object
            assert variable or "/" in word or word in known | kinds, (document, line)


def test_options_that_are_named_alone_exist() -> None:
    everywhere = set().union(*OPTIONS.values()) | set(
        re.findall(r'"(--[a-z][a-z-]+)"', "\n".join(BENCHMARKS.values()))
    )
    for path in DOCUMENTS:
        for piece in pieces(path.read_text(encoding="utf-8")):
            if piece.startswith("--"):
                assert set(flags(words(piece))) <= everywhere | SAID_OF_OTHERS, (path.name, piece)


def test_benchmarks_and_targets_that_are_shown_exist() -> None:
    targets = set(
        re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(encoding="utf-8"), flags=re.M)
    )
    for document, line in commands("make"):
        assert line[0] in targets or "=" in line[0], (document, line)
    shown = [line for line in commands("python -m") if line[1][0].split(".")[0] == "benchmarks"]
    assert shown
    for document, (module, *rest) in shown:
        source = BENCHMARKS[module.partition(".")[2] or "__main__"]
        missing = [flag for flag in flags(rest) if f'"{flag}"' not in source]
        assert not missing, (document, module, missing)


# -- findings and keys -----------------------------------------------------------------------------

FILES = (TOP / "docs" / "files.md").read_text(encoding="utf-8")
INLINE = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", FILES, flags=re.S))
EXPLAINED = {word for code in INLINE for word in re.findall(r"\w+", code)}
BY_NAME = {
    "rivals",
    "scores",
    "endpoints",
    "tests",
    "adjusted",
    "joint",
    "multiplicity",
    "diagnostics",
    "variants",
}
ELSEWHERE = {"model"}  # a specification, as in YAML


def findings(path: Path) -> set[str]:
    """Names of findings in a source file: calls that make one, literals with `name` and `text`,
    and `name: sentence`.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Finding", "_floor"):
            found |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant)}
        elif isinstance(node, ast.Dict):
            literal = {
                k.value: v
                for k, v in zip(node.keys, node.values, strict=True)
                if isinstance(k, ast.Constant)
            }
            name = literal.get("name")
            if "text" in literal and isinstance(name, ast.Constant):
                found.add(name.value)
        elif isinstance(node, ast.Tuple) and path.name == "draws.py" and len(node.elts) == 2:
            found |= {
                e.value
                for e in node.elts[:1]
                if isinstance(e, ast.Constant) and isinstance(e.value, str)
            }
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and path.name == "decision.py"
        ):
            found |= set(re.findall(r"^([a-z]+(?:_[a-z]+)+): ", node.value))
    return {str(name) for name in found}


def test_every_finding_is_explained() -> None:
    sources = [
        path for folder in ("src/veribayes", "validation") for path in (TOP / folder).rglob("*.py")
    ]
    found = set().union(*map(findings, sources))
    kinds = {
        "number_type",
        "noise_floor",
        "beyond_tolerance",
        "seed_noise",
        "draws_repeat",
        "infinite_divergence",
    }
    assert kinds <= found  # one of every way in which a finding is made
    table = FILES.partition("## Findings")[2].partition("\n## ")[0]
    assert found == set(re.findall(r"^\| `(\w+)`", table, flags=re.M))


def keys(document: Any) -> Iterator[str]:
    """Every key that the code chose; names of metrics, tests and predictors are data."""
    if isinstance(document, Mapping):
        for key, value in document.items():
            yield key
            inner = (
                list(value.values()) if key in BY_NAME and isinstance(value, Mapping) else [value]
            )
            for each in [] if key in ELSEWHERE else inner:
                yield from keys(each)
    elif isinstance(document, list):
        for each in document:
            yield from keys(each)


@pytest.fixture(scope="module")
def task() -> Any:
    return replace(_spec.load_task("bn-general5"), design=Design(positions=(5, 20), queries=1))


def test_every_key_of_a_result_is_explained(task: Any) -> None:
    tree = pipeline.run(task, "mle", pipeline.Options(datasets=60, audit=0))
    assert sorted(set(keys(json.loads(tree.attrs["result"]))) - EXPLAINED) == []


def test_every_key_of_an_identification_is_explained(
    task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = [p for p in predictors.known(task) if p.name in ("conjugate", "prior_only", "mle")]
    monkeypatch.setattr(predictors, "known", lambda task, against: some)
    entry = identification.identify(task, candidates.resolve("mle", task, {}), datasets=40)
    assert sorted(set(keys(entry)) - EXPLAINED) == []


@pytest.mark.parametrize("path", sorted((TOP / "docs").glob("*.svg")), ids=lambda path: path.name)
def test_labels_of_a_picture_are_text(path: Path) -> None:
    """A picture whose letters stay text cannot set mathematics: its source would be shown."""
    assert "mathdefault" not in path.read_text(encoding="utf-8")

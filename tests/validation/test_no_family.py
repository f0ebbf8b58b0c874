"""Judging knows no family: neither its name nor its module stands in validation/,
nor where predictors are compared.

A claim is about something, and may name it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from veribayes import registry

TOP = Path(__file__).resolve().parents[2]
RUN = TOP / "src" / "veribayes" / "run"
JUDGING = [
    *(p for p in sorted((TOP / "validation").rglob("*.py")) if p.parent.name != "claims"),
    *(RUN / f"{name}.py" for name in ("identification", "predictors", "probes")),
]
KINDS = {*registry.names("family"), "numpyro"}  # the file of that kind has another name


def named(tree: ast.AST) -> Iterator[str]:
    """Families that a module names: by a string that is a kind,
    or by the import of a family's module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in KINDS:
            yield f"{node.value} in line {node.lineno}"
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            inside = name.partition("veribayes.models.")[2].split(".")[0]
            if inside in registry.names("family"):
                yield f"{name} in line {node.lineno}"


@pytest.mark.parametrize("path", JUDGING, ids=lambda path: str(path.relative_to(TOP)))
def test_no_family_is_named(path: Path) -> None:
    assert list(named(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import veribayes.models.mtd",
        "from veribayes.models.gaussian_process import GaussianProcess",
        "from veribayes.models import mtd",
        "if task.model.kind == 'bayesian_network': pass",
        "FAMILIES = ('numpyro',)",
    ],
)
def test_a_family_that_is_named_is_found(line: str) -> None:
    assert len(list(named(ast.parse(line)))) == 1

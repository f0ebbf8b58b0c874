"""Arguments are the caller's to change, models are models: `ModelError` is raised for the latter alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from veribayes import api, pipeline
from veribayes.errors import InputError, ModelError
from veribayes.models import MTD, Design

TOP = Path(__file__).resolve().parents[1]
ARGUMENTS = {
    "datasets": lambda: pipeline.Options(datasets=0),
    "text for a number": lambda: pipeline.Options(seed="1"),  # type: ignore[arg-type]
    "audit": lambda: pipeline.Options(audit=-1),
    "tests": lambda: pipeline.Options(tests="some"),
    "positions": lambda: Design(positions=(3, -1)),
    "shard": lambda: Design(positions=(3,), shard=0),
    "a design of another family": lambda: api.task(MTD(q=3, m=2), colour=3),
    "a tolerance": lambda: api.verify("bn-general5", "prior_only", tolerance=float("inf")),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_wrong_arguments_are_no_wrong_models(case: str) -> None:
    with pytest.raises(InputError) as raised:
        ARGUMENTS[case]()
    assert type(raised.value) is InputError


def test_a_wrong_model_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="'q' between"):
        MTD(q=0, m=2)


@pytest.mark.parametrize("folder", ["inference", "transformer", "validation", "src/veribayes"])
def test_only_models_raise_model_errors(folder: str) -> None:
    """By name in the syntax tree: outside models/ nothing raises it, and nothing borrows the checks that do."""
    for path in sorted((TOP / folder).rglob("*.py")):
        if any(part in path.relative_to(TOP / folder).parts for part in ("models",)):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert "ModelError" not in names or path.name == "errors.py", path
        assert "veribayes.models._check" not in modules, path

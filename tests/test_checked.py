"""Arguments are the caller's to change, models are models:
`ModelError` is raised for the latter alone.
"""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist

from veribayes import api
from veribayes.errors import InputError, ModelError
from veribayes.models import MTD, Design
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.numpyro_model import NumPyroModel
from veribayes.run import pipeline

TOP = Path(__file__).resolve().parents[1]


def slope(x, y=None):  # type: ignore[no-untyped-def]
    b = numpyro.sample("b", dist.Normal(0, 1))
    numpyro.sample(
        "y", dist.Poisson(np.exp(x) * np.exp(0 * b)) if x.ndim > 1 else dist.Normal(b * x, 1), obs=y
    )


def given(**data: object) -> NumPyroModel:
    model = NumPyroModel(slope, data)
    model.varying  # noqa: B018
    return model


ARGUMENTS = {
    "datasets": lambda: pipeline.Options(datasets=0),
    "text for a number": lambda: pipeline.Options(seed="1"),  # type: ignore[arg-type]
    "audit": lambda: pipeline.Options(audit=-1),
    "tests": lambda: pipeline.Options(tests="some"),
    "positions": lambda: Design(positions=(3, -1)),
    "shard": lambda: Design(positions=(3,), shard=0),
    "a design of another family": lambda: api.task(MTD(q=3, m=2), colour=3),
    "a tolerance": lambda: api.verify("bn-general5", "prior_only", tolerance=float("inf")),
    "no data": lambda: given(),
    "unknown data": lambda: given(x=np.ones(3), z=1),
    "text among data": lambda: given(x="three"),
    "data of another shape": lambda: given(x=np.ones(3), y=np.ones(4)),
    "missing outcomes": lambda: given(x=np.ones(3), y=np.array([1, np.nan, 2])),
    "fractions of what is counted": lambda: given(x=np.ones((1, 3)), y=np.full((1, 3), 0.5)),
    "a program of known tables": lambda: BayesianNetwork(("A",), [()], cpts=[[[0.5, 0.5]]]).program(
        np.zeros((1, 2))
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_wrong_arguments_are_no_wrong_models(case: str) -> None:
    with pytest.raises(InputError) as raised:
        ARGUMENTS[case]()
    assert type(raised.value) is InputError


def test_a_wrong_model_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="'q' between"):
        MTD(q=0, m=2)


def test_a_program_that_fails_without_data_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="ZeroDivisionError"):
        NumPyroModel(lambda: 1 / 0).sites  # noqa: B018


@pytest.mark.parametrize("folder", ["inference", "transformer", "validation", "src/veribayes"])
def test_only_models_raise_model_errors(folder: str) -> None:
    """By name in the syntax tree: outside models/ nothing raises it,
    and nothing borrows the checks that do.
    """
    for path in sorted((TOP / folder).rglob("*.py")):
        if any(part in path.relative_to(TOP / folder).parts for part in ("models",)):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert "ModelError" not in names or path.name == "errors.py", path
        assert "veribayes.models._check" not in modules, path

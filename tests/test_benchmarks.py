"""Benchmarks set what libraries read, before these are imported;
their tables say what was measured.
"""

from __future__ import annotations

import ast
import json
import math
import subprocess
from pathlib import Path

import pytest
from benchmarks import figures

from veribayes import registry
from veribayes.models import _spec

TOP = Path(__file__).resolve().parents[1]
READ = {"OMP_NUM_THREADS", "JAX_PLATFORMS", "PJRT_NPROC"}  # at the import of NumPy and JAX
READERS = ("numpy", "scipy", "jax", "torch", "veribayes")


def settings(statement: ast.stmt) -> set[str]:
    """Variables of the environment that a statement of the form `os.environ |= {...}` sets."""
    update = isinstance(statement, ast.AugAssign) and ast.unparse(statement.target) == "os.environ"
    if not update or not isinstance(statement.value, ast.Dict):
        return set()
    return {str(key.value) for key in statement.value.keys if isinstance(key, ast.Constant)}


def imported(statement: ast.stmt) -> set[str]:
    """Packages that a statement imports."""
    if isinstance(statement, ast.ImportFrom):
        return {(statement.module or "").split(".")[0]}
    return (
        {alias.name.split(".")[0] for alias in statement.names}
        if isinstance(statement, ast.Import)
        else set()
    )


@pytest.mark.parametrize("name", ["__main__", "programs"])
def test_the_environment_of_a_benchmark_is_read(name: str) -> None:
    """`XLA_FLAGS=--xla_cpu_multi_thread_eigen=false` leaves XLA's pool as it is;
    PJRT_NPROC makes it one thread.
    """
    body = ast.parse((TOP / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")).body
    (at,) = [i for i, statement in enumerate(body) if settings(statement)]
    assert settings(body[at]) == READ
    assert not set(READERS) & set().union(*map(imported, body[:at]))


def test_no_file_sets_flags_that_have_no_effect() -> None:
    files = [
        p
        for folder in ("benchmarks", "src", "models", "inference", "transformer", "validation")
        for p in sorted((TOP / folder).rglob("*.py"))
    ]
    assert [p.name for p in files if "XLA_FLAGS" in p.read_text(encoding="utf-8")] == []


def test_draws_of_categories_are_held_to_the_tolerance_of_kl_in_every_shipped_task() -> None:
    """What `make tolerances` computes for them:
    half the chi-square divergence is KL to second order.
    """
    tasks = [_spec.load_task(name) for name in registry.names("task")]
    held = [t for t in tasks if t.model.n_categories and t.tolerance is not None]
    assert len(held) >= 11
    assert [t.name for t in held if t.tolerance.draws != t.tolerance.kl] == []  # type: ignore[union-attr]


def test_every_shipped_tolerance_is_computed_again_unless_tasks_are_named() -> None:
    """`make verify` has a choice of its own, which `make tolerances` must not inherit."""
    for tasks in ([], ["TASKS=bn-sachs"]):
        command = ["make", "-n", "--no-print-directory", "tolerances", *tasks]
        said = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True).stdout
        assert said.strip().splitlines()[-1].split()[3:] == [
            name.partition("=")[2] for name in tasks
        ]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.928, "92.8 %"),
        (0.9928, "99.28 %"),
        (0.9999579, "99.9958 %"),
        (0.99999988, "99.999988 %"),
        (0.0, "0.0 %"),
        (1.0, "100.00000000 %"),
        (-2.5, "-250.0 %"),
        (-math.inf, "none"),
    ],
)
def test_a_share_shows_two_digits_of_what_is_missing(share: float, text: str) -> None:
    assert figures.percent(share) == text


def test_a_row_of_the_readme_is_what_the_document_says() -> None:
    documents = Path(__file__).parent / "documents"
    entry = json.loads((documents / "bn-general5.json").read_text(encoding="utf-8"))["results"][0]
    row = figures.row(entry)
    assert row["task"] == "`bn-general5`"
    assert row["verdict"] == "undecided, 400 data sets needed"
    assert row["KL(exact ‖ network), nats"] == "2.71e-06 [2.46e-06, 3.13e-06]"
    assert row["Bayes recovery"] == "99.9958 %"
    assert row["best rival's recovery"] == "92.7 % (`wrong_prior`)"
    unstable = {**entry["primary"], "high": None}
    assert figures.interval(unstable) == "2.71e-06 [2.46e-06, no stable limit]"

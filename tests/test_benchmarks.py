"""Benchmarks set what libraries read, before these are imported."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

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
    return {alias.name.split(".")[0] for alias in statement.names} if isinstance(statement, ast.Import) else set()


@pytest.mark.parametrize("name", ["__main__", "programs"])
def test_the_environment_of_a_benchmark_is_read(name: str) -> None:
    """`XLA_FLAGS=--xla_cpu_multi_thread_eigen=false` leaves XLA's pool as it is; PJRT_NPROC makes it one thread."""
    body = ast.parse((TOP / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")).body
    (at,) = [i for i, statement in enumerate(body) if settings(statement)]
    assert settings(body[at]) == READ
    assert not set(READERS) & set().union(*map(imported, body[:at]))


def test_no_file_sets_flags_that_have_no_effect() -> None:
    files = [p for folder in ("benchmarks", "src", "models", "inference", "transformer", "validation")
             for p in sorted((TOP / folder).rglob("*.py"))]  # fmt: skip
    assert [p.name for p in files if "XLA_FLAGS" in p.read_text(encoding="utf-8")] == []

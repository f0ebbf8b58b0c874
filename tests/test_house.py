"""How the package is built: the measures of `benchmarks.house`,
and the tables that are made from the registry.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import house, parts

from veribayes import registry

SOURCE = '''"""Docstring."""
x = 1
def f(a):
    """Docstring."""
    b = [i for i in range(10) if i % 2 == 0 and i > 3]
    assert a
    raise ValueError(b)
'''


def test_statements_are_counted_without_docstrings(tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text(SOURCE)
    sizes = list(house.statement_sizes(path))
    assert len(sizes) == 4
    assert min(sizes) == 3  # Assert, Name, Load
    assert max(sizes) > 20


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("x = [a for a in b]", 0),
        ("x = [[a for a in c] for c in b]", 1),
        ("x = {k: sum(v for v in c) for k, c in b}", 1),
        ("x = 1 if a else 2 if b else 3", 1),
        ("x = [1 if a else 2 for a in b]", 0),
        ("if (x := a): pass", 1),
        ("while x := a(): pass", 0),
    ],
)
def test_an_expression_within_its_own_kind_is_found(line: str, found: int, tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text(line + "\n")
    assert len(list(house.nested(path))) == found


@pytest.mark.parametrize(
    ("pairs", "rooms"),
    [
        ({("a", "b"), ("b", "c"), ("a", "c")}, []),
        ({("a", "b"), ("b", "c"), ("c", "b")}, ["a", "b", "c"]),
        ({("b", "c"), ("c", "b")}, ["b", "c"]),
    ],
)
def test_a_cycle_is_found(pairs: set[tuple[str, str]], rooms: list[str]) -> None:
    assert house.cycle(pairs) == rooms


def test_a_limit_is_a_limit() -> None:
    assert "too much" not in str(house.Measure("lines", 400, 400))
    assert "too much" in str(house.Measure("lines", 401, 400))


def test_every_file_of_the_package_is_counted() -> None:
    paths = house.sources()
    assert {path.relative_to(house.TOP).parts[0] for path in paths} == {"src", *house.FOLDERS}
    assert len(paths) == len(set(paths))


def test_tables_of_parts_are_what_the_registry_says() -> None:
    """`python -m benchmarks.parts --write` makes them anew."""
    assert parts.stale() == []


def test_every_shipped_task_stands_in_the_readme() -> None:
    readme = (house.TOP / "README.md").read_text(encoding="utf-8")
    for name in registry.names("task"):
        assert f"`{name}`" in readme, name

"""How the package is built, in numbers, each with the limit that it may not cross:
what `make lint` prints last.

A statement is an assignment, a return, an expression, a raise or an assertion; its nodes are those
of its syntax tree, without docstrings. Comprehensions and conditions do not hold another of their
kind, and a name is given by a statement, so that a line says one thing. A room is a package or a
module directly under `veribayes`; an arrow is a pair of rooms of which one imports the other.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grimp

TOP = Path(__file__).resolve().parents[1]
SHELL = TOP / "src" / "veribayes"
FOLDERS = ("models", "inference", "transformer", "validation")
STATEMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr, ast.Raise, ast.Assert)
LARGE = 40  # nodes
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
APART = ("py.typed", "__pycache__", *FOLDERS)  # entries of src/veribayes that are not counted


@dataclass(frozen=True)
class Measure:
    """A number and its limit.

    Attributes:
        name: what is counted.
        value: what was found.
        most: the limit; what lies above it fails.
        detail: where the largest one is.
    """

    name: str
    value: float
    most: float
    detail: str = ""

    def __str__(self) -> str:
        mark = "" if self.value <= self.most else "  <- too much"
        where = f"  ({self.detail})" if self.detail else ""
        return f"{self.name:<42} {self.value:>6.1f}   at most {self.most:g}{where}{mark}"


def sources() -> list[Path]:
    """Python files of the package; tests and benchmarks are free."""
    shell = [path for path in SHELL.rglob("*.py") if path.resolve().is_relative_to(SHELL)]
    folders = [path for name in FOLDERS for path in (TOP / name).rglob("*.py")]
    return sorted(shell + folders)


def statement_sizes(path: Path) -> Iterator[int]:
    """Nodes of each statement of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, STATEMENTS) and not _docstring(node):
            yield sum(1 for _ in ast.walk(node))


def _docstring(node: ast.stmt) -> bool:
    value = getattr(node, "value", None)
    return isinstance(node, ast.Expr) and isinstance(getattr(value, "value", None), str)


def nested(path: Path) -> Iterator[int]:
    """Lines of comprehensions and of conditional expressions that hold another of their kind,
    and of names that are given inside of an expression; a loop may test what it names.
    """
    loops = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.While):
            loops.add(node.test)
        if isinstance(node, ast.NamedExpr) and node not in loops:
            yield node.lineno
        for kind in (COMPREHENSIONS, ast.IfExp):
            if isinstance(node, kind) and sum(isinstance(n, kind) for n in ast.walk(node)) > 1:
                yield node.lineno


def arrows() -> set[tuple[str, str]]:
    """Pairs of rooms of which the first imports the second."""
    graph = grimp.build_graph("veribayes")
    rooms = sorted(graph.find_children("veribayes"))
    pairs = set()
    for importer in rooms:
        for imported in rooms:
            apart = importer != imported
            if apart and graph.direct_import_exists(
                importer=importer, imported=imported, as_packages=True
            ):
                pairs.add((importer, imported))
    return pairs


def cycle(pairs: set[tuple[str, str]]) -> list[str]:
    """Rooms that remain when every room that imports no other one is taken away again and again."""
    rooms = {room for pair in pairs for room in pair}
    while True:
        importers = {importer for importer, imported in pairs if imported in rooms}
        remaining = rooms & importers
        if remaining == rooms:
            return sorted(rooms)
        rooms = remaining


def measures() -> list[Measure]:
    """All of them, in the order in which they are printed."""
    paths = sources()
    sizes = [size for path in paths for size in statement_sizes(path)]
    large = sum(size > LARGE for size in sizes)
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    longest = max(lengths, key=lambda path: lengths[path])
    pairs = arrows()
    clever = []
    for path in paths:
        clever += [f"{path.relative_to(TOP)}:{line}" for line in nested(path)]
    entries = [path.name for path in SHELL.iterdir() if path.name not in APART]
    return [
        Measure("mean nodes a statement", sum(sizes) / len(sizes), 16.0),
        Measure(f"statements over {LARGE} nodes, in percent", 100 * large / len(sizes), 3.0),
        Measure("lines of the longest file", lengths[longest], 400, str(longest.relative_to(TOP))),
        Measure("expressions within their own kind", len(clever), 0, ", ".join(clever)),
        Measure("imports between rooms", len(pairs), 80),
        Measure("rooms in a cycle of imports", len(cycle(pairs)), 0, ", ".join(cycle(pairs))),
        Measure("entries of src/veribayes", len(entries), 14),
    ]


def main() -> int:
    """Print every measure; 1 where one crosses its limit."""
    found = measures()
    for measure in found:
        print(measure)
    return int(any(measure.value > measure.most for measure in found))


if __name__ == "__main__":
    sys.exit(main())

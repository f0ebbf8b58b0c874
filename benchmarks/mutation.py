"""How many mutants of the code that decides are noticed by its tests.

Run: python -m benchmarks.mutation [FILE...] [--mutants N] [--seed S] [--jobs J] [--list]

A mutant is the tree with one small change in one file: another comparison, another operator, another number, one of two
extremes for the other, a keyword left out. A seeded sample of all of them over decision, bootstrap, intervals, multiplicity,
checks and certificates is taken; each one is tried against the tests of its file and is killed when a test fails. A survivor is
a fault that no test would see, or an equivalent program; those that were found equivalent stand in equivalent_mutants.json with
one line of reason each. What was tried is kept in runs/mutation and is not tried again while source and tests are the same.
Source: DeMillo, Lipton & Sayward 1978, doi:10.1109/C-M.1978.218136.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
REASONS = Path(__file__).with_name("equivalent_mutants.json")
KEPT = ROOT / "runs" / "mutation"
SECONDS = 300  # a mutant that runs for longer has made a loop endless, and is killed by that
AIM, MOST_EQUIVALENT = 0.90, 0.10

TESTS: Mapping[str, tuple[str, ...]] = {
    "validation/decision.py": ("tests/validation/test_decision.py",),
    "validation/bootstrap.py": ("tests/validation/test_bootstrap.py",),
    "validation/intervals.py": ("tests/validation/test_intervals.py",),
    "validation/monte_carlo.py": ("tests/validation/test_monte_carlo.py",),
    "validation/summaries.py": ("tests/validation/test_summaries.py",),
    "validation/tests/_null.py": ("tests/validation/test_tests.py",),
    "src/veribayes/pareto.py": ("tests/test_pareto.py",),
    "src/veribayes/secondary.py": ("tests/test_checks.py",),
    "src/veribayes/checks.py": ("tests/test_checks.py",),
    "inference/_diagnostics.py": ("tests/inference/test_diagnostics.py",),
}
Place = tuple[tuple[str, int | None], ...]  # a node: from the root the field, and the number in it where it is a list
COMPARISONS: Mapping[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
OPPOSITES = {
    "min": "max",
    "max": "min",
    "minimum": "maximum",
    "maximum": "minimum",
    "argmin": "argmax",
    "argmax": "argmin",
    "any": "all",
    "all": "any",
    "ceil": "floor",
    "floor": "ceil",
    "mean": "sum",
    "nanmean": "nansum",
}


@dataclass(frozen=True, eq=False)
class Mutant:
    """One change.

    Attributes:
        file: path in the tree.
        name: function, operator and number of its kind there; stays the same when lines move.
        line: where it stands today.
        place: the node that is another.
        changed: what stands there instead.
    """

    file: str
    name: str
    line: int
    place: Place
    changed: ast.AST

    @property
    def identity(self) -> str:
        return f"{self.file}::{self.name}"

    @cached_property
    def source(self) -> str:
        """The whole file with the change."""
        tree = ast.parse((ROOT / self.file).read_text())
        put(tree, self.place, self.changed)
        return ast.unparse(ast.fix_missing_locations(tree))


def main(arguments: Sequence[str]) -> int:
    """Try the sample and print how many were killed; exit code 1 where that is below the aim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="files of the tree; all that decide when left out")
    parser.add_argument("--mutants", type=int, default=400, help="size of the sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="print the sample and try nothing")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.files if name not in TESTS]
    if unknown:
        parser.error(f"files that decide are {', '.join(TESTS)}; got {', '.join(unknown)}")
    everything = [mutant for name in given.files or TESTS for mutant in mutants_of(name)]
    chosen = sample(everything, given.mutants, given.seed)
    if given.list:
        print("\n".join(f"{m.file}:{m.line} {m.name}" for m in chosen))
        return 0
    killed = trial(chosen, given.jobs)
    return report(chosen, killed, len(everything))


def sample(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """So many of them, drawn without replacement, in the order of their files."""
    rng = np.random.default_rng(seed)
    size = min(count, len(mutants))
    places = np.sort(rng.choice(len(mutants), size, replace=False))
    return [mutants[i] for i in places]


def report(chosen: Sequence[Mutant], killed: Mapping[str, bool], total: int) -> int:
    """Print a row a file and the survivors; 0 where the aim is met."""
    reasons: Mapping[str, str] = json.loads(REASONS.read_text()) if REASONS.exists() else {}
    tried, dead = Counter(m.file for m in chosen), Counter(m.file for m in chosen if killed[m.identity])
    survivors = [m for m in chosen if not killed[m.identity]]
    excused = [m for m in survivors if m.identity in reasons]
    for file in tried:
        print(f"{file:32} {dead[file]:4} of {tried[file]:4} killed")
    for mutant in survivors:
        print(f"survived: {mutant.file}:{mutant.line} {mutant.name} {reasons.get(mutant.identity, '')}")
    share, equivalent = dead.total() / len(chosen), len(excused) / len(chosen)
    print(
        f"{dead.total()} of {len(chosen)} mutants killed ({share:.1%}), sampled from {total}; "
        f"{len(excused)} survivors are equivalent for a stated reason ({equivalent:.1%})"
    )
    return 0 if share >= AIM and equivalent <= MOST_EQUIVALENT else 1


# -- trying --------------------------------------------------------------------------------------------------------------


def trial(chosen: Sequence[Mutant], jobs: int) -> dict[str, bool]:
    """Whether the tests noticed each mutant; the trees that they run in are copies."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            trees.put(copied(Path(folder) / str(number)))
        _check(trees, {test for m in chosen for test in TESTS[m.file]})

        def attempt(mutant: Mutant) -> bool:
            path = KEPT / f"{_key(mutant)}.json"
            if path.exists():
                return bool(json.loads(path.read_text())["killed"])
            tree = trees.get()
            try:
                noticed = fails(tree, mutant)
            finally:
                trees.put(tree)
            path.write_text(json.dumps({"mutant": mutant.identity, "killed": noticed}))
            print(f"{'killed  ' if noticed else 'SURVIVED'} {mutant.file}:{mutant.line} {mutant.name}", file=sys.stderr)
            return noticed

        with ThreadPoolExecutor(jobs) as pool:
            return dict(zip((m.identity for m in chosen), pool.map(attempt, chosen), strict=True))


def copied(folder: Path) -> Path:
    """A copy of what git tracks, with the links in it."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists() or (ROOT / name).is_symlink():
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return folder


def fails(tree: Path, mutant: Mutant) -> bool:
    """Whether a test of its file fails in the tree with the change."""
    path = tree / mutant.file
    original = path.read_text()
    path.write_text(mutant.source)
    try:
        return not passes(tree, TESTS[mutant.file])
    finally:
        path.write_text(original)


def passes(tree: Path, tests: Sequence[str]) -> bool:
    """Whether the tests pass in the tree."""
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", "not study"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ended = subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def _check(trees: SimpleQueue[Path], tests: set[str]) -> None:
    """Without a change every test passes; else all mutants would look killed."""
    tree = trees.get()
    if not passes(tree, sorted(tests)):
        raise SystemExit("the tests fail without any change: mend them first")
    trees.put(tree)


def _key(mutant: Mutant) -> str:
    """Of the mutant's file and of the tests that may kill it."""
    digest = hashlib.sha256(mutant.source.encode())
    for test in TESTS[mutant.file]:
        digest.update((ROOT / test).read_bytes())
    return digest.hexdigest()[:32]


# -- making --------------------------------------------------------------------------------------------------------------


def mutants_of(file: str) -> list[Mutant]:
    """All mutants of a file, in the order of its lines."""
    tree = ast.parse((ROOT / file).read_text())
    seen: Counter[str] = Counter()
    mutants = []
    for function, path in places(tree):
        node = at(tree, path)
        for what, changed in changes(node):
            kind = f"{function} {what}"
            seen[kind] += 1
            name = f"{kind} #{seen[kind]}"
            mutants.append(Mutant(file, name, getattr(node, "lineno", 0), path, changed))
    return mutants


def places(tree: ast.AST) -> Iterator[tuple[str, Place]]:
    """Every node that runs, with the function it stands in: no annotation, docstring or text of an error."""
    waiting: list[tuple[str, Place, ast.AST]] = [("module", (), tree)]
    while waiting:
        function, path, node = waiting.pop()
        yield function, path
        inside = node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else function
        below = [(inside, (*path, step), child) for step, child in children(node)]
        waiting += reversed(below)


def children(node: ast.AST) -> Iterator[tuple[tuple[str, int | None], ast.AST]]:
    """The nodes below that decide something."""
    if isinstance(node, ast.Raise | ast.JoinedStr):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        if isinstance(value, ast.AST):
            yield (name, None), value
        elif isinstance(value, list):
            for i, child in enumerate(value):
                if isinstance(child, ast.AST):
                    yield (name, i), child


def at(tree: ast.AST, path: Place) -> ast.AST:
    """The node there."""
    node: ast.AST = tree
    for name, i in path:
        value = getattr(node, name)
        node = value if i is None else value[i]
    return node


def put(tree: ast.AST, path: Place, changed: ast.AST) -> None:
    """Another node there."""
    parent = at(tree, path[:-1])
    name, i = path[-1]
    if i is None:
        setattr(parent, name, changed)
    else:
        getattr(parent, name)[i] = changed


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What could stand there instead, each with a word for it."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in COMPARISONS[type(node.ops[0])]:
            word = f"{type(node.ops[0]).__name__}->{other.__name__}"
            yield word, ast.Compare(node.left, [other()], node.comparators)
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        other_operator = OPERATORS[type(node.op)]
        word = f"{type(node.op).__name__}->{other_operator.__name__}"
        yield word, ast.BinOp(node.left, other_operator(), node.right)
    elif isinstance(node, ast.BoolOp):
        yield _bool(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        yield f"{type(node.op).__name__} left out", node.operand
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.Call):
        yield from _calls(node)


def _bool(node: ast.BoolOp) -> tuple[str, ast.AST]:
    other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    return f"{type(node.op).__name__}->{type(other).__name__}", ast.BoolOp(other, node.values)


def _constants(node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node.value, bool):
        yield f"{node.value}->{not node.value}", ast.Constant(not node.value)
    elif isinstance(node.value, int):
        yield f"{node.value}->{node.value + 1}", ast.Constant(node.value + 1)
    elif isinstance(node.value, float):
        other = 2 * node.value if node.value else 1.0
        yield f"{node.value}->{other}", ast.Constant(other)


def _calls(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in OPPOSITES:
        function = copy.deepcopy(node.func)
        setattr(function, "attr" if isinstance(function, ast.Attribute) else "id", OPPOSITES[name])
        yield f"{name}->{OPPOSITES[name]}", ast.Call(function, node.args, node.keywords)
    for i, keyword in enumerate(node.keywords):
        rest = [k for j, k in enumerate(node.keywords) if j != i]
        yield f"{name or 'call'} without {keyword.arg}", ast.Call(node.func, node.args, rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""How many mutants of the code that decides are noticed by its tests.

Run: python -m benchmarks.mutation [FILE...] [--mutants N] [--seed S] [--jobs J] [--list]

A mutant is the tree with one small change in one file: another comparison, another operator,
another number, one of two extremes for the other, a keyword left out. A seeded sample of all of
them over the code that decides (TESTS) is taken; each one is tried against the tests of its file
and is killed when a test fails. A survivor is a fault that no test would see, or an equivalent
program; those that were found equivalent stand in equivalent_mutants.json with one line of reason
each. What was tried is kept in runs/mutation and is not tried again while source and tests are the
same. Each trial is a fork of one process that has imported what does not change (PRELOADED) and
nothing of veribayes. Source: DeMillo, Lipton & Sayward 1978, doi:10.1109/C-M.1978.218136.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
REASONS = Path(__file__).with_name("equivalent_mutants.json")
KEPT = ROOT / "runs" / "mutation"
SECONDS, TIMES = (
    30,
    5,
)
# a mutant that runs for longer than that and so many times its tests has made a loop endless:
# killed
PRELOADED = [
    "jax",
    "pytest",
    "numpy",
    "xarray",
    "scipy.stats",
    "scipy.optimize",
    "scipy.integrate",
    "scipy.fft",
    "scipy.special",
    "arviz_stats.base",
]
AIM, MOST_EQUIVALENT = 0.90, 0.10

TESTS: Mapping[str, tuple[str, ...]] = {
    "validation/decision.py": ("tests/validation/test_decision.py",),
    "validation/clusters.py": ("tests/validation/test_decision.py",),
    "validation/bootstrap.py": ("tests/validation/test_bootstrap.py",),
    "validation/resampling.py": ("tests/validation/test_bootstrap.py",),
    "validation/intervals.py": ("tests/validation/test_interval_data.py",),
    "validation/monte_carlo.py": ("tests/validation/test_monte_carlo.py",),
    "validation/summaries.py": ("tests/validation/test_summaries.py",),
    "validation/checks/_null.py": ("tests/validation/test_null.py",),
    "src/veribayes/statistics/pareto.py": ("tests/test_pareto.py",),
    "validation/secondary.py": ("tests/test_secondary.py",),
    "validation/questions.py": ("tests/test_check_rules.py",),
    "validation/evidence.py": ("tests/test_check_rules.py",),
    "validation/continuations.py": ("tests/test_check_rules.py",),
    "validation/joint_pairs.py": ("tests/test_check_rules.py",),
    "validation/joint_scores.py": ("tests/test_check_rules.py",),
    "validation/endpoints/joint_kl.py": ("tests/test_check_rules.py",),
    "validation/endpoints/latent_kl.py": ("tests/test_check_rules.py",),
    "validation/endpoints/leaked_mass.py": ("tests/test_check_rules.py",),
    "src/veribayes/statistics/diagnostics.py": ("tests/inference/test_diagnostics.py",),
    "validation/independence.py": ("tests/validation/test_draw_statistics.py",),
    "validation/repeats.py": ("tests/validation/test_repeats.py",),
    "validation/stability.py": ("tests/validation/test_stability.py",),
    "validation/draws.py": ("tests/test_draw_rules.py",),
    "src/veribayes/statistics/limits.py": ("tests/test_draw_rules.py",),
}
Place = tuple[
    tuple[str, int | None], ...
]  # a node: from the root the field, and the number in it where it is a list
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "files", nargs="*", help="only what the sample has in these files of the tree"
    )
    parser.add_argument("--mutants", type=int, default=400, help="size of the sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="print the sample and try nothing")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.files if name not in TESTS]
    if unknown:
        parser.error(f"files that decide are {', '.join(TESTS)}; got {', '.join(unknown)}")
    everything = [mutant for name in TESTS for mutant in mutants_of(name)]
    chosen = [
        m for m in sample(everything, given.mutants, given.seed) if m.file in (given.files or TESTS)
    ]
    if given.list:
        print("\n".join(f"{m.file}:{m.line} {m.name}" for m in chosen))
        return 0
    killed = trial(chosen, given.jobs)
    return report(chosen, killed, len(everything))


def sample(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Those with the smallest digests of (seed, identity), in the order of their files:
    a change of one file moves few.
    """
    chosen = sorted(
        mutants, key=lambda m: hashlib.sha256(f"{seed} {m.identity}".encode()).digest()
    )[:count]
    kept = {m.identity for m in chosen}
    return [m for m in mutants if m.identity in kept]


def report(chosen: Sequence[Mutant], killed: Mapping[str, bool], total: int) -> int:
    """Print a row a file and the survivors; 0 where the aim is met."""
    reasons: Mapping[str, str] = json.loads(REASONS.read_text()) if REASONS.exists() else {}
    tried, dead = (
        Counter(m.file for m in chosen),
        Counter(m.file for m in chosen if killed[m.identity]),
    )
    survivors = [m for m in chosen if not killed[m.identity]]
    excused = [m for m in survivors if m.identity in reasons]
    for file in tried:
        print(f"{file:32} {dead[file]:4} of {tried[file]:4} killed")
    for mutant in survivors:
        print(
            f"survived: {mutant.file}:{mutant.line} {mutant.name} "
            f"{reasons.get(mutant.identity, '')}"
        )
    share, equivalent = dead.total() / len(chosen), len(excused) / len(chosen)
    print(
        f"{dead.total()} of {len(chosen)} mutants killed ({share:.1%}), sampled from {total}; "
        f"{len(excused)} survivors are equivalent for a stated reason ({equivalent:.1%})"
    )
    return 0 if share >= AIM and equivalent <= MOST_EQUIVALENT else 1


# -- trying ----------------------------------------------------------------------------------------


def trial(chosen: Sequence[Mutant], jobs: int) -> dict[str, bool]:
    """Whether the tests noticed each mutant; the trees that they run in are copies."""
    KEPT.mkdir(parents=True, exist_ok=True)
    paths = {
        m.identity: _kept(m) for m in chosen
    }  # of the sources and tests as they are now, as are the copies
    known = {
        name: json.loads(path.read_text())["killed"]
        for name, path in paths.items()
        if path.exists()
    }
    untried = [m for m in chosen if m.identity not in known]
    with tempfile.TemporaryDirectory() as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs if untried else 0):
            trees.put(copied(Path(folder) / str(number)))
        limits = _limits(trees, sorted({m.file for m in untried}))

        def attempt(mutant: Mutant) -> bool:
            tree = trees.get()
            try:
                noticed = fails(tree, mutant, limits[mutant.file])
            finally:
                trees.put(tree)
            paths[mutant.identity].write_text(
                json.dumps({"mutant": mutant.identity, "killed": noticed})
            )
            print(
                f"{'killed  ' if noticed else 'SURVIVED'} {mutant.file}:{mutant.line} "
                f"{mutant.name}",
                file=sys.stderr,
            )
            return noticed

        with ThreadPoolExecutor(jobs) as pool:
            return known | dict(
                zip((m.identity for m in untried), pool.map(attempt, untried), strict=True)
            )


def copied(folder: Path) -> Path:
    """A copy of what git tracks, with the links in it."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, names.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists() or (ROOT / name).is_symlink():
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return folder


def fails(tree: Path, mutant: Mutant, seconds: float) -> bool:
    """Whether a test of its file fails in the tree with the change."""
    path = tree / mutant.file
    original, written = path.read_text(), path.stat().st_mtime_ns
    path.write_text(mutant.source)
    try:
        return not passes(tree, TESTS[mutant.file], seconds)
    finally:
        path.write_text(original)
        os.utime(path, ns=(written, written))  # its compiled file is valid again


def passes(tree: Path, tests: Sequence[str], seconds: float, *, compiled: bool = False) -> bool:
    """Whether the tests pass in the tree within the time;
    `compiled`: modules leave their compiled files there.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    os.environ |= {"OMP_NUM_THREADS": "1"}  # a process with threads must not fork
    process = context.Process(target=_test, args=(tree, tests, compiled))
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        assert process.pid is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return process.exitcode == 0


def _test(tree: Path, tests: Sequence[str], compiled: bool) -> None:
    """Run the tests in this process, which imports veribayes from the tree,
    and end it with pytest's exit code.
    """
    import pytest

    os.setsid()
    os.chdir(tree)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    here = str(tree / "src")
    mine = {"", str(ROOT), str(ROOT / "src")}
    sys.path[:] = [here, *(entry for entry in sys.path if entry not in mine)]
    os.environ |= {"PYTHONPATH": here, "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = not compiled
    assert not any(name.split(".")[0] == "veribayes" for name in sys.modules)
    plug_ins = (
        "cacheprovider",
        "hypothesispytest",
        "unraisableexception",
    )  # half of the time, and nothing here needs them
    left_out = [word for name in plug_ins for word in ("-p", f"no:{name}")]
    options = ["-x", "-q", "--tb=no", "-n", "0", *left_out, "-m", "not study"]
    os._exit(pytest.main([*options, *tests]))


def _limits(trees: SimpleQueue[Path], files: Sequence[str]) -> dict[str, float]:
    """Seconds after which a mutant of each file is stuck. Without a change every test passes;
    else all would look killed.
    """
    limits = {}
    for file in files:
        tree, start = trees.get(), time.monotonic()
        if not passes(tree, TESTS[file], 600, compiled=True):
            raise SystemExit(f"the tests of {file} fail without any change: mend them first")
        trees.put(tree)
        limits[file] = SECONDS + TIMES * (time.monotonic() - start)
    return limits


def _kept(mutant: Mutant) -> Path:
    """The file that says how it ended."""
    return KEPT / f"{_key(mutant)}.json"


def _key(mutant: Mutant) -> str:
    """Of the mutant's file and of the tests that may kill it."""
    digest = hashlib.sha256(mutant.source.encode())
    for test in TESTS[mutant.file]:
        digest.update((ROOT / test).read_bytes())
    return digest.hexdigest()[:32]


# -- making ----------------------------------------------------------------------------------------


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
    """Every node that runs, with the function it stands in:
    no annotation, docstring or text of an error.
    """
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

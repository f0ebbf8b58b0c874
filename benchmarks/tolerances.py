"""Compute the frozen tolerances of shipped tasks and say whether their YAML holds the same numbers.

Run: make tolerances   (or: python -m benchmarks.tolerances TASK... [--write])
"""

from __future__ import annotations

import re
import sys

from veribayes import pipeline, registry, store
from veribayes.models import _spec
from veribayes.models._task import Tolerance


def main(arguments: list[str]) -> int:
    """Print one line a task; with --write put the numbers into the YAML. Exit code 1 when a file differs."""
    write = "--write" in arguments
    names = [a for a in arguments if not a.startswith("--")] or registry.names("task")
    differs = False
    for name in names:
        task = _spec.load_task(name)
        made = pipeline.compute_tolerance(task)
        same = task.tolerance == made
        differs |= not same
        print(f"{name}: {line(made)}  {'as frozen' if same else 'DIFFERS' if task.tolerance else 'not frozen yet'}")
        if write and not same:
            freeze(name, made)
    return int(differs and not write)


def line(tolerance: Tolerance) -> str:
    """The YAML line of a tolerance."""
    t = tolerance
    return f"tolerance: {{kl: {t.kl!r}, draws: {t.draws!r}, seed: {t.seed}, datasets: {t.datasets}}}"


def freeze(name: str, tolerance: Tolerance) -> None:
    """Put the tolerance into a shipped task's YAML, whole or not at all."""
    path = registry.task_path(name)
    assert path is not None
    text = re.sub(r"^tolerance:.*\n", "", path.read_text(encoding="utf-8"), flags=re.M)
    store.write_text(path, re.sub(r"^(reference:)", line(tolerance) + r"\n\1", text, count=1, flags=re.M))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Compute the frozen tolerances of shipped tasks and say whether their YAML holds the same numbers.

Run: make tolerances   (or: python -m benchmarks.tolerances TASK... [--write])

`--half-chi-square` prints instead what 1 % of the prior's mean half chi-square divergence would be,
in tolerances of KL.
"""

from __future__ import annotations

import re
import sys

import numpy as np

from veribayes import registry
from veribayes.models import _spec
from veribayes.models._task import Task, Tolerance
from veribayes.run import scoring, tolerance
from veribayes.storage import store
from veribayes.validation import decision


def main(arguments: list[str]) -> int:
    """Print one line a task; with --write put the numbers into the YAML.
    Exit code 1 when a file differs.
    """
    write, other = "--write" in arguments, "--half-chi-square" in arguments
    names = [a for a in arguments if not a.startswith("--")] or registry.names("task")
    differs = False
    for name in names:
        task = _spec.load_task(name)
        if other:
            print(f"{name}: {half_chi_square(task):.3g}")
            continue
        made = tolerance.compute_tolerance(task)
        same = task.tolerance == made
        differs |= not same
        print(
            f"{name}: {line(made)}  "
            f"{'as frozen' if same else 'DIFFERS' if task.tolerance else 'not frozen yet'}"
        )
        if write and not same:
            freeze(name, made)
    return int(differs and not write)


def half_chi_square(task: Task, datasets: int = 400) -> float:
    """The tolerance that half the chi-square divergence would have by its own mean,
    over that of KL; NaN for reals.
    """
    if not task.model.n_categories:
        return float("nan")
    means = []
    for guess, exact, simulation in tolerance.priors(task, 0, datasets):
        scores = [
            scoring.score(name, guess, exact, simulation) for name in ("half_chi_square", "kl")
        ]
        means.append([decision.cluster_means(values).mean() for values in scores])
    own, kl = np.mean(means, axis=0)
    return float(own / kl)


def line(tolerance: Tolerance) -> str:
    """The YAML line of a tolerance."""
    t = tolerance
    return (
        f"tolerance: {{kl: {t.kl!r}, draws: {t.draws!r}, seed: {t.seed}, datasets: {t.datasets}}}"
    )


def freeze(name: str, tolerance: Tolerance) -> None:
    """Put the tolerance into a shipped task's YAML, whole or not at all."""
    path = registry.task_path(name)
    assert path is not None
    text = re.sub(r"^tolerance:.*\n", "", path.read_text(encoding="utf-8"), flags=re.M)
    store.write_text(
        path, re.sub(r"^(reference:)", line(tolerance) + r"\n\1", text, count=1, flags=re.M)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

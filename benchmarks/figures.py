"""The README's table: what `veribayes verify` says of every shipped network on its own task.

Run: python -m benchmarks.figures [TASK...] [--write]

Every task that has a network of its name, 1,000 data sets, seed 0, as `veribayes verify TASK` asks.
A row is kept in runs/figures and read back while the sources, the task and the weights are the
same. With --write, the table between the marks of the README is made anew; tasks that are not named
keep their rows only if they were measured before.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import _documents
from veribayes import api, registry
from veribayes.models import _spec

OUT = Path("runs") / "figures"
DATASETS = 1000
Entry = Mapping[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Measure, print; with --write put the table into the README."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", help="shipped tasks; all that have a network, if none")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    given = parser.parse_args(arguments)
    rows = []
    for name in given.tasks or judged():
        rows.append(row(measured(name)))
        print(_documents.table(rows[-1:]).splitlines()[-1], flush=True)
    if given.write:
        print(f"written: {_documents.put('../README.md', 'figures', _documents.table(rows))}")
    return 0


def judged() -> list[str]:
    """Shipped tasks with a network of the same name."""
    networks = set(registry.names("checkpoint"))
    return [name for name in registry.names("task") if name in networks]


def measured(name: str) -> Entry:
    """The result's entry of a task and its network."""
    folder = registry.checkpoint_path(name)
    assert folder is not None
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    key = {
        "task": _spec.load_task(name).hash,
        "weights": card["weights_sha256"],
        "datasets": DATASETS,
    }

    def verified() -> list[dict[str, Any]]:
        return [dict(api.verify(_spec.load_task(name), name, datasets=DATASETS).entry)]

    return _documents.resumed(OUT / f"{name}.json", key, verified)[0]


def row(entry: Entry) -> dict[str, str]:
    """A row of the table."""
    primary = entry["primary"]
    best = max(entry["rivals"], key=lambda name: recovered(entry["rivals"][name]))
    share = percent(recovered(entry["rivals"][best]))
    return {
        "task": f"`{entry['task']}`",
        "what is asked": entry["description"].replace("|", "\\|"),
        "verdict": verdict(entry),
        "KL(exact ‖ network), nats": interval(primary),
        "tolerance": f"{primary['tolerance']:.2g}",
        "Bayes recovery": percent(recovered(entry)),
        "best rival's recovery": f"{share} (`{best}`)",
    }


def verdict(entry: Entry) -> str:
    """The verdict, and how many data sets would settle it where it is open."""
    needed = entry["primary"].get("datasets_needed")
    if entry["verdict"] != "undecided":
        return str(entry["verdict"])
    return "undecided" + (f", {needed:,} data sets needed" if needed else "")


def interval(primary: Entry) -> str:
    """Estimate and 95 % limits; a limit that there is not is said so."""
    high = "no stable limit" if primary["high"] is None else f"{primary['high']:.2e}"
    return f"{primary['estimate']:.2e} [{primary['low']:.2e}, {high}]"


def recovered(entry: Entry) -> float:
    """Bayes recovery; nothing where it is infinitely bad."""
    estimate = entry["recovery"]["estimate"]
    return -math.inf if estimate is None else float(estimate)


def percent(share: float) -> str:
    """A share with two digits of what is missing to the whole."""
    if not math.isfinite(share):
        return "none"
    missing = 100 * abs(1 - share)
    digits = 8 if missing == 0 else min(8, max(1, 1 - math.floor(math.log10(missing))))
    return f"{100 * share:.{digits}f} %"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

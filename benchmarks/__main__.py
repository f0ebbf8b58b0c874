"""`make benchmarks`: each engine and named peers on the same work in one process;
prints ratios, writes JSON and figures.

    python -m benchmarks                  every part; or some of them by name
    python -m benchmarks --write          also into docs/benchmarks.md

CPU seconds a unit on one thread, after compilation, best of some rounds. The peers do the same job:
a predictive at every prefix (chains, Gaussian processes), every single-node posterior (networks),
an effective draw (mcmc). Peers that are not installed are left out. A ratio under 1.3 is a tie.
Each part writes runs/benchmarks/PART.json and PART.png when it is done.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import sys
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

# before NumPy and JAX are imported: CPU seconds of several threads that wait for each other mean
# nothing
os.environ |= {"OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", "PJRT_NPROC": "1"}

TIE = 1.3  # ratios that a loaded machine makes of nothing


def parts() -> dict[str, str]:
    """Name -> the unit of its times: files of this folder that say a `UNIT` as a literal, read
    without running them.
    """
    units = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "UNIT":
                units[path.stem] = ast.literal_eval(statement.value)
    return units


PARTS = parts()


def main() -> int:
    """Run the parts, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.partition("\n\n")[0]
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", choices=[*PARTS, []], help=", ".join(PARTS)
    )
    parser.add_argument(
        "--write", action="store_true", help="put the tables into docs/benchmarks.md"
    )
    asked = parser.parse_args()
    warnings.simplefilter("ignore")  # peers warn about their own future
    for part in asked.parts or PARTS:
        _run(part, write=asked.write)
    return 0


def _run(part: str, *, write: bool) -> None:
    from benchmarks import _documents, _timing
    from veribayes.storage import store

    rows, path = [], Path("runs/benchmarks") / f"{part}.json"
    for r in import_module(f"benchmarks.{part}").rows():
        print(f"{r['work']:<34} {r['engine']:<20} {r['microseconds']:>10.1f} us", end="   ")
        print(
            f"{r['peer']:<28} {r['peer_microseconds']:>12.1f} us   x {r['ratio']:.3g} (goal "
            f"{r['goal']:g})",
            end="   ",
        )
        many = (
            f"{r['seconds_per_1000']:.3g} s for 1,000 (goal {r['goal_seconds']:g})"
            if "goal_seconds" in r
            else ""
        )
        print(f"error {r['error']:.1g}" if "error" in r else "", many, flush=True)
        rows.append(r)
    document = {
        "schema": "veribayes.benchmarks/1",
        "unit": PARTS[part],
        "rows": rows,
        "provenance": store.provenance(),
    }
    store.write_text(path, json.dumps(document, indent=1))
    _timing.draw(rows, path.with_suffix(".png"), unit=PARTS[part])
    print(f"written: {path}, {path.with_suffix('.png')}", flush=True)
    if write:
        print(
            "written: "
            f"{_documents.put('benchmarks.md', part, _documents.table([shown(r) for r in rows]))}",
            flush=True,
        )


def shown(r: Mapping[str, Any]) -> dict[str, str]:
    """A row as it stands in the document; where the goal is a time,
    that is what is set against it.
    """
    timed, ratio = "goal_seconds" in r, r["ratio"]
    reached = r["seconds_per_1000"] <= r["goal_seconds"] if timed else ratio >= r["goal"]
    tie = not timed and r["goal"] == 1 and 1 / TIE <= ratio < TIE
    return {
        "work": str(r["work"]),
        "engine": str(r["engine"]),
        "µs": f"{r['microseconds']:,.1f}",
        "peer": str(r["peer"]),
        "peer's µs": f"{r['peer_microseconds']:,.1f}",
        "ratio": f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}",
        "goal": f"{r['goal_seconds']:g} s for 1,000" if timed else f"{r['goal']:,g}",
        "reached": "tie" if tie else "yes" if reached else "no",
        "error": f"{r['error']:.1g}" if "error" in r else "",
    }


if __name__ == "__main__":
    sys.exit(main())

"""`make benchmarks`: each engine and a named peer on the same work in one process; prints ratios, writes JSON and a figure.

CPU seconds a data set, after compilation, best of some rounds. The peers do the same job: a predictive at every prefix (MTD,
GP) or every single-node posterior (BN). A ratio under 1.3 is a tie.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

from benchmarks import _timing, bayesian_networks, chains, gaussian_processes
from veribayes import store


def main() -> int:
    """Run all, print, write runs/benchmarks.json."""
    warnings.simplefilter("ignore")  # peers warn about their own future
    rows = [*bayesian_networks.rows(), *gaussian_processes.rows(), *chains.rows()]
    for r in rows:
        print(f"{r['work']:<34} {r['engine']:<20} {r['microseconds']:>10.1f} us", end="   ")
        print(f"{r['peer']:<28} {r['peer_microseconds']:>12.1f} us   x {r['ratio']:.3g}", end="   ")
        print(f"error {r['error']:.1g}" if "error" in r else "")
    path = Path("runs/benchmarks.json")
    store.write_text(
        path, json.dumps({"schema": "veribayes.benchmarks/1", "rows": rows, "provenance": store.provenance()}, indent=1)
    )
    _timing.draw(rows, path.with_suffix(".png"))
    print(f"written: {path}, {path.with_suffix('.png')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Put what was measured of the tests into docs/calibration.md:
tables, the figure, and the battery beside sbi's diagnostics.

Run: python -m benchmarks.calibration_page [FOLDER], after `veribayes calibrate-tests --out FOLDER`
(default runs/calibration) and `make sbi-table`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _documents
from veribayes import registry
from veribayes.storage import store
from veribayes.validation.checks import _planted, _problems

DATASETS, ROUNDS = 200, 20
OURS = {
    "rosenblatt": "reference-aware battery",
    "sbc_rank": "SBC",
    "sbc_rank-likelihood": "SBC + log-lik.",
    "tarp": "TARP",
    "c2st-pairs": "C2ST",
}
PEER = {"sbc": "sbi: SBC", "sbc+": "sbi: SBC + log-lik.", "tarp": "sbi: TARP", "c2st": "sbi: C2ST"}


def main(arguments: Sequence[str]) -> int:
    """Write the document's measured parts."""
    folder = Path(arguments[0] if arguments else "runs/calibration")
    document = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
    peer = json.loads(
        Path("runs/sbi-peer.json").read_text(encoding="utf-8")
    )  # a row it does not have yet is a dash
    for figure in ("calibration.svg", "coverage.svg"):
        store.write_text(_documents.DOCS / figure, (folder / figure).read_text(encoding="utf-8"))
    _documents.put(
        "calibration.md", "tests", (folder / "calibration.md").read_text(encoding="utf-8").strip()
    )
    _documents.put(
        "calibration.md", "battery", f"{battery(document, peer)}\n\n{footnote(document, peer)}"
    )
    print(f"written: {_documents.DOCS / 'calibration.md'}")
    return 0


def battery(document: Mapping[str, Any], peer: Mapping[str, Any]) -> str:
    """Rejection rates of one line a planted posterior, ours and sbi's."""
    mine = {(e["problem"], e["defect"]): e["rate"] for e in document["power"]}
    mine |= {(e["problem"], e["defect"]): e["rate"] for e in document["size"] if e["n"] == DATASETS}
    theirs = {row["defect"]: row for row in peer["rows"]}
    rows = []
    for defect in _planted.POSTERIORS:
        row = {"planted defect": defect}
        row |= {head: f"{mine[problem, defect]:.2f}" for problem, head in OURS.items()}
        rows.append(
            row
            | {
                head: f"{theirs[defect][key]:.2f}" if defect in theirs else "–"
                for key, head in PEER.items()
            }
        )
    return _documents.table(rows)


def footnote(document: Mapping[str, Any], peer: Mapping[str, Any]) -> str:
    """How many replicates, and how long the battery takes."""
    counts = [
        e["replicates"] for e in document["size"] if e["problem"] in OURS and e["n"] == DATASETS
    ]
    nulls = " to ".join(f"{count:,}" for count in sorted({min(counts), max(counts)}))
    power, theirs = document["power"][0]["replicates"], peer["rows"][0]
    return (
        f"Replicates: ours {nulls} for `none`, {power} for a defect; sbi {peer['sbi']} "
        f"{theirs['replicates']}, its C2ST {theirs['c2st_replicates']}. One run of the battery "
        f"takes {1e3 * seconds():.1f} ms of one core."
    )


def seconds() -> float:
    """CPU time of the battery on 200 data sets with 100 draws each; the best of several."""
    test, times = registry.load("check", "rosenblatt"), []
    for i in range(ROUNDS):
        arrays, options = _problems.PROBLEMS["rosenblatt"].draw(
            np.random.default_rng(i), DATASETS, _planted.NULL
        )
        start = time.process_time()
        test.run(*arrays, **options)
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Put the ledger of `veribayes claims` into docs/claims.md, or into the page of a family.

Run: python -m benchmarks.claims [FOLDER [DOCUMENT]], after `veribayes claims` (default runs/claims)
or `veribayes claims --full` (runs/claims-full). DOCUMENT is a page of docs with the mark of the
form, `quick` or `full`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import _documents
from veribayes.report import claims as pages

FOLDER = Path("runs/claims")


def rows(ledger: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row a measurement; the sentence stands in the first of its claim."""
    shown = []
    for claim in ledger["claims"]:
        for number, measurement in enumerate(claim["measurements"]):
            first = number == 0
            shown.append(
                {
                    "claim": f"`{claim['name']}`" if first else "",
                    "setting": measurement["setting"],
                    "measured": pages.value(measurement),
                    "threshold": claim["threshold"],
                    "outcome": f"{pages.mark(claim)} {claim['reading']}" if first else "",
                }
            )
    return shown


def main(arguments: Sequence[str]) -> int:
    """Write the table of a folder's ledger under the mark of its form."""
    folder = Path(arguments[0]) if arguments else FOLDER
    document = arguments[1] if len(arguments) > 1 else "claims.md"
    ledger = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    text = f"{_documents.table(rows(ledger))}\n\n{pages.summary(ledger)}"
    print(f"written: {_documents.put(document, ledger['form'], text)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Measured tables in the documentation: each stands between two marks and is replaced by the
command that measures it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from veribayes.storage import store

DOCS = Path(__file__).resolve().parent.parent / "docs"


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Markdown table; the first row's keys are the headings."""
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([row[h] for h in heads] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def put(document: str, mark: str, text: str) -> Path:
    """Replace what stands between `<!-- mark -->` and `<!-- /mark -->` in a document of docs/."""
    path, opening, closing = DOCS / document, f"<!-- {mark} -->", f"<!-- /{mark} -->"
    whole = path.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(opening)}.*?{re.escape(closing)}", re.S)
    if not pattern.search(whole):
        raise LookupError(f"{path} has no place marked {opening}")
    store.write_text(path, pattern.sub(lambda _: f"{opening}\n{text}\n{closing}", whole, count=1))
    return path


def keep(name: str, schema: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write the numbers behind a table to runs/NAME.json."""
    path = Path("runs") / f"{name}.json"
    text = {"schema": schema, "rows": list(rows), "provenance": store.provenance()}
    store.write_text(path, json.dumps(text, indent=1))
    return path


def resumed(
    path: Path, key: Mapping[str, Any], measure: Callable[[], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Rows that the same sources measured under the same key before,
    or those of `measure`, written.
    """
    key = {"source": store.source_digest(), **key}
    if path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] == key:
            return list(stored["rows"])
    rows = measure()
    store.write_text(path, json.dumps({"key": key, "rows": rows}, indent=1))
    return rows

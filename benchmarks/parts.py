"""What is shipped, as tables in docs/parts.md, made from the registry; a test finds them stale.

Run: python -m benchmarks.parts [--write]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from benchmarks import _documents
from veribayes import registry
from veribayes.models import _spec

DOCUMENT = "parts.md"
Rows = list[dict[str, str]]


def tasks() -> Rows:
    """A row a task: what is asked, of which family, by which engines."""
    rows = []
    for name in registry.names("task"):
        task = _spec.load_task(name)
        rows.append(
            {
                "task": code(name),
                "family": code(task.model.kind),
                "what is asked": cell(task.description),
                "positions": f"{task.design.positions[0]} to {task.design.positions[-1]}",
                "reference": code(task.reference),
                "second route": code(task.second_route),
            }
        )
    return rows


def engines() -> Rows:
    """A row an engine: how it computes, whom it serves."""
    rows = []
    for name in registry.names("engine"):
        engine = registry.load("engine", name)
        served = ", ".join(code(family) for family in engine.families) or "any"
        rows.append(
            {
                "engine": code(name),
                "method": str(engine.method),
                "families": served,
                "what it is": cell(registry.summary("engine", name)),
            }
        )
    return rows


def checkpoints() -> Rows:
    """A row a checkpoint, from its card."""
    rows = []
    for name in registry.names("checkpoint"):
        folder = registry.checkpoint_path(name)
        assert folder is not None
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        rows.append(
            {
                "checkpoint": code(name),
                "task": code(card["task"]),
                "parameters": f"{card['parameters']:,}",
                "steps": f"{card['recipe']['steps']:,}",
                "seeds": f"{1 + len(card.get('seeds', ()))}",
                "trained for": minutes(card["seconds"]),
                "command": code(card["command"]),
            }
        )
    return rows


def claims() -> Rows:
    """A row a claim: the sentence, where it was read, what is expected."""
    rows: Rows = []
    for paper_name in registry.names("claim"):
        paper = registry.load("claim", paper_name)
        rows += [
            {
                "claim": code(f"{paper_name}.{claim.name}"),
                "sentence": cell(claim.statement),
                "source": f"{paper.source}, {claim.read_in}",
                "statistic": cell(f"{claim.statistic}: {claim.threshold}"),
                "expected": claim.expected,
            }
            for claim in paper.claims
        ]
    return rows


def plain(kind: str) -> Rows:
    """A row a part: name and first line."""
    return [
        {kind: code(name), "what it is": cell(registry.summary(kind, name))}
        for name in registry.names(kind)
    ]


def code(text: str) -> str:
    return f"`{text}`"


def cell(text: str) -> str:
    """Text that stays in one cell of a Markdown table."""
    return text.replace("|", "\\|")


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min"


def tables() -> dict[str, Rows]:
    """Every table by its mark in the document."""
    special = {
        "tasks": tasks(),
        "engines": engines(),
        "checkpoints": checkpoints(),
        "claims": claims(),
    }
    kinds = {kind: plain(kind) for kind in registry.FOLDERS if f"{kind}s" not in special}
    return {**special, **{kind: rows for kind, rows in kinds.items() if rows}}


def stale() -> list[str]:
    """Marks whose tables are not what the registry says;
    of a kind without a place in the document too.
    """
    text = (_documents.DOCS / DOCUMENT).read_text(encoding="utf-8")
    return [
        mark
        for mark, rows in tables().items()
        if f"<!-- {mark} -->\n{_documents.table(rows)}\n<!-- /{mark} -->" not in text
    ]


def main(arguments: Sequence[str]) -> int:
    """Print what is stale; with --write make the whole document anew."""
    if "--write" in arguments:
        path = _documents.DOCS / DOCUMENT
        sections = [
            f"## {heading(mark)}\n\n<!-- {mark} -->\n{_documents.table(rows)}\n<!-- /{mark} -->"
            for mark, rows in tables().items()
        ]
        path.write_text("\n\n".join([INTRODUCTION, *sections]) + "\n", encoding="utf-8")
        print(f"written: {path}")
        return 0
    found = stale()
    print("\n".join(f"stale: {mark}" for mark in found) or "all tables are what the registry says")
    return int(bool(found))


def heading(mark: str) -> str:
    """The kind in the plural, as a heading."""
    plural = mark if mark.endswith("s") else "families" if mark == "family" else f"{mark}s"
    return plural.capitalize()


INTRODUCTION = """# What is shipped

`python -m benchmarks.parts --write` makes these tables from the registry, and a test finds them
stale. `veribayes list` prints the same on a terminal, with what other distributions add.
A part is a file; [CONTRIBUTING.md](../CONTRIBUTING.md) says how to add one."""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

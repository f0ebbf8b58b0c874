"""docs/design.svg: the rooms in their layers,
and the trip of a task from the command line to the report.

Run: python -m benchmarks.design_picture

Layers are those of the import contract in pyproject.toml;
each stop of the trip is a sentence beside its room.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
PICTURE = TOP / "docs" / "design.svg"
ABOUT: Mapping[str, str] = {
    "cli": "a command a file; exit codes are a contract",
    "api": "task, verify, load from Python",
    "run": "options, roles, shards, one comparison, sections",
    "posteriors": "saved draws: read, aligned, compared",
    "candidates": "a kind a file: engines, networks, callables, recordings",
    "report": "a section a file",
    "validation": "metrics, checks, endpoints",
    "inference": "engines, certificates",
    "transformer": "tokens, heads, training",
    "models": "families, layouts, tasks, readers of network files",
    "storage": "files that appear whole, folders with one owner",
    "tree": "names of dimensions, and the values that stages hand on",
    "statistics": "tails, diagnostics of chains, limits in words",
    "predictive": "the seven forms",
    "registry": "parts by file name, and what other distributions add",
    "checked": "arguments in their canonical type",
    "errors": "what can go wrong, as one tree",
}
STOPS: Mapping[str, Sequence[str]] = {  # room -> numbered stops of `veribayes verify`
    "cli": ("1 reads words and options",),
    "run": ("2 cuts the data sets into shards", "7 builds one comparison"),
    "models": ("3 simulates the data sets of a shard",),
    "inference": ("4 infers the truth",),
    "candidates": ("5 asks the candidate, once",),
    "validation": ("6 scores", "8 decides"),
    "storage": ("9 keeps the run",),
    "report": ("10 draws the run",),
}
WIDTH, ROW, TITLE = 960, 64, 15
GAP, LEFT = 16, 30
INK, QUIET, STOP = "#1c2430", "#5a6675", "#0b5c9c"
FACE, EDGE, PAGE = "#eef3f8", "#9db0c4", "#ffffff"


def layers() -> list[list[str]]:
    """Rooms from the command line down, siblings side by side."""
    settings = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [
        c for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers"
    ]
    return [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]


def drawing(rows: Sequence[Sequence[str]]) -> str:
    """The picture as SVG."""
    height = ROW * len(rows) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="Rooms of veribayes in layers, with the trip of a task" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="{PAGE}"/>',
    ]
    for number, rooms in enumerate(rows):
        width = (WIDTH - 2 * LEFT - GAP * (len(rooms) - 1)) // len(rooms)
        for place, room in enumerate(rooms):
            parts += box(room, LEFT + place * (width + GAP), 20 + number * ROW, width)
    note = (
        "A room may import every room below it, and none beside or above it. Numbers: the trip of "
        "one task."
    )
    parts.append(f'<text x="{LEFT}" y="{height - 12}" fill="{QUIET}">{note}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def box(room: str, x: int, y: int, width: int) -> list[str]:
    """One room: its name and its stops in the first line, what it holds in the second."""
    stops = " · ".join(STOPS.get(room, ()))
    face = (
        f'<rect x="{x}" y="{y}" width="{width}" height="{ROW - 12}" rx="6" fill="{FACE}" '
        f'stroke="{EDGE}"/>'
    )
    name = f'<tspan font-weight="600" font-size="{TITLE}" fill="{INK}">{room}</tspan>'
    trip = f'<tspan dx="7" font-size="11" fill="{STOP}">{escape(stops)}</tspan>'
    first = f'<text x="{x + 10}" y="{y + 20}">{name}{trip}</text>'
    about = escape(ABOUT[room])
    second = f'<text x="{x + 10}" y="{y + 40}" font-size="12" fill="{QUIET}">{about}</text>'
    return [face, first, second]


def main() -> int:
    """Write the picture."""
    PICTURE.write_text(drawing(layers()), encoding="utf-8")
    print(f"written: {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Names that a reader takes for one another, or that hold what no reader sees: said in a note,
never merged.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

MOST = 5  # notes of one kind; the rest is counted
# Letters of other scripts that are drawn like Latin ones (Unicode TR 39, the commonest).
TWINS = str.maketrans(
    "аеорсухіјѕԁԛԝһАВЕКМНОРСТУХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧοιν",
    "aeopcyxijsdqwhABEKMHOPCTYXIJSABEZHIKMNOPTYXoiv",
)


def name_notes(nodes: Sequence[str], states: Sequence[Sequence[str]]) -> list[str]:
    """One sentence for each name with invisible characters, and for each pair of names that look
    alike.

    Args:
        nodes: names of the nodes.
        states: of each node.
    """
    lists = {"nodes": nodes}
    for node, own in zip(nodes, states, strict=True):
        lists[f"states of {node!a}"] = own
    unusual = {where: names for where, names in lists.items() if not all(map(str.isascii, names))}
    return [*_limited(_invisible(unusual)), *_limited(_alike(unusual))]


def _limited(notes: list[str]) -> list[str]:
    if len(notes) <= MOST:
        return notes
    return [*notes[:MOST], f"{len(notes) - MOST} more names like these"]


def _invisible(lists: Mapping[str, Sequence[str]]) -> list[str]:
    """Names with direction marks, zero-width or control characters."""
    notes = []
    for where, names in lists.items():
        for name in names:
            hidden = sorted({c for c in name if _is_hidden(c)})
            if hidden:
                listed = ", ".join(map(_described, hidden))
                place = f"the name {name!a} among the {where}"
                notes.append(f"{place} holds invisible characters: {listed}")
    return notes


def _described(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'control')}"


def _alike(lists: Mapping[str, Sequence[str]]) -> list[str]:
    """Names that differ in their characters and not in their looks."""
    notes = []
    for where, names in lists.items():
        first: dict[str, str] = {}
        for name in names:
            other = first.setdefault(_look(name), name)
            if other != name:
                pair = f"the names {other!a} and {name!a} among the {where}"
                notes.append(f"{pair} look alike and are different")
    return notes


def _look(name: str) -> str:
    """What is drawn: composed letters, plain blanks, nothing invisible, Latin letters for their
    twins.
    """
    visible = "".join(c for c in name if not _is_hidden(c))
    composed = unicodedata.normalize("NFC", visible)
    blanks = "".join(" " if unicodedata.category(c) == "Zs" else c for c in composed)
    return blanks.translate(TWINS)


def _is_hidden(character: str) -> bool:
    """Format and control characters, variation selectors, fillers."""
    return (
        unicodedata.category(character) in ("Cf", "Cc")
        or "\ufe00" <= character <= "\ufe0f"
        or character == "\u3164"
    )

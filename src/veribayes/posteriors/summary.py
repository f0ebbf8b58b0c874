"""The document of a comparison as lines of text, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]

LEFT_OUT = {
    "left_out": "in one only",
    "constant_in_one": "constant in one",
    "constants_that_differ": "constants with different values",
}


def summary(document: Document, most: int = 10) -> str:
    """Verdict, what would settle it, both sides, effects with the largest first,
    tests and notes.
    """
    lines = [f"{document['verdict']} (tolerance {document['tolerance']:g} sd)"]
    if document["needed"]:
        lines.append(document["needed"]["text"])
    for role in ("reference", "candidate"):
        side = document[role]
        lines.append(f"{role}: {_visible(side['name'])}, {_converged(side['certificate'])}")
    lines += _effects(document, most)
    for name, test in document["tests"].items():
        lines.append(f"  {name}: p = {test['p_value']:.3g} ({test['draws']} draws a side)")
    for name, why in document["not_compared"].items():
        lines.append(f"not compared: {_visible(name)}, {_visible(why)}")
    for key, words in LEFT_OUT.items():
        if document[key]:
            lines.append(f"{words}: {some(document[key])}")
    return "\n".join([*lines, *map(_visible, document["notes"])])


def some(names: Sequence[str], most: int = 20) -> str:
    """The first of these names, and how many there are more."""
    first = ", ".join(map(_visible, names[:most]))
    return f"{first} and {len(names) - most} more" if len(names) > most else first


def _visible(text: str) -> str:
    """Text from a file, for a terminal: no control characters."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _effects(document: Document, most: int) -> list[str]:
    entries = [*document["effects"], *document["shapes"]]
    entries.sort(key=lambda entry: -abs(entry["estimate"]))
    lines = [_effect(entry) for entry in entries[:most]]
    more = len(entries) - len(lines)
    return [*lines, f"  and {more} smaller ones"] if more else lines


def _effect(entry: Document) -> str:
    name = f"  {entry['kind']:<12}{_visible(entry['name']):<24}"
    interval = f"[{entry['low']:.3f}, {entry['high']:.3f}]"
    return f"{name}{entry['estimate']:>9.3f}  {interval}  {entry['place']}"


def _converged(certificate: Document) -> str:
    """The verdict on convergence with its numbers, where all of them are there."""
    parts = [certificate["verdict"]]
    diagnostics = certificate["diagnostics"]
    if None not in diagnostics.values():
        sizes = f"ESS {diagnostics['ess_bulk']:.4g} bulk, {diagnostics['ess_tail']:.4g} tail"
        parts[0] += f" (R-hat {diagnostics['rank_r_hat']:.4g}, {sizes})"
    parts += certificate["reasons"]
    if certificate["unknown"]:
        parts.append(f"not saved: {', '.join(certificate['unknown'])}")
    return "; ".join(parts)

"""Other scores than the primary one; nothing is decided by them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veribayes.report import _words as words
from veribayes.report._run import Run, mapping
from veribayes.report._section import Section, shipped_template


def prepare(run: Run, salt: str) -> Mapping[str, Any] | None:
    """Name, estimate with interval, and unit of every score."""
    del salt  # no figure
    rows = []
    for name, entry in mapping(run.result.get("scores")).items():
        if name not in (run.metric, "pit"):
            score = mapping(entry)
            rows.append((_name(name, run.metric), _size(score, run.power), _unit(score)))
    return {"scores": rows} if rows else None


def _name(score: str, primary: str) -> str:
    """A metric's name in words.

    Beside the divergence between densities, `kl` is the part of it that lies between the masses of
    the candidate's bins.
    """
    if (score, primary) == ("kl", "kl_density"):
        return "KL(exact ‖ candidate) between the masses of its bins"
    return words.metric(score)


def _size(score: Mapping[str, Any], power: int) -> str:
    infinite_share = score.get("infinite_share")
    if infinite_share:
        return f"infinite in {words.share(infinite_share)} of data sets"
    return str(words.interval(score, power if _unit(score) == "nats" else None))


def _unit(score: Mapping[str, Any]) -> str:
    unit = str(score.get("unit", ""))
    return "" if unit == "1" else unit


PART = Section(order=80, template=shipped_template("scores.html"), prepare=prepare)

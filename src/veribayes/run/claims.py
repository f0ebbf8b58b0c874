"""Claims of the literature: found, run, resumed, and written as a ledger.

A claim is named `PAPER.CLAIM`; a paper's name alone means all of its claims. Each outcome is stored
as it is found, under a key of all that it depends on: the claim, the form, the seed and the source
of the package. A second call reads what has the same key.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veribayes import registry
from veribayes.errors import InputError
from veribayes.run.laboratory import Laboratory
from veribayes.storage import folders, store
from veribayes.validation.claims._claim import UNDECIDED, Claim, Paper

SCHEMA = "veribayes.claims/1"
LEDGER, OUTCOMES, NETWORKS = "claims.json", "outcomes", "networks"
EXPECTED, OTHER, OPEN = 0, 1, 3  # exit codes

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Listed:
    """A claim with its paper.

    Attributes:
        paper: the part's name.
        of: its source and title.
        claim: the claim.
    """

    paper: str
    of: Paper
    claim: Claim

    @property
    def name(self) -> str:
        """`PAPER.CLAIM`."""
        return f"{self.paper}.{self.claim.name}"

    def entry(self) -> dict[str, Any]:
        """What is known before anything is measured, as JSON."""
        return {
            "name": self.name,
            "statement": self.claim.statement,
            "source": self.of.source,
            "title": self.of.title,
            "read_in": self.claim.read_in,
            "statistic": self.claim.statistic,
            "threshold": str(self.claim.threshold),
            "expected": self.claim.expected,
            "tasks": list(self.claim.tasks),
            "note": self.claim.note,
        }


def known() -> list[Listed]:
    """Every claim that can be loaded, paper by paper."""
    listed = []
    for name in registry.usable("claim"):
        paper: Paper = registry.load("claim", name)
        listed += [Listed(name, paper, claim) for claim in paper.claims]
    return listed


def selected(names: Sequence[str]) -> list[Listed]:
    """The claims of these names, in the order of `known`; all of them where no name is given.

    Raises:
        InputError: a name that is neither a paper's nor a claim's.
    """
    every = known()
    papers = {listed.paper for listed in every}
    claims = {listed.name for listed in every}
    wanted = set()
    for given in names:
        paper, point, claim = given.partition(".")
        name = paper.replace("-", "_") + point + claim
        if name not in papers | claims:
            expected = f"papers or claims among {', '.join(sorted(papers | claims))}"
            raise InputError(expected, f"'{given}'", "see 'veribayes claims --list'")
        wanted.add(name)
    if not names:
        return every
    return [each for each in every if each.paper in wanted or each.name in wanted]


def run(
    names: Sequence[str] = (),
    *,
    full: bool = False,
    seed: int = 0,
    out: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure claims and say which outcomes are the expected ones.

    Args:
        names: papers and claims; all where none is given.
        full: the long form, with more data sets and settings.
        seed: with it every number is determined.
        out: folder for outcomes and the ledger of all that it holds; an interrupted call resumes
            from it. None keeps nothing.
        progress: called with the number of claims that are done.

    Returns:
        The ledger of these claims, schema veribayes.claims/1.

    Raises:
        InputError: an unknown name, or a folder of another form or seed.
    """
    chosen = selected(names)
    laboratory = _laboratory(full, seed, out)
    request = {"claims": "literature", "form": _form(full), "seed": seed}
    rows = []
    with nullcontext() if out is None else folders.owned(out, request):
        for listed in chosen:
            rows.append(_row(listed, laboratory, out))
            if progress:
                progress(len(rows))
        if out is not None:
            whole = _ledger(_kept(laboratory, out), laboratory)
            store.write_text(out / LEDGER, json.dumps(whole, indent=1, allow_nan=False) + "\n")
    return _ledger(rows, laboratory)


def _ledger(rows: Sequence[dict[str, Any]], laboratory: Laboratory) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "form": _form(laboratory.full),
        "seed": laboratory.seed,
        "level": "95 % limits, over the settings of a claim together; data sets are the unit",
        "exit_code": exit_code(rows),
        "claims": list(rows),
    }


def _laboratory(full: bool, seed: int, out: Path | None) -> Laboratory:
    return Laboratory(full, seed) if out is None else Laboratory(full, seed, out / NETWORKS)


def exit_code(rows: Sequence[dict[str, Any]]) -> int:
    """0 where every outcome is the expected one, 1 where one differs, 3 where one is undecided."""
    decided = [row for row in rows if row["outcome"] != UNDECIDED]
    if any(row["outcome"] != row["expected"] for row in decided):
        return OTHER
    return EXPECTED if len(decided) == len(rows) else OPEN


def _form(full: bool) -> str:
    return "full" if full else "quick"


def _row(listed: Listed, laboratory: Laboratory, out: Path | None) -> dict[str, Any]:
    """The ledger's entry, stored as soon as it is found, or as an earlier call has left it."""
    if out is None:
        return _measured(listed, laboratory)
    path, key = _path(out, listed), _key(listed, laboratory)
    row = _stored(path, key)
    if row is None:
        row = _measured(listed, laboratory)
        store.write_text(path, json.dumps({"key": key, "row": row}, indent=1) + "\n")
    return row


def _kept(laboratory: Laboratory, out: Path) -> list[dict[str, Any]]:
    """Entries of all claims that the folder holds, those of earlier calls among them."""
    stored = [_stored(_path(out, listed), _key(listed, laboratory)) for listed in known()]
    return [row for row in stored if row is not None]


def _path(out: Path, listed: Listed) -> Path:
    """Where an outcome lies; what a plug-in calls itself is no path."""
    letters = re.sub(r"[^A-Za-z0-9_.-]+", "-", listed.name)
    return out / OUTCOMES / f"{letters}.json"


def _key(listed: Listed, laboratory: Laboratory) -> str:
    """Hash of all that an outcome depends on."""
    return store.digest_of(
        {
            "claim": listed.entry(),
            "form": _form(laboratory.full),
            "seed": laboratory.seed,
            "source": store.source_digest(),
            "plug_ins": registry.plug_in_versions(),
        }
    )


def _stored(path: Path, key: str) -> dict[str, Any] | None:
    """The entry that an earlier call left under the same key;
    None where there is none or it is damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or document.get("key") != key:
        return None
    row = document.get("row")
    return row if isinstance(row, dict) else None


def _measured(listed: Listed, laboratory: Laboratory) -> dict[str, Any]:
    started = time.perf_counter()
    claim = listed.claim
    measurements = claim.measure(laboratory)
    outcome = claim.outcome(measurements)
    return {
        **listed.entry(),
        "measurements": [m.entry(claim.threshold) for m in measurements],
        "outcome": outcome,
        "as_expected": outcome == claim.expected,
        "reading": claim.reading(outcome),
        "seconds": round(time.perf_counter() - started, 2),
    }

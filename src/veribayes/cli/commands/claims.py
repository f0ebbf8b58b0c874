"""`veribayes claims`: sentences of the literature, measured."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from veribayes.cli import terminal
from veribayes.cli.options import Debug, Json, Seed

ORDER = 105
QUICK, FULL = Path("runs/claims"), Path("runs/claims-full")

NAMES_HELP = "Papers, or claims as PAPER.CLAIM; all by default."
FULL_HELP = "Run the long form: more data sets and more settings."
OUT_HELP = (
    "Folder of outcomes, ledger and page; an interrupted call resumes from it. Default: "
    "runs/claims, or runs/claims-full."
)
LIST_HELP = "List the claims and measure nothing."


def command(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help=NAMES_HELP)] = None,
    full: Annotated[bool, typer.Option("--full", help=FULL_HELP)] = False,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", help=OUT_HELP)] = None,
    list_: Annotated[bool, typer.Option("--list", help=LIST_HELP)] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run claims of the literature and say which hold, which fail and which stay undecided."""
    del debug  # read by main, which catches what escapes
    from veribayes.report import claims as pages
    from veribayes.run import claims as literature
    from veribayes.storage import store

    with redirect_stdout(sys.stderr):
        chosen = literature.selected(names or ())
    if list_:
        rows = [listed.entry() for listed in chosen]
        document = {"schema": literature.SCHEMA, "claims": rows}
        print(json.dumps(document, indent=1) if as_json else pages.listing(rows))
        return
    folder = out or (FULL if full else QUICK)
    with redirect_stdout(sys.stderr), terminal.progress("claims", len(chosen)) as advance:
        ledger = literature.run(names or (), full=full, seed=seed, out=folder, progress=advance)
        whole = json.loads((folder / literature.LEDGER).read_text(encoding="utf-8"))
        store.write_text(folder / "claims.html", pages.page(whole))
    if as_json:
        print(json.dumps(ledger, indent=1, allow_nan=False))
    else:
        print(pages.text(ledger))
        print(f"report: {folder / 'claims.html'}")
    raise typer.Exit(ledger["exit_code"])

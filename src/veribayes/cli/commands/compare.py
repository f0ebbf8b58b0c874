"""`veribayes compare`: two saved posteriors, draw by draw; the exit code is the verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from veribayes.cli import console
from veribayes.cli.arguments import positive_number
from veribayes.cli.options import Debug, Json, Seed

ORDER = 60
REFERENCE_HELP = "Posterior that is trusted: .nc, .json, .npz, CmdStan's .csv or a folder of these."
CANDIDATE_HELP = "Posterior that is judged."
TOLERANCE_HELP = "Tolerance of means, log sds and correlations, in sds of the reference."
GROUP_HELP = "Group of netCDF files that holds the draws; default posterior."
OUT_HELP = "Folder for comparison.json."


def command(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help=REFERENCE_HELP)],
    candidate: Annotated[Path, typer.Argument(metavar="CANDIDATE", help=CANDIDATE_HELP)],
    tolerance: Annotated[
        float,
        typer.Option("--tolerance", parser=positive_number, metavar="X", help=TOLERANCE_HELP),
    ] = 0.1,
    group: Annotated[str | None, typer.Option("--group", metavar="NAME", help=GROUP_HELP)] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", help=OUT_HELP)] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare two saved posteriors of the same latents, draw by draw."""
    del debug  # read by main, which catches what escapes
    from veribayes import api
    from veribayes.storage import store

    document = api.compare(reference, candidate, tolerance=tolerance, seed=seed, group=group)
    text = json.dumps(document, indent=1, allow_nan=False)
    if out is not None:
        store.write_text(out / "comparison.json", text + "\n")
    print(text if as_json else api.summary(document))
    raise typer.Exit(console.EXIT_OF_VERDICT[document["verdict"]])

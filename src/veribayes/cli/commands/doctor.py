"""`veribayes doctor`: versions, devices, and what is missing."""

from __future__ import annotations

import json

import typer

from veribayes.cli.options import Json

ORDER = 110
SCHEMA = "veribayes.doctor/1"


def command(as_json: Json = False) -> None:
    """Show versions and devices, try what a run does, and say what is missing."""
    from veribayes.cli import doctor

    examination = doctor.examine()
    if as_json:
        print(json.dumps({"schema": SCHEMA, **examination}, indent=1))
    else:
        print(doctor.text(examination))
    raise typer.Exit(2 if examination["problems"] else 0)

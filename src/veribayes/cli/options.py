"""Options that several commands share, as annotated types, and how `--set` is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from veribayes.cli.arguments import MOST_SEED, whole_number
from veribayes.errors import InputError

DATASETS_HELP = "How many independent data sets are drawn; they are the unit of replication."
SEED_HELP = "A seed that determines every number of the run."
SET_HELP = "Set an engine's option, e.g. reference.draws=20."

TaskName = Annotated[str, typer.Argument(metavar="TASK")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Datasets = Annotated[
    int, typer.Option("--datasets", parser=whole_number(1), metavar="N", help=DATASETS_HELP)
]
Compared = Annotated[  # a comparison needs a spread between data sets
    int, typer.Option("--datasets", parser=whole_number(2), metavar="N", help=DATASETS_HELP)
]
Seed = Annotated[
    int, typer.Option("--seed", parser=whole_number(0, MOST_SEED), metavar="N", help=SEED_HELP)
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="ROLE.OPTION=VALUE", help=SET_HELP)]


def settings(texts: Sequence[str] | None) -> dict[str, str]:
    """`["reference.draws=20"]` -> `{"reference.draws": "20"}`.

    Raises:
        InputError: a text without an equals sign.
    """
    values = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals:
            remedy = "for example --set reference.draws=20"
            raise InputError("ROLE.OPTION=VALUE", f"'{text}'", remedy)
        values[key] = value
    return values

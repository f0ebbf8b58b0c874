"""`veribayes report`: the page of stored runs, rebuilt; needs neither torch nor JAX."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from veribayes.cli.options import Debug
from veribayes.errors import InputError

ORDER = 80
PAGES = (".html", ".htm")
RUN_HELP = "A run.nc, or a folder with runs."
OUT_HELP = "HTML file; default report.html in the folder of the run."


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help=RUN_HELP)],
    out: Annotated[Path | None, typer.Option("--out", help=OUT_HELP)] = None,
    debug: Debug = False,
) -> None:
    """Rebuild the report from stored runs; needs neither torch nor JAX."""
    del debug  # read by main, which catches what escapes
    from veribayes import report as pages
    from veribayes.storage import folders, store

    files = store.run_files(run)
    folder = run if run.is_dir() else run.parent
    path = out or folder / "report.html"
    if path.suffix.lower() not in PAGES:
        wanted = f"a file {' or '.join(PAGES)} for --out"
        raise InputError(wanted, f"'{path}'", "the report is a page")
    folders.require_writable(path)
    with ExitStack() as stack:
        if path.parent == folder:  # a run that ends meanwhile writes the same page
            stack.enter_context(folders.locked(folder, wait=True))
        trees = [store.read_tree(file) for file in files]
        pages.write(trees, path)
    print(f"report: {path}")

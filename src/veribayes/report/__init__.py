"""Reports from stored run files alone: one self-contained HTML page, a Markdown table, figures.

Nothing here computes a posterior: torch, JAX, NumPyro and pgmpy need not be installed.
`veribayes.report.figures` draws the single figures for a paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from veribayes.errors import InputError
from veribayes.storage.folders import write_text

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["build", "markdown", "write"]


def build(runs: Sequence[Path | xr.DataTree]) -> str:
    """One HTML page for one or several runs; figures inside, no script, no network.

    Args:
        runs: run folders, run files or trees in memory, one a task.

    Raises:
        InputError: no run, or something that is not a run of a known schema.
    """
    from veribayes.report import _page
    from veribayes.report._run import read

    return _page.render([read(run) for run in _some(runs)])


def write(runs: Sequence[Path | xr.DataTree], path: Path) -> None:
    """Write `build(runs)` to a file, whole or not at all."""
    write_text(path, build(runs))


def markdown(runs: Sequence[Path | xr.DataTree]) -> str:
    """A Markdown table, one line a task."""
    from veribayes.report import _markdown
    from veribayes.report._run import read

    return _markdown.table([read(run) for run in _some(runs)])


def _some(runs: Sequence[Path | xr.DataTree]) -> Sequence[Path | xr.DataTree]:
    if not runs:
        raise InputError("at least one run", "none")
    return runs

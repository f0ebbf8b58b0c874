"""Figures of the documentation as SVG, equal between builds."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from veribayes.report._style import STYLE
from veribayes.storage import store

ANONYMOUS = {"Date": None, "Creator": None, "Format": None, "Type": None}


def write(figure: Figure, path: Path) -> None:
    """The figure under this path, whole or not at all."""
    target = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": path.stem, "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(target, metadata=ANONYMOUS)
    store.write_text(path, target.getvalue())

"""A matplotlib figure as SVG inside a page: CSS variables, real text, no foreign identifiers."""

from __future__ import annotations

import io
import re
import warnings

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from veribayes.report._style import LIGHT, STYLE

PIXELS = 4 / 3  # CSS pixels a point
ANONYMOUS = {"Date": None, "Creator": None, "Format": None, "Type": None}


def inline(figure: Figure, label: str, salt: str) -> Markup:
    """The figure as one `<svg>` element with an accessible label.

    The salt differs between the figures of a page.

    matplotlib escapes the text. Changed here: the head, the identifiers of groups (they would
    repeat within a page), and the colours of `LIGHT`, which become `var(--name)`.
    """
    text = _rendered(figure, salt)
    svg = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body[body.index(">") + 1 :])
    for name, colour in LIGHT.items():
        body = body.replace(colour, f"var(--{name})")
    width, height = 72 * figure.get_size_inches()
    box = f'viewBox="0 0 {width:g} {height:g}" style="width:{width * PIXELS:.0f}px"'
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return Markup(f'<svg {names} {box} role="img" aria-label="{escape(label)}">{body}')


def _rendered(figure: Figure, salt: str) -> str:
    """SVG text; the salt keeps identifiers apart between figures, and equal between builds."""
    target = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": salt}), warnings.catch_warnings():
        # the reader's browser has it
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        FigureCanvasSVG(figure).print_svg(target, metadata=ANONYMOUS)
    return target.getvalue()

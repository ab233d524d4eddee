"""Charts as SVG that takes its colours and its font from the page, light or dark. Only numbers are drawn."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# matplotlib knows no CSS: each of these stands for the page's variable of that name until the SVG is written.
INK, QUIET, LINE, RIGHT, SOFT, WRONG = "#000001", "#000002", "#000003", "#000004", "#000005", "#000006"
_VARIABLES = {INK: "ink", QUIET: "quiet", LINE: "line", RIGHT: "accent", SOFT: "accent-soft", WRONG: "gap"}
SIZE = (5.0, 3.5)  # inches of 72 units: as wide as a phone, so that the text is not shrunk there
STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 13,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": LINE,
    "axes.axisbelow": True,
}


def percents(axes: Axes, axis: str, at: Sequence[float]) -> None:
    axes.set(**{f"{axis}ticks": at, f"{axis}ticklabels": [f"{value:.0%}" for value in at]})


def svg(figure: Figure) -> Markup:
    """The figure as an element of the page: no prolog, no font of its own, nothing that is named or referred to by an id."""
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<defs>.*?</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r' (id|clip-path|xmlns|xmlns:xlink|version|width|height)="[^"]*"(?=[^<]*>)', "", text)
    text = re.sub(r" font-family: [^;]*;", "", text)
    for colour, name in _VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    return Markup(re.sub(r"\s*\n\s*", " ", text))  # noqa: S704 (numbers and this module's own words)

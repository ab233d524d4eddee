"""The curves of a report as SVG that takes its colours and its font from the page, light or dark. Only numbers are drawn."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# matplotlib knows no CSS: each of these stands for the page's variable of that name until the SVG is written.
_INK, _QUIET, _LINE, _RIGHT, _SOFT, _WRONG = "#000001", "#000002", "#000003", "#000004", "#000005", "#000006"
_VARIABLES = {_INK: "ink", _QUIET: "quiet", _LINE: "line", _RIGHT: "accent", _SOFT: "accent-soft", _WRONG: "gap"}
_SIZE = (5.0, 3.5)  # inches of 72 units: as wide as a phone, so that the text is not shrunk there
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 13,
    "text.color": _INK,
    "axes.labelcolor": _QUIET,
    "axes.edgecolor": _LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _QUIET,
    "ytick.labelcolor": _QUIET,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": _LINE,
    "axes.axisbelow": True,
}


def reliability(bins: Sequence[dict[str, Any]]) -> Markup:
    """Share right by probability, the gap to a calibrated model, and how many pictures there are in each bin."""
    seen = [bin for bin in bins if bin["count"]]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        upper, lower = figure.subplots(2, sharex=True, height_ratios=[4, 1])
        upper.plot([0, 1], [0, 1], color=_INK, linewidth=1, dashes=(4, 4), zorder=3)
        for bin in seen:
            middle, width = (bin["low"] + bin["high"]) / 2, 0.86 * (bin["high"] - bin["low"])
            gap = bin["confidence"] - bin["accuracy"]
            upper.bar(middle, bin["accuracy"], width, color=_RIGHT)
            upper.bar(middle, gap, width / 3, bottom=bin["accuracy"], color=_WRONG)
            lower.bar(middle, bin["count"], width, color=_QUIET)
        _percents(upper, "y", [0, 0.5, 1])
        _percents(lower, "x", [0, 0.25, 0.5, 0.75, 1])
        upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share right")
        upper.grid(axis="y")
        most = max(bin["count"] for bin in bins)
        lower.set_yticks([most], [f"{most:,}"])
        lower.set(xlabel="probability of the predicted class", ylim=(0, most * 1.05))
        return _svg(figure)


def abstention(curve: Sequence[dict[str, Any]]) -> Markup:
    """Accuracy among the surest pictures, from all of them on the left to the surest few on the right."""
    points = [point for point in curve if point["accuracy"] is not None]
    shares, accuracies = [point["coverage"] for point in points], [point["accuracy"] for point in points]
    lowest = max(0, min(accuracies) - 0.1 * max(1 - min(accuracies), 0.1))
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.subplots()
        axes.fill([shares[0], *shares, shares[-1]], [lowest, *accuracies, lowest], color=_SOFT, linewidth=0)
        axes.plot(shares, accuracies, color=_RIGHT, linewidth=2.5)
        axes.set(xlim=(1, 0), ylim=(lowest, 1), xlabel="share of pictures answered", ylabel="share right")
        _percents(axes, "x", [1, 0.75, 0.5, 0.25, 0])
        axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
        axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0 if lowest < 0.95 else 1))
        axes.grid(axis="y")
        return _svg(figure)


def _percents(axes: Axes, axis: str, at: Sequence[float]) -> None:
    axes.set(**{f"{axis}ticks": at, f"{axis}ticklabels": [f"{value:.0%}" for value in at]})


def _svg(figure: Figure) -> Markup:
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

"""The curves of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from model_service.report.drawing import INK, QUIET, RIGHT, SIZE, SOFT, STYLE, WRONG, percents, svg


def reliability(bins: Sequence[dict[str, Any]]) -> Markup:
    """Share right by probability, the gap to a calibrated model, and how many pictures there are in each bin."""
    seen = [bin for bin in bins if bin["count"]]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        upper, lower = figure.subplots(2, sharex=True, height_ratios=[4, 1])
        upper.plot([0, 1], [0, 1], color=INK, linewidth=1, dashes=(4, 4), zorder=3)
        for bin in seen:
            middle, width = (bin["low"] + bin["high"]) / 2, 0.86 * (bin["high"] - bin["low"])
            gap = bin["confidence"] - bin["accuracy"]
            upper.bar(middle, bin["accuracy"], width, color=RIGHT)
            upper.bar(middle, gap, width / 3, bottom=bin["accuracy"], color=WRONG)
            lower.bar(middle, bin["count"], width, color=QUIET)
        percents(upper, "y", [0, 0.5, 1])
        percents(lower, "x", [0, 0.25, 0.5, 0.75, 1])
        upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share right")
        upper.grid(axis="y")
        most = max(bin["count"] for bin in bins)
        lower.set_yticks([most], [f"{most:,}"])
        lower.set(xlabel="probability of the predicted class", ylim=(0, most * 1.05))
        return svg(figure)


def abstention(curve: Sequence[dict[str, Any]]) -> Markup:
    """Accuracy among the surest pictures, from all of them on the left to the surest few on the right."""
    points = [point for point in curve if point["accuracy"] is not None]
    shares, accuracies = [point["coverage"] for point in points], [point["accuracy"] for point in points]
    lowest = max(0, min(accuracies) - 0.1 * max(1 - min(accuracies), 0.1))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        axes.fill([shares[0], *shares, shares[-1]], [lowest, *accuracies, lowest], color=SOFT, linewidth=0)
        axes.plot(shares, accuracies, color=RIGHT, linewidth=2.5)
        axes.set(xlim=(1, 0), ylim=(lowest, 1), xlabel="share of pictures answered", ylabel="share right")
        percents(axes, "x", [1, 0.75, 0.5, 0.25, 0])
        axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
        axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0 if lowest < 0.95 else 1))
        axes.grid(axis="y")
        return svg(figure)

"""The course of a training as curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model_service.report.drawing import QUIET, RIGHT, SIZE, STYLE, WRONG, svg

History = Sequence[dict[str, float]]
DOTS = 15  # epochs with a dot each


def losses(history: History) -> Markup:
    """Of what is learned from, and of the validation part, by epoch; what is far above the rest is cut off."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        _line(axes, history, "train_loss", QUIET, "learned from")
        _line(axes, history, "valid_loss", WRONG, "validation")
        axes.set(ylim=(0, top(history)), ylabel="loss")
        axes.legend(frameon=False, fontsize=12, loc="upper right")
        return svg(figure)


def top(history: History) -> float:
    """The largest loss to show: a first epoch from scratch may have one a hundred times that of all others."""
    losses = [row[name] for row in history for name in ("train_loss", "valid_loss") if math.isfinite(row[name])]
    usual = max(history[0]["train_loss"], history[-1]["train_loss"], history[-1]["valid_loss"])
    return 1.08 * min(max(losses), 2 * usual if math.isfinite(usual) else math.inf)


def accuracy(history: History) -> Markup:
    """On the validation part, by epoch."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        _line(axes, history, "accuracy", RIGHT)
        axes.set(ylim=(0, 1.03), ylabel="share right")
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
        return svg(figure)


def _line(axes: Axes, history: History, name: str, colour: str, label: str = "") -> None:
    epochs, values = [row["epoch"] for row in history], [row[name] for row in history]
    axes.plot(epochs, values, color=colour, linewidth=2.5, label=label)
    if len(epochs) <= DOTS:
        for epoch, value in zip(
            epochs, values, strict=True
        ):  # short lines: markers would need ids, which svg() takes out
            axes.plot([epoch, epoch + 1e-6], [value, value], color=colour, linewidth=7, solid_capstyle="round")
    axes.set(xlabel="epoch", xlim=(min(epochs) - 0.2, max(epochs) + 0.2))
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(8, integer=True))
    axes.grid(True, axis="y")

"""What a model answered on pictures it was watched with, drawn for TensorBoard: which class for which, and a few of them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model_service.evaluation.metrics import Predictions
from model_service.report.confusion import confusion as table

SAMPLES = 36  # in the grid
_COLUMNS = 6
_MOST = 24  # letters of a class's name
_RIGHT, _WRONG = "#1f6f5c", "#a33a2a"


def confusion(metrics: dict[str, Any]) -> NDArray[np.uint8]:
    """[height, width, 3]: rows are true classes, columns predicted ones; of many, those confused most."""
    shown = table(metrics)
    side = 2.5 + 0.45 * len(shown.columns)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow([[_shade(i == j, cell.share) for j, cell in enumerate(row.cells)] for i, row in enumerate(shown.rows)])
    for i, row in enumerate(shown.rows):
        for j, cell in enumerate(row.cells):
            if cell.pictures:
                colour = "white" if cell.share > 0.6 else "black"
                axes.text(j, i, f"{cell.pictures:,}", ha="center", va="center", fontsize=8, color=colour)
    names = [_short(column) for column in shown.columns]
    places = range(len(names))
    axes.set_xticks(places, names, rotation=90, parse_math=False)
    axes.set_yticks(places, names, parse_math=False)
    axes.set(xlabel="predicted", ylabel="true")
    return _drawn(figure)


def samples(views: Any, indices: Sequence[int], keys: Sequence[str], told: Predictions) -> NDArray[np.uint8]:
    """[height, width, 3]: SAMPLES of the pictures `indices`, by hash, each with what was predicted and what is true."""
    order = sorted(range(len(indices)), key=lambda i: hashlib.sha256(keys[indices[i]].encode()).digest())[:SAMPLES]
    rows = -(-len(order) // _COLUMNS)
    figure = Figure(figsize=(1.75 * _COLUMNS, 2.1 * rows), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, i in zip(grid, order, strict=False):
        true, predicted, sure = told.labels[i], told.predicted[i], float(told.probabilities[i].max())
        axes.imshow(views[indices[i]])
        words = f"{_short(predicted)} {sure:.0%}" + ("" if true == predicted else f"\nis {_short(true)}")
        axes.set_title(words, fontsize=8, color=_RIGHT if true == predicted else _WRONG, parse_math=False)
    return _drawn(figure)


def _shade(right: bool, share: float) -> tuple[float, ...]:
    """From white to the colour of what is right, or wrong."""
    return tuple(1 - share * (1 - part) for part in to_rgb(_RIGHT if right else _WRONG))


def _short(name: str) -> str:
    return name if len(name) <= _MOST else name[: _MOST - 1] + "…"


def _drawn(figure: Figure) -> NDArray[np.uint8]:
    canvas: Any = FigureCanvasAgg(figure)  # has no types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # scripts that matplotlib's font lacks: boxes, and no more
        canvas.draw()
    pixels: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
    return pixels

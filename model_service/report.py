"""The evaluation as one self-contained HTML page. Every name in it is escaped; nothing in it is fetched."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from model_service.images import REASONS


def render(document: dict[str, Any]) -> str:
    """The page for a run's evaluation (the document that is also written as metrics.json)."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    templates.filters |= {
        "percent": lambda value: "–" if value is None else f"{value:.1%}",
        "number": lambda value: "–" if value is None else f"{value:,}",
        "rounded": lambda value: "–" if value is None else f"{value:,.1f}",
        "megabytes": lambda value: f"{value / 1e6:,.1f} MB",
        "dollars": lambda value: f"US$ {value:,.4f}",
    }
    picture = base64.b64encode(confusion_png(document["metrics"])).decode()
    return templates.get_template("report.html").render(**document, confusion_png=picture, reasons=REASONS)


def confusion_png(metrics: dict[str, Any]) -> bytes:
    """The confusion matrix, rows true and columns predicted, shaded by the share of the row."""
    matrix = np.array(metrics["confusion"])
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    n = len(matrix)
    side = 2.2 + 0.55 * min(n, 40)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(n), metrics["classes"], rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(n), metrics["classes"], parse_math=False)
    axes.set(xlabel="predicted", ylabel="true")
    if n <= 40:
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()

"""The confusion matrix as a table that a browser can draw: of the classes that are confused most, if there are many."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST = 24  # classes in the table; the others are added up in one
LEVELS = 5  # shades


class Cell(NamedTuple):
    """`share` of the pictures of the row; `shade` is "" for none, else right, wrong or other, with a number up to LEVELS."""

    column: str
    pictures: int
    share: float
    shade: str


class Row(NamedTuple):
    label: str
    cells: list[Cell]


class Confusion(NamedTuple):
    """Rows are true classes, columns predicted ones. `left_out` classes are the last row and column; 0: there are none."""

    columns: list[str]
    rows: list[Row]
    left_out: int


def confusion(metrics: dict[str, Any], most: int = MOST) -> Confusion:
    """The table of a document's metrics. Every picture is in it once, whatever the number of classes."""
    labels, others = metrics["classes"], metrics.get("others") or 0
    matrix = np.array(metrics["confusion"], int).reshape(2 * [len(labels) + bool(others)])
    if others:
        most = min(most, len(labels))
    left_out = max(0, len(labels) + others - most)
    if left_out:
        labels, matrix = _worst(labels, matrix, most)
        labels = [*labels, f"{left_out} other classes"]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    rows = [
        Row(
            label,
            [
                Cell(column, int(matrix[i, j]), float(shares[i, j]), _shade(i, j, shares[i, j], most))
                for j, column in enumerate(labels)
            ],
        )
        for i, label in enumerate(labels)
    ]
    return Confusion(labels, rows, left_out)


def _shade(row: int, column: int, share: float, most: int) -> str:
    """Of a cell; among the classes that are added up, in row and column `most`, right and wrong are not told apart."""
    if not share:
        return ""
    kind = "wrong" if row != column else "right" if row < most else "other"
    return f"{kind}{math.ceil(share * LEVELS)}"


def _worst(labels: list[str], matrix: NDArray[np.int_], most: int) -> tuple[list[str], NDArray[np.int_]]:
    """The classes with most errors, in their old order, and the matrix with all others added up in a last row and column,
    also those that the matrix has there already.
    """
    errors = (matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * matrix.diagonal())[: len(labels)]
    kept = np.sort(np.argsort(-errors, kind="stable")[:most])
    groups = np.full(len(matrix), most)
    groups[kept] = np.arange(most)
    small = np.zeros((most + 1, most + 1), int)
    np.add.at(small, (groups[:, None], groups[None, :]), matrix)
    return [labels[i] for i in kept], small

"""A run's predictions as a table for people, which spreadsheets open and take for nothing but text and numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from model_service.evaluation.gathered import Gathered

COLUMNS = (
    "key",
    "uri",
    "label",
    "predicted",
    "right",
    "probability",
    "margin",
    "second_guess",
    "second_probability",
)
# What a spreadsheet may take for a formula, also in a table that was typed in East Asian width:
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_ROWS = 10_000  # at once


def write(found: Gathered, path: Path) -> None:
    """A row a picture whose label is sure, sorted by URI, in UTF-8 with the mark by which Excel knows it."""
    order = np.asarray(pc.sort_indices(found.pictures["uri"]), np.int64)
    with path.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for begin in range(0, len(order), _ROWS):
            table.writerows(_rows(found, order[begin : begin + _ROWS]))


def _rows(found: Gathered, chosen: NDArray[np.int64]) -> Iterator[tuple[str, ...]]:
    known = found.pictures.select(["key", "uri", "label"]).take(chosen)
    classes = [plain(name) for name in found.classes]
    probabilities = found.probabilities[chosen]
    second = np.argsort(-probabilities, axis=1, kind="stable")[:, 1:2]  # none of a model with one class
    return zip(
        *(map(plain, known[name].to_pylist()) for name in ("key", "uri", "label")),
        (classes[i] for i in found.predicted[chosen]),
        ("no" if wrong else "yes" for wrong in found.wrong[chosen]),
        *(_shares(found.numbers[name][chosen]) for name in ("probability", "margin")),
        ("".join(classes[i] for i in one) for one in second),
        ("".join(_shares(row)) for row in np.take_along_axis(probabilities, second, axis=1)),
        strict=True,
    )


def _shares(numbers: NDArray[np.float32]) -> Iterator[str]:
    return (f"{number:.4f}" for number in numbers.tolist())


def plain(text: str) -> str:
    """A cell that no spreadsheet runs: an apostrophe makes text of what may be a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text

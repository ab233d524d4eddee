"""Which class was taken for which, counted by the pairs that occur: memory grows with pictures, not with classes squared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 200  # classes with a row and a column of their own
PAIRS = 20  # named as mixed up most


def confusion(classes: list[str], true: NDArray[np.int64], guessed: NDArray[np.int64]) -> dict[str, Any]:
    """The matrix, rows true and columns predicted, and the pairs mixed up most. `true`, `guessed` [n] count in `classes`.

    Of more than MOST classes those with most errors have rows and columns, then those with most pictures; all `others` are
    added up in a last row and column.
    """
    size = len(classes)
    pairs, counts = np.unique(true * size + guessed, return_counts=True)
    rows, columns = pairs // max(size, 1), pairs % max(size, 1)
    wrong = rows != columns
    kept = np.arange(size)
    if size > MOST:
        errors = sum(np.bincount(side[wrong], counts[wrong], size) for side in (rows, columns))
        kept = np.sort(np.lexsort((-np.bincount(true, minlength=size), -np.asarray(errors)))[:MOST])
    place = np.full(size, len(kept))
    place[kept] = np.arange(len(kept))
    wide = len(kept) + (size > len(kept))
    matrix = np.zeros((wide, wide), int)
    np.add.at(matrix, (place[rows], place[columns]), counts)
    worst = np.flatnonzero(wrong)[np.argsort(-counts[wrong], kind="stable")[:PAIRS]]
    return {
        "classes": [classes[i] for i in kept],
        "others": size - len(kept),
        "confusion": matrix.tolist(),
        "confused": [
            {"true": classes[rows[i]], "predicted": classes[columns[i]], "count": int(counts[i])} for i in worst
        ],
    }

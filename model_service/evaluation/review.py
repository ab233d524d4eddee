"""The pictures that a person should look at: the surest errors and the least certain ones, named and copied for the bucket
browser.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_service.evaluation.gathered import Gathered
from model_service.storage import Exists, NotFound, Store

THREADS = 16  # copies at once
LONGEST = 100  # bytes of a label in a folder's name: two of them, and what is between them, are under 255
_UNFIT = re.compile(r"[/\\\x00-\x1f\x7f]|^\.+$")
log = logging.getLogger(__name__)


def worst(found: Gathered, most: int) -> NDArray[np.int64]:
    """Which of the pictures are the errors that the model was surest of, the surest first. Pure."""
    wrong = np.flatnonzero(found.wrong)
    return wrong[np.argsort(-found.numbers["probability"][wrong], kind="stable")[:most]]


def uncertain(found: Gathered, most: int) -> NDArray[np.int64]:
    """Which of them, right or wrong, the model could least decide on, the least certain first. Pure."""
    return np.argsort(found.numbers["margin"], kind="stable")[:most]


def entries(found: Gathered, chosen: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Those pictures as the report lists them. Pure."""
    rows: list[dict[str, Any]] = (
        found.pictures.select(["key", "uri", "label", "batch", "shard", "offset"]).take(chosen).to_pylist()
    )
    for row, i in zip(rows, chosen, strict=True):
        row["predicted"] = found.classes[found.predicted[i]]
        row |= {name: float(found.numbers[name][i]) for name in ("probability", "margin")}
    return rows


def copies(found: Gathered, chosen: Sequence[int], folder: str) -> list[tuple[str, int, str]]:
    """Of each picture: the name of the copy that sort made, its size, and the name below `folder` where people find it. Pure.

    An error goes to `<true>__as__<predicted>/`, what is right to `uncertain/<label>/`; no two have the same name.
    """
    asked = []
    wrong = found.wrong
    for i in dict.fromkeys(chosen):
        row = found.pictures.select(["label", "copy", "size"]).slice(i, 1).to_pylist()[0]
        guess = found.classes[found.predicted[i]]
        where = f"{_part(row['label'])}__as__{_part(guess)}" if wrong[i] else f"uncertain/{_part(row['label'])}"
        name = (row["copy"] or "").rpartition("/")[2]
        asked.append((row["copy"] or "", row["size"], f"{folder}/{where}/{name}"))
    return asked


def copy(to_predict: Store, predicted: Store, asked: Sequence[tuple[str, int, str]]) -> dict[str, int]:
    """Make the copies, within the storage system. Safe to repeat. `gone` are those whose picture nobody has any more."""
    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(lambda one: _copy(to_predict, predicted, *one), asked))
    gone = [name for (name, _, _), there in zip(asked, made, strict=True) if not there]
    if gone:
        log.warning("%d of %d copies in %s are gone, the first: %s", len(gone), len(asked), to_predict.uri, gone[0])
    return {"copies": sum(made), "gone": len(gone)}


def _copy(to_predict: Store, predicted: Store, name: str, size: int, to: str) -> bool:
    """False when people have removed sort's copy, or put something else in its place."""
    if not name:
        return False  # none was made
    try:
        there = to_predict.stat(name)
        if there.size == size:
            predicted.copy_if_absent(to_predict, name, there.generation, to)
            return True
    except Exists:  # an earlier attempt made it
        return True
    except NotFound:
        pass
    return _is_there(predicted, to)


def _is_there(store: Store, name: str) -> bool:
    """Made by an earlier attempt, while its original was there?"""
    try:
        return bool(store.stat(name))
    except NotFound:
        return False


def _part(label: str) -> str:
    """A label as a part of a folder's name: never a way out of it, nor longer than a file system takes."""
    safe = _UNFIT.sub("_", label)
    if safe == label and len(label.encode()) <= LONGEST:
        return label
    digest = hashlib.sha256(label.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{safe.encode()[: LONGEST - 9].decode(errors='ignore')}.{digest}"

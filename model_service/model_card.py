"""The shape of a model's card, model.json: what everything that reads one may rely on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def complaint(card: Any, needed: tuple[str, ...] = ()) -> str:
    """What is wrong with it in a few words, "" for nothing: `files` and the `needed` parts must be there, and all that are be
    in shape. Pure.
    """
    if not isinstance(card, dict):
        return "it is no JSON object"
    for part, wrong in _PARTS.items():
        if part not in card:
            if part in ("files", *needed):
                return f"it has no {part!r}"
        elif said := wrong(card[part]):
            return f"{part!r} {said}"
    return ""


def _files(files: Any) -> str:
    whole = isinstance(files, dict) and all(
        isinstance(f, dict) and isinstance(f.get("sha256"), str) for f in files.values()
    )
    return "" if whole else "does not give each file's sha256"


def _classes(classes: Any) -> str:
    if not isinstance(classes, list) or not classes or not all(isinstance(label, str) for label in classes):
        return "is no list of labels"
    twice = next((label for place, label in enumerate(classes) if label in classes[:place]), None)
    return "" if twice is None else f"has {twice!r} twice"


def _preprocessing(preprocessing: Any) -> str:
    if not isinstance(preprocessing, dict) or "version" not in preprocessing:
        return "does not say its version"
    size = preprocessing.get("size")
    if not isinstance(size, int) or size < 1:
        return f"has the size {size!r}, no number of pixels"
    for name in ("mean", "std"):
        numbers = preprocessing.get(name)
        if not isinstance(numbers, list) or len(numbers) != 3 or not all(isinstance(n, int | float) for n in numbers):
            return f"has no three numbers as its {name}"
    return "" if all(preprocessing["std"]) else "has a std of 0"


def _data(data: Any) -> str:
    return (
        "" if isinstance(data, dict) and isinstance(data.get("shards"), dict) else "does not tell the shards trained on"
    )


_PARTS: dict[str, Callable[[Any], str]] = {
    "files": _files,
    "classes": _classes,
    "preprocessing": _preprocessing,
    "data": _data,
}

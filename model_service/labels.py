"""What a picture's name and content decide: its label, its split and the name of its copy. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

_NUMBERED = re.compile(r"^(?P<label>.+?)[_ -]?\(?\d+\)?$")  # cat_17, cat 17, cat-17, cat17, cat (17)
_LETTER = re.compile(r"[^\W\d_]")
_LONGEST_LABEL = 250  # bytes: it becomes a folder's name
_LONGEST_STEM = 180  # bytes; file systems allow 255 for a name, the hash and extension need some


def label_of(name: str, rule: str) -> str | None:
    """The true label that an object's name tells, normalised (NFC, lower case, `_` for spaces); None when it tells none."""
    path = PurePosixPath(name)
    if rule == "folder":
        found = path.parent.name
    else:
        match = _NUMBERED.match(path.stem)
        found = match["label"] if match else ""
    label = re.sub(r"[\s_]+", "_", unicodedata.normalize("NFC", found).casefold()).strip("_.- ")
    return label if _LETTER.search(label) and len(label.encode()) <= _LONGEST_LABEL else None


def split_of(sha256: str, holdout: float) -> str:
    """`holdout` for that share of all contents, else `train`: by content, so the same picture never changes sides."""
    return "holdout" if int(sha256[:12], 16) / 16**12 < holdout else "train"


def copy_name(name: str, label: str, sha256: str) -> str:
    """Where people find a picture: `<label>/<stem>.<hash>.<ext>`."""
    path = PurePosixPath(name)
    stem = path.stem.encode()[:_LONGEST_STEM].decode(errors="ignore")
    return f"{label}/{stem}.{sha256[:10]}{path.suffix.lower()}"

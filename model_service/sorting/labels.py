"""What a picture's name and content decide: its label, its split and the name of its copy. Pure functions."""

from __future__ import annotations

import re
import time
import unicodedata
from pathlib import PurePosixPath

import menagerie_contract as contract
import regex

from model_service.errors import StepError

SECONDS = 1.0  # of CPU, that a pattern may take for a name
_REMEDY = f"mend --label-pattern (the DAG's Param label_pattern); the default is {contract.LABEL_PATTERN}"
_LETTER = re.compile(r"[^\W\d_]")
_JOINERS = "\u200c\u200d"  # unseen, but they make other words in Persian and in Indic scripts
_LONGEST_LABEL = 250  # bytes: it becomes a folder's name
_LONGEST_STEM, _LONGEST_SUFFIX = 180, 20  # bytes; file systems allow 255 for a name, and the hash needs up to 66


class Rule:
    """How an object's name tells its label: kind "filename", "folder" or "manifest", which leaves it to others.

    `pattern` is for "filename": a regular expression with a group `label`, searched in the name without its extension.
    Raises StepError if it is none.
    """

    def __init__(self, kind: str, pattern: str = contract.LABEL_PATTERN) -> None:
        self.kind = kind
        self._pattern = _compiled(pattern) if kind == "filename" else None

    def raw_label(self, name: str) -> str | None:
        """The label as the name has it; None when it tells none. What was held tells it by its folder in `_held/`.

        Raises StepError if the pattern takes too long.
        """
        if (held := held_label(name)) is not None:
            return held
        path = PurePosixPath(name)
        if self.kind == "folder":
            return path.parent.name or None
        match = _searched(self._pattern, name) if self._pattern else None
        return match["label"] if match else None


def _compiled(pattern: str) -> regex.Pattern[str]:
    try:
        compiled = regex.compile(pattern)
    except (regex.error, RecursionError) as error:
        raise StepError(f"{pattern!r} is no regular expression: {error}", remedy=_REMEDY) from error
    if "label" not in compiled.groupindex:
        raise StepError(f"{pattern!r} has no group (?P<label>…), so it tells no label", remedy=_REMEDY)
    return compiled


def _searched(pattern: regex.Pattern[str], name: str) -> regex.Match[str] | None:
    """A search that ends: `re` would try some patterns, like (a|aa)+$, for years, and hold the interpreter's lock meanwhile.

    The time limit counts the CPU time of all threads together, so whoever ran into it is asked for its own.
    """
    begun = time.thread_time()
    while True:
        try:
            return pattern.search(PurePosixPath(name).stem, timeout=SECONDS, concurrent=True)
        except TimeoutError as error:
            if time.thread_time() - begun < 0.9 * SECONDS:
                continue
            raise StepError(
                f"the label pattern {pattern.pattern!r} takes too long: it was not done with the name {name!r} after "
                f"{SECONDS:g} s",
                remedy=f"leave nothing in it that can match a text in many ways, as (a+)+ does; {_REMEDY}",
            ) from error


def held_label(name: str) -> str | None:
    """The folder of `_held/` that an object is in; None when it is in none."""
    top, _, rest = name.partition("/")
    label, inside, _ = rest.partition("/")
    return label if top == contract.HELD and inside else None


def normalise(raw: str) -> str | None:
    """A label as folders and models are named: NFC, case folded, `_` for spaces, nothing unseen; None when it is none.

    It has a letter and at most 250 bytes, no slash and no control character, and neither starts nor ends with any of `_.-`.
    """
    seen = "".join(c for c in raw if unicodedata.category(c) != "Cf" or c in _JOINERS)
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", seen).casefold())  # folding takes some apart
    label = re.sub(r"[\s_]+", "_", folded).strip("_.- ")
    unfit = "/" in label or any(unicodedata.category(c) in ("Cc", "Cs") for c in label)
    if unfit or not _LETTER.search(label) or len(label.encode()) > _LONGEST_LABEL:
        return None
    return label


def split_of(sha256: str, holdout: float) -> str:
    """`holdout` for that share of all contents, else `train`: by content, so the same picture never changes sides."""
    return "holdout" if int(sha256[:12], 16) / 16**12 < holdout else "train"


def copy_name(name: str, label: str, sha256: str, digits: int = 10) -> str:
    """Where people find a picture: `<label>/<stem>.<hash>.<ext>`, with so many of the hash's 64 digits."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if len(suffix.encode()) > _LONGEST_SUFFIX:
        suffix = ""
    stem = path.stem.encode()[: _LONGEST_STEM - max(digits - 16, 0)].decode(errors="ignore")
    return f"{label}/{stem}.{sha256[:digits]}{suffix}"

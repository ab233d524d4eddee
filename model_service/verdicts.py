"""Verdicts at rest: what judge wrote, and promote when it judged anew. One that is damaged decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model_service import documents
from model_service.errors import StepError

REMEDY = (
    "Restore an older generation of it (gcloud storage ls --all-versions), or judge once more under another --run (a new run "
    "does): nothing is overwritten."
)


class BadVerdict(StepError):
    """A verdict that is no verdict: half a file, or another program's."""


def parse(data: bytes, uri: str) -> dict[str, Any]:
    """The verdict that stands at that URI; docs/judging.md has its parts. Raises BadVerdict."""
    verdict: dict[str, Any] = documents.parsed(
        data, complaint, lambda wrong: BadVerdict(f"{uri} is damaged, no verdict: {wrong}", remedy=REMEDY)
    )
    return verdict


def complaint(verdict: Any) -> str:
    """What is wrong with it in a few words, "" for nothing: it says who is promoted over whom and why, and whatever else it
    has of what is read is in shape. Pure.
    """
    if not isinstance(verdict, dict):
        return "it is no JSON object"
    for part, (needed, sound, shape) in _PARTS.items():
        if part in verdict or needed:
            if part not in verdict:
                return f"it has no {part!r}"
            if not sound(verdict[part]):
                return f"{part!r} is not {shape}"
    return ""


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(value: Any) -> bool:
    """Of several things, each null where it is not known; or null altogether."""
    return value is None or (isinstance(value, dict) and all(one is None or _number(one) for one in value.values()))


def _rules(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(map(_number, value.values())))


# Each part: whether it must be there, whether it is in shape, and which shape that is.
_PARTS: dict[str, tuple[bool, Callable[[Any], bool], str]] = {
    "promote": (True, lambda value: isinstance(value, bool), "true or false"),
    "candidate": (True, _text, "a version"),
    "champion": (True, lambda value: value is None or _text(value), "a version or null"),
    "reason": (True, lambda value: isinstance(value, str), "a sentence"),
    "pictures": (False, _number, "a number"),
    "accuracy": (False, _numbers, "numbers by model"),
    "overall": (False, _numbers, "numbers by model"),
    "difference": (False, _numbers, "numbers"),
    "rules": (False, _rules, "numbers by rule"),
    "seed": (False, lambda value: isinstance(value, int) and value >= 0, "a number from 0"),
}

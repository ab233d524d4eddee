"""What the checks for drift say together, in a word and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Verdict(NamedTuple):
    """`look` is how the page shows the word: drift, ok or few."""

    look: str
    word: str
    sentence: str


def verdict(drift: dict[str, Any], new_classes: Sequence[str]) -> Verdict:
    """`new_classes`: those that the model does not know; beside them nothing is called steady."""
    verdicts = {check["verdict"] for check in drift.get("checks") or ()}
    if drift["drifted"]:
        return Verdict("drift", "drifted", "What arrives is no longer what the model was trained on.")
    if new_classes or drift.get("new_classes"):
        return Verdict("few", "new classes", "No check says drift, but some pictures are of classes that are new.")
    if not verdicts - {"too few"}:
        return Verdict("few", "not known", "There are too few pictures to compare.")
    if "too few" in verdicts:
        return Verdict("ok", "steady", "What could be compared is like what the model was trained on.")
    return Verdict("ok", "steady", "What arrives is like what the model was trained on.")

"""What a model cannot do, or what is not known of it, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_service.words import counted, few

SMALL = 50  # pictures of a class to learn from, below which it is called small
FEW = 100  # pictures watched with, below which figures are rough
HARDLY = 5  # pictures of a class watched with, below which its figures say nothing
WEAK = 0.5  # recall below which a class is called weak
UNEVEN = 10  # times as many pictures of the largest class as of the smallest
UNCALIBRATED = 0.1  # calibration error from which probabilities are not to be taken at their word
_NAMED = 6


def limits(card: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """Of the model that model.json (`card`) describes and of its `metrics` on the validation part."""
    return [
        *_of_what_it_knows(card["classes"]),
        *_of_its_beginning(card),
        *_of_its_data(card["data"]),
        *_of_its_figures(metrics),
    ]


def _of_what_it_knows(classes: list[str]) -> list[str]:
    return [
        f"It knows {len(classes):,} classes and nothing else: a picture of anything else gets one of these names too, "
        "sometimes with a high probability.",
        "It sees the square in the middle of a picture; what stands at the long ends is cut off.",
    ]


def _of_its_beginning(card: Mapping[str, Any]) -> list[str]:
    if card["start"]["kind"] != "none":
        return []
    return [
        "It learned from scratch, without weights that know pictures already: expect far less of it than of a model that "
        "began with ImageNet's."
    ]


def _of_its_data(data: Mapping[str, Any]) -> list[str]:
    found, by_class = [], data["by_class"]
    small = sorted(
        (label for label, pictures in by_class.items() if pictures < SMALL), key=lambda label: by_class[label]
    )
    if small:
        named = [f"{label} ({by_class[label]:,})" for label in small]
        found.append(f"Small classes, of fewer than {SMALL} pictures, are learned badly: {_list(named)}.")
    most, least = max(by_class.values()), min(by_class.values())
    if most >= UNEVEN * least:
        found.append(
            f"Its classes are uneven, {most:,} pictures of the largest and {least:,} of the smallest: it leans to the large."
        )
    if (available := data.get("available") or 0) > data["pictures"]:
        found.append(f"Of {available:,} pictures it was shown {data['pictures']:,}: more did not fit (--max-pictures).")
    if left_out := data.get("left_out"):
        what = "picture was" if len(left_out) == 1 else "pictures were"
        found.append(f"{len(left_out):,} {what} left out, since two labels were met for the same content.")
    return found


def _of_its_figures(metrics: Mapping[str, Any]) -> list[str]:
    found = [
        "The figures here are on pictures it did not learn from, but which chose its epoch and set how sure it is: "
        "they flatter it a little. What counts is the verdict on the held-out pictures, which came after this card."
    ]
    if metrics["pictures"] < FEW and metrics["interval"]:
        low, high = metrics["interval"]
        found.append(
            f"They rest on {counted(metrics['pictures'], 'picture')}: its true accuracy may be anything from {low:.0%} "
            f"to {high:.0%}."
        )
    by_class = metrics["by_class"]
    hardly = [label for label, row in by_class.items() if row["support"] < HARDLY]
    if hardly:
        found.append(f"Too few pictures to say how good it is at {_list(hardly)}.")
    weak = [
        f"{label} ({row['recall']:.0%})"
        for label, row in by_class.items()
        if row["support"] >= HARDLY and row["recall"] < WEAK
    ]
    if weak:
        found.append(f"It misses more than half of {_list(weak)}.")
    if (metrics["ece"] or 0) >= UNCALIBRATED:
        found.append(f"Its probabilities are off by {metrics['ece']:.0%} on average: do not take them at their word.")
    return found


def _list(names: list[str]) -> str:
    return ", ".join(few(names, _NAMED))

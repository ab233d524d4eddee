"""Whether a candidate's int8 variant may be used: it has to be as good as the candidate itself (docs/decisions/0008)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from model_service import registry

MOST_LOST = Fraction(3, 1000)  # accuracy that int8 may cost
LEAST_PICTURES = 100  # held out, on which int8 is judged for good: each is a point of agreement, and one may differ
LEAST_AGREEMENT = Fraction(99, 100)  # share of the pictures of which int8 must say the same

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Int8Score:
    """How many of the same `pictures` the candidate got right in f32 and in int8, and for how many both say the same."""

    pictures: int
    f32: int
    int8: int
    agreed: int


def decide_int8(score: Int8Score) -> tuple[bool, str]:
    """Whether the int8 variant may be used, and why in a sentence. Pure."""
    if score.pictures < LEAST_PICTURES:
        return False, f"not enough evidence: {score.pictures} held-out pictures, needed are {LEAST_PICTURES}"
    facts = (
        f"{score.int8 / score.pictures:.1%} right in int8 and {score.f32 / score.pictures:.1%} in f32 on {score.pictures} "
        f"held-out pictures, of which both say the same in {score.agreed / score.pictures:.1%}"
    )
    if Fraction(score.f32 - score.int8, score.pictures) > MOST_LOST:
        return False, f"it loses too much: {facts}; allowed is a loss of {float(MOST_LOST):.1%}"
    if Fraction(score.agreed, score.pictures) < LEAST_AGREEMENT:
        return False, f"it is another model: {facts}; needed is {float(LEAST_AGREEMENT):.0%}"
    return True, f"it is as good: {facts}"


def save(models: str, version: str, score: Int8Score) -> dict[str, Any]:
    """What is said of the int8 variant for good. On too few pictures nothing is, so that a later judge may say it."""
    accepted, reason = decide_int8(score)
    share = {
        name: getattr(score, name) / score.pictures if score.pictures else None for name in ("f32", "int8", "agreed")
    }
    judged = {
        "accepted": accepted,
        "reason": reason,
        "accuracy": {"f32": share["f32"], "int8": share["int8"]},
        "agreement": share["agreed"],
        "pictures": score.pictures,
    }
    if score.pictures >= LEAST_PICTURES:
        judged = registry.save_int8(models, version, judged)
    log.info("int8 of %s is %s: %s", version, "accepted" if judged["accepted"] else "refused", judged["reason"])
    return judged

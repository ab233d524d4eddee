"""judge: champion and candidate on every held-out picture so far. Neither was ever trained on one of them.

The candidate's int8 variant is scored on the same pictures: predict uses it only if it is as good as the candidate itself.
A picture that was met under another label later on is no evidence, and is left out.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections import Counter
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

import menagerie_contract as contract
import numpy as np

from model_service import batches, registry
from model_service.errors import StepError
from model_service.inference import INT8, Classifier
from model_service.progress import progress
from model_service.results import Outcome
from model_service.shards import Sample
from model_service.storage import name_in, open_store, write_once

CHUNK = 256  # pictures scored at a time, so that memory does not grow with the holdout
MOST_LOST = Fraction(3, 1000)  # accuracy that int8 may cost
LEAST_PICTURES = 100  # held out, on which int8 is judged for good: each is a point of agreement, and one may differ
LEAST_AGREEMENT = Fraction(99, 100)  # share of the pictures of which int8 must say the same

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Score:
    """How many of the same `pictures` each model got right, and how often just one of them did."""

    pictures: int
    candidate: int
    champion: int
    only_candidate: int
    only_champion: int


@dataclass(frozen=True)
class Int8Score:
    """How many of the same `pictures` the candidate got right in f32 and in int8, and for how many both say the same."""

    pictures: int
    f32: int
    int8: int
    agreed: int


def decide(score: Score, *, has_champion: bool, min_gain: float) -> tuple[bool, str]:
    """Whether the candidate is promoted, and why in a sentence. Pure."""
    if not has_champion:
        return True, "there is no champion: the candidate wins by default"
    if score.pictures == 0:
        return False, "not enough evidence: no picture is held out yet, the champion stays"
    gain = (score.candidate - score.champion) / score.pictures
    facts = (
        f"{score.candidate / score.pictures:.1%} right against the champion's {score.champion / score.pictures:.1%} "
        f"on {score.pictures} held-out pictures (right alone: candidate {score.only_candidate}, champion {score.only_champion})"
    )
    if gain >= min_gain and (gain > 0 or min_gain < 0):
        return True, f"the candidate wins: {facts}"
    needed = "more than the champion has" if min_gain == 0 else f"a gain of at least {min_gain:.1%}"
    return False, f"the champion stays: {facts}; needed is {needed}"


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


def judge(step: contract.Judge) -> Outcome:
    score, int8 = _score(step)
    promote, reason = decide(score, has_champion=bool(step.champion), min_gain=step.min_gain)
    verdict: dict[str, Any] = {
        "promote": promote,
        "reason": reason,
        "candidate": step.candidate,
        "champion": step.champion or None,
        "pictures": score.pictures,
        "accuracy": {
            "candidate": score.candidate / score.pictures if score.pictures else None,
            "champion": score.champion / score.pictures if score.pictures and step.champion else None,
        },
        "right_alone": {"candidate": score.only_candidate, "champion": score.only_champion} if step.champion else None,
        "int8": None if int8 is None else _judged(step, int8),
    }
    store = open_store(step.models)
    uri = contract.verdict(step.models, step.run)
    text = json.dumps(verdict, indent=2, ensure_ascii=False).encode()
    verdict = json.loads(write_once(store, name_in(store, uri), text))
    if (verdict["candidate"], verdict["champion"] or "") != (step.candidate, step.champion):
        raise StepError(
            f"run {step.run} has a verdict already, of {verdict['candidate']} against {verdict['champion'] or 'none'}",
            remedy="judge under another --run: nothing is overwritten",
        )
    return Outcome(verdict, {"verdict": uri, "promote": verdict["promote"]}, verdict["reason"])


def _judged(step: contract.Judge, score: Int8Score) -> dict[str, Any]:
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
        judged = registry.save_int8(step.models, step.candidate, judged)
    log.info("int8 of %s is %s: %s", step.candidate, "accepted" if judged["accepted"] else "refused", judged["reason"])
    return judged


def _score(step: contract.Judge) -> tuple[Score, Int8Score | None]:
    """Of the models, and of the candidate's int8 variant if it has one."""
    models = [Classifier(step.models, step.candidate)]
    has_int8 = INT8 in registry.card(step.models, step.candidate)["files"]
    if has_int8:
        models.append(Classifier(step.models, step.candidate, precision="int8"))
    if step.champion:
        models.append(Classifier(step.models, step.champion))
    holdout: dict[str, str] = {}
    for batch, manifest in batches.manifests(step.models):
        holdout |= batches.shards_in(step.models, batch, manifest, "holdout")
    samples = progress(batches.sure(step.models, holdout, batches.retracted(step.models)), "judge")
    counts = Counter[str]()
    while chunk := list(itertools.islice(samples, CHUNK)):
        guesses = [_guesses(model, chunk) for model in models]
        candidate, int8 = guesses[0], guesses[1] if has_int8 else guesses[0]
        champion = guesses[-1] if step.champion else [None] * len(chunk)
        for sample, a, quantised, b in zip(chunk, candidate, int8, champion, strict=True):
            label = sample.meta["label"]
            counts.update(
                pictures=1,
                candidate=a == label,
                champion=b == label,
                only_candidate=a == label != b,
                only_champion=b == label != a,
                int8=quantised == label,
                agreed=quantised == a,
            )
    score = Score(*(counts[f.name] for f in fields(Score)))
    return score, Int8Score(score.pictures, score.candidate, counts["int8"], counts["agreed"]) if has_int8 else None


def _guesses(model: Classifier, samples: list[Sample]) -> list[str]:
    return [model.classes[int(np.argmax(p))] for p in model.classify(sample.jpeg for sample in samples)]

"""judge: champion and candidate on every held-out picture so far. Neither was ever trained on one of them.

A picture that was met under another label later on is no evidence, and is left out.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

import menagerie_contract as contract
import numpy as np

from model_service import batches
from model_service.errors import StepError
from model_service.inference import Classifier
from model_service.progress import progress
from model_service.results import Outcome
from model_service.shards import Sample
from model_service.storage import name_in, open_store, write_once

CHUNK = 256  # pictures scored at a time, so that memory does not grow with the holdout


@dataclass(frozen=True)
class Score:
    """How many of the same `pictures` each model got right, and how often just one of them did."""

    pictures: int
    candidate: int
    champion: int
    only_candidate: int
    only_champion: int


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


def judge(step: contract.Judge) -> Outcome:
    score = _score(step)
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


def _score(step: contract.Judge) -> Score:
    candidate = Classifier(step.models, step.candidate)
    champion = Classifier(step.models, step.champion) if step.champion else None
    holdout: dict[str, str] = {}
    for batch, manifest in batches.manifests(step.models):
        holdout |= batches.shards_in(step.models, batch, manifest, "holdout")
    sure = batches.sure(step.models, holdout, batches.retracted(step.models))
    right: list[tuple[bool, bool]] = []
    samples = progress(sure, "judge")
    while chunk := list(itertools.islice(samples, CHUNK)):
        right += _right(chunk, candidate, champion)
    return Score(
        len(right),
        sum(a for a, _ in right),
        sum(b for _, b in right),
        sum(a and not b for a, b in right),
        sum(b and not a for a, b in right),
    )


def _right(samples: list[Sample], candidate: Classifier, champion: Classifier | None) -> list[tuple[bool, bool]]:
    """Per picture: was the candidate right, was the champion? A label a model does not know it got wrong."""
    labels = [sample.meta["label"] for sample in samples]

    def hits(model: Classifier) -> list[bool]:
        found = (model.classes[int(np.argmax(p))] for p in model.classify(s.jpeg for s in samples))
        return [label == guess for label, guess in zip(labels, found, strict=True)]

    return list(zip(hits(candidate), hits(champion) if champion else [False] * len(samples), strict=True))

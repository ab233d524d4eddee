"""The verdict as a document: what was decided and why, and every figure it rests on. docs/judging.md explains them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_service.inference import ONNX
from model_service.judging import comparison, statistics
from model_service.judging.evidence import Evidence
from model_service.judging.holdout import Holdout
from model_service.judging.latency import Latency
from model_service.judging.rules import Decision, Rules
from model_service.judging.scoring import Said, Scores

Verdict = dict[str, Any]  # as JSON has it
ROLES = ("candidate", "champion")


@dataclass(frozen=True)
class Examined:
    """All that was found, of the candidate and then of the champion, if there is one; without, `evidence` is None."""

    versions: list[str]
    cards: list[dict[str, Any]]
    holdout: Holdout
    scores: Scores
    times: Latency | None
    evidence: Evidence | None
    int8: dict[str, Any] | None
    seed: int


def compose(examined: Examined, decision: Decision, rules: Rules) -> Verdict:
    """Pure."""
    scores, evidence, holdout, cards = examined.scores, examined.evidence, examined.holdout, examined.cards
    both = scores.said[: len(cards)]
    seconds = examined.times.seconds if examined.times else [None] * len(cards)
    return {
        "promote": decision.promote,
        "reason": decision.reason,
        "reasons": decision.reasons,
        **_by_role(examined.versions),
        "pictures": len(scores.labels),
        "left_out": {"retracted": holdout.retracted, "same": holdout.same, "alike": holdout.alike},
        "unknown_batches": holdout.unknown,
        "compared": evidence.compared if evidence else len(scores.labels),
        "accuracy": _accuracy(scores, evidence),
        "difference": _difference(evidence),
        "right_alone": _by_role([evidence.only_candidate, evidence.only_champion]) if evidence else None,
        "mcnemar_p": statistics.mcnemar(evidence.only_candidate, evidence.only_champion) if evidence else None,
        "ece": _by_role(list(evidence.ece) if evidence else [comparison.ece(scores, both[0], _all(scores))]),
        "overall": _by_role([_share(comparison.right(scores, said)) for said in both]),
        "milliseconds": _by_role([None if each is None else round(1000 * each, 3) for each in seconds]),
        "slower": evidence.slower if evidence else None,
        "bytes": _by_role([card["files"].get(ONNX, {}).get("bytes") for card in cards]),
        "new_classes": list(evidence.new) if evidence else [],
        "removed_classes": list(evidence.removed) if evidence else [],
        "by_class": _by_class(scores, both),
        "findings": [finding._asdict() for finding in decision.findings],
        "rules": dataclasses.asdict(rules),
        "seed": examined.seed,
        "int8": examined.int8,
    }


def _by_role(values: list[Any]) -> dict[str, Any]:
    """{"candidate": …, "champion": …}, the latter None when there is none."""
    return dict(zip(ROLES, [*values, None], strict=False))


def _accuracy(scores: Scores, evidence: Evidence | None) -> dict[str, float | None]:
    """On what was compared: the classes that both know; without a champion, everything."""
    if evidence is None:
        return _by_role([_share(comparison.right(scores, scores.said[0]))])
    counts = (evidence.candidate, evidence.champion)
    return _by_role([count / evidence.compared if evidence.compared else None for count in counts])


def _difference(evidence: Evidence | None) -> dict[str, float | int | None] | None:
    if evidence is None:
        return None
    found = {"value": evidence.difference, "low": evidence.low, "high": evidence.high}
    return found | {"confidence": statistics.CONFIDENCE, "resamples": statistics.RESAMPLES}


def _by_class(scores: Scores, both: list[Said]) -> dict[str, dict[str, Any]]:
    """Recalls; None for a class without pictures, and of a champion that is not there."""
    support, *hits = (comparison.by_class(scores, said) for said in (None, *both))
    found = {}
    for label, pictures in support.items():
        right = [some[label] for some in hits]
        recalls = [count / pictures if pictures else None for count in right]
        difference = (right[0] - right[1]) / pictures if pictures and len(right) > 1 else None
        found[label] = {"support": pictures, **_by_role(recalls), "difference": difference}
    return found


def _share(some: np.ndarray[Any, np.dtype[np.bool_]]) -> float | None:
    return float(some.mean()) if len(some) else None


def _all(scores: Scores) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.ones(len(scores.labels), bool)

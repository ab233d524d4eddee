"""A candidate before the judge: scored beside the champion on the same held-out pictures, and what is decided."""

from __future__ import annotations

import dataclasses
import logging

from model_service import batches, registry
from model_service.inference import INT8, Classifier
from model_service.judging import comparison, int8, rules, table
from model_service.judging.evidence import Evidence
from model_service.judging.holdout import held_out
from model_service.judging.int8 import Int8Score
from model_service.judging.latency import PICTURES, latency
from model_service.judging.rules import Rules
from model_service.judging.scoring import Scores, score
from model_service.judging.verdict import Examined, Verdict, compose
from model_service.progress import progress

log = logging.getLogger(__name__)


def examine(models: str, candidate: str, champion: str, demanded: Rules, seed: int) -> Verdict:
    """Score both versions (`champion` is "" when there is none) and decide. Raises BadModel, BadShard.

    Nothing is written but what is found of the candidate's int8 variant, unless that was judged before.
    """
    versions = [candidate, champion] if champion else [candidate]
    cards = [registry.card(models, version) for version in versions]
    holdout = held_out(models, versions)
    networks = [Classifier(models, version) for version in versions]
    judged = registry.int8(models, candidate)
    unjudged = judged is None and INT8 in cards[0]["files"]
    if unjudged:
        networks.append(Classifier(models, candidate, precision="int8"))
    samples = batches.sure(models, holdout.shards, holdout.left_out)
    scores = score(networks, progress(samples, "judge", holdout.pictures), PICTURES)
    if unjudged:
        judged = int8.save(models, candidate, _int8(scores))
    times = latency([Classifier(models, v, "LATENCY") for v in versions], scores.first, demanded.max_latency_loss)
    evidence: Evidence | None = None
    if champion:
        ours, theirs = zip((networks[0].classes, networks[1].classes), scores.said[:2], strict=True)
        evidence = comparison.compare(scores, ours, theirs, seed)
        evidence = dataclasses.replace(evidence, slower=times.slower if times else None)
    examined = Examined(versions, cards, holdout, scores, times, evidence, judged, seed)
    verdict = compose(examined, rules.decide(evidence, demanded), demanded)
    for line in table.lines(verdict):
        log.info("%s", line)
    return verdict


def _int8(scores: Scores) -> Int8Score:
    """The candidate was scored first, its variant last."""
    f32, quantised = scores.said[0], scores.said[-1]
    hits, hits_quantised = (int(comparison.right(scores, said).sum()) for said in (f32, quantised))
    return Int8Score(len(scores.labels), hits, hits_quantised, int((f32.predicted == quantised.predicted).sum()))

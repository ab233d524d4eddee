"""reproduce: rebuild a model from its tag, of what registry and bucket have, and tell how far it is from the original.

It is trained as train trains, on a bucket of its own on this machine. That the result differs is no failure: it is told; that
nothing could be rebuilt is one.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from typing import Any

import menagerie_contract as contract

from model_service import registry
from model_service.errors import StepError
from model_service.reproducing import distance, table
from model_service.reproducing.gathered import Gathered, gather
from model_service.results import Outcome
from model_service.scratch import scratch
from model_service.training import candidate, provenance, ranks

log = logging.getLogger(__name__)


def reproduce(step: contract.Reproduce) -> None:
    """Raises StepError when it cannot be rebuilt."""
    with scratch("reproduce") as folder:
        found = gather(step, folder)
        original = found.card["version"]
        training = _training(step, found)
        log.info("%s is %s, of %d batches; training it anew", step.tag, original, len(found.batches))
        outcome = ranks.run(functools.partial(work, given=found.batches), training)
        rebuilt = registry.card(found.models, outcome.outputs["version"])
        weights = distance.weights(found.models, original, rebuilt["version"])
        test, held = distance.answers(found.models, original, rebuilt["version"], found.batches)
        saved = _save(step, found, rebuilt) if step.save else ""
    log.info("\n%s: %s, rebuilt from %s", step.tag, original, found.card["data"].get("tag") or "the batches it names")
    for line in table.lines(list(table.rows(weights, test, held))):
        log.info("%s", line)
    if found.pulled:
        log.info("from the data registry, as the bucket did not have it: %s", ", ".join(found.pulled))
    if reasons := table.reasons(found.card, rebuilt):
        log.info("what is not as it was:" if not weights.same else "what is not as it was, and made no difference:")
        for line in table.lines(reasons):
            log.info("%s", line)
    log.info("%s%s", table.verdict(weights, test, held), f"; kept as {saved}" if saved else "")


def work(step: contract.Train, given: dict[str, str]) -> Outcome:
    """What each of several processes does (training/ranks.py): train, and keep the result in the bucket of its own."""
    made = candidate.make(step, given)
    registry.save(step.models, made.name, made.files, made.card, told=made.told)
    return Outcome({}, {"version": made.name})


def _training(step: contract.Reproduce, found: Gathered) -> contract.Train:
    """As the original was told to train. Raises StepError when this release knows other arguments than that one did."""
    told: dict[str, Any] = found.card.get("training") or {}
    training = contract.Train(
        run=f"reproduce-{step.tag}",
        models=found.models,
        result=contract.result(found.models, f"reproduce-{step.tag}", "train"),
    )
    if differ := sorted(set(told) ^ set(provenance.arguments(training))):
        raise StepError(
            f"{found.card['version']} was trained by a release whose arguments were others: {', '.join(differ)}",
            remedy=f"run reproduce of that release: check out its commit, {found.card.get('commit') or 'which is not known'}",
        )
    return dataclasses.replace(training, **told)


def _save(step: contract.Reproduce, found: Gathered, card: dict[str, Any]) -> str:
    """Into the bucket with models; the version. Once more is no error."""
    version: str = card["version"]
    files = {name: registry.load(found.models, version, name) for name in card["files"]}
    # The shards are those of the bucket, wherever they were read here.
    shards = {uri.replace(found.models, step.models, 1): sha256 for uri, sha256 in card["data"]["shards"].items()}
    told = card | {
        "data": card["data"] | {"shards": shards},
        "reproduces": {"tag": step.tag, "version": found.card["version"]},
    }
    registry.save(step.models, version, files, told)
    return version

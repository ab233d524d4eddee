"""The evaluations of all runs: which came before one, and the pointer to the newest.

Runs are in the order in which the ledger took their last batches. It is the same whenever and however often a run is
evaluated, so an old run that is evaluated again neither moves the pointer back nor is compared with a newer one.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import menagerie_contract as contract

from model_service.evaluation import shapes
from model_service.ledger import Head, read_head
from model_service.storage import Conflict, Exists, NotFound, Store, name_in, read_live

BACK = 50  # runs looked at for an earlier evaluation
_MEASURES = ("pictures", "right", "accuracy", "interval", "top5", "log_loss", "brier", "ece", "by_class")
log = logging.getLogger(__name__)


def order(head: Head) -> dict[str, int]:
    """Run → its place among the runs; a larger one is newer."""
    return {batch.run: place for place, batch in enumerate(head.batches)}


def before(predicted: Store, head: Head, run: str) -> dict[str, Any] | None:
    """The latest evaluation of an earlier run, in its main numbers; None: there is none. One that is damaged is passed over."""
    places = order(head)
    earlier = sorted((other for other in places if places[other] < places[run]), key=lambda other: -places[other])
    for other in earlier[:BACK]:
        uri = contract.metrics(predicted.uri, other)
        try:
            document = json.loads(predicted.read(name_in(predicted, uri)))
            measured, drift = document["metrics"], document.get("drift")
            shapes.measures(measured)
            shapes.drift(drift)
            if not isinstance(document["model"], str):
                raise shapes.Misshapen("model is no name")
            return {
                "run": other,
                "model": document["model"],
                "report": contract.report(predicted.uri, other),
                **{name: measured.get(name) for name in _MEASURES},
                "drifted": drift["drifted"] if drift else None,
            }
        except NotFound:
            continue  # nothing was predicted in that run
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.warning("%s is damaged, so nothing is compared with it: %r", uri, error)
    return None


def publish(predicted: Store, models: Store, run: str) -> str:
    """Point latest.json to this run's report unless it points to a newer run's; returns the run that it points to."""
    uri = contract.latest(predicted.uri)
    name = name_in(predicted, uri)
    pointer = {
        "run": run,
        "report": contract.report(predicted.uri, run),
        "metrics": contract.metrics(predicted.uri, run),
    }
    data = json.dumps(pointer, indent=2, ensure_ascii=False).encode()
    while True:
        there, generation = read_live(predicted, name)
        if there == data:
            return run
        # Only now: a run that was pointed to has committed, so that this head knows it.
        places = order(read_head(models.uri, models))
        now = _run(there, uri)
        if now is not None and places.get(now, -1) > places.get(run, -1):
            return now
        try:
            if there is None:
                predicted.write_if_absent(name, data)
            else:
                predicted.compare_and_swap(name, data, generation)
            return run
        except (Exists, Conflict):
            log.info("another evaluation has moved %s meanwhile: looking again", uri)


def _run(pointer: bytes | None, uri: str) -> str | None:
    """Whose report it is; None: nobody's."""
    if pointer is None:
        return None
    try:
        return str(json.loads(pointer)["run"])
    except (ValueError, KeyError, TypeError):
        log.warning("%s is damaged: it is replaced", uri)
        return None

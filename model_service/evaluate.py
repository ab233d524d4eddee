"""evaluate: a run's predictions against the true labels and the training pictures: numbers, a report, whether to retrain.

Order of writes, so that the next attempt can go on where one was killed: the copies for review; metrics.json, which then
stands: a later attempt reads it and measures nothing anew; the table for people; report.html; latest.json.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import menagerie_contract as contract
import numpy as np

from model_service import batches, registry, report
from model_service.evaluation import (
    arrived,
    contact_sheet,
    drift,
    evaluations,
    kept,
    metrics,
    predictions_csv,
    reference,
    retraining,
    review,
)
from model_service.evaluation.gathered import Gathered, gather
from model_service.evaluation.unseen import unseen
from model_service.ledger import read_head
from model_service.prices import dollars
from model_service.results import Outcome
from model_service.scratch import scratch
from model_service.storage import Store, name_in, open_store, write_once
from model_service.storage.metered import Meter, Metered
from model_service.words import counted, few

_HEADLINE = ("pictures", "right", "accuracy", "interval", "top5", "log_loss", "ece", "new_classes")


@dataclass(frozen=True)
class _Stores:
    """The buckets, whose operations are counted together; no `to_predict`: no copies for review."""

    meter: Meter
    models: Store
    predicted: Store
    to_predict: Store | None


def evaluate(step: contract.Evaluate) -> Outcome:
    begun, stores = time.monotonic(), _open(step)
    card = registry.card(step.models, step.model, "classes", "data")
    numbers, page = contract.metrics(step.predicted, step.run), contract.report(step.predicted, step.run)
    document = earlier = kept.document(step, stores.predicted)
    if document is None or step.csv:
        doubted = batches.retracted(step.models, stores.models)
        found = gather(step, card["classes"], doubted, stores.models, stores.predicted)
        if document is None:
            text = json.dumps(_document(step, found, card, doubted, stores), indent=2, ensure_ascii=False).encode()
            document = json.loads(write_once(stores.predicted, name_in(stores.predicted, numbers), text))
        if step.csv:
            _write_table(step, found, stores.predicted)
    shown = [*document["errors"][: report.WRONG], *document["uncertain"][: report.UNSURE]]
    html = report.render(document, contact_sheet.pictures(stores.models, shown))
    kept.page(stores.predicted, page, html.encode())
    newest = evaluations.publish(stores.predicted, stores.models, step.run)
    return Outcome(
        _counts(document) | _spent(stores.meter) | {"seconds": round(time.monotonic() - begun, 3)},
        {
            "metrics": numbers,
            "report": page,
            "latest": newest,
            "retrain": document["retrain"]["needed"],
            "reasons": document["retrain"]["reasons"],
            "review": document["review"]["folder"] if document["review"] else None,
            "csv": contract.predictions_csv(step.predicted, step.run) if step.csv else None,
        },
        _words(document) + (_stands(step, earlier) if earlier else ""),
    )


def _open(step: contract.Evaluate) -> _Stores:
    meter = Meter()
    models, predicted = (Metered(open_store(uri), meter) for uri in (step.models, step.predicted))
    wanted = step.to_predict and step.review
    return _Stores(meter, models, predicted, Metered(open_store(step.to_predict), meter) if wanted else None)


def _document(
    step: contract.Evaluate,
    found: Gathered,
    card: dict[str, Any],
    doubted: dict[str, set[str]],
    stores: _Stores,
) -> dict[str, Any]:
    """What metrics.json says; the copies for review are made on the way."""
    guesses = [found.classes[i] for i in found.predicted]
    measured = metrics.measure(metrics.Predictions(found.labels, guesses, found.probabilities), found.classes)
    drifted = _drift(step, found, card)
    new = unseen(stores.models, card["data"]["shards"], doubted)
    needed, reasons = retraining.needed(
        measured, drifted, new, min_accuracy=step.min_accuracy, max_new=step.max_new, on_drift=step.on_drift
    )
    told = arrived.told(step.models, step.run, stores.models)
    errors, unsure = review.worst(found, step.review), review.uncertain(found, step.review)
    return {
        "run": step.run,
        "model": step.model,
        "options": _options(step),
        "trained_on": found.among(card["data"]["shards"]),
        "precision": ", ".join(sorted(found.said.get("precision", ()))),
        "preprocessing": ", ".join(sorted(found.said.get("preprocessing", ()))),
        "metrics": measured,
        "drift": drifted,
        "previous": evaluations.before(stores.predicted, read_head(step.models, stores.models), step.run),
        "retrain": {"needed": needed, "reasons": reasons, "unseen": new},
        "errors": review.entries(found, errors),
        "uncertain": review.entries(found, unsure),
        "review": _review(step, found, [*errors, *unsure], stores),
        "doubted": found.doubted,
        "quarantined": found.quarantined,
        "quarantine": found.quarantine,
        "csv": contract.predictions_csv(step.predicted, step.run) if step.csv else None,
        "sort": arrived.arrived(told),
        "costs": arrived.costs(told, _spent(stores.meter)),
    }


def _drift(step: contract.Evaluate, found: Gathered, card: dict[str, Any]) -> dict[str, Any] | None:
    """None for a model that an earlier release trained, which keeps no reference."""
    if reference.FILE not in card["files"]:
        return None
    trained_on = reference.read(registry.load(step.models, step.model, reference.FILE))
    new = drift.Arrived(
        labels=found.labels,
        probabilities=found.probabilities,
        embeddings=found.embeddings,
        brightness=found.numbers["brightness"],
        sharpness=found.numbers["sharpness"],
        width=np.asarray(found.pictures["width"], np.int32),
        height=np.asarray(found.pictures["height"], np.int32),
        sampled=found.sampled,
    )
    return drift.measure(trained_on, new)


def _review(step: contract.Evaluate, found: Gathered, chosen: list[int], stores: _Stores) -> dict[str, Any] | None:
    """How many copies there are for people, and where; None when none are asked for."""
    if stores.to_predict is None:
        return None
    folder = contract.review(step.predicted, step.run)
    asked = review.copies(found, chosen, name_in(stores.predicted, folder))
    return {**review.copy(stores.to_predict, stores.predicted, asked), "folder": folder}


def _write_table(step: contract.Evaluate, found: Gathered, predicted: Store) -> None:
    with scratch("csv") as folder:
        path = folder / "predictions.csv"
        predictions_csv.write(found, path)
        kept.table(predicted, contract.predictions_csv(step.predicted, step.run), path)


def _spent(meter: Meter) -> dict[str, Any]:
    """What this attempt asked of the buckets so far."""
    spent = meter.counts()
    asked = {name: spent[name] for name in ("bytes_in", "bytes_out", "class_a", "class_b")}
    return asked | {"usd": dollars(spent["class_a"], spent["class_b"])}


def _counts(document: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: document["metrics"].get(name) for name in _HEADLINE},
        "new_classes": few(document["metrics"].get("new_classes") or []),
        "drifted": document["drift"]["drifted"] if document["drift"] else None,
        "quarantined": sum(document["quarantined"].values()),
        "copies": document["review"]["copies"] if document["review"] else 0,
    }


def _words(document: dict[str, Any]) -> str:
    measured, retrain, drifted = document["metrics"], document["retrain"], document["drift"]
    aside = sum(document["quarantined"].values())
    right = "no new picture whose label is sure" + (f", {aside:,} quarantined" if aside else "")
    if measured.get("accuracy") is not None:
        right = f"{measured['accuracy']:.1%} of {counted(measured['pictures'], 'new picture')} right"
    moved = "; the pictures have drifted" if drifted and drifted["drifted"] else ""
    needed = f"retrain: {'; '.join(retrain['reasons'])}" if retrain["needed"] else "no need to retrain"
    return f"{right}{moved}; {needed}"


def _options(step: contract.Evaluate) -> dict[str, Any]:
    """What the document depends on besides the data."""
    asked = {name: getattr(step, name) for name in ("min_accuracy", "max_new", "on_drift")}
    return asked | {"review": step.review if step.to_predict else 0}


def _stands(step: contract.Evaluate, earlier: dict[str, Any]) -> str:
    """Says so when this attempt was asked for something else than the document has."""
    had, asked = earlier.get("options") or {}, _options(step)
    if not had:
        return "; this run was evaluated before, and that evaluation stands (its options are not known)"
    other = [f"{name}={had.get(name)}, not {asked[name]}" for name in asked if had.get(name) != asked[name]]
    if not other:
        return ""
    uri = contract.metrics(step.predicted, step.run)
    return f"; this run was evaluated before, and that evaluation stands, with {'; '.join(other)} ({uri})"

"""evaluate: a run's predictions against the true labels; metrics.json, report.html and whether to retrain."""

from __future__ import annotations

import collections
import io
import json
from collections.abc import Iterator
from typing import Any

import menagerie_contract as contract
import pyarrow.parquet as pq

from model_service import batches, metrics, registry, report
from model_service.arrived import arrived
from model_service.errors import StepError
from model_service.metrics import Predictions
from model_service.results import Outcome
from model_service.storage import name_in, open_store, write_once

LISTED = 1000  # quarantined pictures named one by one; the manifests have the others


def evaluate(step: contract.Evaluate) -> Outcome:
    card = registry.card(step.models, step.model)
    manifest = list(_manifest(step))
    aside = [row for row in manifest if row["status"] == "quarantined"]
    doubted = batches.retracted(step.models)
    measured = metrics.measure(_predictions(step, manifest, doubted), card["classes"])
    unseen = _unseen(step.models, card, doubted)
    needed, reasons = metrics.retrain(measured, unseen, min_accuracy=step.min_accuracy, max_new=step.max_new)
    document: dict[str, Any] = {
        "run": step.run,
        "model": step.model,
        "metrics": measured,
        "retrain": {"needed": needed, "reasons": reasons, "unseen": unseen},
        "sort": arrived(step.models, step.run),
        "quarantined": dict(sorted(collections.Counter(row["reason"] for row in aside).items())),
        "quarantine": [{name: row[name] for name in ("uri", "reason", "text")} for row in aside[:LISTED]],
    }
    store = open_store(step.predicted)
    numbers, page = contract.metrics(step.predicted, step.run), contract.report(step.predicted, step.run)
    text = json.dumps(document, indent=2, ensure_ascii=False).encode()
    document = json.loads(write_once(store, name_in(store, numbers), text))
    if document["model"] != step.model:
        raise StepError(
            f"run {step.run} has an evaluation already, of {document['model']}",
            remedy="evaluate under another --run: nothing is overwritten",
        )
    write_once(store, name_in(store, page), report.render(document).encode())
    measured, retrain = document["metrics"], document["retrain"]
    counts = {key: measured[key] for key in ("pictures", "right", "accuracy", "new_classes")}
    return Outcome(
        counts | {"quarantined": sum(document["quarantined"].values())},
        {"metrics": numbers, "report": page, "retrain": retrain["needed"], "reasons": retrain["reasons"]},
        f"{_words(measured)}; "
        + (f"retrain: {'; '.join(retrain['reasons'])}" if retrain["needed"] else "no need to retrain"),
    )


def _words(measured: dict[str, Any]) -> str:
    if measured["accuracy"] is None:
        return "no new picture whose label is sure"
    return f"{measured['accuracy']:.1%} of {measured['pictures']} new pictures right"


def _manifest(step: contract.Evaluate) -> Iterator[dict[str, Any]]:
    """The rows of all of the run's batches, in name order, each with the name of its `batch`."""
    found = sorted(batches.manifests(step.models, step.run), key=lambda one: one[0])  # as their ranges
    if not found:
        raise StepError(
            f"run {step.run} has sorted nothing: it has no batch in {step.models}",
            remedy="sort first, under the same --run",
        )
    for batch, manifest in found:
        table = manifest.select(["uri", "key", "status", "reason", "text"])
        yield from ({**row, "batch": batch} for row in table.to_pylist())


def _predictions(step: contract.Evaluate, manifest: list[dict[str, Any]], doubted: dict[str, set[str]]) -> Predictions:
    """The label and prediction of every packed picture whose label is sure. Raises StepError when predictions are missing."""
    store = open_store(step.predicted)
    prefix = f"{step.run}/predictions-"
    columns = ["key", "label", "predicted"]
    tables = [pq.read_table(io.BytesIO(store.read(b.name)), columns=columns) for b in store.list(prefix)]
    rows = {row["key"]: row for table in tables for row in table.to_pylist()}
    packed = [row for row in manifest if row["status"] == "packed"]
    expected = [row["key"] for row in packed if row["key"] not in doubted.get(row["batch"], ())]
    missing = [key for key in expected if key not in rows]
    if missing or not packed:
        raise StepError(
            f"{len(missing)} of {len(expected)} pictures of {step.run} have no prediction",
            remedy="run predict again for this run (clear its failed tasks)",
        )
    return Predictions([rows[key]["label"] for key in expected], [rows[key]["predicted"] for key in expected])


def _unseen(models: str, card: dict[str, Any], doubted: dict[str, set[str]]) -> int:
    """Train pictures in shards that the model's card does not list; those with a doubted label are not trained on."""
    listed = {(contract.batch_of(uri), uri.rsplit("/", 1)[1]) for uri in card["data"]["shards"]}
    unseen = 0
    for batch, manifest in batches.manifests(models):
        table = manifest.select(["key", "status", "split", "shard"])
        unseen += sum(
            status == "packed"
            and split == "train"
            and (batch, shard) not in listed
            and key not in doubted.get(batch, ())
            for key, status, split, shard in zip(*table.to_pydict().values(), strict=True)
        )
    return unseen

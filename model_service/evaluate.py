"""evaluate: a run's predictions against the true labels; metrics.json, report.html and whether to retrain."""

from __future__ import annotations

import io
import json
from typing import Any

import menagerie_contract as contract
import pyarrow as pa
import pyarrow.parquet as pq

from model_service import batches, metrics, registry, report
from model_service.errors import StepError
from model_service.metrics import Predictions
from model_service.results import Outcome
from model_service.storage import name_in, open_store, write_once


def evaluate(step: contract.Evaluate) -> Outcome:
    card = registry.card(step.models, step.model)
    manifest = batches.manifest(step.models, step.run).select(["uri", "key", "status", "reason", "text"]).to_pylist()
    measured = metrics.measure(_predictions(step, manifest), card["classes"])
    unseen = _unseen(step.models, card)
    needed, reasons = metrics.retrain(measured, unseen, min_accuracy=step.min_accuracy, max_new=step.max_new)
    document: dict[str, Any] = {
        "run": step.run,
        "model": step.model,
        "metrics": measured,
        "retrain": {"needed": needed, "reasons": reasons, "unseen": unseen},
        "quarantine": [
            {name: row[name] for name in ("uri", "reason", "text")}
            for row in manifest
            if row["status"] == "quarantined"
        ],
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
        counts | {"quarantined": len(document["quarantine"])},
        {"metrics": numbers, "report": page, "retrain": retrain["needed"], "reasons": retrain["reasons"]},
        f"{measured['accuracy']:.1%} of {measured['pictures']} new pictures right; "
        + (f"retrain: {'; '.join(retrain['reasons'])}" if retrain["needed"] else "no need to retrain"),
    )


def _predictions(step: contract.Evaluate, manifest: list[dict[str, Any]]) -> Predictions:
    """Every packed picture's label and prediction. Raises StepError when predictions are missing."""
    store = open_store(step.predicted)
    prefix = f"{step.run}/predictions-"
    columns = ["key", "label", "predicted"]
    tables = [pq.read_table(io.BytesIO(store.read(b.name)), columns=columns) for b in store.list(prefix)]
    rows = {row["key"]: row for table in tables for row in table.to_pylist()}
    expected = [row["key"] for row in manifest if row["status"] == "packed"]
    missing = [key for key in expected if key not in rows]
    if missing or not expected:
        raise StepError(
            f"{len(missing)} of {len(expected)} pictures of {step.run} have no prediction",
            remedy="run predict again for this run (clear its failed tasks)",
        )
    return Predictions([rows[key]["label"] for key in expected], [rows[key]["predicted"] for key in expected])


def _unseen(models: str, card: dict[str, Any]) -> int:
    """Train pictures in shards that the model's card does not list."""
    unseen = 0
    for batch in batches.finished(models):
        known = {uri.rsplit("/", 1)[1] for uri in card["data"]["shards"] if uri.rsplit("/", 2)[1] == batch}
        table: pa.Table = batches.manifest(models, batch)
        rows = zip(table["status"].to_pylist(), table["split"].to_pylist(), table["shard"].to_pylist(), strict=True)
        unseen += sum(status == "packed" and split == "train" and shard not in known for status, split, shard in rows)
    return unseen

"""sort: read each new picture of a range once; validate, label, hash, copy for people, pack into shards."""

from __future__ import annotations

import time

import menagerie_contract as contract

from model_service import batches
from model_service.ledger import Parts, read_head, unsorted
from model_service.progress import progress
from model_service.results import Outcome
from model_service.sorting import accounts, label_manifest, planning
from model_service.sorting.commit import commit
from model_service.sorting.item import Item, Row
from model_service.sorting.reading import Reader
from model_service.sorting.settlement import Settlement
from model_service.sorting.spool import Spool
from model_service.storage import Blob, open_store
from model_service.storage.metered import Meter, Metered

FIRST = 50_000  # objects that a sort without a plan takes on


def sort(step: contract.Sort) -> Outcome:
    begun, meter = time.monotonic(), Meter()
    source, to_predict, models = (
        Metered(open_store(uri), meter) for uri in (step.source, step.to_predict, step.models)
    )
    for store in (source, to_predict, models):
        store.check()
    head = planning.begin(step, models)
    rows: list[Row] = []
    read = 0
    with Parts(step.models, models) as parts, Spool() as spool:
        plan, more = (step.plan, False) if step.plan else planning.first(step, source, models, parts, head, FIRST)
        if plan is None:
            nothing = accounts.counts([], step, head, 0) | accounts.costs(meter, begun, 0)
            return Outcome(nothing, {"batch": None, "shards": []}, f"nothing new in {step.source}")
        index, _ = contract.plan_parts(plan)
        if not head.of_range(step.run, index):  # else an attempt that was killed before its result has committed it
            known = parts.entries(head.parts, ("name", "generation"))
            blobs = list(unsorted(planning.read(models, plan), known))
            written = {}
            if step.label_rule == "manifest":
                written = label_manifest.read(source, step.label_manifest, {blob.name for blob in blobs})
            reader = Reader(step, source, to_predict, planning.admission(step, head), written)
            items = _read(step, reader, blobs, spool)
            read = len(items)
            settlement = Settlement(step, reader, source, to_predict, head, len(items))
            rows = commit(step, index, items, spool, models, parts, settlement)
    head = read_head(step.models, models)
    batch = head.of_range(step.run, index)
    if batch is not None:
        rows = batches.manifest(step.models, batch.name).to_pylist()
    shards = (
        [uri for split in contract.SPLITS for uri in batches.shards(step.models, batch.name, split)] if batch else []
    )
    counts = accounts.counts(rows, step, head, index)
    message = f"{counts['new']} new: {counts['packed']} packed, {sum(counts['quarantined'].values())} quarantined"
    message += "; there is more: sort again under another run name" if more else ""
    outputs = {"batch": batch.name if batch else None, "shards": shards}
    return Outcome(counts | accounts.costs(meter, begun, read), outputs, message)


def _read(step: contract.Sort, reader: Reader, blobs: list[Blob], spool: Spool) -> list[Item]:
    """All of them, in their order. Raises StepError as soon as more are left than may be unusable, or so many in a row that
    storage must be out of order: each has waited for it as long as is worth while.
    """
    items: list[Item] = []
    aside = left = in_a_row = 0

    def note() -> str:
        return f"{aside} quarantined" + (f", {left} left for the next run" if left else "")

    for picture in progress(reader.read_all(blobs), "sort", len(blobs), note):
        aside += picture.row["status"] == "quarantined"
        in_a_row = in_a_row + 1 if picture.row["status"] == "left" else 0
        left += in_a_row > 0
        if left > step.max_bad * len(blobs) or in_a_row > 2 * step.threads:
            raise accounts.too_many(step, [*(item.row for item in items), picture.row], len(blobs))
        number = None if picture.jpeg is None else spool.add(picture.jpeg)
        items.append(Item(blobs[len(items)], picture.row, number))
    return items

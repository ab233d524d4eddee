"""sort: read each new picture of a range once; validate, label, hash, copy for people, pack into shards."""

from __future__ import annotations

import time

import menagerie_contract as contract

from model_service import batches
from model_service.ledger import Parts, read_head, unsorted
from model_service.progress import progress
from model_service.results import Outcome
from model_service.scratch import scratch
from model_service.sorting import accounts, label_manifest, planning
from model_service.sorting.commit import commit
from model_service.sorting.crew import Work, read_all
from model_service.sorting.item import Item, Row
from model_service.sorting.settlement import Settlement
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
    with Parts(step.models, models) as parts, scratch("spool") as spools:
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
            work = Work(step, planning.admission(step, head), written, spools, step.threads)
            items = _read(work, blobs, meter)
            read = len(items)
            settlement = Settlement(step, source, to_predict, head, len(items))
            rows = commit(step, index, items, models, parts, settlement)
    head = read_head(step.models, models)
    batch = head.of_range(step.run, index)
    shards: list[str] = []
    if batch is not None:
        manifest = batches.manifest(step.models, batch.name)
        rows = manifest.to_pylist()
        for split in contract.SPLITS:
            shards += batches.shards_in(step.models, batch.name, manifest, split)
    counts = accounts.counts(rows, step, head, index)
    message = f"{counts['new']} new: {counts['packed']} packed, {sum(counts['quarantined'].values())} quarantined"
    message += "; there is more: sort again under another run name" if more else ""
    outputs = {"batch": batch.name if batch else None, "shards": shards}
    return Outcome(counts | accounts.costs(meter, begun, read), outputs, message)


def _read(work: Work, blobs: list[Blob], meter: Meter) -> list[Item]:
    """All of them, in their order. Raises StepError as soon as more are left than may be unusable, or so many in a row that
    storage must be out of order: each has waited for it as long as is worth while.
    """
    items: list[Item] = []
    aside = left = in_a_row = 0

    def note() -> str:
        return f"{aside} quarantined" + (f", {left} left for the next run" if left else "")

    for reading in progress(read_all(work, blobs, meter), "sort", len(blobs), note):
        aside += reading.row["status"] == "quarantined"
        in_a_row = in_a_row + 1 if reading.row["status"] == "left" else 0
        left += in_a_row > 0
        if left > work.step.max_bad * len(blobs) or in_a_row > 2 * work.threads:
            raise accounts.too_many(work.step, [*(item.row for item in items), reading.row], len(blobs))
        items.append(Item(reading.blob, reading.row, reading.slot))
    return items

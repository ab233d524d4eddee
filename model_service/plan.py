"""plan: what is new in the source, split into ranges that sort takes on side by side."""

from __future__ import annotations

import itertools
import time

import menagerie_contract as contract

from model_service.ledger import Parts
from model_service.prices import dollars
from model_service.progress import progress
from model_service.results import Outcome
from model_service.sorting import planning
from model_service.storage import open_store
from model_service.storage.metered import Meter, Metered


def plan(step: contract.Plan) -> Outcome:
    begun, meter = time.monotonic(), Meter()
    source, models = (Metered(open_store(uri), meter) for uri in (step.source, step.models))
    for store in (source, models):
        store.check()
    head = planning.begin(step, models)
    with Parts(step.models, models) as parts:
        listing, objects = planning.new_objects(step, source, head, parts)
        new = progress(objects, "new")
        plans, planned = [], 0
        for index, blobs in enumerate(itertools.islice(planning.ranges(new, step.range_size), step.max_ranges)):
            plans.append(planning.write(step, models, index, blobs))
            planned += len(blobs)
        later = sum(1 for _ in new)
    planning.refuse_empty(step, listing)
    cost = meter.counts()
    counts = {
        "listed": listing.seen,
        "new": planned,
        "ranges": len(plans),
        "left_for_next_run": later,
        "skipped": dict(sorted(listing.skipped.items())),
        "batches": len(head.batches),
        "class_a": cost["class_a"],
        "class_b": cost["class_b"],
        "usd": dollars(cost["class_a"], cost["class_b"]),
        "seconds": round(time.monotonic() - begun, 3),
    }
    said = (
        f"{planned} new of {listing.seen} objects, in {len(plans)} ranges" if plans else f"nothing new in {step.source}"
    )
    return Outcome(counts, {"plans": plans}, said)

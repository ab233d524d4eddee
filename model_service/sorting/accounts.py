"""What a sort has to say: counts of its pictures, what it cost, and when it is too bad to be committed. Pure functions."""

from __future__ import annotations

import collections
import time
from collections.abc import Sequence
from typing import Any

import menagerie_contract as contract

from model_service.errors import StepError
from model_service.ledger import Head
from model_service.prices import dollars
from model_service.sorting.item import Row
from model_service.sorting.labels import split_of
from model_service.storage.metered import Meter

_NOT_BAD = {"vanished", "label-not-allowed"}  # nobody's fault, and wanted so


def counts(rows: Sequence[Row], step: contract.Sort, head: Head, index: int) -> dict[str, Any]:
    """By the rows of a range as they are in its manifest; `head` is that after the commit."""
    packed = [row for row in rows if row["status"] == "packed"]
    status = collections.Counter(row["status"] for row in rows)
    before: set[str] = set()
    for batch in head.batches:
        if batch == head.of_range(step.run, index):
            break
        before |= set(batch.classes)
    classes = collections.Counter(row["label"] for row in packed)
    spellings: dict[str, set[str]] = collections.defaultdict(set)
    for row in rows:
        if row.get("written") and row["written"] != row["label"]:
            spellings[row["label"]].add(row["written"])
    return {
        "new": len(rows),
        "packed": len(packed),
        "duplicates": status["duplicate"],
        "near_duplicates": sum(row["split"] != split_of(row["sha256"], step.holdout) for row in packed),
        "left": status["left"],
        "held": _tally(row["label"] for row in rows if row["status"] == "held"),
        "quarantined": _tally(row["reason"] for row in rows if row["status"] == "quarantined"),
        "classes": dict(sorted(classes.items())),
        "new_classes": sorted(set(classes) - before),
        "spellings": {label: sorted(written) for label, written in sorted(spellings.items())},
        "splits": {split: sum(row["split"] == split for row in packed) for split in contract.SPLITS},
        "batches": len(head.batches),
    }


def costs(meter: Meter, begun: float, objects: int) -> dict[str, Any]:
    """What this attempt, which read so many objects, asked of the stores since `begun` (time.monotonic()), and about what
    that costs.
    """
    spent, seconds = meter.counts(), time.monotonic() - begun
    asked = {name: spent[name] for name in ("listed", "copied", "bytes_in", "bytes_out", "class_a", "class_b")}
    return asked | {
        "read": objects,
        "usd": dollars(spent["class_a"], spent["class_b"]),
        "seconds": round(seconds, 3),
        "per_second": round(objects / seconds, 1),
    }


def is_too_bad(rows: Sequence[Row], max_bad: float, total: int) -> bool:
    """Of `total` objects that were read, of which the rows are what other sorts have not committed meanwhile."""
    return sum(map(_is_bad, rows)) > max_bad * total


def too_many(step: contract.Sort, rows: Sequence[Row], total: int) -> StepError:
    """The error of a range of `total` objects of which too many, as the rows so far tell, cannot be used."""
    bad = sum(map(_is_bad, rows))
    reasons = _tally(row["reason"] for row in rows if row["status"] == "quarantined")
    left = sum(row["status"] == "left" for row in rows)
    reasons |= {"not readable now (see the log)": left} if left else {}
    table = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
    if left * 2 > bad:  # storage is out of order, not the pictures
        last = next(row["text"] for row in reversed(rows) if row["status"] == "left")
        return StepError(
            f"storage did not give or take {left} of {len(rows)} pictures (of {total}); the last: {last}",
            remedy="see to that storage, and run again: nothing was committed, and nothing is lost",
            retry=True,
        )
    return StepError(
        f"{bad} of {total} new pictures cannot be used ({bad / total:.0%}, allowed are {step.max_bad:.0%}): {table}",
        remedy=f"look at {step.source}/{contract.QUARANTINE}/, remove or mend the originals and start a new run, "
        "or allow more with --max-bad (the DAG's Param max_bad)",
        retry=left > 0,
    )


def _is_bad(row: Row) -> bool:
    return row["status"] == "left" or (row["status"] == "quarantined" and row["reason"] not in _NOT_BAD)


def _tally(values: Any) -> dict[str, int]:
    return dict(sorted(collections.Counter(values).items()))

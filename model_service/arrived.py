"""What arrived in a run: the result documents of plan and of each sort, added up for the report."""

from __future__ import annotations

import collections
import json
from collections.abc import Sequence
from typing import Any

import menagerie_contract as contract

from model_service.storage import NotFound, Store, name_in, open_store

_SUMS = ("packed", "duplicates", "left", "near_duplicates", "read", "copied", "bytes_in", "bytes_out")
_COSTS = ("class_a", "class_b", "usd", "seconds")  # also of plan, which lists
_TABLES = ("classes", "held", "quarantined")  # number by label or reason

Counts = dict[str, Any]


def arrived(models: str, run: str) -> Counts | None:
    """What the documents of a run say together (see `added_up`); None if there is none, as when sort was run by hand."""
    store = open_store(models)
    plan = _counts(store, name_in(store, contract.result(models, run, "plan")))
    prefix = name_in(store, contract.result(models, run, "sort-")).removesuffix(".json")
    sorts = [_counts(store, blob.name) for blob in store.list(prefix)]
    done = [counts for counts in sorts if counts is not None]
    return added_up(plan, done) if plan or done else None


def added_up(plan: Counts | None, sorts: Sequence[Counts]) -> Counts:
    """The counts of plan and of the sorts as one. Pure.

    `listed`, `new`, `ranges` and `left_for_next_run` are plan's, None without it; `sorted` is the number of ranges told of.
    `seconds` is the work of all tasks together, some of it done at the same time, and `per_second` the pictures that a sort
    copied in one of its own. `usd` is at list price.
    """
    total: Counts = {key: plan[key] if plan else None for key in ("listed", "new", "ranges", "left_for_next_run")}
    total["sorted"] = len(sorts)
    total |= {key: sum(counts[key] for counts in sorts) for key in _SUMS}
    everyone = [plan, *sorts] if plan else sorts
    total |= {key: sum(counts[key] for counts in everyone) for key in _COSTS}
    seconds = sum(counts["seconds"] for counts in sorts)
    total["per_second"] = total["copied"] / seconds if seconds else None
    for name in _TABLES:
        table = sum((collections.Counter(counts[name]) for counts in sorts), collections.Counter[str]())
        total[name] = dict(sorted(table.items()))
    total["new_classes"] = sorted({label for counts in sorts for label in counts["new_classes"]})
    spellings: dict[str, set[str]] = collections.defaultdict(set)
    for counts in sorts:
        for label, written in counts["spellings"].items():
            spellings[label].update(written)
    total["spellings"] = {label: sorted(written) for label, written in sorted(spellings.items())}
    return total


def _counts(store: Store, name: str) -> Counts | None:
    """A result's counts; None without a success."""
    try:
        document = json.loads(store.read(name))
    except NotFound:
        return None
    return document["counts"] if document["status"] == "ok" else None

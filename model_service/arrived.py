"""What arrived in a run: the result documents of plan and of each sort, added up for the report."""

from __future__ import annotations

import collections
import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import menagerie_contract as contract

from model_service.storage import NotFound, Store, name_in, open_store

_SUMS = ("packed", "duplicates", "left", "near_duplicates", "read", "copied", "bytes_in", "bytes_out")
_COSTS = ("class_a", "class_b", "usd", "seconds")  # also of plan, which lists
_PLANNED = ("listed", "new", "ranges", "left_for_next_run")
_TABLES = ("classes", "held", "quarantined")  # number by label or reason

Counts = dict[str, Any]


class _Damaged(Exception):
    """A document that is no result of its step."""


def arrived(models: str, run: str) -> Counts | None:
    """What the documents of a run say together (see `added_up`); None if there is none, as when sort was run by hand."""
    store = open_store(models)
    prefix = name_in(store, contract.result(models, run, "sort-")).removesuffix(".json")
    names = [name_in(store, contract.result(models, run, "plan")), *(blob.name for blob in store.list(prefix))]
    found, damaged = dict[str, Counts](), list[str]()
    for name in names:
        step = name.rpartition("/")[2].removesuffix(".json")
        try:
            if counts := _counts(store, name, _of_plan if step == "plan" else _of_sort):
                found[step] = counts
        except _Damaged:
            damaged.append(step)
    plan = found.pop("plan", None)
    return added_up(plan, list(found.values()), damaged) if plan or found or damaged else None


def added_up(plan: Counts | None, sorts: Sequence[Counts], damaged: Sequence[str] = ()) -> Counts:
    """The counts of plan and of the sorts as one. Pure.

    `listed`, `new`, `ranges` and `left_for_next_run` are plan's, None without it; `sorted` is the number of ranges told of.
    `seconds` is the work of all tasks together, some of it done at the same time, and `per_second` the pictures that a sort
    reads in one of its own. `usd` is at list price. `damaged` names the steps whose document could not be read.
    """
    total: Counts = {key: plan[key] if plan else None for key in _PLANNED}
    total |= {"sorted": len(sorts), "damaged": list(damaged)}
    total |= {key: sum(counts[key] for counts in sorts) for key in _SUMS}
    everyone = [plan, *sorts] if plan else sorts
    total |= {key: sum(counts[key] for counts in everyone) for key in _COSTS}
    seconds = sum(counts["seconds"] for counts in sorts)
    total["per_second"] = total["read"] / seconds if seconds else None
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


def _counts(store: Store, name: str, whole: Callable[[Counts], bool]) -> Counts | None:
    """A result's counts; None without a success. Raises _Damaged unless they are `whole`."""
    try:
        document = json.loads(store.read(name))
        if document["status"] != "ok":
            return None
        counts: Counts = document["counts"]
        sound = whole(counts)
    except NotFound:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # no JSON, or of another shape
        raise _Damaged(name) from error
    if not sound:
        raise _Damaged(name)
    return counts


def _of_plan(counts: Counts) -> bool:
    return _numbers(counts[key] for key in (*_PLANNED, *_COSTS))


def _of_sort(counts: Counts) -> bool:
    """Has it the shapes that `added_up` adds?"""
    words = [*counts["new_classes"], *(word for written in counts["spellings"].values() for word in written)]
    return (
        _numbers(counts[key] for key in (*_SUMS, *_COSTS))
        and all(_numbers(counts[name].values()) for name in _TABLES)
        and all(isinstance(word, str) for word in words)
    )


def _numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)

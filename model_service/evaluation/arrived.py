"""What arrived in a run, and what its steps cost so far: the result documents of plan, sorts and predicts, for the report."""

from __future__ import annotations

import collections
import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import menagerie_contract as contract

from model_service.storage import NotFound, Store, name_in, open_store

_SUMS = ("packed", "duplicates", "left", "near_duplicates", "read", "copied", "bytes_in", "bytes_out")
_COSTS = ("class_a", "class_b", "usd", "seconds")  # also of plan, which lists
_PLANNED = ("listed", "new", "ranges", "left_for_next_run")
_TABLES = ("classes", "held", "quarantined")  # number by label or reason
_SPENT = ("bytes_in", "bytes_out", *_COSTS)  # a row of the table of costs

Counts = dict[str, Any]
log = logging.getLogger(__name__)


class _Damaged(Exception):
    """A document that is no result of its step."""


class Told(NamedTuple):
    """The counts of a run's successful steps; `damaged` names the plan and sorts whose document could not be read."""

    plan: Counts | None
    sorts: list[Counts]
    predicts: list[Counts]
    damaged: list[str]


def told(models: str, run: str, store: Store | None = None) -> Told:
    """What the result documents of a run's plan, sorts and predicts say, where there are any."""
    store = store or open_store(models)
    plan, damaged = _read(store, [name_in(store, contract.result(models, run, "plan"))], _of_plan)
    sorts, more = _read(store, _names(store, models, run, "sort"), _of_sort)
    predicts, unknown = _read(store, _names(store, models, run, "predict"), _of_predict)
    for step in unknown:
        log.warning("the result of %s does not say what it cost: it is not in the table of costs", step)
    return Told(next(iter(plan), None), sorts, predicts, damaged + more)


def arrived(told: Told) -> Counts | None:
    """What the documents of plan and sorts say together; None if there is none, as when sort was run by hand."""
    return added_up(told.plan, told.sorts, told.damaged) if told.plan or told.sorts or told.damaged else None


def costs(told: Told, own: Mapping[str, Any]) -> list[Counts]:
    """A row for each step that left a result, with what all its tasks spent together; the last is evaluate's `own`. Pure.

    What a document does not say is None; so are evaluate's seconds, which are not over when this is written.
    """
    steps = {"plan": [told.plan] if told.plan else [], "sort": told.sorts, "predict": told.predicts}
    rows = [_row(step, tasks) for step, tasks in steps.items() if tasks]
    return [*rows, {"step": "evaluate", "tasks": 1} | {name: own.get(name) for name in _SPENT}]


def _row(step: str, tasks: Sequence[Counts]) -> Counts:
    spent: dict[str, list[Any]] = {name: [counts.get(name) for counts in tasks] for name in _SPENT}
    return {"step": step, "tasks": len(tasks)} | {
        name: None if None in values else sum(values) for name, values in spent.items()
    }


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


def _names(store: Store, models: str, run: str, step: str) -> list[str]:
    """The result documents of a mapped step's tasks."""
    prefix = name_in(store, contract.result(models, run, f"{step}-")).removesuffix(".json")
    return [blob.name for blob in store.list(prefix)]


def _read(store: Store, names: Iterable[str], whole: Callable[[Counts], bool]) -> tuple[list[Counts], list[str]]:
    """The counts of those that succeeded, and the steps whose document is damaged."""
    found, damaged = list[Counts](), list[str]()
    for name in names:
        try:
            if counts := _counts(store, name, whole):
                found.append(counts)
        except _Damaged:
            damaged.append(name.rpartition("/")[2].removesuffix(".json"))
    return found, damaged


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


def _of_predict(counts: Counts) -> bool:
    return _numbers(counts[key] for key in _SPENT)


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

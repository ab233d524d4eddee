"""Which way a run goes, as tables."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from menagerie.decisions import (
    Retrain,
    after_evaluate,
    after_judge,
    after_promote,
    after_sort,
    champion_before,
    shard_groups,
    sort_totals,
)

PLAN = {"counts": {"listed": 90, "new": 20, "ranges": 2, "batches": 3}, "outputs": {"plans": ["p0", "p1"]}}
FIRST, SECOND = (
    {"counts": {"new": 12, "packed": 9, "held": {"okapi": 1}, "quarantined": {"truncated": 2}, "classes": {"cat": 9},
                "new_classes": ["cat"], "usd": 0.25, "batches": 5, "seconds": 8.0, "per_second": 1.5},
     "outputs": {"batch": "r1/00000-a", "shards": ["t0", "h0"]}},
    {"counts": {"new": 8, "packed": 6, "held": {}, "quarantined": {"truncated": 1, "bomb": 1}, "classes": {"ant": 2, "cat": 4},
                "new_classes": ["ant", "cat"], "usd": 0.5, "batches": 4, "seconds": 9.0, "per_second": 0.9},
     "outputs": {"batch": "r1/00001-b", "shards": ["t1"]}},
)  # fmt: skip
NONE_EVER = {"new": 0, "batches": 0}
NOTHING_NEW = {"new": 0, "batches": 3}
ONLY_BAD_ONES = {"new": 2, "packed": 0, "batches": 3}
FIVE_NEW = {"new": 5, "packed": 5, "batches": 3}


def test_the_sorts_of_a_run_are_added_up() -> None:
    totals = sort_totals(PLAN, [FIRST, SECOND])
    assert totals["counts"] == {
        "new": 20,
        "packed": 15,
        "held": {"okapi": 1},
        "quarantined": {"truncated": 3, "bomb": 1},
        "classes": {"cat": 13, "ant": 2},
        "new_classes": ["ant", "cat"],
        "usd": 0.75,
        "batches": 5,  # what the one that ended last saw
    }
    assert totals["outputs"]["shards"] == ["t0", "h0", "t1"]


def test_without_a_sort_nothing_is_new_and_the_batches_are_those_that_the_plan_saw() -> None:
    assert sort_totals(PLAN, []) == {"counts": {"new": 0, "packed": 0, "batches": 3}, "outputs": {"shards": []}}


def test_what_is_added_up_stays_as_it_was() -> None:
    before = copy.deepcopy(FIRST)
    sort_totals(PLAN, [FIRST, SECOND])
    assert before == FIRST


@pytest.mark.parametrize(
    ("counts", "champion", "retrain", "task"),
    [
        (FIVE_NEW, None, "when-needed", "snapshot"),
        (FIVE_NEW, None, "always", "snapshot"),
        (FIVE_NEW, None, "never", "keep_champion"),
        (FIVE_NEW, "v1", "when-needed", "plan_predict"),
        (FIVE_NEW, "v1", "always", "plan_predict"),
        (FIVE_NEW, "v1", "never", "plan_predict"),
        (NOTHING_NEW, "v1", "when-needed", "nothing_new"),
        (NOTHING_NEW, "v1", "never", "nothing_new"),
        (NOTHING_NEW, "v1", "always", "snapshot"),
        (NOTHING_NEW, None, "when-needed", "snapshot"),  # the run that sorted them failed before it trained
        (ONLY_BAD_ONES, "v1", "when-needed", "nothing_new"),
        (ONLY_BAD_ONES, "v1", "always", "snapshot"),
        (NONE_EVER, None, "when-needed", "nothing_new"),
        (NONE_EVER, None, "always", "nothing_new"),
    ],
)
def test_after_sort(counts: dict[str, Any], champion: str | None, retrain: Retrain, task: str) -> None:
    assert after_sort(counts, champion, retrain).task == task


@pytest.mark.parametrize(
    ("counts", "champion", "retrain", "task"),
    [
        (NOTHING_NEW, "v1", "when-needed", "snapshot"),
        (NOTHING_NEW, "v1", "always", "snapshot"),
        (NOTHING_NEW, "v1", "never", "keep_champion"),
        (NONE_EVER, None, "when-needed", "snapshot"),  # a ledger that was lost: the tag still names its batches
        (FIVE_NEW, None, "when-needed", "snapshot"),
        (FIVE_NEW, "v1", "when-needed", "plan_predict"),  # what is new is evaluated first
    ],
)
def test_a_dataset_that_is_asked_for_is_trained_on_also_when_nothing_is_new(
    counts: dict[str, Any], champion: str | None, retrain: Retrain, task: str
) -> None:
    assert after_sort(counts, champion, retrain, "dataset_v22").task == task


def test_after_sort_says_why() -> None:
    assert after_sort(FIVE_NEW, "v1", "never").why == "5 new pictures for v1"
    assert after_sort(NOTHING_NEW, "v1", "never").why == "nothing new arrived"
    assert after_sort(FIVE_NEW, None, "never").why.endswith("retrain=never forbids to train the first one")


@pytest.mark.parametrize(
    ("needed", "retrain", "task", "why"),
    [
        (True, "when-needed", "snapshot", "accuracy 0.61; new class: okapi"),
        (False, "when-needed", "keep_champion", "no threshold was crossed"),
        (True, "always", "snapshot", "retrain=always"),
        (False, "always", "snapshot", "retrain=always"),
        (True, "never", "keep_champion", "retrain=never"),
        (False, "never", "keep_champion", "retrain=never"),
    ],
)
def test_after_evaluate(needed: bool, retrain: Retrain, task: str, why: str) -> None:
    reasons = ["accuracy 0.61", "new class: okapi"] if needed else []
    assert after_evaluate(needed, reasons, retrain) == (task, why)


def test_a_dataset_that_is_asked_for_needs_no_threshold_crossed() -> None:
    assert after_evaluate(False, [], "when-needed", "dataset_v22") == (
        "snapshot",
        "a training on dataset_v22 is asked for",
    )
    assert after_evaluate(False, [], "always", "dataset_v22").why == "retrain=always, on dataset_v22"
    assert after_evaluate(True, ["drift"], "never", "dataset_v22").task == "keep_champion"


def test_after_judge() -> None:
    assert after_judge(True, "the candidate wins") == ("promote", "the candidate wins")
    assert after_judge(False, "the champion stays") == ("keep_champion", "the champion stays")
    assert after_judge(True, "the candidate wins", True) == ("approve", "the candidate wins; a person is asked")
    assert after_judge(False, "the champion stays", True) == ("keep_champion", "the champion stays")


def test_after_promote() -> None:
    assert after_promote(True, "v2 is the champion now", True) == (
        ["snapshot_model", "deploy"],
        "v2 is the champion now",
    )
    assert after_promote(True, "v2 is the champion now", False) == (
        ["snapshot_model"],
        "v2 is the champion now; deploy is off",
    )
    assert after_promote(False, "v3 came first", True) == (["keep_champion"], "v3 came first")


@pytest.mark.parametrize(
    ("shards", "most", "sizes"),
    [
        (0, 4, []),
        (1, 4, [1]),
        (4, 4, [1] * 4),
        (5, 4, [1, 1, 1, 2]),
        (11, 4, [2, 3, 3, 3]),
    ],
)
def test_shards_are_dealt_out_evenly_each_once_and_neighbours_together(
    shards: int, most: int, sizes: list[int]
) -> None:
    names = [f"shard-{i}" for i in range(shards)]
    groups = shard_groups(names, most)
    assert [len(group) for group in groups] == sizes
    assert [name for group in groups for name in group] == names


@pytest.mark.parametrize("shards", [1, 255, 256, 257, 1000, 12_801])
def test_a_run_has_at_most_256_mapped_tasks(shards: int) -> None:
    groups = shard_groups([f"shard-{i}" for i in range(shards)])
    sizes = {len(group) for group in groups}
    assert len(groups) == min(shards, 256)
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        (None, None),
        ({"version": "v2", "previous": "v1", "run": "another"}, "v2"),
        ({"version": "v2", "previous": "v1", "run": "this"}, "v1"),  # cleared after it had promoted v2
        ({"version": "v1", "previous": None, "run": "this"}, None),
        ({"version": "v1", "previous": None, "run": None, "withdrawn": {"version": "v2"}}, "v1"),
        ({"version": None, "previous": None, "run": None, "withdrawn": {"version": "v1"}}, None),
    ],
)
def test_a_run_that_is_cleared_still_begins_with_the_champion_it_began_with(
    pointer: dict[str, Any] | None, found: str | None
) -> None:
    assert champion_before(pointer, "this") == found

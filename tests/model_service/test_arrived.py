"""What arrived: the results of plan and of the sorts, added up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest

from model_service.evaluation.arrived import added_up, arrived, costs, told
from model_service.ledger import Head
from model_service.sorting import accounts
from model_service.storage.metered import Meter
from tests.model_service.buckets import Buckets, local, make_buckets

PLAN = {
    "listed": 1000,
    "new": 7,
    "ranges": 2,
    "left_for_next_run": 3,
    "batches": 4,
    "class_a": 1,
    "class_b": 2,
    "usd": 0.5,
    "seconds": 2.0,
}
FIRST = {
    "new": 4,
    "packed": 3,
    "duplicates": 0,
    "near_duplicates": 1,
    "left": 0,
    "held": {"yak": 1},
    "quarantined": {},
    "classes": {"cat": 2, "dog": 1},
    "new_classes": ["dog"],
    "spellings": {"cat": ["Cat"]},
    "splits": {"train": 2, "holdout": 1},
    "batches": 5,
    "read": 4,
    "listed": 0,
    "copied": 4,
    "bytes_in": 400,
    "bytes_out": 100,
    "class_a": 6,
    "class_b": 4,
    "usd": 0.25,
    "seconds": 4.0,
    "per_second": 1.0,
}
SECOND = FIRST | {
    "packed": 1,
    "duplicates": 1,
    "held": {"yak": 2, "gnu": 1},
    "quarantined": {"truncated": 1},
    "classes": {"cat": 1},
    "new_classes": ["ant", "dog"],
    "spellings": {"cat": ["CAT", "Cat"], "ant": ["Ant"]},
    "copied": 2,
}


def test_counts_are_added_up_and_tables_joined() -> None:
    assert added_up(PLAN, [FIRST, SECOND]) == {
        "listed": 1000,
        "new": 7,
        "ranges": 2,
        "left_for_next_run": 3,
        "sorted": 2,
        "damaged": [],
        "packed": 4,
        "duplicates": 1,
        "near_duplicates": 2,
        "left": 0,
        "read": 8,
        "copied": 6,
        "bytes_in": 800,
        "bytes_out": 200,
        "class_a": 13,
        "class_b": 10,
        "usd": 1.0,
        "seconds": 10.0,
        "per_second": 1.0,  # 8 in 8 seconds; to plan reads none
        "classes": {"cat": 3, "dog": 1},
        "held": {"gnu": 1, "yak": 3},
        "quarantined": {"truncated": 1},
        "new_classes": ["ant", "dog"],
        "spellings": {"ant": ["Ant"], "cat": ["CAT", "Cat"]},
    }


def test_without_a_plan_nobody_knows_what_was_listed() -> None:
    total = added_up(None, [FIRST])
    assert {key: total[key] for key in ("listed", "new", "ranges", "left_for_next_run")} == {
        "listed": None,
        "new": None,
        "ranges": None,
        "left_for_next_run": None,
    }
    assert (total["sorted"], total["packed"], total["seconds"]) == (1, 3, 4.0)


def test_nothing_new_has_no_speed() -> None:
    total = added_up(PLAN | {"new": 0, "ranges": 0}, [])
    assert (total["sorted"], total["per_second"], total["classes"], total["usd"]) == (0, None, {}, 0.5)


def test_these_are_the_counts_of_a_sort() -> None:
    """The examples above have the fields that sort writes, no more and no fewer."""
    step = contract.Sort(run="r1", models="file:///m", result="", source="file:///s", to_predict="file:///t")
    written: dict[str, Any] = accounts.counts([], step, Head(), 0) | accounts.costs(Meter(), 0.0, 0)
    assert set(written) == set(FIRST)


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return make_buckets(tmp_path)


def put_result(buckets: Buckets, step: str, document: dict[str, Any], run: str = "r1") -> None:
    path = local(contract.result(buckets.models, run, step))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def test_the_documents_of_the_run_are_read(buckets: Buckets) -> None:
    put_result(buckets, "plan", {"status": "ok", "counts": PLAN})
    put_result(buckets, "sort-00000", {"status": "ok", "counts": FIRST})
    put_result(buckets, "sort-00001", {"status": "ok", "counts": SECOND})
    put_result(buckets, "sort-00000", {"status": "ok", "counts": FIRST}, run="r10")
    put_result(buckets, "predict-00000", {"status": "ok", "counts": {}})
    assert arrived(told(buckets.models, "r1")) == added_up(PLAN, [FIRST, SECOND])


def test_a_range_that_failed_is_not_counted(buckets: Buckets) -> None:
    put_result(buckets, "plan", {"status": "ok", "counts": PLAN})
    put_result(buckets, "sort-00000", {"status": "failed", "error": {}, "outputs": {}})
    put_result(buckets, "sort-00001", {"status": "ok", "counts": SECOND})
    assert arrived(told(buckets.models, "r1")) == added_up(PLAN, [SECOND])


DAMAGED = [
    "",
    "{",
    "null",
    "[]",
    '{"status": "ok"}',
    '{"status": "ok", "counts": null}',
    '{"status": "ok", "counts": {}}',
    json.dumps({"status": "ok", "counts": PLAN | FIRST | {"class_a": "6", "seconds": None}}),
    json.dumps({"status": "ok", "counts": PLAN | FIRST | {"usd": float("nan")}}),
]


@pytest.mark.parametrize("content", DAMAGED)
@pytest.mark.parametrize("step", ["plan", "sort-00000"])
def test_a_damaged_document_is_named_and_not_counted(buckets: Buckets, step: str, content: str) -> None:
    put_result(buckets, "plan", {"status": "ok", "counts": PLAN})
    put_result(buckets, "sort-00000", {"status": "ok", "counts": FIRST})
    put_result(buckets, "sort-00001", {"status": "ok", "counts": SECOND})
    local(contract.result(buckets.models, "r1", step)).write_text(content)
    rest = (None, [FIRST, SECOND]) if step == "plan" else (PLAN, [SECOND])
    assert arrived(told(buckets.models, "r1")) == added_up(*rest, [step])


@pytest.mark.parametrize(
    "change", [{"held": {"yak": "1"}}, {"quarantined": []}, {"new_classes": [1]}, {"spellings": {"cat": 3}}]
)
def test_a_sorts_tables_must_be_such(buckets: Buckets, change: dict[str, Any]) -> None:
    put_result(buckets, "sort-00000", {"status": "ok", "counts": FIRST | change})
    assert arrived(told(buckets.models, "r1")) == added_up(None, [], ["sort-00000"])


def test_without_any_document_nothing_is_known(buckets: Buckets) -> None:
    assert arrived(told(buckets.models, "r1")) is None
    put_result(buckets, "sort-00000", {"status": "failed", "error": {}, "outputs": {}})
    assert arrived(told(buckets.models, "r1")) is None


def test_a_plan_and_its_sorts_write_what_is_read_here(buckets: Buckets) -> None:
    buckets.put_squares(3)
    counts = buckets.sorted_in_ranges(4)
    total = arrived(told(buckets.models, "r1"))
    assert total is not None
    assert (total["listed"], total["new"], total["ranges"], total["sorted"]) == (9, 9, 3, 3)
    assert total["classes"] == {"cat": 3, "dog": 3, "zebra": 3}
    assert total["seconds"] > sum(one["seconds"] for one in counts) > 0


# What each step cost.

PREDICT = {"pictures": 3, "bytes_in": 50, "bytes_out": 7, "class_a": 2, "class_b": 3, "usd": 0.125, "seconds": 1.5}
OWN = {"bytes_in": 1, "bytes_out": 0, "class_a": 4, "class_b": 5, "usd": 0.0625}


def test_each_step_that_left_a_result_has_a_row_of_what_it_cost(buckets: Buckets) -> None:
    put_result(buckets, "plan", {"status": "ok", "counts": PLAN})
    for number in range(2):
        put_result(buckets, f"sort-{number:05d}", {"status": "ok", "counts": FIRST})
        put_result(buckets, f"predict-{number:05d}", {"status": "ok", "counts": PREDICT})
    put_result(buckets, "predict-00002", {"status": "failed", "error": {}, "outputs": {}})
    names = ("step", "tasks", "bytes_in", "bytes_out", "class_a", "class_b", "usd", "seconds")
    assert [tuple(row[name] for name in names) for row in costs(told(buckets.models, "r1"), OWN)] == [
        ("plan", 1, None, None, 1, 2, 0.5, 2.0),  # whose document has no bytes
        ("sort", 2, 800, 200, 12, 8, 0.5, 8.0),
        ("predict", 2, 100, 14, 4, 6, 0.25, 3.0),
        ("evaluate", 1, 1, 0, 4, 5, 0.0625, None),  # whose seconds are not over
    ]


def test_a_predict_that_does_not_say_what_it_cost_is_not_in_it(
    buckets: Buckets, caplog: pytest.LogCaptureFixture
) -> None:
    put_result(buckets, "predict-00000", {"status": "ok", "counts": {"pictures": 3}})  # as an earlier release has it
    put_result(buckets, "predict-00001", {"status": "ok", "counts": PREDICT})
    rows = costs(told(buckets.models, "r1"), OWN)
    assert [(row["step"], row["tasks"]) for row in rows] == [("predict", 1), ("evaluate", 1)]
    assert "the result of predict-00000 does not say what it cost" in caplog.text
    assert arrived(told(buckets.models, "r1")) is None, "nor does it say what arrived"

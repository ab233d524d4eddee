"""What becomes of each picture in the light of the others, as tables."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from model_service.sorting.history import History
from model_service.sorting.labels import split_of
from model_service.sorting.resolve import resolve

HOLDOUT = 0.5


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def row(label: str, content: str, phash: int | None = None) -> dict[str, Any]:
    sha256 = digest(content)
    return {"status": "packed", "label": label, "sha256": sha256, "key": sha256[:20], "phash": phash, "reason": None}


def key(content: str) -> str:
    return digest(content)[:20]


def of_split(split: str, count: int) -> list[str]:
    """Contents that go to that split when nothing else decides."""
    return [name for name in map(str, range(100)) if split_of(digest(name), HOLDOUT) == split][:count]


def statuses(rows: list[dict[str, Any]]) -> list[str]:
    return [row["reason"] or row["status"] for row in rows]


def test_a_picture_is_packed_on_the_side_its_content_says() -> None:
    train, held_out = of_split("train", 1)[0], of_split("holdout", 1)[0]
    decided = resolve([row("cat", train), row("cat", held_out)], History(), HOLDOUT)
    assert [(r["status"], r["split"]) for r in decided] == [("packed", "train"), ("packed", "holdout")]


def test_what_is_handed_in_stays_as_it_is() -> None:
    rows = [row("cat", "a"), row("dog", "a")]
    before = [dict(r) for r in rows]
    resolve(rows, History(), HOLDOUT)
    assert rows == before


@pytest.mark.parametrize(
    ("labels", "before", "expected"),
    [
        (["cat", "cat"], None, ["packed", "duplicate"]),
        (["cat", "cat"], "cat", ["duplicate", "duplicate"]),
        (["cat", "dog"], None, ["conflicting-label", "conflicting-label"]),
        (["cat", "cat", "dog"], None, ["conflicting-label"] * 3),
        (["dog"], "cat", ["conflicting-label"]),
        (["cat", "dog"], "cat", ["conflicting-label", "conflicting-label"]),
    ],
)
def test_the_same_content_again(labels: list[str], before: str | None, expected: list[str]) -> None:
    """`before`: packed from an object that still is there."""
    history = History(packed={key("a"): {before}}, claims={key("a"): {("old", 1): before}}) if before else History()
    assert statuses(resolve([row(label, "a") for label in labels], history, HOLDOUT)) == expected


def test_who_is_in_conflict_is_told_with_whom() -> None:
    here = resolve([row("cat", "a"), row("dog", "a")], History(), HOLDOUT)[0]["text"]
    assert "labelled cat and dog" in here
    history = History(packed={key("a"): {"cat"}}, claims={key("a"): {("cat_1.jpg", 1): "cat"}})
    assert (
        "was packed as cat before, and is not used any more" in resolve([row("dog", "a")], history, HOLDOUT)[0]["text"]
    )


def test_a_new_label_counts_when_the_picture_is_not_there_any_more_under_the_old_one() -> None:
    history = History(packed={key("a"): {"cat"}})
    first, second = resolve([row("dog", "a"), row("dog", "a")], history, HOLDOUT)
    assert (first["status"], first["reason"], second["status"]) == ("packed", "relabelled", "duplicate")
    assert "was packed as cat before" in first["text"]


def test_a_claim_of_another_object_that_was_never_packed_is_a_conflict() -> None:
    rows = resolve([row("cat", "a")], History(claims={key("a"): {("dog_1.jpg", 1): "dog"}}), HOLDOUT)
    assert statuses(rows) == ["conflicting-label"]


def test_bad_held_and_left_rows_pass_untouched() -> None:
    others = [{"status": status, "reason": None} for status in ("held", "left")]
    others.append({"status": "quarantined", "reason": "truncated"})
    assert resolve(others, History(), HOLDOUT) == others


def test_near_duplicates_go_together_whichever_way_round_they_come() -> None:
    (train,), (held_out,) = of_split("train", 1), of_split("holdout", 1)
    pair = [row("cat", train, phash=0b1111_0000), row("cat", held_out, phash=0)]
    sides = [{r["split"] for r in resolve(rows, History(), HOLDOUT)} for rows in (pair, pair[::-1])]
    assert sides[0] == sides[1]
    assert len(sides[0]) == 1


def test_five_bits_apart_each_goes_its_own_way() -> None:
    (train,), (held_out,) = of_split("train", 1), of_split("holdout", 1)
    rows = resolve([row("cat", train, phash=0b1_1111), row("cat", held_out, phash=0)], History(), HOLDOUT)
    assert [r["split"] for r in rows] == ["train", "holdout"]


@pytest.mark.parametrize("side", ["train", "holdout"])
def test_a_near_duplicate_of_one_packed_before_goes_to_its_side(side: str) -> None:
    rows = [row("cat", content, phash=5) for content in of_split("train", 3) + of_split("holdout", 3)]
    assert {r["split"] for r in resolve(rows, History(near={5: {side}}), HOLDOUT)} == {side}


def test_what_looks_like_pictures_on_both_sides_is_packed_on_neither() -> None:
    rows = resolve(
        [row("cat", "a", phash=5), row("cat", "b", phash=4)], History(near={5: {"train", "holdout"}}), HOLDOUT
    )
    assert [(r["status"], r["split"]) for r in rows] == [("duplicate", None)] * 2
    rows = resolve(
        [row("cat", "a", phash=5), row("cat", "b", phash=4)], History(near={5: {"train"}, 4: {"holdout"}}), HOLDOUT
    )
    assert statuses(rows) == ["duplicate"] * 2


def test_a_film_goes_to_one_side_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    frames = [row("cat", str(n), phash=(1 << n) - 1) for n in range(40)]
    assert len({r["split"] for r in resolve(frames, History(), HOLDOUT)}) == 1
    assert "40 of 40 pictures look alike" in caplog.text


def test_pictures_without_structure_are_near_nothing() -> None:
    contents = of_split("train", 3) + of_split("holdout", 3)
    rows = resolve([row("cat", content) for content in contents], History(), HOLDOUT)
    assert [r["split"] for r in rows] == ["train"] * 3 + ["holdout"] * 3

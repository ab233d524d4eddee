"""What arrives: the listing but for our own folders, on both kinds of store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_service.sorting.arrivals import Arrivals
from model_service.storage import Blob, Store, open_store


@pytest.fixture(params=["folder", "gcs"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(request.getfixturevalue("cloud").take() if request.param == "gcs" else f"file://{tmp_path}")


def put(source: Store, *names: str) -> None:
    for name in names:
        source.write_if_absent(name, name.encode())


def names(source: Store, *released: str, skip: set[str] | None = None) -> list[str]:
    return [blob.name for blob in Arrivals(source, lambda label: label in released, skip or set())]


class Watched:
    """A store whose listings are looked at: what they gave, and how many there were."""

    def __init__(self, store: Store) -> None:
        self._store, self.listed, self.listings = store, list[str](), 0

    def list(self, prefix: str = "", after: str = "", until: str = "") -> Iterator[Blob]:
        self.listings += 1
        for blob in self._store.list(prefix, after, until):
            self.listed.append(blob.name)
            yield blob

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


AROUND = ["Zoo/a.jpg", "_", "_hel.jpg", "_held-not/a.jpg", "_held0", "_heldzz/a.jpg", "_q.jpg", "_quarantine-not/a.jpg",
          "_quarantine0", "_quarantines/a.jpg", "a.jpg", "z.jpg", "é.jpg", "猫.jpg", "🐈.jpg", "\U0010fffd.jpg"]  # fmt: skip
OURS = ["_held/cat/1.jpg", "_held/cat/é/2.jpg", "_held/cat/🐈.jpg", "_held/catfish/1.jpg", "_held/dog/1.jpg",
        "_held/löwe/1.jpg", "_quarantine/unreadable/1.jpg", "_quarantine/unreadable/1.jpg.json",
        "_quarantine/é.jpg"]  # fmt: skip


def test_an_empty_bucket_has_none(source: Store) -> None:
    assert names(source) == []


def test_all_but_our_own_folders_in_the_order_of_the_names(source: Store) -> None:
    put(source, *OURS, *AROUND)
    assert names(source) == sorted(AROUND, key=str.encode)


def test_with_the_labels_that_are_released_in_their_place(source: Store) -> None:
    put(source, *OURS, *AROUND)
    held = ["_held/cat/1.jpg", "_held/cat/é/2.jpg", "_held/cat/🐈.jpg", "_held/löwe/1.jpg"]
    assert names(source, "cat", "löwe") == sorted(AROUND + held, key=str.encode)


def test_a_label_is_not_released_with_one_that_starts_alike(source: Store) -> None:
    put(source, "_held/cat/1.jpg", "_held/cat-fish/1.jpg", "_held/catfish/1.jpg", "_held/ca/1.jpg")
    assert names(source, "catfish") == ["_held/catfish/1.jpg"]
    assert names(source, "cat") == ["_held/cat/1.jpg"]


def test_what_is_in_no_labels_folder_was_not_held(source: Store) -> None:
    put(source, "_held/1.jpg", "_held/17/1.jpg", "_held/cat/1.jpg", "_held/zebra.jpg")
    put(source, "_held/17/2.jpg", "_held/zebra.jpg.txt")
    assert names(source, "cat", "17", "1.jpg", "zebra.jpg") == ["_held/cat/1.jpg"]
    assert names(source) == []


def test_what_is_skipped_is_counted_by_why_and_told(source: Store, caplog: pytest.LogCaptureFixture) -> None:
    put(
        source,
        "a.jpg",
        "labels.csv",
        "_held/x.jpg",
        "_held/17/x.jpg",
        "_held/cat/1.jpg",
        "_quarantine/unreadable/1.jpg",
    )
    arrivals = Arrivals(source, lambda label: False, {"labels.csv"})
    assert [blob.name for blob in arrivals] == ["a.jpg"]
    assert arrivals.skipped == {"label manifest": 1, "own folder": 2}
    assert caplog.messages == [
        f"skipped: {name!r} is in our own folder _held/, in no label's; put it elsewhere in the bucket"
        for name in ("_held/17/x.jpg", "_held/x.jpg")
    ]


def test_many_that_are_skipped_are_not_told_one_by_one(source: Store, caplog: pytest.LogCaptureFixture) -> None:
    put(source, *(f"_held/{n:02}.jpg" for n in range(25)))
    arrivals = Arrivals(source, lambda label: False)
    assert list(arrivals) == []
    assert arrivals.skipped == {"own folder": 25}
    assert len(caplog.messages) == 10
    assert caplog.messages[-1].endswith("(and more like it)")


def test_a_folder_that_someone_wrote_otherwise_has_its_label(source: Store) -> None:
    put(source, "_held/Polar Bear/1.jpg")
    assert names(source, "polar_bear") == ["_held/Polar Bear/1.jpg"]


def test_quarantine_is_not_even_listed_and_of_what_is_held_one_a_label(source: Store) -> None:
    put(source, "a.jpg", *(f"_quarantine/unreadable/{n}.jpg" for n in range(5)))
    put(source, *(f"_held/{label}/{n}.jpg" for label in ("cat", "dog") for n in range(5)))
    watched = Watched(source)
    assert names(watched, "dog") == [f"_held/dog/{n}.jpg" for n in range(5)] + ["a.jpg"]
    assert sorted(watched.listed) == ["_held/cat/0.jpg", *(f"_held/dog/{n}.jpg" for n in range(5)), "a.jpg"]
    assert watched.listings == 5  # before, held, held behind cat, between, behind


def test_the_last_names_there_can_be_are_neither_lost_nor_taken(source: Store) -> None:
    put(source, *(f"{folder}\U0010ffff.jpg" for folder in ("", "_held/", "_held/cat/", "_quarantine/", "zoo/")))
    assert names(source) == ["zoo/\U0010ffff.jpg", "\U0010ffff.jpg"]
    assert names(source, "cat") == ["_held/cat/\U0010ffff.jpg", "zoo/\U0010ffff.jpg", "\U0010ffff.jpg"]


def test_some_names_are_skipped(source: Store) -> None:
    put(source, "a.jpg", "labels.csv", "zoo/labels.csv")
    assert names(source, skip={"labels.csv"}) == ["a.jpg", "zoo/labels.csv"]


def test_they_are_counted_as_they_pass(source: Store) -> None:
    put(source, *OURS, "a.jpg", "b.jpg", "labels.csv")
    arrivals = Arrivals(source, lambda label: label == "cat", {"labels.csv"})
    assert arrivals.seen == 0
    seen = [arrivals.seen for _ in arrivals]
    assert seen == [1, 2, 3, 4, 5]


def test_a_listing_is_a_stream(source: Store) -> None:
    put(source, "a.jpg", "b.jpg")
    first = next(iter(Arrivals(source, lambda label: False)))
    assert first == source.stat("a.jpg")


def test_the_consoles_folders_are_no_pictures(cloud: Any) -> None:
    source = open_store(cloud.take())
    put(source, "cat/", "cat/1.jpg", "_held/", "_held/cat/", "_held/cat/1.jpg", "_quarantine/")
    assert names(source) == ["cat/1.jpg"]
    assert names(source, "cat") == ["_held/cat/1.jpg", "cat/1.jpg"]


def test_a_picture_with_a_folders_name_is_told_and_an_empty_one_only_counted(
    cloud: Any, caplog: pytest.LogCaptureFixture
) -> None:
    source = open_store(cloud.take())
    source.write_if_absent("cat/", b"")
    source.write_if_absent("dog_1.jpg/", b"a picture")
    arrivals = Arrivals(source, lambda label: False)
    assert list(arrivals) == []
    assert arrivals.skipped == {"placeholder": 2}
    assert caplog.messages == ["skipped: the name 'dog_1.jpg/' ends in / as a folder's, but it has 9 bytes; rename it"]


def test_a_name_that_is_no_utf8_is_skipped_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in (b"a.jpg", b"\xff.jpg", b"z.jpg"):
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(b"x")
    arrivals = Arrivals(open_store(f"file://{tmp_path}"), lambda label: False)
    assert [blob.name for blob in arrivals] == ["a.jpg", "z.jpg"]
    assert arrivals.seen == 2
    assert arrivals.skipped == {"not-utf-8": 1}
    assert caplog.messages == ["skipped: the name '\\udcff.jpg' is not UTF-8; rename it"]

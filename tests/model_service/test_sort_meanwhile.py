"""What people do to the buckets while sort is at work, or did before: each has an outcome, and nothing is lost by it."""

from __future__ import annotations

import hashlib

import menagerie_contract as contract
import pytest

from model_service.sorting.labels import copy_name
from model_service.storage import StoreError, open_store
from tests.model_service.buckets import Buckets
from tests.model_service.proofs import check_exactly_once, do_before, manifests, picture

NAME, DATA, OTHER = "cat_1.jpg", picture("one"), picture("other", side=96)
# The call that something is done just before, by its method and what its arguments name.
MOMENTS = {
    "before it is read": ("read", NAME),
    "between reading and copying it": ("copy_if_absent", NAME),
    "after it is copied": ("write_if_absent", "batches/"),
}


@pytest.fixture
def buckets(stores: Buckets) -> Buckets:
    return stores


def put_pictures(buckets: Buckets) -> None:
    buckets.put(NAME, DATA)
    for n in range(4):
        buckets.put(f"dog_{n}.jpg", picture(n))


def fates(buckets: Buckets, name: str = NAME) -> list[tuple[str, str | None]]:
    """Of the objects of that name, in the order of the batches."""
    rows = (row for row in manifests(buckets) if row["uri"] == f"{buckets.source}/{name}")
    return [(row["status"], row["reason"]) for row in rows]


@pytest.mark.parametrize("moment", MOMENTS)
def test_overwritten(buckets: Buckets, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """What it was counts if it was read and copied; what it is now is new to the next run."""
    put_pictures(buckets)
    done = do_before(buckets, monkeypatch, MOMENTS[moment], lambda: buckets.put(NAME, OTHER))
    first = buckets.sorted("r1")
    assert done
    assert buckets.sorted("r2")["packed"] == 1
    then = ("packed", None) if moment == "after it is copied" else ("quarantined", "vanished")
    assert fates(buckets) == [then, ("packed", None)]
    assert (first["new"], first["packed"]) == (5, 5 if then == ("packed", None) else 4)
    check_exactly_once(buckets)
    assert OTHER in buckets.tree(buckets.to_predict).values()
    assert buckets.sorted("r3")["new"] == 0


@pytest.mark.parametrize("moment", MOMENTS)
def test_deleted(buckets: Buckets, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    put_pictures(buckets)
    done = do_before(buckets, monkeypatch, MOMENTS[moment], lambda: buckets.remove(f"{buckets.source}/{NAME}"))
    buckets.sorted("r1", max_bad=0.0)
    assert done
    assert fates(buckets) == [("packed", None) if moment == "after it is copied" else ("quarantined", "vanished")]
    check_exactly_once(buckets)
    assert buckets.sorted("r2")["new"] == 0


def test_overwritten_with_what_it_was(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    put_pictures(buckets)
    do_before(buckets, monkeypatch, MOMENTS["after it is copied"], lambda: buckets.put(NAME, DATA))
    buckets.sorted("r1")
    buckets.sorted("r2")
    assert fates(buckets) == [("packed", None), ("duplicate", None)]
    check_exactly_once(buckets)


def test_mended_before_it_is_put_into_quarantine(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    put_pictures(buckets)
    buckets.put(NAME, b"text")
    moment = ("copy_if_absent", NAME)
    done = do_before(buckets, monkeypatch, moment, lambda: buckets.put(NAME, DATA))
    buckets.sorted("r1")
    assert done == ["copy_if_absent"]
    assert buckets.sorted("r2")["packed"] == 1
    assert fates(buckets) == [("quarantined", "not-an-image"), ("packed", None)]
    assert DATA not in buckets.tree(buckets.source, f"{contract.QUARANTINE}/").values(), "what is there now is not bad"
    check_exactly_once(buckets)


def place(digits: int) -> str:
    return copy_name(NAME, "cat", hashlib.sha256(DATA).hexdigest(), digits)


def test_the_copy_is_there_already(buckets: Buckets) -> None:
    put_pictures(buckets)
    copies = open_store(buckets.to_predict)
    before = copies.write_if_absent(place(10), DATA)
    buckets.sorted()
    assert copies.stat(place(10)) == before
    assert place(64) not in buckets.tree(buckets.to_predict)
    check_exactly_once(buckets)


def test_another_content_has_the_copys_name(buckets: Buckets) -> None:
    """Then the copy's name has the whole hash; what is there stays."""
    put_pictures(buckets)
    open_store(buckets.to_predict).write_if_absent(place(10), OTHER)
    buckets.sorted()
    copies = buckets.tree(buckets.to_predict)
    assert (copies[place(10)], copies[place(64)]) == (OTHER, DATA)
    (row,) = [row for row in manifests(buckets) if row["uri"].endswith(NAME)]
    assert (row["status"], row["copy"]) == ("packed", place(64))


def test_both_names_are_taken(buckets: Buckets) -> None:
    """Then the picture is left for the next run, by when somebody has made room."""
    put_pictures(buckets)
    for digits in (10, 64):
        open_store(buckets.to_predict).write_if_absent(place(digits), OTHER)
    counts = buckets.sorted("r1")
    assert (counts["packed"], counts["left"]) == (4, 1)
    for digits in (10, 64):
        buckets.remove(f"{buckets.to_predict}/{place(digits)}")
    assert buckets.sorted("r2")["packed"] == 1
    assert fates(buckets) == [("left", None), ("packed", None)]
    check_exactly_once(buckets)


def test_a_copy_that_an_earlier_batch_made_stays_when_its_picture_is_contested(buckets: Buckets) -> None:
    buckets.put(f"a/{NAME}", DATA)
    buckets.sorted("r1")
    buckets.put(f"b/{NAME}", DATA)
    buckets.put("dog_1.jpg", DATA)
    buckets.sorted("r2", max_bad=1.0)
    assert fates(buckets, f"a/{NAME}") == [("packed", None)]
    assert fates(buckets, f"b/{NAME}") == fates(buckets, "dog_1.jpg") == [("quarantined", "conflicting-label")]
    check_exactly_once(buckets)


def test_a_contested_picture_that_cannot_be_put_aside_is_not_packed_by_the_next_run(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storage fails for one of the two: it must not count as the only one of its content."""
    put_pictures(buckets)
    buckets.put("emu_1.jpg", DATA)

    def fail() -> None:
        raise StoreError("not now", retry=True)

    moment = ("write_if_absent", f"{contract.QUARANTINE}/conflicting-label/emu_1")
    with monkeypatch.context() as hiccup:
        done = do_before(buckets, hiccup, moment, fail)
        assert buckets.sorted("r1", max_bad=0.5)["left"] > 0
    assert done
    assert buckets.sorted("r2", max_bad=1.0)["packed"] == 0
    assert fates(buckets)[-1] == fates(buckets, "emu_1.jpg")[-1] == ("quarantined", "conflicting-label")
    check_exactly_once(buckets)

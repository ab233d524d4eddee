"""The ledger: what its head names counts, and an object is new until it is in there at its generation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import menagerie_contract as contract
import pytest

from model_service.errors import StepError
from model_service.ledger import Batch, Entry, Head, Part, Parts, read_head, swap_head, unsorted
from model_service.storage import Blob, Conflict, open_store
from tests.model_service.buckets import local

NAMES = ["Z.jpg", "a-b.jpg", "a/b.jpg", "a0.jpg", "é.jpg", "日本.jpg", "🐈.jpg"]  # in the order of their UTF-8 bytes
JOIN = ("name", "generation")


@pytest.fixture
def models(tmp_path: Path) -> str:
    return f"file://{tmp_path}"


def enter(models: str, entries: Iterable[Entry]) -> Head:
    """As a commit does it, without a batch."""
    store, before = open_store(models), read_head(models)
    with Parts(models, store) as parts:
        swap_head(models, store, before, Head(before.batches, parts.joined(before, list(entries))))
    return read_head(models)


def entries(*names: str, generation: int = 1) -> list[Entry]:
    return [Entry(name, generation) for name in names]


def blobs(*names: str, generation: int = 1) -> list[Blob]:
    return [Blob(name, 10, generation) for name in names]


def new(models: str, listing: list[Blob]) -> list[Blob]:
    with Parts(models, open_store(models)) as parts:
        return list(unsorted(listing, parts.entries(read_head(models).parts, JOIN)))


def test_a_ledger_is_read_in_the_order_a_store_lists(models: str) -> None:
    written = [Entry(name, 2**62 + n, f"key{n}", "cat", "train", 2**64 - 1 - n) for n, name in enumerate(NAMES)]
    head = enter(models, reversed(written))
    with Parts(models, open_store(models)) as parts:
        assert list(parts.entries(head.parts)) == written
        assert [batch.num_rows for batch in parts.tables(head.parts)] == [len(NAMES)]


def test_columns_that_are_not_asked_for_are_not_read(models: str) -> None:
    head = enter(models, [Entry("a.jpg", 7, "key", "cat", "train", 1)])
    with Parts(models, open_store(models)) as parts:
        assert list(parts.entries(head.parts, JOIN)) == [Entry("a.jpg", 7)]


def test_the_same_objects_make_the_same_file(tmp_path: Path) -> None:
    heads = []
    for place, order in (("one", NAMES), ("two", NAMES[::-1])):
        (tmp_path / place).mkdir()
        heads.append(enter(f"file://{tmp_path}/{place}", entries(*order)))
    assert heads[0].parts == heads[1].parts


def test_without_a_ledger_everything_is_new(models: str) -> None:
    assert new(models, blobs(*NAMES)) == blobs(*NAMES)


def test_what_any_part_has_is_not_new(models: str) -> None:
    enter(models, entries(*NAMES[0::3]))
    enter(models, entries(*NAMES[1::3], "gone.jpg"))
    assert new(models, blobs(*NAMES)) == blobs(*NAMES[2::3])
    enter(models, entries(*NAMES))
    assert new(models, blobs(*NAMES)) == []


def test_another_generation_is_new_again(models: str) -> None:
    enter(models, entries(*NAMES))
    enter(models, entries("a/b.jpg", generation=7))
    listing = [Blob(name, 10, {"a/b.jpg": 7, "é.jpg": 9}.get(name, 1)) for name in NAMES]
    assert new(models, listing) == [Blob("é.jpg", 10, 9)]


def test_an_older_generation_that_comes_back_is_known(models: str) -> None:
    for generation in (3, 1, 2):
        enter(models, entries("cat_1.jpg", generation=generation))
    assert new(models, blobs("cat_1.jpg", generation=2)) == []


def test_long_parts_are_merged_whole(models: str) -> None:
    names = [f"cat_{n:06d}.jpg" for n in range(40_000)]
    for k in range(3):
        enter(models, entries(*names[k::4]))
    assert new(models, blobs(*names)) == blobs(*names[3::4])


def test_parts_stay_few_and_large_ones_are_not_written_again_for_small_ones(models: str) -> None:
    large = enter(models, entries(*(f"a{n:05d}" for n in range(1000)))).parts[0]
    for day in range(60):
        head = enter(models, entries(*(f"b{day:02d}-{n}" for n in range(3))))
        assert head.parts[0] == large
        assert len(head.parts) <= 5
    assert sum(part.rows for part in head.parts) == 1000 + 60 * 3


def test_of_two_that_swap_the_same_head_the_second_is_refused(models: str) -> None:
    store, batch = open_store(models), Batch("r1/00000-abc", "r1", "0" * 64, 1, 0, {"cat": 1})
    for first in (Head((batch,)), Head((batch, batch))):  # of none at all, and of one that is there
        before = read_head(models)
        swap_head(models, store, before, first)
        with pytest.raises(Conflict):
            swap_head(models, store, before, Head())
        assert read_head(models) == first


def test_a_head_tells_classes_and_batches() -> None:
    head = Head((Batch("r1/00000-a", "r1", "", 2, 0, {"cat": 2}), Batch("r1/00001-b", "r1", "", 1, 0, {"dog": 1})))
    assert head.classes == {"cat", "dog"}
    assert head.of_range("r1", 1) == head.batches[1]
    assert head.of_range("r1", 2) is None
    assert head.of_range("r", 1) is None


@pytest.mark.parametrize("content", [b"", b"{}", b'{"batches": [{"name": "r1"}], "parts": []}', b"[]", b"\xff"])
def test_a_damaged_head_is_an_error_with_its_place(models: str, content: bytes) -> None:
    path = local(contract.ledger_head(models))
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StepError, match="is damaged") as caught:
        read_head(models)
    assert "restore" in caught.value.remedy


def test_a_part_that_is_gone_is_to_be_restored(models: str) -> None:
    part: Part = enter(models, entries(*NAMES)).parts[0]
    local(contract.ledger(models, part.digest)).unlink()
    with pytest.raises(StepError, match=f"{part.digest}.parquet, a part of the ledger, is gone") as caught:
        new(models, blobs(*NAMES))
    assert "restore it from" in caught.value.remedy


def test_a_damaged_part_is_not_read(models: str) -> None:
    part: Part = enter(models, entries(*NAMES)).parts[0]
    path = local(contract.ledger(models, part.digest))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StepError, match="sha256 differs"):
        new(models, blobs(*NAMES))

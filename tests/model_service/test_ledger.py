"""The ledger: an object is new until a ledger has it at its generation."""

from __future__ import annotations

from pathlib import Path

import menagerie_contract as contract
import pytest

from model_service import ledger
from model_service.storage import Blob, name_in, open_store

NAMES = ["Z.jpg", "a-b.jpg", "a/b.jpg", "a0.jpg", "é.jpg", "日本.jpg", "🐈.jpg"]  # in the order of their UTF-8 bytes


@pytest.fixture
def models(tmp_path: Path) -> str:
    return f"file://{tmp_path}"


def enter(models: str, run: str, blobs: list[Blob]) -> None:
    store = open_store(models)
    store.write_if_absent(name_in(store, f"{contract.ledger(models)}/{run}.parquet"), ledger.write(blobs))


def blobs(*names: str, generation: int = 1) -> list[Blob]:
    return [Blob(name, 10, generation) for name in names]


def test_a_ledger_is_read_in_the_order_a_store_lists() -> None:
    written = [Blob(name, size, 2**62 + size) for size, name in enumerate(NAMES)]
    assert list(ledger.read(ledger.write(reversed(written)))) == written
    assert list(ledger.read(ledger.write([]))) == []


def test_the_same_objects_make_the_same_bytes() -> None:
    assert ledger.write(blobs(*NAMES)) == ledger.write(reversed(blobs(*NAMES)))


def test_without_ledgers_everything_is_new(models: str) -> None:
    assert list(ledger.unsorted(models, blobs(*NAMES))) == blobs(*NAMES)


def test_what_any_ledger_has_is_not_new(models: str) -> None:
    enter(models, "r1", blobs(*NAMES[0::3]))
    enter(models, "r2", blobs(*NAMES[1::3], "gone.jpg"))
    assert list(ledger.unsorted(models, blobs(*NAMES))) == blobs(*NAMES[2::3])
    enter(models, "r3", blobs(*NAMES))
    assert list(ledger.unsorted(models, blobs(*NAMES))) == []


def test_another_generation_is_new_again(models: str) -> None:
    enter(models, "r1", blobs(*NAMES))
    enter(models, "r2", blobs("a/b.jpg", generation=7))
    listing = [Blob(name, 10, {"a/b.jpg": 7, "é.jpg": 9}.get(name, 1)) for name in NAMES]
    assert list(ledger.unsorted(models, listing)) == [Blob("é.jpg", 10, 9)]


def test_an_older_generation_that_comes_back_is_known(models: str) -> None:
    for generation in (3, 1, 2):
        enter(models, f"r{generation}", blobs("cat_1.jpg", generation=generation))
    assert list(ledger.unsorted(models, blobs("cat_1.jpg", generation=2))) == []


def test_long_ledgers_are_merged_whole(models: str) -> None:
    names = [f"cat_{n:06d}.jpg" for n in range(9_000)]
    for k in range(3):
        enter(models, f"r{k}", blobs(*names[k::4]))
    assert list(ledger.unsorted(models, blobs(*names))) == blobs(*names[3::4])

"""What a meter counts: on a folder, and on Cloud Storage the operations that the test server would bill."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_service.prices import dollars
from model_service.storage import Exists, NotFound, Store, open_store
from model_service.storage.metered import Meter, Metered
from tests.model_service.cloud import leads_to
from tests.support.gcs import GcsServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    with GcsServer() as server:
        leads_to(server.url, monkeypatch)
        yield server


@pytest.fixture(params=["folder", "gcs"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Store, Store]:
    """Two empty buckets of one kind."""
    if request.param == "gcs":
        server = request.getfixturevalue("server")
        for name in "ab":
            server.make_bucket(name)
        return open_store("gs://a"), open_store("gs://b")
    for name in "ab":
        (tmp_path / name).mkdir()
    return open_store(f"file://{tmp_path}/a"), open_store(f"file://{tmp_path}/b")


def work(source: Metered, target: Metered, local: Path) -> None:
    """A bit of everything, each of it counted below."""
    first = source.write_if_absent("x", b"12345")
    local.write_bytes(b"1234567")
    source.write_if_absent("folder/y", local)
    second = source.compare_and_swap("x", b"123", first.generation)
    assert source.read("x", second.generation) == b"123"
    assert source.read_range("folder/y", 1, 2) == b"23"
    assert source.download("folder/y", local).size == 7
    assert source.stat("x") == second
    assert target.copy_if_absent(source, "x", second.generation, "copy").size == 3
    assert [blob.name for blob in source.list()] == ["folder/y", "x"]
    assert [blob.name for blob in source.list(after="folder/y", until="y")] == ["x"]
    assert list(target.list("none/")) == []
    target.delete_if_generation("copy", target.stat("copy").generation)
    target.check()


def billed(server: GcsServer) -> Counter[str]:
    """But for the one look at each bucket that the library takes by itself, for its traces."""
    return Counter(call.billed for call in server.calls if call.billed and call.operation != "buckets.get")


COUNTED = {"listed": 3, "pages": 3, "read": 3, "written": 3, "copied": 1, "deleted": 1, "bytes_in": 12, "bytes_out": 15}


def test_a_meter_counts_what_two_stores_did(stores: tuple[Store, Store], tmp_path: Path) -> None:
    meter = Meter()
    source, target = (Metered(store, meter) for store in stores)
    assert source.uri == stores[0].uri
    work(source, target, tmp_path / "local")
    billed = {"class_a": 8, "class_b": 5} if source.uri.startswith("gs://") else {"class_a": 0, "class_b": 0}
    assert meter.counts() == COUNTED | billed


def test_the_operations_are_those_that_are_billed(server: GcsServer, tmp_path: Path) -> None:
    meter = Meter()
    for name in "ab":
        server.make_bucket(name)
    work(Metered(open_store("gs://a"), meter), Metered(open_store("gs://b"), meter), tmp_path / "local")
    assert billed(server) == {"A": meter.class_a, "B": meter.class_b}


def test_every_page_of_a_listing_is_one_operation(server: GcsServer) -> None:
    server.make_bucket("a")
    for number in range(2001):
        server.api.buckets["a"].insert(f"{number:04}", b"", {}, {})
    for until, pages in [("0000", 1), ("0001", 1), ("1000", 1), ("1001", 2), ("2000", 2), ("", 3)]:
        server.forget()
        meter = Meter()
        listed = len(list(Metered(open_store("gs://a"), meter).list(until=until)))
        assert (meter.pages, meter.class_a, meter.listed) == (pages, pages, listed), until
        assert billed(server) == {"A": pages}, until


def test_what_is_refused_is_an_operation_and_nothing_else(server: GcsServer) -> None:
    server.make_bucket("a")
    meter = Meter()
    store = Metered(open_store("gs://a"), meter)
    store.write_if_absent("x", b"12345")
    with pytest.raises(Exists):
        store.write_if_absent("x", b"12345")
    with pytest.raises(NotFound):
        store.read("none")
    assert (meter.written, meter.bytes_out, meter.read, meter.bytes_in) == (1, 5, 0, 0)
    assert (meter.class_a, meter.class_b) == (2, 1)


def test_a_listing_counts_as_it_goes(tmp_path: Path) -> None:
    meter = Meter()
    for name in "abc":
        (tmp_path / name).touch()
    listing = Metered(open_store(f"file://{tmp_path}"), meter).list()
    assert (meter.pages, meter.listed) == (0, 0), "nothing was asked for yet"
    next(listing)
    next(listing)
    assert (meter.pages, meter.listed) == (1, 2)


def test_threads_lose_no_count(tmp_path: Path) -> None:
    meter = Meter()
    store = Metered(open_store(f"file://{tmp_path}"), meter)
    content = os.urandom(100)
    with ThreadPoolExecutor(16) as pool:
        for n in range(200):
            pool.submit(store.write_if_absent, str(n), content)
    assert (meter.written, meter.bytes_out) == (200, 20_000)


def test_operations_have_their_list_price() -> None:
    assert dollars(0, 0) == 0
    assert dollars(1_000_000, 0) == pytest.approx(5.0)
    assert dollars(0, 1_000_000) == pytest.approx(0.4)
    assert dollars(10_000, 50_000) == pytest.approx(0.07)  # https://cloud.google.com/storage/pricing-examples

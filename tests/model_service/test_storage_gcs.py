"""What Cloud Storage's store does when something goes wrong on the way: on the test server, which does it on order."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core import exceptions as api
from google.auth.exceptions import RefreshError, TransportError

from model_service.storage import Conflict, Exists, NotFound, Store, StoreError, client, gcs, open_store
from model_service.storage.retries import RETRY, SEND_AGAIN, passes
from tests.model_service.cloud import leads_to
from tests.support.gcs import Fault, GcsServer

CONTENT = os.urandom(100_000)
LARGE = 9 << 20  # more than the library sends in one request
STATUSES = [408, 429, 500, 502, 503, 504]
FAULTS: dict[str, dict[str, Any]] = {
    **{str(status): {"status": status} for status in STATUSES},
    "503 though it was done": {"status": 503, "after": True},
    "a reset": {"reset": True},
    "a reset when it was done": {"reset": True, "after": True},
    "a short answer": {"short": True},
}
Operation = Callable[[Any], Any]


@pytest.fixture(scope="module")
def _server() -> Iterator[GcsServer]:
    with GcsServer() as server:
        yield server


@pytest.fixture
def server(_server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    leads_to(_server.url, monkeypatch)
    monkeypatch.setattr(gcs, "RETRY", RETRY.with_delay(initial=0.001, maximum=0.01).with_timeout(5))
    monkeypatch.setattr(gcs, "SEND_AGAIN", SEND_AGAIN.with_delay(initial=0.001, maximum=0.01).with_timeout(5))
    _server.make_bucket("ours")
    yield _server
    _server.forget()
    _server.api.rewrite_bytes = None
    del _server.api.buckets["ours"]


@pytest.fixture
def store(server: GcsServer) -> Store:
    """With one object, x."""
    store = open_store("gs://ours")
    store.write_if_absent("x", CONTENT)
    server.forget()
    return store


def generation(store: Store) -> int:
    return store.stat("x").generation


def read_range(store: Store) -> bytes:
    return store.read_range("x", 10, 50_000)


def download(store: Store, path: Path) -> bytes:
    blob = store.download("x", path)
    assert (blob.size, blob.generation) == (len(CONTENT), generation(store))
    return path.read_bytes()


class TestReading:
    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("times", [1, 3])
    def test_is_tried_again(self, store: Store, server: GcsServer, tmp_path: Path, fault: str, times: int) -> None:
        for operation, expected in [
            (lambda store: store.read("x"), CONTENT),
            (read_range, CONTENT[10:50_010]),
            (partial(download, path=tmp_path / "x"), CONTENT),
        ]:
            server.inject(Fault("media", times=times, **FAULTS[fault]))
            assert operation(store) == expected
        server.inject(Fault("objects.get", times=times, **FAULTS[fault]))
        assert store.stat("x").size == len(CONTENT)
        server.inject(Fault("objects.list", times=times, **FAULTS[fault]))
        assert [blob.name for blob in store.list()] == ["x"]
        assert all(fault.befell == times for fault in server.faults)

    @pytest.mark.parametrize("times", [1, 3])
    def test_of_content_that_fails_its_checksum_is_tried_again(
        self, store: Store, server: GcsServer, tmp_path: Path, times: int
    ) -> None:
        server.inject(Fault("media", corrupt=True, times=times))
        assert store.read("x") == CONTENT
        server.inject(Fault("media", corrupt=True, times=times))
        assert download(store, tmp_path / "x") == CONTENT
        assert server.operations()["objects.media"] == 2 * (times + 1)

    def test_is_verified_after_an_interruption_too(self, store: Store, server: GcsServer, tmp_path: Path) -> None:
        """The library alone would go on where it was interrupted, and then return what it got unverified."""
        faults = [Fault("media", short=True), Fault("media", corrupt=True)]
        server.inject(*faults)
        assert store.read("x") == CONTENT
        for fault in faults:
            fault.befell = 0
        assert download(store, tmp_path / "x") == CONTENT

    def test_that_failed_gives_its_connection_back(self, store: Store, server: GcsServer) -> None:
        """The library's own retry of a download keeps it until the garbage collector comes by."""
        before = server.connections()
        gc.disable()
        try:
            for _ in range(30):
                server.inject(Fault("media", status=503))
                store.read("x")
            assert server.connections() <= before + 1
        finally:
            gc.enable()

    def test_of_an_object_replaced_between_two_attempts_gives_one_of_them_whole(
        self, store: Store, server: GcsServer
    ) -> None:
        new = os.urandom(100_000)
        server.inject(
            Fault("media", short=True),
            Fault("media", meanwhile=lambda: server.api.buckets["ours"].insert("x", new, {}, {})),
        )
        assert store.read("x") == new

    def test_of_content_that_never_is_right_says_so(
        self, store: Store, server: GcsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gcs, "RETRY", RETRY.with_delay(initial=0.01).with_timeout(0.2))
        server.inject(Fault("media", corrupt=True, times=None))
        with pytest.raises(StoreError, match="Checksum mismatch") as failed:
            store.read("x")
        assert failed.value.retry
        assert server.operations()["objects.media"] > 1


class TestWriting:
    @pytest.fixture
    def operations(self, store: Store, tmp_path: Path) -> dict[str, tuple[str, Operation, bytes]]:
        """What to do, which calls it makes, the object and its content at the end."""
        large = os.urandom(LARGE)
        (tmp_path / "large").write_bytes(large)
        return {
            "new": ("insert", lambda s: s.write_if_absent("new", CONTENT), CONTENT),
            "large": ("insert", lambda s: s.write_if_absent("large", tmp_path / "large"), large),
            "chunk": ("chunk", lambda s: s.write_if_absent("chunk", tmp_path / "large"), large),
            "x": ("insert", lambda s: s.compare_and_swap("x", CONTENT[::-1], generation(s)), CONTENT[::-1]),
        }

    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("name", ["new", "large", "chunk", "x"])
    def test_is_done_once(
        self,
        store: Store,
        server: GcsServer,
        operations: dict[str, tuple[str, Operation, bytes]],
        fault: str,
        name: str,
    ) -> None:
        call, operation, content = operations[name]
        server.inject(Fault(call, **FAULTS[fault]))
        assert operation(store) == store.stat(name)
        assert server.faults[0].befell == 1
        assert store.read(name) == content

    @pytest.mark.parametrize("fault", FAULTS)
    def test_by_another_meanwhile_is_told_apart_from_ours(self, store: Store, server: GcsServer, fault: str) -> None:
        server.inject(Fault("insert", **FAULTS[fault]))
        with pytest.raises(Exists, match="x exists already"):
            store.write_if_absent("x", CONTENT)
        server.forget()
        server.inject(Fault("insert", **FAULTS[fault]))
        with pytest.raises(Conflict, match="x is not at generation 1"):
            store.compare_and_swap("x", CONTENT, 1)

    @pytest.mark.parametrize("times", [1, 3])
    @pytest.mark.parametrize("name", ["new", "large", "chunk", "x"])
    def test_of_content_that_arrived_spoilt_is_begun_anew(
        self,
        store: Store,
        server: GcsServer,
        operations: dict[str, tuple[str, Operation, bytes]],
        name: str,
        times: int,
    ) -> None:
        _, operation, content = operations[name]
        where = "chunk" if len(content) == LARGE else "insert"
        server.inject(Fault(where, spoil=True, times=times))
        assert operation(store) == store.stat(name)
        assert server.faults[0].befell == times
        assert store.read(name) == content

    def test_of_content_that_never_arrives_as_it_was_says_so(
        self, store: Store, server: GcsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gcs, "SEND_AGAIN", SEND_AGAIN.with_delay(initial=0.01).with_timeout(0.2))
        server.inject(Fault("insert", spoil=True, times=None))
        with pytest.raises(StoreError, match="doesn't match"):
            store.write_if_absent("new", CONTENT)
        assert server.operations()["objects.insert"] > 1
        assert [blob.name for blob in store.list()] == ["x"]

    def test_costs_one_operation_even_when_it_is_refused(self, store: Store, server: GcsServer) -> None:
        store.write_if_absent("y", b"")
        with pytest.raises(Exists):
            store.write_if_absent("y", b"")
        assert server.operations() == {"objects.insert": 2}

    def test_waits_where_a_name_is_written_too_often(self, store: Store, server: GcsServer) -> None:
        server.api.mutation_seconds = 0.2
        try:
            blob = store.write_if_absent("busy", b"0")
            for n in range(1, 4):
                blob = store.compare_and_swap("busy", str(n).encode(), blob.generation)
        finally:
            server.api.mutation_seconds = 0.0
        assert store.read("busy") == b"3"

    def test_of_an_upload_whose_session_is_lost_may_be_tried_again(
        self, store: Store, server: GcsServer, tmp_path: Path
    ) -> None:
        (tmp_path / "large").write_bytes(bytes(LARGE))
        server.inject(Fault("chunk", status=404))
        with pytest.raises(StoreError, match="lost on its way") as lost:
            store.write_if_absent("large", tmp_path / "large")
        assert lost.value.retry
        assert not isinstance(lost.value, NotFound)


class TestCopying:
    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("calls", [1, 3])
    def test_is_done_once(self, store: Store, server: GcsServer, fault: str, calls: int) -> None:
        server.api.rewrite_bytes = -(-len(CONTENT) // calls)
        server.inject(*(Fault("rewrite", **FAULTS[fault]) for _ in range(calls)))
        assert store.copy_if_absent(store, "x", generation(store), "copy") == store.stat("copy")
        assert all(fault.befell for fault in server.faults)
        assert store.read("copy") == CONTENT

    @pytest.mark.parametrize("fault", FAULTS)
    def test_refuses_other_content_though_the_answer_was_lost(
        self, store: Store, server: GcsServer, fault: str
    ) -> None:
        there = store.write_if_absent("copy", b"other")
        server.inject(Fault("rewrite", **FAULTS[fault]))
        with pytest.raises(Exists, match="copy exists already"):
            store.copy_if_absent(store, "x", generation(store), "copy")
        assert store.stat("copy") == there

    def test_costs_one_operation_of_class_a_and_keeps_all_metadata(self, store: Store, server: GcsServer) -> None:
        fields = {"contentType": "image/x", "metadata": {"a": "1"}, "cacheControl": "no-store", "contentLanguage": "de"}
        source = server.api.buckets["ours"].insert("original", CONTENT, fields, {})
        store.copy_if_absent(store, "original", source.generation, "copy")
        assert server.billed() == {"A": 1}
        assert server.api.buckets["ours"].live["copy"].fields == fields

    def test_of_a_noncurrent_version_is_none(self, server: GcsServer) -> None:
        """In a bucket that keeps old versions, a generation that was replaced could still be copied."""
        server.make_bucket("versioned", versioned=True)
        store = open_store("gs://versioned")
        first = store.write_if_absent("x", b"first")
        store.compare_and_swap("x", b"second", first.generation)
        with pytest.raises(NotFound, match="x has generation"):
            store.copy_if_absent(store, "x", first.generation, "y")


class TestDeleting:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_is_done_once(self, store: Store, server: GcsServer, fault: str) -> None:
        server.inject(Fault("delete", **FAULTS[fault]))
        store.delete_if_generation("x", generation(store))
        assert server.faults[0].befell == 1
        assert list(store.list()) == []


OPERATIONS: dict[str, Operation] = {
    "check": lambda s: s.check(),
    "list": lambda s: list(s.list()),
    "stat": lambda s: s.stat("x"),
    "read": lambda s: s.read("x"),
    "read_range": read_range,
    "write": lambda s: s.write_if_absent("new", b""),
    "swap": lambda s: s.compare_and_swap("x", b"", 1),
    "copy": lambda s: s.copy_if_absent(s, "x", 1, "copy"),
    "delete": lambda s: s.delete_if_generation("x", 1),
}


class TestEveryOperation:
    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("fault", ["503", "429", "a reset"])
    def test_gives_up_in_the_end_and_may_be_tried_again(
        self, store: Store, server: GcsServer, monkeypatch: pytest.MonkeyPatch, operation: str, fault: str
    ) -> None:
        monkeypatch.setattr(gcs, "RETRY", RETRY.with_delay(initial=0.01, maximum=0.02).with_timeout(0.3))
        monkeypatch.setattr(gcs, "CHECK_SECONDS", 0.3)
        server.inject(Fault(times=None, **FAULTS[fault]))
        began = time.monotonic()
        with pytest.raises(StoreError, match="gs://ours") as failed:
            OPERATIONS[operation](store)
        assert failed.value.retry
        assert time.monotonic() - began < 5
        assert len(server.calls) > 1

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("status", [400, 403])
    def test_does_not_repeat_what_is_refused_for_good(
        self, store: Store, server: GcsServer, operation: str, status: int
    ) -> None:
        server.inject(Fault(times=None, status=status))
        with pytest.raises(StoreError) as failed:
            OPERATIONS[operation](store)
        assert not failed.value.retry
        assert len(server.calls) == 1

    @pytest.mark.parametrize(
        "name", ["", ".", "..", "new\nline", "return\r", "n" * 1025, "é" * 513, "\ud83d"], ids=ascii
    )
    def test_refuses_names_that_no_object_has(self, store: Store, server: GcsServer, name: str) -> None:
        for operation in [
            lambda: store.stat(name),
            lambda: store.read(name),
            lambda: store.write_if_absent(name, b""),
            lambda: store.compare_and_swap(name, b"", 1),
            lambda: store.copy_if_absent(store, "x", 1, name),
            lambda: store.copy_if_absent(store, name, 1, "copy"),
            lambda: store.delete_if_generation(name, 1),
        ]:
            with pytest.raises(StoreError, match="cannot be an object") as refusal:
                operation()
            assert type(refusal.value) is StoreError
            assert "1024" in refusal.value.remedy
        assert server.calls == []


class TestWaits:
    def test_double_at_random_and_are_bounded(self) -> None:
        policy = RETRY
        assert (policy._initial, policy._maximum, policy._multiplier, policy.timeout) == (0.5, 15, 2, 60)

    @pytest.mark.parametrize(
        ("error", "again"),
        [
            (api.TooManyRequests(""), True),
            (api.from_http_status(408, ""), True),
            (api.NotFound(""), False),
            (api.PreconditionFailed(""), False),
            (requests.Timeout(), True),
            (requests.exceptions.InvalidURL(), False),
            (TransportError(requests.ConnectionError()), True),
            (RefreshError("no such account"), False),
            (ConnectionResetError(), True),
            (ValueError(), False),
        ],
    )
    def test_are_for_what_may_pass(self, error: Exception, again: bool) -> None:
        assert passes(error) == again


def test_proxies_and_certificates_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Although they are read only once."""
    bundle = tmp_path / "certificates.pem"
    bundle.touch()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "https://storage.example")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    def made() -> Any:
        return client._make.__wrapped__(None)._http

    assert (made().proxies["https"], made().verify) == ("http://proxy.example:3128", str(bundle))
    monkeypatch.setenv("NO_PROXY", "storage.example")
    assert "https" not in made().proxies

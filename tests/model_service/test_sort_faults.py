"""sort on storage that fails now and then, in all the ways there are, or is gone: nothing is lost, and nothing is twice."""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from model_service import batches
from model_service.errors import StepError
from model_service.ledger import read_head
from model_service.storage import files, folder, folder_retries, gcs, root, walk
from model_service.storage.retries import RETRY
from tests.model_service.buckets import NAMES, Buckets, make_buckets
from tests.model_service.cloud import Cloud
from tests.model_service.proofs import check_exactly_once, many, packed, picture
from tests.support.gcs import Fault, GcsServer

PICTURES = many(150, 5000)
TIMEOUT = 0.25  # seconds that a request is tried again for, when nothing works
STATUSES = (408, 429, 500, 502, 503, 504)
WAYS: list[dict[str, Any]] = [{"status": status, "after": after} for status in STATUSES for after in (False, True)]
WAYS += [{"reset": True}, {"reset": True, "after": True}, {"short": True}, {"pattern": "media", "corrupt": True}]


@pytest.fixture
def remote(cloud: Cloud, tmp_path: Path) -> Buckets:
    return Buckets(tmp_path, tuple(cloud.take() for _ in NAMES))


class Hiccups:
    """The module os of a disk that fails: each call, with a probability, before or after it has done what it should."""

    PASSING = (errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EINTR)
    BEFORE = ("open", "read", "write", "stat", "lstat", "fstat", "scandir", "copy_file_range", "utime", "fsync")
    EITHER = ("link", "replace", "unlink", "mkdir")

    def __init__(self, share: float, seed: int = 0) -> None:
        self.share, self.befell = share, 0
        self._draws, self._lock = random.Random(seed), threading.Lock()

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._failing(name, real) if name in self.BEFORE + self.EITHER else real

    def _failing(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                fails, after = self._draws.random() < self.share, self._draws.random() < 0.5
                code = self._draws.choice(self.PASSING)
                self.befell += fails
            if fails and not (after and name in self.EITHER):
                raise OSError(code, os.strerror(code))
            done = real(*arguments, **options)
            if fails:
                raise OSError(code, os.strerror(code))
            return done

        return call


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Hiccups:
    """That of all folder stores; it works until the test says otherwise."""
    hiccups = Hiccups(0.0)
    for module in (folder, root, files, walk):
        monkeypatch.setattr(module, "os", hiccups)
    monkeypatch.setattr(folder_retries, "WAITS", (0.001, 0.004, 0.015))
    return hiccups


def put_pictures(*places: Buckets, number: int = PICTURES) -> None:
    """As many, of all kinds, in each of the places."""

    def put(n: int) -> None:
        name, data = f"{('cat', 'dog', 'emu')[n % 3]}_{n}.jpg", picture(n)
        match n % 50:
            case 7:
                data = b"text %d" % n
            case 8:
                data = picture(n - 3)  # the same class
            case 9:
                data = picture(n - 5)  # another class
        for buckets in places:
            buckets.put(name, data)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(number)))


def sort_till_the_end(buckets: Buckets, told: collections.Counter[str]) -> None:
    """As the coordinator does: attempts at a run until one succeeds, and runs until there is nothing new."""
    for number in range(30):
        for _ in range(10):
            told["attempts"] += 1
            try:
                counts = buckets.sorted(f"r{number}", max_bad=1.0)  # what was left may be a bad one alone
                break
            except StepError as error:
                if not error.retry:
                    raise
        else:
            pytest.fail("ten attempts failed")
        told["left for the next run"] += counts["left"]
        if counts["new"] == 0:
            return
    pytest.fail("there is always something new")


def certain(buckets: Buckets) -> set[str]:
    doubted = {key for keys in batches.retracted(buckets.models).values() for key in keys}
    return {row["sha256"] for row in packed(buckets) if row["key"] not in doubted}


@pytest.fixture
def quiet(tmp_path: Path) -> Buckets:
    """Where nothing fails, to compare with."""
    (tmp_path / "quiet").mkdir()
    return make_buckets(tmp_path / "quiet")


def test_one_request_in_twenty_fails(
    remote: Buckets, quiet: Buckets, server: GcsServer, told: collections.Counter[str]
) -> None:
    put_pictures(remote, quiet)
    faults = [Fault(times=None, share=0.05 / len(WAYS), seed=n, **way) for n, way in enumerate(WAYS)]
    server.forget()
    server.inject(*faults)
    sort_till_the_end(remote, told)
    told["requests"], told["faults"] = len(server.calls), sum(fault.befell for fault in faults)
    server.forget()

    assert told["faults"] > 0.03 * told["requests"]
    quiet.sorted()
    check_exactly_once(remote, stray_batches=True)
    assert certain(remote) == certain(quiet)
    told["packed"] = len(packed(remote))


def test_one_call_of_the_disk_in_two_hundred_fails(
    tmp_path: Path, quiet: Buckets, disk: Hiccups, told: collections.Counter[str]
) -> None:
    """An object takes about ten such calls."""
    shaky = make_buckets(tmp_path)
    put_pictures(shaky, quiet)
    disk.share = 0.005
    sort_till_the_end(shaky, told)
    disk.share = 0.0
    told["faults"] = disk.befell

    assert disk.befell > PICTURES * 0.02
    quiet.sorted()
    check_exactly_once(shaky, stray_batches=True)
    assert certain(shaky) == certain(quiet)
    told["packed"] = len(packed(shaky))


# An outage


def test_cloud_storage_goes_away(remote: Buckets, server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon the step says so, and that it may be tried again; nothing is committed, and the next attempt goes on."""
    monkeypatch.setattr(gcs, "RETRY", RETRY.with_delay(initial=0.001, maximum=0.05).with_timeout(TIMEOUT))
    put_pictures(remote, number=200)
    gone = Fault(status=503, times=None)
    server.inject(Fault("media .*_11", meanwhile=lambda: server.inject(gone)))
    with _refused_soon():
        remote.sorted(max_bad=0.9)
    assert gone.befell
    server.forget()
    assert read_head(remote.models).batches == ()
    remote.sorted()
    check_exactly_once(remote)


def test_the_disk_goes_away(tmp_path: Path, disk: Hiccups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_retries, "WAITS", (TIMEOUT / 4,) * 3)
    shaky = make_buckets(tmp_path)
    put_pictures(shaky, number=200)
    real = folder.FolderStore.read

    def read(store: Any, name: str, generation: int | None = None) -> bytes:
        disk.share = 1.0 if "_11" in name else disk.share
        return real(store, name, generation)

    monkeypatch.setattr(folder.FolderStore, "read", read)
    with _refused_soon():
        shaky.sorted(max_bad=0.9)
    monkeypatch.setattr(folder.FolderStore, "read", real)
    disk.share = 0.0
    assert read_head(shaky.models).batches == ()
    shaky.sorted()
    check_exactly_once(shaky)


@contextlib.contextmanager
def _refused_soon() -> Iterator[None]:
    """Without giving each of the pictures its time."""
    begun = time.monotonic()
    with pytest.raises(StepError) as refused:
        yield
    assert refused.value.retry
    assert time.monotonic() - begun < 3 * TIMEOUT + 1

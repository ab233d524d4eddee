"""A folder store on a disk that fails for a moment, at each call to the system in turn; and on one that fails for good."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from model_service.storage import Store, StoreError, folder_retries, open_store

CONTENT = os.urandom(3000)
PASSING = [errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EINTR]
CALLS = (
    *("open", "read", "write", "fsync", "fstat", "stat", "lstat", "utime", "readlink"),
    *("scandir", "mkdir", "link", "replace", "unlink", "copy_file_range", "lseek"),
)
UNSYNCED = "the folder could not be synced"
Operation = Callable[[Store, Path], object]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_retries, "WAITS", (0.001, 0.001, 0.001))


def make(root: Path) -> Store:
    """With one object, x."""
    root.mkdir()
    store = open_store(f"file://{root}")
    store.write_if_absent("x", CONTENT)
    return store


@contextmanager
def failing(
    code: int, point: int, *, calls: Sequence[str] = CALLS, times: int = 1, after: bool = False
) -> Iterator[list[str]]:
    """From the point-th call to the system on, so many fail: instead of being done, or though they were. Tells which."""
    befell: list[str] = []
    made = count(1)

    def spoilt(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            hit = next(made) >= point and len(befell) < times
            if hit:
                befell.append(name)
            if hit and not after:
                raise OSError(code, os.strerror(code))
            result = real(*args, **kwargs)
            if hit:
                raise OSError(code, os.strerror(code))
            return result

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in calls:
            patch.setattr(os, name, spoilt(name, getattr(os, name)))
        yield befell


def read(store: Store, _: Path) -> object:
    return store.read("x", store.stat("x").generation)


def read_range(store: Store, _: Path) -> object:
    return store.read_range("x", 10, 100)


def download(store: Store, there: Path) -> object:
    store.download("x", there / "download")
    return (there / "download").read_bytes()


def listing(store: Store, _: Path) -> object:
    return [blob.name for blob in store.list("", after="a")]


def write(store: Store, _: Path) -> object:
    return store.write_if_absent("new/deep/y", CONTENT) == store.stat("new/deep/y")


def copy(store: Store, _: Path) -> object:
    return store.copy_if_absent(store, "x", store.stat("x").generation, "new/y") == store.stat("new/y")


def swap(store: Store, _: Path) -> object:
    return store.compare_and_swap("x", b"swapped", store.stat("x").generation) == store.stat("x")


def delete(store: Store, _: Path) -> object:
    store.delete_if_generation("x", store.stat("x").generation)
    return None


def contents(store: Store) -> dict[str, bytes]:
    return {blob.name: store.read(blob.name) for blob in store.list()}


@pytest.mark.parametrize("operation", [read, read_range, download, listing, write, copy, swap, delete])
def test_each_operation_outlasts_a_failure_of_any_call(tmp_path: Path, operation: Operation) -> None:
    """Only a folder that could not be synced is reported: what was done is done, but may not last."""
    undisturbed = make(tmp_path / "undisturbed")
    expected = operation(undisturbed, tmp_path)
    for point in count(1):
        store = make(tmp_path / str(point))
        with failing(errno.EIO, point) as befell:
            result = unless_unsynced(operation, store, tmp_path)
        if not befell:
            break
        assert result == (UNSYNCED if befell == ["fsync"] and result == UNSYNCED else expected), (point, befell)
        assert contents(store) == contents(undisturbed), (point, befell)
        assert not list((tmp_path / str(point)).rglob(".~menagerie-*")), (point, befell)
    assert point > 5, "calls were failed"


def unless_unsynced(operation: Operation, store: Store, there: Path) -> object:
    try:
        return operation(store, there)
    except StoreError as error:
        if not (error.retry and "its folder could not be synced" in str(error)):
            raise
        return UNSYNCED


@pytest.mark.parametrize("code", [errno.EIO, errno.EEXIST], ids=errno.errorcode.get)
@pytest.mark.parametrize("operation", [write, copy, swap])
def test_a_name_that_was_given_though_the_answer_was_an_error_is_ours(
    tmp_path: Path, operation: Operation, code: int
) -> None:
    """As networks do it: the call was carried out, its answer was lost, and it was asked for again."""
    store = make(tmp_path / "root")
    with failing(code, 1, calls=("link", "replace"), times=2, after=True) as befell:
        assert operation(store, tmp_path) is True
    assert befell == (["link", "replace"] if operation is swap else ["link"])
    assert len(contents(store)) == (1 if operation is swap else 2)


@pytest.mark.parametrize("code", PASSING, ids=errno.errorcode.get)
@pytest.mark.parametrize("operation", [read, write])
def test_what_does_not_pass_is_reported_after_a_few_tries(tmp_path: Path, operation: Operation, code: int) -> None:
    store = make(tmp_path / "root")
    with failing(code, 1, times=10_000) as befell, pytest.raises(StoreError) as failed:
        operation(store, tmp_path)
    assert failed.value.__cause__ is not None
    assert 1 + len(folder_retries.WAITS) <= len(befell) < 100
    assert contents(store) == {"x": CONTENT}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS], ids=errno.errorcode.get)
def test_what_will_not_pass_is_not_tried_again(tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make(tmp_path / "root")
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(code, os.strerror(code))))
    with pytest.raises(StoreError, match="y"):
        store.write_if_absent("y", CONTENT)
    monkeypatch.setattr(os, "fsync", real)
    assert waited == []
    assert contents(store) == {"x": CONTENT}
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["x"]


def test_waits_grow_at_random_and_last_two_seconds_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert len(folder_retries.WAITS) == 3
    assert sum(folder_retries.WAITS) <= 2
    assert list(folder_retries.WAITS) == sorted(folder_retries.WAITS)
    store = make(tmp_path / "root")
    runs = []
    for _ in range(2):
        waited: list[float] = []
        monkeypatch.setattr(time, "sleep", waited.append)
        with failing(errno.EIO, 1, times=10_000), pytest.raises(StoreError):
            store.read("x")
        runs.append(waited)
    assert all(0 <= wait <= most for run in runs for wait, most in zip(run, folder_retries.WAITS, strict=True))
    assert runs[0] != runs[1]

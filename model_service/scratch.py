"""Folders for what a step holds on this machine's disk for a while; those that killed steps have left are removed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from model_service.errors import StepError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_PREFIX = "menagerie-step-"


@contextlib.contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A new folder, gone at the end. While its step lives it is locked (flock), so that no other step takes it for left."""
    with making_room():
        _sweep(Path(tempfile.gettempdir()))
        folder, lock = _locked(purpose)
    try:
        with filling():
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextlib.contextmanager
def making_room() -> Iterator[None]:
    """While something is made in the temporary folder: whatever the disk has against it is a StepError with a remedy."""
    try:
        yield
    except OSError as error:
        raise _no_room(error) from error


@contextlib.contextmanager
def filling() -> Iterator[None]:
    """While the disk is written to: that it is full is a StepError with a remedy; other errors are others'."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise _no_room(error) from error


def _no_room(error: OSError) -> StepError:
    place = tempfile.tempdir or os.environ.get("TMPDIR") or "the temporary folder"
    return StepError(
        f"no room in {place} for what the step holds there for a while: {error.strerror or error}",
        remedy=f"free some space in {place}, give the step more ephemeral storage (the Param pods), or set TMPDIR to a "
        "folder that can be written and has room",
        retry=True,
    )


def _locked(purpose: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{purpose}-"))
        with contextlib.suppress(FileNotFoundError):  # another step's sweep was faster than our lock
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _sweep(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # no folder, not ours, or gone
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)

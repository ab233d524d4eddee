"""Files as objects: how a folder store names, identifies, fills and copies them. Paths are bytes, in any locale."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from model_service.storage.interface import Blob, StoreError

TEMPORARY = b".~menagerie-"


def encode(name: str) -> bytes:
    """The bytes of a name; those that were no UTF-8 on disk come back as they were."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise StoreError(f"{name!r} is not UTF-8", remedy="Rename it.") from error


def decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def blob(name: str, status: os.stat_result) -> Blob:
    """The object of that status; its generation is a digest of what every write of ours, and most others', change."""
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(errno.ENOENT, "not a regular file")
    identity = struct.pack("<QqQ", status.st_ino, status.st_mtime_ns, status.st_size)
    digest = hashlib.blake2b(identity, digest_size=8).digest()
    return Blob(name, status.st_size, int.from_bytes(digest, "little") >> 1 or 1)


def finish(name: str, file: int, replaced_ns: int = 0) -> Blob:
    """Date the file after the one it replaces, so that no generation returns when its inode does; sync it."""
    date = max(time.time_ns(), replaced_ns + 1)
    os.utime(file, ns=(date, date))
    os.fsync(file)
    return blob(name, os.fstat(file))


@contextmanager
def open_folder(path: bytes) -> Iterator[int]:
    """A folder's descriptor, to sync it, to lock it and to name files in it."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield folder
    finally:
        os.close(folder)


def make_folders(path: bytes, root: bytes) -> None:
    """Make the folder and those between it and the root, for good. Others may be making them, too."""
    missing = []
    while path != root and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        with suppress(FileExistsError):
            os.mkdir(folder)
        with open_folder(os.path.dirname(folder)) as above:
            os.fsync(above)


@contextmanager
def temporary(folder: int) -> Iterator[tuple[bytes, int]]:
    """A new file in the folder, its name and descriptor; removed at the end unless it was renamed."""
    name = TEMPORARY + secrets.token_hex(8).encode()
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
    try:
        yield name, file
    finally:
        os.close(file)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)


def fill(file: int, data: bytes) -> None:
    with open(file, "wb", closefd=False) as content:
        content.write(data)


def pour(source: int, target: int) -> None:
    """Copy the rest of one file into another, in the kernel where the two filesystems allow it."""
    with suppress(OSError, AttributeError):  # what failed here is tried again below, from where it stopped
        while os.copy_file_range(source, target, 1 << 30):
            pass
    with open(source, "rb", closefd=False, buffering=0) as rest, open(target, "wb", closefd=False) as content:
        shutil.copyfileobj(rest, content, 1 << 20)

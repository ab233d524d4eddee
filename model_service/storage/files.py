"""Files as objects: how a folder store names, identifies, fills and copies them. Paths are bytes, in any locale."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from model_service.storage.interface import Blob, StoreError

TEMPORARY = b".~menagerie-"
_SWAP = TEMPORARY + b"swap"
_DESCRIPTORS = b"/proc/self/fd/%d"  # Linux: leads to what a descriptor has open
_LINUX = os.path.isdir("/proc/self/fd")
_NO_UNNAMED = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS}
_BLOCK = 1 << 20


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
    generation = int.from_bytes(digest, "little") >> 1 or 1
    return Blob(name, status.st_size, generation, created=status.st_mtime_ns / 1e9)


def finish(name: str, file: int, replaced_ns: int = 0) -> Blob:
    """Date the file after the one it replaces, so that no generation returns when its inode does; sync it."""
    date = max(time.time_ns(), replaced_ns + 1)
    os.utime(file, ns=(date, date))
    os.fsync(file)
    return blob(name, os.fstat(file))


def real_path(opened: int, path: bytes) -> bytes:
    """Where the file or folder really is that was opened at this path, whatever links led there."""
    return os.readlink(_DESCRIPTORS % opened) if _LINUX else os.path.realpath(path)


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
        with suppress(FileExistsError), open_folder(os.path.dirname(folder)) as above:
            os.mkdir(folder)
            try:
                os.fsync(above)
            except OSError:
                with suppress(OSError):
                    os.rmdir(folder)  # so that the next try makes and syncs it again
                raise


@contextmanager
def temporary(folder: int) -> Iterator[tuple[bytes, int]]:
    """A new file in the folder: a path to link it from, and its descriptor.

    It has no name where the system knows such files, so that a killed process leaves nothing behind; elsewhere it has
    one for as long as this lasts.
    """
    name, file = b"", _unnamed(folder)
    if file is None:
        name = TEMPORARY + secrets.token_hex(8).encode()
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
    try:
        yield name or _DESCRIPTORS % file, file
    finally:
        os.close(file)
        if name:
            os.unlink(name, dir_fd=folder)


def _unnamed(folder: int) -> int | None:
    """https://man7.org/linux/man-pages/man2/open.2.html#O_TMPFILE"""
    if not (_LINUX and hasattr(os, "O_TMPFILE")):
        return None
    try:
        return os.open(b".", os.O_WRONLY | os.O_TMPFILE, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno not in _NO_UNNAMED:  # not every filesystem has them
            raise
        return None


def link(temporary: bytes, file: int, folder: int, name: bytes) -> None:
    """Give the temporary file a new name in the folder."""
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
    except OSError:
        if not _has(folder, name, file):  # an answer that was lost, and asked for again: networks do that
            raise


def swap(temporary: bytes, file: int, folder: int, name: bytes) -> None:
    """Give the temporary file a name in the folder that is taken. The caller holds the folder's lock.

    Only a named file can replace another. So it gets a name for as long as that takes, always the same: what a process
    leaves behind that is killed right then goes with the next swap.
    """
    with suppress(FileNotFoundError):
        os.unlink(_SWAP, dir_fd=folder)
    link(temporary, file, folder, _SWAP)
    try:
        os.replace(_SWAP, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        if not _has(folder, name, file):
            raise


def _has(folder: int, name: bytes, file: int) -> bool:
    """Is this file the one of that name?"""
    try:
        return os.path.samestat(os.stat(name, dir_fd=folder, follow_symlinks=False), os.fstat(file))
    except OSError:
        return False


def content(file: int, size: int) -> bytes:
    """The rest of a file that has so many bytes."""
    data = os.read(file, size)
    while len(data) < size and (more := os.read(file, size - len(data))):
        data += more
    return data


def fill(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def pour(source: int, target: int) -> None:
    """Copy the rest of one file into another, in the kernel where the two filesystems allow it."""
    with suppress(OSError, AttributeError):  # what failed here is tried again below, from where it stopped
        while os.copy_file_range(source, target, 1 << 30):
            pass
    while block := os.read(source, _BLOCK):
        fill(target, block)

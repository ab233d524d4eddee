"""A root folder: which names there may be below it, how they are opened without leaving it, and what its errors mean."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_service.storage import files
from model_service.storage.interface import BucketMissing, NotFound, StoreError

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


class Misplaced(StoreError):
    """No file below the root can have such a name."""


class Root:
    """Symbolic links below the root are followed as far as they stay there, but never as the last part of a name."""

    def __init__(self, root: Path) -> None:
        self.path = os.path.abspath(files.encode(str(root)))
        self.uri = "file://" + files.decode(self.path).rstrip("/")
        self._real = os.path.realpath(self.path)

    def check(self) -> None:
        root = files.decode(self.path)
        try:
            os.scandir(self.path).close()
        except PermissionError as error:
            raise BucketMissing(
                f"{self.uri} may not be read by user {os.geteuid()}",
                remedy=f"Give that user access to {root} (chown or chmod).",
            ) from error
        except OSError as error:
            raise BucketMissing(
                f"{self.uri} is not a folder: {error.strerror}",
                remedy=f"Create the folder {root}, or set MENAGERIE_BUCKETS to where the buckets are.",
            ) from error

    @contextmanager
    def open_file(self, name: str) -> Iterator[int]:
        """The file of that name, opened to be read; it need not be a regular one."""
        with self.explain(name):
            path = b"/".join((self.path, *self._parts(name)))
            # O_NONBLOCK: a pipe of that name must not keep us waiting for its writer.
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            with self.explain(name):
                self._confine(name, files.real_path(file, path))
            yield file
        finally:
            os.close(file)

    @contextmanager
    def open_parent(self, name: str, *, make: bool = False) -> Iterator[tuple[int, bytes]]:
        """The folder that holds the name, opened (and made), and the name's last component. Raises OSError."""
        *above, last = self._parts(name)
        path = b"/".join((self.path, *above))
        if make and not os.path.isdir(path):
            real = os.path.realpath(path)
            self._confine(name, real)  # before anything is made
            files.make_folders(real, self._real)
        with files.open_folder(path) as folder:
            self._confine(name, files.real_path(folder, path))
            yield folder, last

    def _parts(self, name: str) -> list[bytes]:
        parts = files.encode(name).split(b"/")
        for part in parts:
            if part in (b"", b".", b"..") or b"\0" in part or len(part) > 255 or part.startswith(files.TEMPORARY):
                raise Misplaced(
                    f"{name!r} cannot be a file below {self.uri}: {files.decode(part)!r} cannot be a part of it",
                    remedy="Parts between slashes have 1 to 255 bytes and are not '.', '..' or temporary names.",
                )
        return parts

    def _confine(self, name: str, real: bytes) -> None:
        if not _below(real, self._real):
            self._real = os.path.realpath(self.path, strict=True)  # it may be elsewhere by now
            if not _below(real, self._real):
                raise Misplaced(f"{self.uri}/{name} is outside of the root: a link leads to {files.decode(real)}")

    @contextmanager
    def explain(self, name: str, new: bool = False) -> Iterator[None]:
        """Turn the system's errors into ours; absence is NotFound unless the name is being made."""
        try:
            yield
        except OSError as error:
            self.check()
            what = f"{self.uri}/{name}"
            if error.errno in _ABSENT and not new:
                raise NotFound(f"{what} does not exist") from error
            if isinstance(error, NotADirectoryError):
                raise StoreError(f"{what} needs a folder where there is a file", remedy="Move that file.") from error
            if isinstance(error, PermissionError):
                remedy = f"Give that user access to {files.decode(self.path)}/{name} and its folder (chown or chmod)."
                raise StoreError(f"{what} is closed to user {os.geteuid()}", remedy=remedy) from error
            remedy = "Free some space on the disk." if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            raise StoreError(
                f"{what}: {error.strerror}", remedy=remedy, retry=error.errno != errno.ENAMETOOLONG
            ) from error


def _below(path: bytes, root: bytes) -> bool:
    return path == root or path.startswith(root.rstrip(b"/") + b"/")

"""A folder as a bucket: the embedded default. Files appear whole or not at all; there is one lock a folder.

A write fills a temporary file beside its destination, syncs it, and then takes the name: by link(2) where the name
must be new, by rename(2) under flock(2) on the folder where it must be old. A killed process leaves at most its
temporary file, which is never listed, and no lock.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from model_service.storage import files
from model_service.storage.interface import Blob, BucketMissing, Conflict, Exists, NotFound, Store, StoreError

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}


class FolderStore:
    """Objects are the regular files below `root`, which must exist; folders below it are made as names need them.

    Symbolic links are no objects, and no name leads out of the root. Folders left empty stay. Other programs may add
    files; one they change while it is read or copied raises, with `retry` set.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.path.abspath(files.encode(str(root)))
        self.uri = "file://" + files.decode(self._root).rstrip("/")

    def check(self) -> None:
        root = files.decode(self._root)
        try:
            os.scandir(self._root).close()
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

    def list(self, prefix: str = "", after: str = "") -> Iterator[Blob]:
        self.check()
        start = files.encode(prefix)
        top = start[: start.rfind(b"/") + 1]
        try:
            self._place(files.decode(top) + "-")
        except StoreError:
            return  # no file can have such a name
        yield from self._walk(top, start, files.encode(after))

    def _walk(self, top: bytes, prefix: bytes, after: bytes) -> Iterator[Blob]:
        waiting = self._children(top, prefix, after)  # not recursive: folders may be nested deeper than calls
        while waiting:
            if (name := waiting.pop()).endswith(b"/"):
                waiting += self._children(name, prefix, after)
            else:
                with suppress(FileNotFoundError, NotADirectoryError):  # gone meanwhile, or not a regular file
                    yield files.blob(files.decode(name), os.lstat(os.path.join(self._root, name)))

    def _children(self, top: bytes, prefix: bytes, after: bytes) -> builtins.list[bytes]:
        """What is wanted in a folder, in the reverse order of the full names; folders end in "/"."""

        def wanted(name: bytes) -> bool:
            if name.endswith(b"/"):  # a folder: may a name in it be wanted?
                return (name.startswith(prefix) or prefix.startswith(name)) and (name > after or after.startswith(name))
            return name.startswith(prefix) and name > after

        with (
            self._explain(files.decode(top)),
            suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(os.path.join(self._root, top)) as entries,
        ):
            # A folder's key ends in "/", as the names in it go on: this makes the order that of the full names.
            keys = (entry.name + b"/" * entry.is_dir(follow_symlinks=False) for entry in entries)
            names = (top + key for key in keys if not key.startswith(files.TEMPORARY))
            return sorted(filter(wanted, names), reverse=True)
        return []

    def stat(self, name: str) -> Blob:
        with self._explain(name), self._open_parent(name) as (folder, last):
            return files.blob(name, os.stat(last, dir_fd=folder, follow_symlinks=False))

    def read(self, name: str, generation: int | None = None) -> bytes:
        with self._open(name, generation) as (file, _), open(file, "rb", closefd=False) as content:
            return content.read()

    def read_range(self, name: str, start: int, length: int) -> bytes:
        with self._open(name) as (file, _), open(file, "rb", closefd=False) as content:
            content.seek(start)
            return content.read(max(length, 0))

    def download(self, name: str, path: Path) -> Blob:
        with self._open(name) as (file, blob), path.open("wb") as local:
            files.pour(file, local.fileno())
        return blob

    def write_if_absent(self, name: str, data: bytes | Path) -> Blob:
        return self._put(name, data, None)

    def compare_and_swap(self, name: str, data: bytes | Path, generation: int) -> Blob:
        try:
            return self._put(name, data, generation)
        except NotFound as gone:
            raise Conflict(f"{self.uri}/{name} is gone; generation {generation} was expected") from gone

    def copy_if_absent(self, source: Store, name: str, generation: int, to: str) -> Blob:
        if not isinstance(source, FolderStore):
            raise StoreError(
                f"{source.uri}/{name} cannot be copied to {self.uri}: they are different kinds of storage",
                remedy="Set MENAGERIE_BUCKETS so that all buckets are folders, or all are gs:// buckets.",
            )

        def fill(temporary: int, origin: FolderStore = source) -> None:
            with origin._open(name, generation) as (file, _):
                files.pour(file, temporary)

        return self._write(to, fill, None)

    def delete_if_generation(self, name: str, generation: int) -> None:
        with suppress(NotFound), self._explain(name), self._open_parent(name) as (folder, last):
            fcntl.flock(folder, fcntl.LOCK_EX)
            self._expect(name, folder, last, generation)
            os.unlink(last, dir_fd=folder)
            os.fsync(folder)

    def _put(self, name: str, data: bytes | Path, generation: int | None) -> Blob:
        if isinstance(data, bytes):
            return self._write(name, lambda temporary: files.fill(temporary, data), generation)
        with data.open("rb") as local:
            return self._write(name, lambda temporary: files.pour(local.fileno(), temporary), generation)

    def _write(self, name: str, fill: Callable[[int], None], generation: int | None) -> Blob:
        """Give a file that `fill` fills the name: a new one (None), or the one of this generation."""
        new = generation is None
        with self._explain(name, new), self._open_parent(name, make=new) as (folder, last):
            if generation is None:
                self._refuse_taken(name, folder, last)  # before the work; link(2) below is what decides
            with files.temporary(folder) as (temporary, file):
                fill(file)
                if generation is None:
                    blob = files.finish(name, file)
                    self._link(name, folder, temporary, last)
                else:
                    fcntl.flock(folder, fcntl.LOCK_EX)  # until the folder is closed, or this process dies
                    replaced = self._expect(name, folder, last, generation)
                    blob = files.finish(name, file, replaced.st_mtime_ns)
                    os.replace(temporary, last, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        return blob

    def _link(self, name: str, folder: int, temporary: bytes, last: bytes) -> None:
        try:
            os.link(temporary, last, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise Exists(f"{self.uri}/{name} exists already") from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            remedy = "Keep the buckets on a local disk (ext4, xfs, apfs)."
            raise StoreError(f"{self.uri} is on a filesystem without hard links", remedy=remedy) from error

    def _expect(self, name: str, folder: int, last: bytes, generation: int) -> os.stat_result:
        status = os.stat(last, dir_fd=folder, follow_symlinks=False)
        if (live := files.blob(name, status).generation) != generation:
            raise Conflict(f"{self.uri}/{name} has generation {live}; {generation} was expected")
        return status

    def _refuse_taken(self, name: str, folder: int, last: bytes) -> None:
        with suppress(FileNotFoundError):
            if stat.S_ISREG(os.stat(last, dir_fd=folder, follow_symlinks=False).st_mode):
                raise Exists(f"{self.uri}/{name} exists already")
            raise StoreError(f"{self.uri}/{name} is a folder or a link", remedy="Remove it, or use another name.")

    @contextmanager
    def _open(self, name: str, generation: int | None = None) -> Iterator[tuple[int, Blob]]:
        """The object opened to be read; leaving raises if it was changed in place meanwhile."""
        with self._explain(name), self._open_parent(name) as (folder, last):
            # O_NONBLOCK: a pipe of that name must not keep us waiting for its writer.
            file = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        try:
            with self._explain(name):
                blob = files.blob(name, os.fstat(file))
            if generation not in (None, blob.generation):
                raise NotFound(f"{self.uri}/{name} has generation {blob.generation}, not {generation}")
            yield file, blob
            if files.blob(name, os.fstat(file)) != blob:
                kind = StoreError if generation is None else NotFound
                raise kind(f"{self.uri}/{name} was changed while it was read", retry=True)
        finally:
            os.close(file)

    @contextmanager
    def _open_parent(self, name: str, *, make: bool = False) -> Iterator[tuple[int, bytes]]:
        """The folder that holds the name, opened (and made), and the name's last component."""
        parent, last = self._place(name)
        if make:
            files.make_folders(parent, os.path.realpath(self._root))
        with files.open_folder(parent) as folder:
            yield folder, last

    def _place(self, name: str) -> tuple[bytes, bytes]:
        """The real path of the folder that holds the name, and the last component. Refuses what no folder can hold."""
        *above, last = parts = files.encode(name).split(b"/")
        for part in parts:
            if part in (b"", b".", b"..") or b"\0" in part or len(part) > 255 or part.startswith(files.TEMPORARY):
                raise StoreError(
                    f"{name!r} cannot be a file below {self.uri}: {files.decode(part)!r} cannot be a part of it",
                    remedy="Parts between slashes have 1 to 255 bytes and are not '.', '..' or temporary names.",
                )
        root = os.path.realpath(self._root)
        parent = os.path.realpath(os.path.join(root, *above))
        if os.path.commonpath((root, parent)) != root:
            raise StoreError(f"{self.uri}/{name} is outside of the root: a link leads to {files.decode(parent)}")
        return parent, last

    @contextmanager
    def _explain(self, name: str, new: bool = False) -> Iterator[None]:
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
                remedy = f"Give that user access to {files.decode(self._root)}/{name} and its folder (chown or chmod)."
                raise StoreError(f"{what} is closed to user {os.geteuid()}", remedy=remedy) from error
            remedy = "Free some space on the disk." if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            raise StoreError(
                f"{what}: {error.strerror}", remedy=remedy, retry=error.errno != errno.ENAMETOOLONG
            ) from error

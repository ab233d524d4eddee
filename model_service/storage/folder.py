"""A folder as a bucket: the embedded default. Files appear whole or not at all; there is one lock a folder.

A write fills a temporary file beside its destination, syncs it, and then takes the name: by link(2) where the name
must be new, by rename(2) under flock(2) on the folder where it must be old. A killed process leaves no lock, and on
Linux no file: until then it has no name. What it may leave elsewhere is never listed.
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
from model_service.storage.folder_retries import patient
from model_service.storage.interface import Blob, Conflict, Exists, NotFound, Store, StoreError
from model_service.storage.root import Misplaced, Root
from model_service.storage.walk import Span, children

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}


class FolderStore:
    """Objects are the regular files below `root`, which must exist; folders below it are made as names need them.

    Symbolic links are no objects, and no name leads out of the root. Folders left empty stay. Other programs may add
    files; one they change while it is read or copied raises, with `retry` set.
    """

    def __init__(self, root: Path) -> None:
        self._root = Root(root)
        self.uri = self._root.uri

    @patient
    def check(self) -> None:
        self._root.check()

    def list(self, prefix: str = "", after: str = "", until: str = "") -> Iterator[Blob]:
        self.check()
        span = Span(files.encode(prefix), files.encode(after), files.encode(until))
        try:
            self._enter(files.decode(span.top))
        except (Misplaced, NotFound):
            return  # no file has such a name
        waiting = self._children(span.top, span)  # not recursive: folders may be nested deeper than calls
        while waiting:
            if (name := waiting.pop()).endswith(b"/"):
                waiting += self._children(name, span)
            elif found := self._look(name):
                yield found

    @patient
    def _enter(self, top: str) -> None:
        with self._root.explain(top), self._root.open_parent(top + "-"):
            pass

    @patient
    def _children(self, top: bytes, span: Span) -> builtins.list[bytes]:
        with self._root.explain(files.decode(top)), suppress(FileNotFoundError, NotADirectoryError):
            return children(self._root.path, top, span)
        return []  # gone meanwhile

    @patient
    def _look(self, name: bytes) -> Blob | None:
        with self._root.explain(files.decode(name)), suppress(FileNotFoundError, NotADirectoryError):
            return files.blob(files.decode(name), os.lstat(os.path.join(self._root.path, name)))
        return None  # gone meanwhile, or not a regular file

    @patient
    def stat(self, name: str) -> Blob:
        with self._root.explain(name), self._root.open_parent(name) as (folder, last):
            return files.blob(name, os.stat(last, dir_fd=folder, follow_symlinks=False))

    @patient
    def read(self, name: str, generation: int | None = None) -> bytes:
        with self._root.explain(name), self._open(name, generation) as (file, blob):
            return files.content(file, blob.size)

    @patient
    def read_range(self, name: str, start: int, length: int) -> bytes:
        with self._root.explain(name), self._open(name) as (file, blob):
            os.lseek(file, start, os.SEEK_SET)
            return files.content(file, max(min(length, blob.size - start), 0))

    @patient
    def download(self, name: str, path: Path) -> Blob:
        with self._open(name) as (file, blob), path.open("wb") as local, self._root.explain(name):
            files.pour(file, local.fileno())
        return blob

    def write_if_absent(self, name: str, data: bytes | Path) -> Blob:
        return self._put(name, data, None)

    def compare_and_swap(self, name: str, data: bytes | Path, generation: int) -> Blob:
        try:
            return self._put(name, data, generation)
        except NotFound as gone:
            raise Conflict(f"{self.uri}/{name} is gone; generation {generation} was expected") from gone

    @patient
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

    @patient
    def delete_if_generation(self, name: str, generation: int) -> None:
        with suppress(NotFound), self._root.explain(name), self._root.open_parent(name) as (folder, last):
            fcntl.flock(folder, fcntl.LOCK_EX)
            self._expect(name, folder, last, generation)
            os.unlink(last, dir_fd=folder)
            self._sync(name, folder)

    @patient
    def _put(self, name: str, data: bytes | Path, generation: int | None) -> Blob:
        if isinstance(data, bytes):
            return self._write(name, lambda temporary: files.fill(temporary, data), generation)
        with data.open("rb") as local:
            return self._write(name, lambda temporary: files.pour(local.fileno(), temporary), generation)

    def _write(self, name: str, fill: Callable[[int], None], generation: int | None) -> Blob:
        """Give a file that `fill` fills the name: a new one (None), or the one of this generation."""
        new = generation is None
        with self._root.explain(name, new), self._root.open_parent(name, make=new) as (folder, last):
            if generation is None:
                self._refuse_taken(name, folder, last)  # before the work; link(2) below is what decides
            with files.temporary(folder) as (temporary, file):
                fill(file)
                if generation is None:
                    blob = files.finish(name, file)
                    self._link(name, temporary, file, folder, last)
                else:
                    fcntl.flock(folder, fcntl.LOCK_EX)  # until the folder is closed, or this process dies
                    replaced = self._expect(name, folder, last, generation)
                    blob = files.finish(name, file, replaced.st_mtime_ns)
                    files.swap(temporary, file, folder, last)
            self._sync(name, folder)
        return blob

    def _link(self, name: str, temporary: bytes, file: int, folder: int, last: bytes) -> None:
        try:
            files.link(temporary, file, folder, last)
        except FileExistsError:
            raise Exists(f"{self.uri}/{name} exists already") from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            remedy = "Keep the buckets on a local disk (ext4, xfs, apfs)."
            raise StoreError(f"{self.uri} is on a filesystem without hard links", remedy=remedy) from error

    def _sync(self, name: str, folder: int) -> None:
        """Make what was done to a name last. A failure is not tried again: what was done would refuse the second try, and
        a disk that once failed to write what it holds calls the next sync a success (https://lwn.net/Articles/752063/).
        """
        try:
            os.fsync(folder)
        except OSError as error:
            problem = f"{self.uri}/{name} was changed, but its folder could not be synced: {error.strerror}"
            raise StoreError(problem, retry=True) from None

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
        with self._root.open_file(name) as file:
            with self._root.explain(name):
                blob = files.blob(name, os.fstat(file))
            if generation not in (None, blob.generation):
                raise NotFound(f"{self.uri}/{name} has generation {blob.generation}, not {generation}")
            yield file, blob
            with self._root.explain(name):
                after = files.blob(name, os.fstat(file))
            if after != blob:
                kind = StoreError if generation is None else NotFound
                raise kind(f"{self.uri}/{name} was changed while it was read", retry=True)

"""A Cloud Storage bucket. Every write carries a generation precondition, so all of them may be retried.

A retried write whose first answer was lost meets its own object and is refused (412). So each write marks its object
with a token of its own: one that is refused because of its own token has succeeded. A copy takes over its source's
metadata, marks and all, for the price of one operation; there the content tells.
(https://cloud.google.com/storage/docs/retry-strategy, https://cloud.google.com/storage/docs/request-preconditions)
"""

from __future__ import annotations

import builtins
import functools
import mimetypes
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from google.api_core import exceptions as api

from model_service.storage.client import client
from model_service.storage.gcs_errors import explained
from model_service.storage.interface import PAGE, Blob, Conflict, Exists, NotFound, Store, StoreError
from model_service.storage.retries import RETRY, SEND_AGAIN, Attempts

CHECK_SECONDS = 30.0  # how long check() waits for a bucket that does not answer
_TOKEN = "menagerie-write"  # noqa: S105 - the name of a metadata field
_SURROGATES = re.compile("[\ud800-\udfff]")  # what stands for bytes that are no UTF-8


class GcsStore:
    """The bucket of that name, as the default credentials may use it. Content types follow from names' endings."""

    def __init__(self, bucket: str) -> None:
        self.name = bucket
        self.uri = f"gs://{bucket}"

    def check(self) -> None:
        with self._explain(""):
            for _ in self._bucket().list_blobs(
                max_results=1, fields="items(name)", retry=RETRY.with_timeout(CHECK_SECONDS)
            ):
                pass

    def list(self, prefix: str = "", after: str = "", until: str = "") -> Iterator[Blob]:
        options = {
            "prefix": prefix or None,
            "start_offset": after or None,
            "end_offset": until or None,
            "fields": "nextPageToken,items(name,size,generation,crc32c,timeCreated)",
            "page_size": PAGE,
        }
        with self._explain(""):
            for found in self._bucket().list_blobs(**options, retry=RETRY):
                if found.name != after:  # start_offset includes the name itself
                    yield _blob(found)

    def stat(self, name: str) -> Blob:
        return _blob(self._live(name))

    def read(self, name: str, generation: int | None = None) -> bytes:
        content: bytes = self._download(name, self._object(name, generation).download_as_bytes)
        return content

    def read_range(self, name: str, start: int, length: int) -> bytes:
        if length <= 0:
            self.stat(name)
            return b""
        try:
            content: bytes = self._download(
                name, self._object(name).download_as_bytes, start=start, end=start + length - 1, checksum=None
            )
        except api.RequestRangeNotSatisfiable:
            return b""  # it starts at the end or after
        return content

    def download(self, name: str, path: Path) -> Blob:
        found = self._object(name)
        self._download(name, found.download_to_filename, str(path))
        return Blob(name, path.stat().st_size, int(found.generation), found.crc32c or "")

    def _download(self, name: str, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Download whole or not at all. Left to itself, the library goes on where an attempt broke off; but then it does
        not verify the checksum (python-storage 3.17, RawDownload). So every attempt of ours begins anew.
        """
        # raw: the bytes as they are stored; in a single shot: not as a first range of 100 MB with questions after it
        options = {"raw_download": True, "checksum": "crc32c", "single_shot_download": True} | options
        with self._explain(name):
            return RETRY(functools.partial(method, *arguments, **options, retry=None))()

    def write_if_absent(self, name: str, data: bytes | Path) -> Blob:
        try:
            return self._write(name, data, 0)
        except api.PreconditionFailed as error:
            raise Exists(f"{self.uri}/{name} exists already") from error

    def compare_and_swap(self, name: str, data: bytes | Path, generation: int) -> Blob:
        try:
            if generation > 0:  # 0 would ask for its absence
                return self._write(name, data, generation)
        except api.PreconditionFailed as error:
            raise Conflict(f"{self.uri}/{name} is not at generation {generation}") from error
        raise Conflict(f"{generation} is no generation of {self.uri}/{name}")

    def copy_if_absent(self, source: Store, name: str, generation: int, to: str) -> Blob:
        if not isinstance(source, GcsStore):
            raise StoreError(
                f"{source.uri}/{name} cannot be copied to {self.uri}: they are different kinds of storage",
                remedy="Set MENAGERIE_BUCKETS so that all buckets are gs:// buckets, or all are folders.",
            )
        tries = Attempts()
        try:
            with self._explain(to, source.uri):
                return _blob(self._rewrite(source, name, generation, to, RETRY.with_predicate(tries)))
        except api.PreconditionFailed as error:
            original = source._live(name)
            if original.generation != generation:
                raise NotFound(f"{source.uri}/{name} has generation {original.generation}, not {generation}") from error
            if tries.repeated and (there := self._find(to)) and _fingerprint(there) == _fingerprint(original):
                return _blob(there)
            raise Exists(f"{self.uri}/{to} exists already") from error

    def _rewrite(self, source: GcsStore, name: str, generation: int, to: str, retry: Any) -> Any:
        copy, original, rest = self._object(to), source._object(name), None
        conditions = {"if_generation_match": 0, "if_source_generation_match": generation}
        try:
            while True:  # a large object is copied in several calls
                rest, _, _ = copy.rewrite(original, token=rest, retry=retry, **conditions)
                if rest is None:
                    return copy
        except api.NotFound as error:
            self.check()  # is it a bucket that is missing?
            source.check()
            raise NotFound(f"{source.uri}/{name} does not exist") from error

    def delete_if_generation(self, name: str, generation: int) -> None:
        try:
            with self._explain(name):
                self._object(name).delete(if_generation_match=generation, retry=RETRY)
        except NotFound:
            return
        except api.PreconditionFailed as error:
            try:
                live = self.stat(name).generation
            except NotFound:
                return
            raise Conflict(f"{self.uri}/{name} has generation {live}; {generation} was expected") from error

    def permitted(self, permissions: Sequence[str]) -> builtins.list[str]:
        """Which of these IAM permissions the credentials have on the bucket as a whole."""
        with self._explain(""):
            held: builtins.list[str] = self._bucket().test_iam_permissions(list(permissions), retry=RETRY)
        return [permission for permission in permissions if permission in held]

    def _bucket(self) -> Any:
        return client().bucket(self.name)

    def _object(self, name: str, generation: int | None = None) -> Any:
        """A handle; nothing is contacted. https://cloud.google.com/storage/docs/objects#naming"""
        size = 0 if _SURROGATES.search(name) else len(name.encode())
        if not 0 < size <= 1024 or name in (".", "..") or "\r" in name or "\n" in name:
            raise StoreError(
                f"{name!r} cannot be an object in {self.uri}",
                remedy="Names have 1 to 1024 bytes of UTF-8 without line ends and are not '.' or '..'.",
            )
        return self._bucket().blob(name, generation=generation)

    def _live(self, name: str) -> Any:
        with self._explain(name):
            live = self._object(name)
            live.reload(retry=RETRY)
            return live

    def _write(self, name: str, data: bytes | Path, generation: int) -> Blob:
        token, tries = secrets.token_hex(16), Attempts()
        blob = self._object(name)
        blob.metadata = {_TOKEN: token}
        options = {
            "content_type": mimetypes.guess_type(name)[0] or "application/octet-stream",
            "if_generation_match": generation,
            "checksum": "crc32c",
            "retry": RETRY.with_predicate(tries),
        }
        with self._explain(name):
            try:
                upload = blob.upload_from_filename if isinstance(data, Path) else blob.upload_from_string
                SEND_AGAIN(functools.partial(upload, data, **options))()
            except api.PreconditionFailed:
                there = self._find(name) if tries.repeated else None
                if there is None or (there.metadata or {}).get(_TOKEN) != token:
                    raise
                return _blob(there)
            except api.NotFound as error:
                self.check()  # is it the bucket that is missing?
                raise StoreError(f"{self.uri}/{name}: the upload was lost on its way", retry=True) from error
        return _blob(blob)

    def _find(self, name: str) -> Any | None:
        """The live object, if there is one."""
        try:
            return self._live(name)
        except NotFound:
            return None

    def _explain(self, name: str, others: str = "") -> AbstractContextManager[None]:
        return explained(self.uri, name, others, self.check)


def _blob(found: Any) -> Blob:
    created = found.time_created.timestamp() if found.time_created else 0.0
    return Blob(found.name, int(found.size), int(found.generation), found.crc32c or "", created)


def _fingerprint(found: Any) -> tuple[Any, ...]:
    return found.size, found.crc32c, found.md5_hash

"""A Cloud Storage bucket. Every write carries a generation precondition, so all of them may be retried.

A retried write whose first answer was lost meets its own object and is refused (412). So each write marks its object
with a token of its own: one that is refused because of its own token has succeeded.
(https://cloud.google.com/storage/docs/retry-strategy, https://cloud.google.com/storage/docs/request-preconditions)
"""

from __future__ import annotations

import functools
import mimetypes
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from google.api_core import exceptions as api
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter

from model_service.storage.interface import Blob, BucketMissing, Conflict, Exists, NotFound, Store, StoreError

CONNECTIONS = 32  # twice the threads of a step, so that none waits for or throws away a connection
# 408, 429, 5xx and connection errors; each wait is drawn at random up to one that doubles. Seconds.
RETRY = DEFAULT_RETRY.with_delay(initial=0.5, maximum=30, multiplier=2).with_timeout(180)
_TOKEN = "menagerie-write"  # noqa: S105 - the name of a metadata field
_making = threading.Lock()


@functools.cache
def _make_client() -> Any:
    client = storage.Client(project=None)  # objects need no project; STORAGE_EMULATOR_HOST is the library's to honour
    for scheme in ("https://", "http://"):
        client._http.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=CONNECTIONS))
    return client


def _client() -> Any:
    with _making:  # the cache alone would let two threads make one each
        return _make_client()


class GcsStore:
    """The bucket of that name, as the default credentials may use it. Content types follow from names' endings."""

    def __init__(self, bucket: str) -> None:
        self.name = bucket
        self.uri = f"gs://{bucket}"

    def check(self) -> None:
        with self._explain(""):
            for _ in self._bucket().list_blobs(max_results=1, fields="items(name)", retry=RETRY.with_timeout(30)):
                pass

    def list(self, prefix: str = "", after: str = "") -> Iterator[Blob]:
        fields = "nextPageToken,items(name,size,generation)"
        with self._explain(""):
            for found in self._bucket().list_blobs(
                prefix=prefix or None, start_offset=after or None, fields=fields, page_size=1000, retry=RETRY
            ):
                if found.name != after:  # start_offset includes the name itself
                    yield _blob(found)

    def stat(self, name: str) -> Blob:
        return _blob(self._live(name))

    def read(self, name: str, generation: int | None = None) -> bytes:
        with self._explain(name):
            content: bytes = self._bucket().blob(name, generation=generation).download_as_bytes(**_DOWNLOAD)
            return content

    def read_range(self, name: str, start: int, length: int) -> bytes:
        if length <= 0:
            self.stat(name)
            return b""
        with self._explain(name):
            try:
                content: bytes = (
                    self._bucket()
                    .blob(name)
                    .download_as_bytes(
                        start=start, end=start + length - 1, raw_download=True, checksum=None, retry=RETRY
                    )
                )
            except api.RequestRangeNotSatisfiable:
                return b""  # it starts at the end or after
            return content

    def download(self, name: str, path: Path) -> Blob:
        with self._explain(name):
            found = self._bucket().blob(name)
            found.download_to_filename(str(path), **_DOWNLOAD)
            return Blob(name, path.stat().st_size, int(found.generation))

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
        original = source._live(name)
        if original.generation != generation:
            raise NotFound(f"{source.uri}/{name} has generation {original.generation}, not {generation}")
        token = secrets.token_hex(16)
        copy = self._bucket().blob(to)
        # What a rewrite is told of the new object replaces all that it would take over from the old one.
        for field in ("content_type", "content_encoding", "content_language", "content_disposition", "cache_control"):
            if (value := getattr(original, field)) is not None:
                setattr(copy, field, value)
        copy.metadata = {**(original.metadata or {}), _TOKEN: token}
        rest = None
        with self._explain(to, source.uri):
            try:
                while True:  # a large object is copied in several calls
                    rest, _, _ = copy.rewrite(
                        original,
                        token=rest,
                        if_generation_match=0,
                        if_source_generation_match=generation,
                        retry=RETRY,
                    )
                    if rest is None:
                        return _blob(copy)
            except api.PreconditionFailed as error:
                if mine := self._written(to, token):
                    return mine
                if source.stat(name).generation != generation:
                    raise NotFound(f"{source.uri}/{name} is no longer at generation {generation}") from error
                raise Exists(f"{self.uri}/{to} exists already") from error
            except api.NotFound as error:
                self.check()  # is it the bucket that is missing?
                raise NotFound(f"{source.uri}/{name} does not exist any more") from error

    def delete_if_generation(self, name: str, generation: int) -> None:
        try:
            with self._explain(name):
                self._bucket().blob(name).delete(if_generation_match=generation, retry=RETRY)
        except NotFound:
            return
        except api.PreconditionFailed as error:
            try:
                live = self.stat(name).generation
            except NotFound:
                return
            raise Conflict(f"{self.uri}/{name} has generation {live}; {generation} was expected") from error

    def _bucket(self) -> Any:
        return _client().bucket(self.name)

    def _live(self, name: str) -> Any:
        with self._explain(name):
            live = self._bucket().blob(name)
            live.reload(retry=RETRY)
            return live

    def _write(self, name: str, data: bytes | Path, generation: int) -> Blob:
        token = secrets.token_hex(16)
        blob = self._bucket().blob(name)
        blob.metadata = {_TOKEN: token}
        options = {
            "content_type": mimetypes.guess_type(name)[0] or "application/octet-stream",
            "if_generation_match": generation,
            "checksum": "crc32c",
            "retry": RETRY,
        }
        with self._explain(name):
            try:
                if isinstance(data, Path):
                    blob.upload_from_filename(str(data), **options)
                else:
                    blob.upload_from_string(data, **options)
            except api.PreconditionFailed:
                if mine := self._written(name, token):
                    return mine
                raise
        return _blob(blob)

    def _written(self, name: str, token: str) -> Blob | None:
        """The live object if it is the one marked with this token."""
        try:
            live = self._live(name)
        except NotFound:
            return None
        return _blob(live) if (live.metadata or {}).get(_TOKEN) == token else None

    @contextmanager
    def _explain(self, name: str, others: str = "") -> Iterator[None]:
        """Turn Google's errors into ours, but for PreconditionFailed, which means something else in each operation."""
        what = f"{self.uri}/{name}" if name else self.uri
        try:
            yield
        except api.PreconditionFailed:
            raise
        except api.NotFound as error:
            if name:
                self.check()  # is it the bucket that is missing?
                raise NotFound(f"{what} does not exist") from error
            remedy = "Create the bucket, or set MENAGERIE_BUCKETS to where the buckets are."
            raise BucketMissing(f"{self.uri} does not exist", remedy=remedy) from error
        except (api.Forbidden, api.Unauthorized) as error:
            raise BucketMissing(
                f"{what} may not be used: {error.message}",
                remedy=f"Grant this identity roles/storage.objectUser on {self.uri}{others and f' and {others}'} "
                "(roles/storage.objectViewer is enough to read).",
            ) from error
        except GoogleAuthError as error:
            remedy = "Run `gcloud auth application-default login`, or attach a service account."
            raise StoreError(f"{what}: no valid credentials: {error}", remedy=remedy, retry=error.retryable) from error
        except (api.GoogleAPIError, requests.RequestException, DataCorruption) as error:
            raise StoreError(f"{what}: {error}", retry=not isinstance(error, api.ClientError)) from error


_DOWNLOAD = {"raw_download": True, "checksum": "crc32c", "retry": RETRY}  # raw: the bytes as they are stored


def _blob(found: Any) -> Blob:
    return Blob(found.name, int(found.size), int(found.generation))

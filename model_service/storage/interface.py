"""What every store promises: listing in name order, and writes that depend on generations. There is no other lock.

The semantics are those of Cloud Storage's JSON API (https://cloud.google.com/storage/docs/request-preconditions): each
object has a generation that changes when its content does, and every write names the generation it expects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from model_service.errors import StepError

PAGE = 1000  # objects in one answer of a listing: the most that Cloud Storage gives


class StoreError(StepError):
    """A store failed; the text names the object or bucket."""


class NotFound(StoreError):
    """No such object, or not at that generation."""


class BucketMissing(StoreError):
    """The bucket or root folder does not exist or may not be read."""


class Exists(StoreError):
    """Write-if-absent found an object of that name."""


class Conflict(StoreError):
    """The object's generation is not the expected one."""


@dataclass(frozen=True)
class Blob:
    """An object as listed: its name in the bucket, size in bytes and generation.

    `crc32c` is its CRC-32C as Cloud Storage gives it (base64 of four bytes, the highest first); folders keep none: "".
    `created` is when this generation was written, in seconds since 1970 by the storage's clock; 0: not known.
    """

    name: str
    size: int
    generation: int
    crc32c: str = ""
    created: float = field(default=0.0, compare=False)


class Store(Protocol):
    """One bucket. Names are UTF-8, `/`-separated; `data` is the bytes themselves or a local file holding them."""

    uri: str  # without a trailing slash

    def check(self) -> None:
        """Raise BucketMissing unless the bucket is there and can be listed."""

    def list(self, prefix: str = "", after: str = "", until: str = "") -> Iterator[Blob]:
        """Objects whose name starts with `prefix` and sorts strictly after `after` and, unless it is empty, strictly
        before `until`; streamed in UTF-8 byte order.
        """

    def stat(self, name: str) -> Blob:
        """The live object. Raises NotFound."""

    def read(self, name: str, generation: int | None = None) -> bytes:
        """The whole content; with a generation, of that one only. Raises NotFound."""

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """`length` bytes from `start`, fewer at the object's end. Raises NotFound."""

    def download(self, name: str, path: Path) -> Blob:
        """Stream the content into a local file. Raises NotFound."""

    def write_if_absent(self, name: str, data: bytes | Path) -> Blob:
        """Create the object, whole or not at all. Raises Exists."""

    def compare_and_swap(self, name: str, data: bytes | Path, generation: int) -> Blob:
        """Replace the object if its generation is still that one. Raises Conflict (also when it is gone)."""

    def copy_if_absent(self, source: Store, name: str, generation: int, to: str) -> Blob:
        """Copy `name` of `source`, at that generation, to `to` here, within the storage system.

        Raises NotFound when the source is gone or has another generation, Exists when `to` is there.
        """

    def delete_if_generation(self, name: str, generation: int) -> None:
        """Delete that generation. Raises Conflict when the live one is another; a missing object is already deleted."""

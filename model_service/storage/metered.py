"""A store that counts what is asked of it, for the report and the bill."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from model_service.storage.interface import PAGE, Blob, Store


@dataclass
class Meter:
    """What stores did so far; several stores and threads may share one.

    `class_a` and `class_b` are the operations that Cloud Storage bills, refused ones too (a folder has none):
    https://cloud.google.com/storage/pricing#operations-by-class. They are an estimate: requests that had to be repeated,
    and those by which a store finds out why it was refused, are not in it.
    """

    listed: int = 0  # objects
    pages: int = 0  # answers that listed them
    read: int = 0  # objects, in whole or in part
    written: int = 0
    copied: int = 0
    deleted: int = 0
    bytes_in: int = 0  # read
    bytes_out: int = 0  # written; copies do not pass through this machine
    class_a: int = 0
    class_b: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, **counts: int) -> None:
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)

    def counts(self) -> dict[str, int]:
        """All counts by name, at one moment."""
        with self._lock:
            return self._now()

    def take(self) -> dict[str, int]:
        """Those since the last call, for a meter elsewhere to add."""
        with self._lock:
            taken = self._now()
            for name in taken:
                setattr(self, name, 0)
            return taken

    def _now(self) -> dict[str, int]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "_lock"}


class Metered:
    """The store, counted by the meter. What was refused (Exists, NotFound, …) counts as an operation only."""

    def __init__(self, store: Store, meter: Meter) -> None:
        self.uri = store.uri
        self._store, self._meter = store, meter
        self._billed = int(store.uri.startswith("gs://"))

    def check(self) -> None:
        self._meter.add(class_a=self._billed)
        self._store.check()

    def list(self, prefix: str = "", after: str = "", until: str = "") -> Iterator[Blob]:
        self._meter.add(pages=1, class_a=self._billed)
        for number, blob in enumerate(self._store.list(prefix, after, until)):
            if number and number % PAGE == 0:
                self._meter.add(pages=1, class_a=self._billed)
            self._meter.add(listed=1)
            yield blob

    def stat(self, name: str) -> Blob:
        self._meter.add(class_b=self._billed)
        return self._store.stat(name)

    def read(self, name: str, generation: int | None = None) -> bytes:
        self._meter.add(class_b=self._billed)
        content = self._store.read(name, generation)
        self._meter.add(read=1, bytes_in=len(content))
        return content

    def read_range(self, name: str, start: int, length: int) -> bytes:
        self._meter.add(class_b=self._billed)
        content = self._store.read_range(name, start, length)
        self._meter.add(read=1, bytes_in=len(content))
        return content

    def download(self, name: str, path: Path) -> Blob:
        self._meter.add(class_b=self._billed)
        blob = self._store.download(name, path)
        self._meter.add(read=1, bytes_in=blob.size)
        return blob

    def write_if_absent(self, name: str, data: bytes | Path) -> Blob:
        self._meter.add(class_a=self._billed)
        blob = self._store.write_if_absent(name, data)
        self._meter.add(written=1, bytes_out=blob.size)
        return blob

    def compare_and_swap(self, name: str, data: bytes | Path, generation: int) -> Blob:
        self._meter.add(class_a=self._billed)
        blob = self._store.compare_and_swap(name, data, generation)
        self._meter.add(written=1, bytes_out=blob.size)
        return blob

    def copy_if_absent(self, source: Store, name: str, generation: int, to: str) -> Blob:
        self._meter.add(class_a=self._billed)
        origin = source._store if isinstance(source, Metered) else source  # a store copies from its own kind
        blob = self._store.copy_if_absent(origin, name, generation, to)
        self._meter.add(copied=1)
        return blob

    def delete_if_generation(self, name: str, generation: int) -> None:
        self._store.delete_if_generation(name, generation)
        self._meter.add(deleted=1)

"""Reading arrivals, each once: fetched, checked, labelled, shrunk and copied, many at a time."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import menagerie_contract as contract

from model_service import images
from model_service.images import BadImage, Limits
from model_service.sorting import copies, quarantine
from model_service.sorting.admission import Admission
from model_service.sorting.decoding import Decoder
from model_service.sorting.labels import Rule, held_label, normalise
from model_service.storage import Blob, NotFound, Store, StoreError

MEMORY = 1 << 30  # bytes that all threads together may decode in
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """What one read of an object gave: its row (resolve.py decides what becomes of it) and, if it is usable, its JPEG."""

    row: dict[str, Any]
    jpeg: bytes | None = None


class Budget:
    """So many units at once: who wants some waits until there are enough. More than there ever are counts as all."""

    def __init__(self, units: int) -> None:
        self._units, self._free, self._change = units, units, threading.Condition()

    @contextlib.contextmanager
    def take(self, units: int) -> Iterator[None]:
        units = min(units, self._units)
        with self._change:
            self._change.wait_for(lambda: self._free >= units)
            self._free -= units
        try:
            yield
        finally:
            with self._change:
                self._free += units
                self._change.notify_all()


class Reader:
    """`written`: raw labels that the label manifest gives to names, with the rule "manifest"."""

    def __init__(
        self,
        step: contract.Sort,
        source: Store,
        to_predict: Store,
        admission: Admission,
        written: Mapping[str, list[str]],
    ) -> None:
        self._uri, self._threads = step.source, step.threads
        self._source, self._to_predict, self._admission, self._written = source, to_predict, admission, written
        self._rule = Rule(step.label_rule, step.label_pattern)
        self._limits = Limits(
            int(step.max_megapixels * 1e6), int(step.max_megabytes * 1e6), step.min_side, step.max_aspect
        )
        self._budget = Budget(MEMORY)

    def read_all(self, blobs: list[Blob]) -> Iterator[Picture]:
        """In their order, some ahead of who asks, so that memory is flat."""
        pending: collections.deque[Future[Picture]] = collections.deque()
        pool = ThreadPoolExecutor(self._threads, "sort")
        decoder = Decoder(self._limits, len(blobs))
        try:
            for blob in blobs:
                pending.append(pool.submit(self._take, blob, decoder))
                if len(pending) >= 4 * self._threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            decoder.close()

    def _take(self, blob: Blob, decoder: Decoder) -> Picture:
        """One object. What storage will not give or take now is left for the next run, and the others go on."""
        row: dict[str, Any] = {"uri": f"{self._uri}/{blob.name}", "generation": blob.generation, "size": blob.size}
        jpeg = None
        try:
            jpeg = self._read(blob, row, decoder)
        except BadImage as bad:
            row |= {"status": "quarantined", "reason": bad.reason, "text": str(bad)}
        except NotFound:
            row |= {"status": "quarantined", "reason": "vanished", "text": images.REASONS["vanished"]}
        except StoreError as error:
            leave(row, error)
        try:
            self.put_aside(blob, row)
        except StoreError as error:
            leave(row, error)
        return Picture(row, jpeg)

    def put_aside(self, blob: Blob, row: Mapping[str, Any]) -> None:
        """Copy what is quarantined or held to where its row says. Safe to repeat."""
        if row["status"] == "quarantined" and row["reason"] != "vanished":
            quarantine.put_aside(self._source, blob, row["reason"], row["text"])
        if row["status"] == "held":
            quarantine.hold(self._source, blob, row["label"])

    def _read(self, blob: Blob, row: dict[str, Any], decoder: Decoder) -> bytes | None:
        """Fill the row; returns the packed JPEG, or None if the picture is held. Raises BadImage, StoreError."""
        if blob.size > self._limits.max_bytes:
            raise BadImage("too-large", f"{blob.size:,} bytes, allowed are {self._limits.max_bytes:,}")
        data = self._source.read(blob.name, blob.generation)
        if held_label(blob.name) is not None:
            quarantine.expect_original(self._source, blob, data)
        row |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "crc32c": copies.crc32c(data)}
        image = images.open_image(data, self._limits)
        raw, label = self._label(blob.name)
        row |= {"label": label, "written": raw}
        match self._admission.of(label):
            case "refuse":
                raise BadImage("label-not-allowed", f"{images.REASONS['label-not-allowed']}: {label}")
            case "hold":
                row |= {"status": "held", "text": f"{label} is not allowed yet"}
                return None
        with self._budget.take(images.memory(image)):
            decoded = decoder.decode(data)
        row |= {"status": "packed", "key": row["sha256"][:20]}
        row |= {"width": decoded.width, "height": decoded.height, "phash": decoded.phash}
        row["copy"], row["made"] = copies.copy(self._source, blob, self._to_predict, label, data, row["sha256"])
        return decoded.jpeg

    def _label(self, name: str) -> tuple[str, str]:
        """The label as it is written, and normalised. Raises BadImage."""
        written = self._written.get(name)
        raws = [self._rule.raw_label(name)] if written is None else written
        found = {label: raw for raw in raws if raw is not None and (label := normalise(raw)) is not None}
        if len(found) > 1:
            raise BadImage(
                "conflicting-label", f"the label manifest gives it several labels: {', '.join(sorted(found))}"
            )
        if not found:
            raise BadImage("no-label", f"{images.REASONS['no-label']} (rule: {self._rule.kind})")
        ((label, raw),) = found.items()
        return raw, label


def leave(row: dict[str, Any], error: StoreError) -> None:
    """Leave an object to the next run."""
    log.warning("left for the next run: %s: %s", ascii(row["uri"]), error)
    row |= {"status": "left", "reason": None, "text": str(error)}

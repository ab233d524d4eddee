"""Reading an arrival, once: fetched, checked, labelled, shrunk and copied."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import menagerie_contract as contract

from model_service import images
from model_service.images import BadImage, Limits
from model_service.sorting import copies, quarantine
from model_service.sorting.admission import Admission
from model_service.sorting.item import Row
from model_service.sorting.labels import Rule, held_label, normalise
from model_service.sorting.spool import Slot, Spool
from model_service.storage import Blob, NotFound, Store, StoreError

log = logging.getLogger(__name__)


@dataclass
class Reading:
    """An object on its way: its row so far (resolve.py decides what becomes of it), its bytes until they are decoded, and where
    its packed JPEG is if it is usable. A row with a status has come to its end.
    """

    blob: Blob
    row: Row
    data: bytes = b""
    slot: Slot | None = None

    @property
    def ended(self) -> bool:
        return "status" in self.row

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """What storage will not give or take now is left for the next run; nothing is raised for it."""
        try:
            yield
        except BadImage as bad:
            self.refuse(bad.reason, str(bad))
        except NotFound:
            self.refuse("vanished", images.REASONS["vanished"])
        except StoreError as error:
            leave(self.row, error)

    def refuse(self, reason: str, text: str) -> None:
        self.row |= {"status": "quarantined", "reason": reason, "text": text}


class Reader:
    """Three stages for each object, each in its turn: `fetch` and `place` wait for storage, and may be done for many at a
    time; `decode` computes, and packs into the spool. `room` is asked before it takes so many bytes of memory. `written`: raw
    labels that the label manifest gives to names, with the rule "manifest".
    """

    def __init__(
        self,
        step: contract.Sort,
        source: Store,
        to_predict: Store,
        admission: Admission,
        written: Mapping[str, list[str]],
        spool: Spool,
        room: Callable[[int], AbstractContextManager[object]],
    ) -> None:
        self._source, self._to_predict, self._spool, self._room = source, to_predict, spool, room
        self._admission, self._written = admission, written
        self._rule = Rule(step.label_rule, step.label_pattern)
        self._limits = Limits(
            int(step.max_megapixels * 1e6), int(step.max_megabytes * 1e6), step.min_side, step.max_aspect
        )

    def begin(self, blob: Blob) -> Reading:
        return Reading(
            blob, {"uri": f"{self._source.uri}/{blob.name}", "generation": blob.generation, "size": blob.size}
        )

    def fetch(self, reading: Reading) -> Reading:
        with reading.ending():
            blob = reading.blob
            if blob.size > self._limits.max_bytes:
                raise BadImage("too-large", f"{blob.size:,} bytes, allowed are {self._limits.max_bytes:,}")
            reading.data = self._source.read(blob.name, blob.generation)
            if held_label(blob.name) is not None:
                quarantine.expect_original(self._source, blob, reading.data)
        return reading

    def decode(self, reading: Reading) -> Reading:
        if not reading.ended:
            with reading.ending():
                self._decode(reading, reading.data)
        reading.data = b""
        return reading

    def place(self, reading: Reading) -> Reading:
        """Copy it to where it belongs: that of a usable picture goes under its label."""
        if not reading.ended:
            with reading.ending():
                row = reading.row
                row["copy"], row["made"] = copies.copy(self._source, reading.blob, self._to_predict, row)
                row["status"] = "packed"
        with reading.ending():
            quarantine.follow(self._source, reading.blob, reading.row)
        if reading.row["status"] != "packed":
            reading.slot = None
        return reading

    def give_up(self, blob: Blob) -> Reading:
        """All of it, for an object of which its decoder dies."""
        reading = self.begin(blob)
        reading.refuse("unreadable", f"{images.REASONS['unreadable']} (it kills its decoder)")
        return self.place(reading)

    def _decode(self, reading: Reading, data: bytes) -> None:
        row = reading.row
        row |= {"size": len(data), "sha256": copies.sha256(data), "crc32c": copies.crc32c(data)}
        image = images.open_image(data, self._limits)
        raw, label = self._label(reading.blob.name)
        row |= {"label": label, "written": raw}
        match self._admission.of(label):
            case "refuse":
                raise BadImage("label-not-allowed", f"{images.REASONS['label-not-allowed']}: {label}")
            case "hold":
                row |= {"status": "held", "text": f"{label} is not allowed yet"}
                return
        with self._room(images.memory(image)):
            picture = images.finish(image)
            jpeg, phash = images.pack(picture), images.perceptual_hash(picture)
        reading.slot = self._spool.add(jpeg)
        row |= {"key": row["sha256"][:20], "width": picture.width, "height": picture.height, "phash": phash}

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


def leave(row: Row, error: StoreError) -> None:
    """Leave an object to the next run."""
    log.warning("left for the next run: %s: %s", ascii(row["uri"]), error)
    row |= {"status": "left", "reason": None, "text": str(error)}

"""What arrives: the source's objects, each read once, checked, labelled and copied for people."""

from __future__ import annotations

import base64
import collections
import contextlib
import hashlib
import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import google_crc32c
import menagerie_contract as contract

from model_service import images, labels, quarantine
from model_service.images import BadImage, Limits
from model_service.storage import Blob, Exists, NotFound, Store, StoreError

THREADS = 16
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """What one read of an object gave: its manifest row and, if it is usable, its packed JPEG."""

    row: dict[str, Any]
    jpeg: bytes | None = None


class Arrivals:
    """The source's objects but for our own folders in it, counted as they pass."""

    def __init__(self, source: Store) -> None:
        self._source, self.seen = source, 0

    def __iter__(self) -> Iterator[Blob]:
        for blob in self._source.list():
            if blob.name.startswith(f"{contract.QUARANTINE}/"):
                continue
            if not _encodable(blob.name):
                log.warning("skipped: the name %r is not UTF-8; rename it", blob.name)
                continue
            self.seen += 1
            yield blob


def _encodable(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def read_all(step: contract.Sort, source: Store, to_predict: Store, plan: list[Blob]) -> Iterator[Picture]:
    """Pictures in the plan's order, read and decoded in threads; bounded, so memory is flat."""
    limits = Limits(int(step.max_megapixels * 1e6), int(step.max_megabytes * 1e6), step.min_side)
    pending: collections.deque[Future[Picture]] = collections.deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for blob in plan:
            pending.append(pool.submit(_take, step, limits, source, to_predict, blob))
            if len(pending) >= 2 * THREADS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _take(step: contract.Sort, limits: Limits, source: Store, to_predict: Store, blob: Blob) -> Picture:
    """One object. What storage will not give or take now is left for the next run, and the others go on."""
    try:
        return _read_one(step, limits, source, to_predict, blob)
    except StoreError as error:
        log.warning("left for the next run: %s: %s", ascii(blob.name), error)
        row = {"uri": f"{step.source}/{blob.name}", "generation": blob.generation}
        return Picture(row | {"status": "left", "reason": None, "text": str(error)})


def _read_one(step: contract.Sort, limits: Limits, source: Store, to_predict: Store, blob: Blob) -> Picture:
    row: dict[str, Any] = {"uri": f"{step.source}/{blob.name}", "generation": blob.generation}
    try:
        data = _content(source, blob, limits)
        row |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "crc32c": _crc32c(data)}
        if PurePosixPath(blob.name).suffix.lower() not in images.EXTENSIONS:
            raise BadImage("not-an-image", f"its name ends in none of {' '.join(sorted(images.EXTENSIONS))}")
        label = labels.label_of(blob.name, step.label_rule)
        if label is None:
            raise BadImage("no-label", f"{images.REASONS['no-label']} (rule: {step.label_rule})")
        picture = images.decode(data, limits)
        copy = labels.copy_name(blob.name, label, row["sha256"])
        with contextlib.suppress(Exists):  # the name holds the content's hash: what is there is the same
            to_predict.copy_if_absent(source, blob.name, blob.generation, copy)
    except NotFound:
        return Picture(row | {"status": "quarantined", "reason": "vanished", "text": images.REASONS["vanished"]})
    except BadImage as bad:
        quarantine.put_aside(source, blob, bad.reason, str(bad))
        return Picture(row | {"status": "quarantined", "reason": bad.reason, "text": str(bad)})
    split = labels.split_of(row["sha256"], step.holdout)
    row |= {"label": label, "split": split, "key": row["sha256"][:20]}
    return Picture(row | {"width": picture.width, "height": picture.height, "status": "packed"}, images.pack(picture))


def _content(source: Store, blob: Blob, limits: Limits) -> bytes:
    if blob.size > limits.max_bytes:
        raise BadImage("too-large", f"{blob.size:,} bytes, allowed are {limits.max_bytes:,}")
    return source.read(blob.name, blob.generation)


def _crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()

"""A listing against the ledger: both in name order, so one pass over each tells what is new."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from model_service.ledger.parts import Entry
from model_service.storage import Blob


def unsorted(listing: Iterable[Blob], known: Iterator[Entry]) -> Iterator[Blob]:
    """The objects of a listing that are not known at that generation. Both in UTF-8 byte order of the names."""
    entry = next(known, None)
    key = entry.name.encode() if entry else b""
    for blob in listing:
        name = blob.name.encode()
        generations = set()
        while entry is not None and key <= name:
            if key == name:
                generations.add(entry.generation)
            entry = next(known, None)
            key = entry.name.encode() if entry else b""
        if blob.generation not in generations:
            yield blob

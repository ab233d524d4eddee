"""What arrives: the source's objects in name order, but for our own folders among them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Set

import menagerie_contract as contract

from model_service.sorting.labels import held_label, normalise
from model_service.storage import Blob, Store

_LAST = "\U0010fffd"  # the last character there is: behind what a folder holds, before whatever sorts after the folder
log = logging.getLogger(__name__)


class Arrivals:
    """The objects that may be pictures, streamed; `seen` counts them as they pass.

    Of `_held/` only the labels for which `releases` is true; nothing of `_quarantine/`, which is not even listed; and none of
    the names to `skip`.
    """

    def __init__(self, source: Store, releases: Callable[[str], bool], skip: Set[str] = frozenset()) -> None:
        self._source, self._releases, self._skip, self.seen = source, releases, skip, 0

    def __iter__(self) -> Iterator[Blob]:
        for blob in self._listed():
            if blob.name.endswith("/") or blob.name in self._skip:  # the console's folders are empty objects
                continue
            if not _encodable(blob.name):
                log.warning("skipped: the name %r is not UTF-8; rename it", blob.name)
                continue
            self.seen += 1
            yield blob

    def _listed(self) -> Iterator[Blob]:
        """The listing, restarted behind each of our folders, which stand in it in this order."""
        behind = ""
        for folder in (f"{contract.HELD}/", f"{contract.QUARANTINE}/"):
            yield from self._people(after=behind, until=folder)
            if folder == f"{contract.HELD}/":
                yield from self._released()
            behind = folder + _LAST
        yield from self._people(after=behind, until="")

    def _people(self, after: str, until: str) -> Iterator[Blob]:
        ours = (f"{contract.HELD}/", f"{contract.QUARANTINE}/")
        return (blob for blob in self._source.list(after=after, until=until) if not blob.name.startswith(ours))

    def _released(self) -> Iterator[Blob]:
        """What is held of the labels that are released; the others are jumped over, by a new listing behind each."""
        folder, behind, jumped = f"{contract.HELD}/", "", None
        while True:
            for blob in self._source.list(folder, after=behind):
                written = held_label(blob.name)
                if written is None or written == jumped:
                    continue  # in no label's folder, so it was not held; or of a name that sorts behind the jump
                label = normalise(written)
                if label is None or not self._releases(label):
                    behind, jumped = f"{folder}{written}/{_LAST}", written
                    break
                yield blob
            else:
                return


def _encodable(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False

"""What arrives: the source's objects in name order, but for our own folders among them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Set

import menagerie_contract as contract

from model_service.sorting.labels import held_label, normalise
from model_service.storage import Blob, Store

_LAST = "\U0010fffd"  # the last character there is: behind what a folder holds, before whatever sorts after the folder
LABEL_MANIFEST, PLACEHOLDER, NOT_UTF8, OWN_FOLDER = "label manifest", "placeholder", "not-utf-8", "own folder"
_TOLD = 10  # warnings of a kind; the rest is only counted
_HELD, _QUARANTINE = f"{contract.HELD}/", f"{contract.QUARANTINE}/"
log = logging.getLogger(__name__)


class Arrivals:
    """The objects that may be pictures, streamed; `seen` counts them as they pass, and `skipped` the others by why.

    Of `_held/` only the labels for which `releases` is true; nothing of `_quarantine/`, which is not even listed; and none of
    the names to `skip`. What waits in `_held/` and what is in `_quarantine/` is not counted: it was before, as it arrived.
    """

    def __init__(self, source: Store, releases: Callable[[str], bool], skip: Set[str] = frozenset()) -> None:
        self._source, self._releases, self._skip = source, releases, skip
        self.seen, self.skipped = 0, Counter[str]()
        self._warned = Counter[str]()

    def __iter__(self) -> Iterator[Blob]:
        for blob in self._listed():
            if (why := self._why_not(blob)) is not None:
                self._skip_it(blob, why)
                continue
            self.seen += 1
            yield blob

    def _why_not(self, blob: Blob) -> str | None:
        if blob.name in self._skip:
            return LABEL_MANIFEST
        if blob.name.endswith("/"):
            return PLACEHOLDER
        if not _encodable(blob.name):
            return NOT_UTF8
        return OWN_FOLDER if blob.name.startswith(_HELD) and not _label(blob) else None

    def _skip_it(self, blob: Blob, why: str) -> None:
        if why == PLACEHOLDER and blob.size:  # the console's folders are empty objects
            self._warn(
                why, f"the name {blob.name!r} ends in / as a folder's, but it has {blob.size:,} bytes; rename it"
            )
        elif why == NOT_UTF8:
            self._warn(why, f"the name {blob.name!r} is not UTF-8; rename it")
        elif why == OWN_FOLDER:
            self._warn(
                why, f"{blob.name!r} is in our own folder {_HELD}, in no label's; put it elsewhere in the bucket"
            )
        self.skipped[why] += 1

    def _warn(self, why: str, text: str) -> None:
        self._warned[why] += 1
        if self._warned[why] <= _TOLD:
            log.warning("skipped: %s", text + (" (and more like it)" if self._warned[why] == _TOLD else ""))

    def _listed(self) -> Iterator[Blob]:
        """The listing, restarted behind each of our folders, which stand in it in this order."""
        behind = ""
        for folder in (_HELD, _QUARANTINE):
            yield from self._people(after=behind, until=folder)
            if folder == _HELD:
                yield from self._released()
            behind = folder + _LAST
        yield from self._people(after=behind, until="")

    def _people(self, after: str, until: str) -> Iterator[Blob]:
        listed = self._source.list(after=after, until=until)
        return (blob for blob in listed if not blob.name.startswith((_HELD, _QUARANTINE)))

    def _released(self) -> Iterator[Blob]:
        """What is held of the labels that are released; the others are jumped over, by a new listing behind each."""
        behind, jumped = "", None
        while True:
            for blob in self._source.list(_HELD, after=behind):
                label, written = _label(blob), held_label(blob.name)
                if label is None:
                    yield blob  # in no label's folder, so it was not held by us: it is skipped, and told
                    continue
                if written == jumped:
                    continue  # its name sorts behind the jump
                if not self._releases(label):
                    behind, jumped = f"{_HELD}{written}/{_LAST}", written
                    break
                yield blob
            else:
                return


def _label(blob: Blob) -> str | None:
    return normalise(held_label(blob.name) or "")


def _encodable(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False

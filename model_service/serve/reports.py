"""The runs' reports in their bucket: which is the latest, and each one's page. Everything here waits for storage."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass

import menagerie_contract as contract

from model_service.storage import NotFound, StoreError, name_in, open_store, read_live

MOST = 20_000_000  # bytes of a report that is shown
FRESH = 5.0  # seconds for which the latest report is not asked for again, however many ask for it
_RUN = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,250}")  # as contract.run_name makes them: one component of a path


class TooLarge(Exception):
    """A report of more than MOST bytes."""


@dataclass(frozen=True)
class Page:
    """A report as it was read, and the generation that tells whether it still is that one."""

    run: str
    generation: int
    content: bytes


class Reports:
    """Of one bucket. It is opened when it is first needed: the website starts and serves whatever is wrong with it."""

    def __init__(self, predicted: str) -> None:
        self.predicted = predicted
        self._asking = threading.Lock()
        self._latest: str | None = None
        self._asked = -FRESH
        self._kept: Page | None = None  # the one that was read last: most ask for the latest

    def latest(self) -> str | None:
        """The run with the newest report; None when there is none. Raises StoreError."""
        with self._asking:
            if time.monotonic() >= self._asked + FRESH:
                self._latest, self._asked = self._read_latest(), time.monotonic()
            return self._latest

    def _read_latest(self) -> str | None:
        store, uri = open_store(self.predicted), contract.latest(self.predicted)
        data, _ = read_live(store, name_in(store, uri))
        if data is None:
            return None
        try:
            run = json.loads(data)["run"]
        except (ValueError, KeyError, TypeError):
            run = None
        if not (isinstance(run, str) and is_run(run)):
            raise StoreError(f"{uri} does not name a run", remedy="Delete it: the next evaluation writes it anew.")
        return run

    def read(self, run: str) -> Page | None:
        """The report of a run; None when there is none. Raises TooLarge, StoreError."""
        if not is_run(run):
            return None
        store = open_store(self.predicted)
        name = name_in(store, contract.report(self.predicted, run))
        try:
            blob = store.stat(name)
            if blob.size > MOST:
                raise TooLarge(f"{store.uri}/{name} has {blob.size} bytes")
            kept = self._kept
            if kept is None or (kept.run, kept.generation) != (run, blob.generation):
                kept = self._kept = Page(run, blob.generation, store.read(name, blob.generation))
        except NotFound:
            return None
        return kept


def is_run(text: str) -> bool:
    """Whether it can be a run's name: no separator, and neither `.` nor `..`."""
    return _RUN.fullmatch(text) is not None

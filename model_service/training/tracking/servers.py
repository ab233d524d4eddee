"""Tracking servers beside a training: each told in a thread of its own, so that one that fails or hangs is loud and no more."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import menagerie_contract as contract

from model_service.training.tracking.mlflow_server import Mlflow
from model_service.training.tracking.secrets import scrubbed
from model_service.training.tracking.wandb_server import Wandb

PATIENCE = 60.0  # seconds that a training which is over waits for them
HASTE = 5.0  # seconds that one waits which was told to terminate

log = logging.getLogger(__name__)


class Server(Protocol):
    """Called by one thread, in this order, `epoch` any number of times. Each may raise, and is then called again."""

    name: str

    def begin(self) -> None: ...
    def epoch(self, figures: Mapping[str, float]) -> None: ...
    def saved(self, version: str, metrics: Mapping[str, float], files: Mapping[str, bytes]) -> None: ...
    def end(self, how: str) -> None:
        """`how` is finished, failed, or killed: another attempt may go on."""


def wanted(step: contract.Train, folder: Path) -> Servers:
    """Those that this process's environment has set. Raises StepError where their package is missing."""
    found: list[Server] = []
    if os.environ.get("MLFLOW_TRACKING_URI"):
        found.append(Mlflow(step, folder))
    if os.environ.get("WANDB_API_KEY"):
        found.append(Wandb(step, folder))
    return Servers(found)


class Servers:
    """All of them. No call waits or raises, but for `end`, which waits, for all of them, PATIENCE seconds at most."""

    def __init__(self, servers: list[Server]) -> None:
        self._lines = [_Line(server) for server in servers]

    def begin(self) -> None:
        for line in self._lines:
            line.tell(line.server.begin)

    def epoch(self, figures: Mapping[str, float]) -> None:
        for line in self._lines:
            line.tell(lambda line=line: line.server.epoch(figures))  # type: ignore[misc]

    def saved(self, version: str, metrics: Mapping[str, float], files: Mapping[str, bytes]) -> None:
        for line in self._lines:
            line.tell(lambda line=line: line.server.saved(version, metrics, files))  # type: ignore[misc]

    def end(self, error: BaseException | None) -> None:
        how = "finished" if error is None else "failed" if isinstance(error, Exception) else "killed"
        for line in self._lines:
            line.tell(lambda line=line: line.server.end(how))  # type: ignore[misc]
        until = time.monotonic() + (HASTE if how == "killed" else PATIENCE)
        for line in self._lines:
            line.hang_up(until)


class _Line:
    """What a server is told, in order: what it did not take is told once more before the next thing is."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._untold: deque[Callable[[], None]] = deque()
        self._warned = False
        # A daemon: the process does not wait for a server that hangs.
        self._thread = threading.Thread(target=self._work, name=f"tracking-{server.name}", daemon=True)
        self._thread.start()

    def tell(self, call: Callable[[], None]) -> None:
        self._calls.put(call)

    def hang_up(self, until: float) -> None:
        self._calls.put(None)
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._untold or self._thread.is_alive():
            log.warning(
                "WARNING: %s was not told everything of this training, which is whole without it", self.server.name
            )

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            self._untold.append(call)
            try:
                while self._untold:
                    self._untold[0]()
                    self._untold.popleft()
            except Exception as error:
                if not self._warned:
                    text = scrubbed(f"{type(error).__name__}: {error}")
                    log.warning(
                        "WARNING: %s cannot be told of this training, which goes on: %s", self.server.name, text
                    )
                self._warned = True

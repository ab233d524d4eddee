"""The model in use: follows the site document, and changes models without a request noticing."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from model_service import images, site
from model_service.inference import Classifier

POLL = 0.5  # seconds between two looks at the site document
RETRY = 30.0  # seconds after which a refused model is tried again, in case its bucket was only unreachable

log = logging.getLogger(__name__)


class Served:
    """A loaded model, as the website uses it."""

    def __init__(self, models: str, version: str) -> None:
        self._classifier = Classifier(models, version, hint="LATENCY")
        self.version = version

    def answer(self, data: bytes, limits: images.Limits) -> dict[str, Any]:
        """The answer of /predict to a picture file, the likeliest class first. Raises BadImage."""
        probabilities = self._classifier.probabilities(images.seen(data, limits, self._classifier.size))
        ranked = sorted(zip(self._classifier.classes, probabilities.tolist(), strict=True), key=lambda c: -c[1])
        return {"model": self.version, "classes": [{"label": c, "probability": p} for c, p in ranked]}


@dataclass(frozen=True)
class State:
    """What the website serves at one moment; replaced as a whole, so that a reader never sees half a change."""

    served: Served | None = None
    refused: dict[str, str | None] | None = None  # {"version", "error"} of the model the document names but that fails
    why: str = "no model has been deployed yet"  # why nothing is served, while `served` is None


class Holder:
    """Polls the site document in a background thread; `state` is what to serve now, for requests that begin now."""

    def __init__(self, models: str, site_uri: str) -> None:
        self.state = State()
        self._models = models
        self._site = site_uri
        self._tried: int | None = None  # generation of the document whose model was refused
        self._retry_at = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="site-follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._follow()
            except Exception as error:  # whatever happens to the document or a model, the one in use stays in use
                self._refuse(None, error)
            if self._stop.wait(POLL):
                return

    def _follow(self) -> None:
        served = self.state.served
        document, generation = site.read(self._site)
        # Without a document nothing was deployed, or a mounted file is between two versions of itself: nothing changes.
        if document is None or (served is not None and served.version == document.version):
            self.state = State(served)
        elif generation != self._tried or time.monotonic() >= self._retry_at:
            self._change(document.version)
            self._tried, self._retry_at = generation, time.monotonic() + RETRY

    def _change(self, version: str) -> None:
        begun = time.monotonic()
        before = self.state.served
        if before is None:
            self.state = State(why=f"model {version} is being loaded")
        try:
            served = Served(self._models, version)
        except Exception as error:
            self._refuse(version, error)
            return
        self.state = State(served)
        was = f" instead of {before.version}" if before else ""
        log.info("serving model %s%s, loaded in %.1f s", version, was, time.monotonic() - begun)

    def _refuse(self, version: str | None, error: Exception) -> None:
        refused = {"version": version, "error": str(error) or repr(error)}
        if self.state.refused != refused:  # said once, not twice a second
            log.error("model %s refused: %s", version or "(unknown)", refused["error"])
        self.state = State(
            self.state.served, refused, f"model {version or '(unknown)'} was refused: {refused['error']}"
        )

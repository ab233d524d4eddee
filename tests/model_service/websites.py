"""Websites for tests: the real app on a real port, and pictures to show it."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn
from PIL import Image

from model_service.serve import address, listen
from model_service.serve.app import create_app

RED, GREEN, BLUE = (230, 20, 20), (20, 200, 20), (20, 20, 230)


@dataclass(frozen=True)
class Place:
    """Where the models and the site document of one test are."""

    root: Path

    @property
    def models(self) -> str:
        return f"file://{self.root}/animals_models"

    @property
    def site(self) -> str:
        return f"file://{self.root}/site.json"


def make_place(root: Path) -> Place:
    (root / "animals_models").mkdir()
    return Place(root)


@contextmanager
def running(place: Place, *, threads: int | None = None, waiting: int = 32, predicted: str = "") -> Iterator[str]:
    """The website in a thread of this process; gives its address and ends it."""
    with listen("127.0.0.1", 0) as listener:
        app = create_app(place.models, place.site, predicted, threads=threads, waiting=waiting)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield address(listener)
        finally:
            server.should_exit = True
            thread.join()


def picture(colour: tuple[int, int, int] = RED, side: int = 96, kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(out, kind)
    return out.getvalue()


def ask(url: str, data: bytes, name: str = "a.jpg") -> httpx.Response:
    return httpx.post(f"{url}/predict", files={"file": (name, data)}, timeout=30, trust_env=False)


def ready(url: str) -> httpx.Response:
    return httpx.get(f"{url}/readyz", timeout=30, trust_env=False)

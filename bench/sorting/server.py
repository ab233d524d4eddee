"""Buckets on the tests' server, which runs in a process of its own, and what is needed to fill, count and empty them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

REPO = Path(__file__).resolve().parents[2]
_THREADS = 16


class Server:
    """`url` is where it answers; `delay` the seconds it adds to every request."""

    def __init__(self, url: str, delay: float) -> None:
        self.url, self.delay = url, delay
        nobody: Any = AnonymousCredentials  # untyped
        self.client = storage.Client(project="bench", credentials=nobody(), client_options={"api_endpoint": url})
        self._made = 0

    def bucket(self) -> str:
        """The name of a new one."""
        self._made += 1
        name = f"bench-{self._made}"
        self.client.create_bucket(name)
        return name

    def fill(self, bucket: str, paths: Iterable[Path]) -> None:
        into = self.client.bucket(bucket)
        _side_by_side(lambda path: into.blob(path.name).upload_from_filename(str(path), timeout=60), paths)

    def count(self, bucket: str) -> int:
        return sum(1 for _ in self.client.list_blobs(bucket, fields="nextPageToken,items(name)"))

    def remove(self, *buckets: str) -> None:
        for name in buckets:
            bucket = self.client.bucket(name)
            _side_by_side(lambda blob: blob.delete(), self.client.list_blobs(name))
            bucket.delete()


@contextmanager
def serving(delay: float) -> Iterator[Server]:
    words = [sys.executable, "-m", "tests.support.gcs", f"--delay={delay}"]
    with subprocess.Popen(words, cwd=REPO, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(process.stdout.readline().strip(), delay)
        finally:
            process.terminate()


def environment(**more: str) -> dict[str, str]:
    """For processes of ours."""
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(REPO), str(REPO / "plugins")))} | more


def _side_by_side(work: Callable[[Any], object], items: Iterable[Any]) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(work, items):
            pass

"""gs:// buckets for tests: on a server in this process, or where MENAGERIE_TEST_GCS says.

MENAGERIE_TEST_GCS=http://… is another emulator; https://storage.googleapis.com is the real service, with the default
credentials and the project of GOOGLE_CLOUD_PROJECT. There, buckets are few: they are emptied and used again.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from google.cloud import storage

from tests.support.gcs import GcsServer

REAL = "https://storage.googleapis.com"


class Cloud:
    """Where gs:// leads to. `server` is None if it is not ours; then faults cannot be ordered."""

    def __init__(self, server: GcsServer | None) -> None:
        self.server = server
        self._client = storage.Client(project=os.environ.get("GOOGLE_CLOUD_PROJECT", "test"))
        self._prefix = f"mt-{secrets.token_hex(4)}"
        self._made = 0
        self._taken: list[str] = []
        self._free: list[str] = []

    def take(self) -> str:
        """The URI of an empty bucket that is the test's own."""
        if not self._free:
            self._made += 1
            self._free.append(f"{self._prefix}-{self._made}")
            self._client.create_bucket(self._free[0])
        self._taken.append(self._free.pop())
        return f"gs://{self._taken[-1]}"

    def release(self) -> None:
        """The test is over."""
        if self.server:
            self.server.forget()
            for name in self._taken:
                del self.server.api.buckets[name]
        else:
            for name in self._taken:
                for blob in self._client.list_blobs(name):
                    blob.delete()
            self._free += self._taken
        self._taken = []

    def close(self) -> None:
        for name in self._free:
            self._client.bucket(name).delete()
        self._client.close()


@contextmanager
def at_hand() -> Iterator[Cloud]:
    url = os.environ.get("MENAGERIE_TEST_GCS", "")
    with pytest.MonkeyPatch.context() as environment:
        if url:
            leads_to(url, environment)
            cloud = Cloud(None)
            yield cloud
            cloud.close()
            return
        with GcsServer() as server:
            leads_to(server.url, environment)
            cloud = Cloud(server)
            yield cloud
            cloud.close()


def leads_to(url: str, environment: pytest.MonkeyPatch) -> None:
    """From now on gs:// is there."""
    if url.rstrip("/") == REAL:
        environment.delenv("STORAGE_EMULATOR_HOST", raising=False)
    else:
        environment.setenv("STORAGE_EMULATOR_HOST", url)
        environment.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # gcsfs would wait for gRPC

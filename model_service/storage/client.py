"""One client of Cloud Storage for all threads of a process. STORAGE_EMULATOR_HOST is the library's to honour."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any

from google.cloud import storage
from requests.adapters import HTTPAdapter

CONNECTIONS = 32  # twice the threads of a step, so that none waits for or throws away a connection
_making = threading.Lock()


def client() -> Any:
    with _making:  # the cache alone would let two threads make one each
        return _make(os.environ.get("STORAGE_EMULATOR_HOST"))


@functools.cache
def _make(_emulator: str | None) -> Any:
    made = storage.Client(project=None)  # objects need no project
    for scheme in ("https://", "http://"):
        made._http.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=CONNECTIONS))
    return made

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
    session = made._http
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=CONNECTIONS))
    # What the environment says of proxies and certificates is read once: at every request it is a fifth of the work.
    from_environment = session.merge_environment_settings(made._connection.API_BASE_URL, {}, False, None, None)
    session.proxies, session.verify, session.trust_env = from_environment["proxies"], from_environment["verify"], False
    return made

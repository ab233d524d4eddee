"""A website as its deployer sees it: over HTTP only, so that it may run anywhere."""

from __future__ import annotations

import http.client
import json
import secrets
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

# Never by way of a proxy: the website is on this machine or in this cluster.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    """What a website said: `status` is 0 when it could not be asked, `body` {} unless it is JSON, `why` in words."""

    status: int
    body: dict[str, Any]
    why: str = ""
    listening: bool = True


class Website:
    """The website at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def ready(self, timeout: float = 5.0) -> Answer:
        """Which model it serves, and which it refused."""
        return self._ask(urllib.request.Request(f"{self.url}/readyz"), timeout)  # noqa: S310 - the operator's own URL

    def predict(self, picture: bytes, timeout: float = 30.0) -> Answer:
        """Its answer to a picture."""
        boundary = secrets.token_hex(16)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="smoke.jpg"\r\n\r\n'
        body = head.encode() + picture + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self._ask(urllib.request.Request(f"{self.url}/predict", body, headers), timeout)  # noqa: S310

    def _ask(self, request: urllib.request.Request, timeout: float) -> Answer:
        try:
            with _opener.open(request, timeout=timeout) as response:
                return _answer(response.status, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.read())
        except (OSError, http.client.HTTPException) as error:  # time-outs, connections that break off, no HTTP at all
            cause = getattr(error, "reason", error)
            refused = isinstance(cause, ConnectionRefusedError)
            return Answer(0, {}, f"{self.url} does not answer ({cause})", listening=not refused)


def _answer(status: int, data: bytes) -> Answer:
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return Answer(status, {}, f"HTTP {status}, but not from Menagerie's website")
    return Answer(status, body, str(body.get("error") or f"HTTP {status}"))

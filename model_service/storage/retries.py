"""Which failures of Cloud Storage pass, and how long they are waited for.

https://cloud.google.com/storage/docs/retry-strategy. The library's own policy leaves out content that fails its checksum.
"""

from __future__ import annotations

import re

import requests
import urllib3
from google.api_core.exceptions import BadRequest, GoogleAPICallError
from google.api_core.retry import Retry
from google.auth.exceptions import TransportError
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

_PASSING = (
    ConnectionError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,  # of a body that ends too early, among others
    DataCorruption,
)
_MISMATCH = re.compile(r"Provided (CRC32C|MD5)\b.* doesn't match", re.IGNORECASE)
_PASSING_CODES = {408, 429, 500, 502, 503, 504}


def passes(error: object) -> bool:
    """May the same request succeed a little later?"""
    if isinstance(error, GoogleAPICallError):
        return error.code in _PASSING_CODES
    if isinstance(error, InvalidResponse):
        return error.response.status_code in _PASSING_CODES
    if isinstance(error, TransportError):  # while a token was fetched
        return any(map(passes, error.args))
    return isinstance(error, _PASSING)


def spoilt(error: object) -> bool:
    """Did what was uploaded differ from its checksum when it arrived? The service then keeps nothing of it."""
    return isinstance(error, BadRequest) and _MISMATCH.search(error.message) is not None


# Seconds. Each wait is drawn at random up to one that doubles; after `timeout` no further attempt begins.
RETRY = Retry(predicate=passes, initial=0.5, maximum=15, multiplier=2, timeout=60)
SEND_AGAIN = RETRY.with_predicate(spoilt)  # from the beginning: a session that was refused takes no more


class Attempts:
    """A predicate for one call's policy that remembers whether there was a second attempt: the first may have worked."""

    def __init__(self) -> None:
        self.repeated = False

    def __call__(self, error: Exception) -> bool:
        again = passes(error)
        self.repeated |= again
        return again

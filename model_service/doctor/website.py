"""Does the website answer, with the champion? And is this machine's clock right, by the clocks of those it talks to?"""

from __future__ import annotations

import email.utils
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from email.message import Message
from typing import Any

from model_service import registry
from model_service.doctor.checks import Finding

TIMEOUT = 10.0  # seconds
TOLERATED = 60.0  # seconds between two clocks; Google refuses tokens from a clock some minutes off
STORAGE = "https://storage.googleapis.com"


def examine(url: str, models: str) -> Finding:
    """Is it up, and is its model the champion? Raises StoreError when the champion cannot be read."""
    if not url.startswith(("http://", "https://")):
        return Finding("failed", f"{url} is no address of a website", "Give an address such as http://127.0.0.1:5000.")
    pointer, _ = registry.champion(models)
    champion = pointer["version"] if pointer else None
    try:
        status, body, _ = _get(f"{url}/readyz", direct=True)
    except (OSError, http.client.HTTPException) as error:
        if champion is None:
            return Finding("ok", f"{url} does not answer yet: the first deployment starts it")
        remedy = "Run the pipeline with deploy=true; on Kubernetes, `model_service deploy --status` says what is there."
        return Finding("failed", f"{url} does not answer ({getattr(error, 'reason', error)})", remedy)
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return Finding("failed", f"{url} is not Menagerie's website", "Correct MENAGERIE_SITE_URL.")
    return _judge(url, status, document, champion)


def _judge(url: str, status: int, document: dict[str, Any], champion: str | None) -> Finding:
    served, refused = document.get("model"), document.get("refused") or {}
    remedy = "Run the pipeline with deploy=true, or clear the last run's deploy task."
    if status != 200 or served is None:
        found = f"{url} is up and serves no model: {document.get('error') or f'HTTP {status}'}"
        return Finding("failed", found, remedy) if champion else Finding("ok", found)
    if refused:
        return Finding("warning", f"{url} serves {served} and refused {refused.get('version')}", "Its log says why.")
    if served != champion:
        return Finding("warning", f"{url} serves {served}; the champion is {champion}", remedy)
    return Finding("ok", f"{url} serves the champion, {served}")


def clock(url: str, buckets: list[str]) -> Finding:
    """Compare this machine's clock with that of Cloud Storage, or of the website."""
    if any(uri.startswith("gs://") for uri in buckets):
        url = os.environ.get("STORAGE_EMULATOR_HOST") or STORAGE
    elif not url:
        return Finding("skipped", "nobody to compare with: neither gs:// buckets nor --url are given")
    try:
        _, _, headers = _get(url)
    except (OSError, http.client.HTTPException) as error:
        return Finding("skipped", f"not compared: {url} does not answer ({getattr(error, 'reason', error)})")
    try:
        theirs = email.utils.parsedate_to_datetime(headers["Date"]).timestamp()
    except (TypeError, ValueError):
        return Finding("warning", f"not compared: {url} does not say what time it is")
    ahead = time.time() - theirs
    if abs(ahead) > TOLERATED:
        where = "ahead of" if ahead > 0 else "behind"
        return Finding("failed", f"this clock is {abs(ahead):.0f} s {where} {url}", "Synchronise it (NTP) on the node.")
    return Finding("ok", f"within {TOLERATED:.0f} s of {url}")


def _get(url: str, *, direct: bool = False) -> tuple[int, bytes, Message]:
    """Status, body and headers of any answer. `direct`: never by way of a proxy, as the website is in this cluster."""
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if direct else []))
    try:
        with opener.open(url, timeout=TIMEOUT) as response:
            return response.status, response.read(1 << 20), response.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(1 << 20), error.headers

"""JSON documents in storage, as the coordinator reads them: results and the champion pointer."""

from __future__ import annotations

import json
from typing import Any


def read(uri: str) -> dict[str, Any] | None:
    """The document at a gs:// or file:// URI; None when there is none."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath  # costs a second: only tasks pay for it

    try:
        document: dict[str, Any] = json.loads(ObjectStoragePath(uri).read_text())
    except FileNotFoundError:
        return None
    return document

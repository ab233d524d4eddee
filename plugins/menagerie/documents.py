"""JSON documents in storage, as the coordinator reads them: results and the champion pointer."""

from __future__ import annotations

import json
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException


class Damaged(AirflowFailException):  # type: ignore[misc] # Airflow's exceptions are untyped
    """A document that is not what it should be. It stays so until somebody acts, so no retry is made."""


def result(uri: str) -> dict[str, Any] | None:
    """A step's result; None when there is none. Raises Damaged."""
    document: dict[str, Any] | None = _read(uri)
    if document is None or _is_result(document):
        return document
    raise Damaged(f"{uri} is not a step's result: it is damaged. Delete it and clear the task.")


def champion(uri: str) -> dict[str, Any] | None:
    """The champion pointer; None when there is none. Raises Damaged."""
    document = _read(uri)
    if document is None or (isinstance(document, dict) and {"version", "previous", "run"} <= document.keys()):
        return document
    raise Damaged(
        f"{uri} does not name a champion: it is damaged. Restore an earlier version of it, or delete it (a first model is "
        "trained then), and clear the task."
    )


def _is_result(document: Any) -> bool:
    if not isinstance(document, dict):
        return False
    error = document.get("error")
    explained = isinstance(error, dict) and {"message", "remedy", "retry"} <= error.keys()
    return document.get("status") == "ok" or (document.get("status") == "failed" and explained)


def _read(uri: str) -> Any:
    """The document at a gs:// or file:// URI; None when there is none; empty when it is not JSON."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath  # costs a second: only tasks pay for it

    try:
        document = json.loads(ObjectStoragePath(uri).read_text())
    except FileNotFoundError:
        return None
    except ValueError:  # not JSON, or not UTF-8
        return ""
    return "" if document is None else document  # `null` is no document either

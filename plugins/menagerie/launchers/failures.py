"""A step's own account of its failure as the error of its task."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException


def told(step: str, result: dict[str, Any]) -> AirflowException:
    """What a failed step said in its result document; a failure that a retry cannot cure fails the task at once."""
    error = result["error"]
    text = f"{step} failed: {error['message']}" + (f"\nRemedy: {error['remedy']}" if error["remedy"] else "")
    return AirflowException(text) if error["retry"] else AirflowFailException(text)


def last_words(lines: list[str]) -> str:
    return "Its last words:\n" + ("\n".join(lines) or "(it said nothing)")
